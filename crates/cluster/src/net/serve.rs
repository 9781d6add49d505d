//! A connection that a member made to us: takes its requests, answers them.
//!
//! Requests of one connection are handled at a time, up to a number and a size;
//! with those taken the next is not read until an answer has been *written*, so
//! a peer that asks without listening is not answered from our memory.

use super::failure::CallError;
use super::frame::{self, FrameError, Head, Kind};
use super::greeting;
use super::hub::Shared;
use super::limits::{
    BUFFER_BYTES, FINISH_TIME_MAX, FRAME_BYTES_MAX, IN_FLIGHT_BYTES, IN_FLIGHT_MAX, SENTENCE_BYTES_MAX,
};
use super::verify::{Side, Trust, verify};
use super::{Caller, Lane};
use crate::types::NodeId;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// A member's connection to us.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) node: NodeId,
    pub(super) lane: Lane,
    /// The chain it showed.
    pub(super) shown: Vec<CertificateDer<'static>>,
    pub(super) cut: CancellationToken,
}

struct Answer {
    request: u64,
    result: Result<Vec<u8>, String>,
    /// Free again when the answer has been written.
    _place: OwnedSemaphorePermit,
}

impl Incoming {
    /// Ends it if its certificate would not be accepted any more. The peer makes
    /// another with a better one, if it has one.
    pub(super) fn verify(&self, trust: &Trust) {
        let verified =
            self.shown.split_first().map(|(leaf, rest)| verify(trust, leaf, rest, Side::Dialer, UnixTime::now()));
        if let Some(Err(reason)) = verified {
            tracing::info!(node = self.node, %reason, "a node's connection is closed");
            self.cut.cancel();
        }
    }
}

/// Serves a member until its connection ends.
pub(super) async fn member(shared: &Arc<Shared>, stream: TlsStream<TcpStream>, incoming: &Arc<Incoming>) {
    let number = shared.enter(Arc::clone(incoming));
    let (reader, writer) = tokio::io::split(stream);
    // Never full: each answer has a place of its own.
    let (answers, written) = mpsc::channel(IN_FLIGHT_MAX);
    let mut handlers = JoinSet::new();
    let ended = tokio::select! {
        ended = take(shared, incoming.node, BufReader::with_capacity(BUFFER_BYTES, reader), answers, &mut handlers) => ended,
        ended = write(written, BufWriter::with_capacity(BUFFER_BYTES, writer)) => ended.map_err(FrameError::from),
        () = incoming.cut.cancelled() => Ok(()),
        () = shared.closing.cancelled() => Ok(()),
    };
    shared.leave(number);
    let node = incoming.node;
    match ended {
        Ok(()) => tracing::debug!(node, "a peer's connection ended"),
        Err(error) => tracing::debug!(node, error = &error as &dyn std::error::Error, "a peer's connection broke"),
    }
    finish(shared, node, handlers).await;
}

/// Reads requests and has them handled; ends when the peer closes.
async fn take(
    shared: &Arc<Shared>,
    node: NodeId,
    mut reader: impl AsyncRead + Unpin,
    answers: mpsc::Sender<Answer>,
    handlers: &mut JoinSet<()>,
) -> Result<(), FrameError> {
    let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    while let Some(head) = frame::read_head(&mut reader, FRAME_BYTES_MAX).await? {
        let place = Arc::clone(&places).acquire_many_owned(places_for(head)).await.expect("it is never closed");
        let body = frame::read_body(&mut reader, head).await?;
        if greeting::is_refusal(head) {
            shared.handler.refused(node, &String::from_utf8_lossy(&body));
            return Ok(());
        }
        while let Some(ended) = handlers.try_join_next() {
            report(node, ended);
        }
        let (handler, answers) = (Arc::clone(&shared.handler), answers.clone());
        handlers.spawn(async move {
            let result = handler.handle(Caller::Member(node), head.kind, body).await;
            // Nobody reads it if the connection broke.
            let _ = answers.send(Answer { request: head.request, result, _place: place }).await;
        });
    }
    Ok(())
}

/// How much of what may be in flight a request takes.
fn places_for(head: Head) -> u32 {
    let share = (head.length as usize).div_ceil(IN_FLIGHT_BYTES).clamp(1, IN_FLIGHT_MAX);
    u32::try_from(share).expect("there are few places")
}

async fn write(mut answers: mpsc::Receiver<Answer>, mut writer: impl AsyncWrite + Unpin) -> io::Result<()> {
    while let Some(first) = answers.recv().await {
        let mut next = Some(first);
        // What has gathered meanwhile shares records and system calls.
        while let Some(answer) = next {
            let (kind, body) = match &answer.result {
                Ok(body) if body.len() > FRAME_BYTES_MAX => (Kind::Failure, too_large(body.len())),
                Ok(body) => (Kind::Result, body.as_slice().into()),
                Err(why) => (Kind::Failure, frame::sentence(why).into()),
            };
            frame::write(&mut writer, answer.request, kind.code(), &body).await?;
            next = answers.try_recv().ok();
        }
        writer.flush().await?;
    }
    Ok(())
}

/// What is said instead of an answer that does not fit.
fn too_large(bytes: usize) -> std::borrow::Cow<'static, [u8]> {
    tracing::error!(bytes, "an answer to another node is too large to be sent");
    let mut text = format!("the answer is too large: {}", CallError::TooLarge { bytes });
    text.truncate(SENTENCE_BYTES_MAX);
    text.into_bytes().into()
}

/// Lets requests come to their end whose answer nobody hears.
async fn finish(shared: &Shared, node: NodeId, mut handlers: JoinSet<()>) {
    let deadline = Instant::now() + FINISH_TIME_MAX;
    loop {
        let ended = tokio::select! {
            ended = timeout_at(deadline, handlers.join_next()) => ended,
            () = shared.closing.cancelled() => return handlers.shutdown().await,
        };
        match ended {
            Ok(Some(ended)) => report(node, ended),
            Ok(None) => return,
            Err(_) => return handlers.shutdown().await,
        }
    }
}

fn report(node: NodeId, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        // Its caller hears nothing and counts the request as perhaps done, which it is.
        tracing::error!(node, %error, "handling a request of another node failed");
    }
}
