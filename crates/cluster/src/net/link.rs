//! A connection that we made: sends requests, and gives each answer to whoever
//! waits for it.
//!
//! One task owns the connection. It ends when the connection breaks, when it is
//! cut, or when nobody can send on it any more: everyone who makes a call holds
//! the [`Link`], so one that was retired ends with its last call. **Each call is
//! answered once, or told whether it was sent**; never both, never neither.

use super::failure::CallError;
use super::frame::{self, FrameError, Kind};
use super::hub::Shared;
use super::limits::{BUFFER_BYTES, FRAME_BYTES_MAX, GOODBYE_TIME_MAX, QUEUE_MAX};
use super::verify::{Side, Trust, VerifyError, verify};
use crate::types::NodeId;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// One connection to a peer.
#[derive(Debug)]
pub(super) struct Link {
    /// Bounded: with a full queue callers wait for their own time.
    queue: mpsc::Sender<Request>,
    waiting: Arc<Waiting>,
    requests: AtomicU64,
    shown: Vec<CertificateDer<'static>>,
    cut: CancellationToken,
}

/// Why a link has no answer.
#[derive(Debug)]
pub(super) enum LinkError {
    /// The link had ended before; here is the body back.
    Ended(Vec<u8>),
    /// As for whoever made the call.
    Call(CallError),
}

#[derive(Debug)]
struct Request {
    number: u64,
    kind: u16,
    body: Vec<u8>,
    fate: Arc<Fate>,
}

type Answer = Result<Vec<u8>, String>;

/// Who waits for which answer; `None` when the link has ended.
#[derive(Debug)]
struct Waiting(Mutex<Option<BTreeMap<u64, oneshot::Sender<Answer>>>>);

/// Whether a request is still ours to take back. Sender and caller settle it
/// with one exchange, so that "not sent" is never said of one that was.
#[derive(Debug)]
struct Fate(AtomicU8);

const QUEUED: u8 = 0;
const SENT: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Link {
    /// Starts the task of a connection whose greeting is done.
    pub(super) fn start(shared: &Arc<Shared>, peer: NodeId, stream: TlsStream<TcpStream>) -> Arc<Self> {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let link = Arc::new(Self {
            queue,
            waiting: Arc::new(Waiting(Mutex::new(Some(BTreeMap::new())))),
            requests: AtomicU64::new(0),
            shown: shown.iter().map(|certificate| certificate.clone().into_owned()).collect(),
            cut: CancellationToken::new(),
        });
        let task = run(Arc::clone(shared), peer, stream, requests, Arc::clone(&link.waiting), link.cut.clone());
        shared.tasks.spawn(task);
        link
    }

    /// Whether a call can be tried on it.
    pub(super) fn is_open(&self) -> bool {
        self.waiting.lock().is_some()
    }

    /// Ends it with all its calls.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    /// Judges the certificate that the peer showed by what is trusted now.
    pub(super) fn verify(&self, trust: &Trust) -> Result<NodeId, VerifyError> {
        let (leaf, rest) = self.shown.split_first().ok_or(VerifyError::Form)?;
        verify(trust, leaf, rest, Side::Acceptor, UnixTime::now())
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn call(&self, kind: u16, body: Vec<u8>, deadline: Instant) -> Result<Vec<u8>, LinkError> {
        let (answer, answered) = oneshot::channel();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if !self.waiting.enter(number, answer) {
            return Err(LinkError::Ended(body));
        }
        let fate = Arc::new(Fate(AtomicU8::new(QUEUED)));
        // Whatever becomes of this future, it is not waited for any longer.
        let _leaving = Leaving { waiting: &self.waiting, number, fate: &fate };
        let request = Request { number, kind, body, fate: Arc::clone(&fate) };
        match timeout_at(deadline, self.queue.send(request)).await {
            Ok(Ok(())) => {}
            Ok(Err(mpsc::error::SendError(request))) => return Err(LinkError::Ended(request.body)),
            Err(_) => return Err(LinkError::Call(CallError::TimedOut { is_sent: false })),
        }
        match timeout_at(deadline, answered).await {
            Ok(Ok(Ok(body))) => Ok(body),
            Ok(Ok(Err(why))) => Err(LinkError::Call(CallError::Answered(why))),
            Ok(Err(_)) => Err(LinkError::Call(CallError::Broken { is_sent: fate.give_up() })),
            Err(_) => Err(LinkError::Call(CallError::TimedOut { is_sent: fate.give_up() })),
        }
    }
}

/// Takes a caller off the list, and its request back if it is not sent.
struct Leaving<'a> {
    waiting: &'a Waiting,
    number: u64,
    fate: &'a Fate,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.fate.give_up();
        if let Some(waiting) = self.waiting.lock().as_mut() {
            waiting.remove(&self.number);
        }
    }
}

impl Fate {
    /// Called before the first byte is sent; `false` if it was taken back.
    fn send(&self) -> bool {
        self.0.compare_exchange(QUEUED, SENT, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Takes it back; returns whether that was too late.
    fn give_up(&self) -> bool {
        self.0.compare_exchange(QUEUED, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire) == Err(SENT)
    }
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<BTreeMap<u64, oneshot::Sender<Answer>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false` if the link has ended.
    fn enter(&self, number: u64, answer: oneshot::Sender<Answer>) -> bool {
        match self.lock().as_mut() {
            Some(waiting) => {
                waiting.insert(number, answer);
                true
            }
            None => false,
        }
    }

    fn answer(&self, number: u64, answer: Answer) {
        // Nobody is there if the caller's time was over; then the answer is dropped.
        let waiter = self.lock().as_mut().and_then(|waiting| waiting.remove(&number));
        if let Some(waiter) = waiter {
            let _ = waiter.send(answer);
        }
    }

    fn end(&self) {
        *self.lock() = None;
    }
}

async fn run(
    shared: Arc<Shared>,
    peer: NodeId,
    stream: TlsStream<TcpStream>,
    requests: mpsc::Receiver<Request>,
    waiting: Arc<Waiting>,
    cut: CancellationToken,
) {
    let (reader, writer) = tokio::io::split(stream);
    let ended = tokio::select! {
        ended = send(requests, BufWriter::with_capacity(BUFFER_BYTES, writer)) => ended.map_err(FrameError::from),
        ended = receive(&shared, peer, &waiting, BufReader::with_capacity(BUFFER_BYTES, reader)) => ended,
        () = cut.cancelled() => Ok(()),
        () = shared.closing.cancelled() => Ok(()),
    };
    waiting.end();
    match ended {
        Ok(()) => tracing::debug!(node = peer, "a connection to a peer ended"),
        Err(error) => {
            tracing::debug!(node = peer, error = &error as &dyn std::error::Error, "a connection to a peer broke")
        }
    }
}

async fn send(mut requests: mpsc::Receiver<Request>, mut writer: impl AsyncWrite + Unpin) -> io::Result<()> {
    while let Some(first) = requests.recv().await {
        let mut next = Some(first);
        // What has gathered meanwhile shares records and system calls.
        while let Some(request) = next {
            if request.fate.send() {
                frame::write(&mut writer, request.number, request.kind, &request.body).await?;
            }
            next = requests.try_recv().ok();
        }
        writer.flush().await?;
    }
    timeout(GOODBYE_TIME_MAX, writer.shutdown()).await?
}

async fn receive(
    shared: &Shared,
    peer: NodeId,
    waiting: &Waiting,
    mut reader: impl AsyncRead + Unpin,
) -> Result<(), FrameError> {
    while let Some(head) = frame::read_head(&mut reader, FRAME_BYTES_MAX).await? {
        let body = frame::read_body(&mut reader, head).await?;
        // First, so that whoever has the answer finds its sender counted as present.
        shared.handler.heard(peer);
        match Kind::of(head.kind) {
            Some(Kind::Result) => waiting.answer(head.request, Ok(body)),
            Some(Kind::Failure) => waiting.answer(head.request, Err(String::from_utf8_lossy(&body).into_owned())),
            None => return Err(FrameError::Unknown { kind: head.kind }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_or_taken_back_and_never_both() {
        let fate = Fate(AtomicU8::new(QUEUED));
        assert!(fate.send());
        assert!(fate.give_up(), "too late");
        let fate = Fate(AtomicU8::new(QUEUED));
        assert!(!fate.give_up(), "in time");
        assert!(!fate.send());
        assert!(!fate.give_up(), "still not sent");
    }

    #[test]
    fn whoever_leaves_is_not_waited_for() {
        let waiting = Waiting(Mutex::new(Some(BTreeMap::new())));
        let fate = Fate(AtomicU8::new(QUEUED));
        let (answer, _answered) = oneshot::channel();
        assert!(waiting.enter(1, answer));
        drop(Leaving { waiting: &waiting, number: 1, fate: &fate });
        assert!(waiting.lock().as_ref().is_some_and(BTreeMap::is_empty));
        assert!(!fate.send());
        waiting.end();
        let (answer, _answered) = oneshot::channel();
        assert!(!waiting.enter(2, answer));
    }
}
