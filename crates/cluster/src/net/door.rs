//! The door: takes connections, finds out who comes, and lets members in.
//!
//! Whoever has not shown who he is costs little and is bounded in number and
//! time; when too many stand there the one that stands longest has to go, since
//! a member needs milliseconds. A stranger may make one request, of one kind,
//! in his turn. **He is never told why he was turned away.**

use super::frame::{self, Kind};
use super::greeting::{self, GreetingError};
use super::hub::Shared;
use super::limits::{
    FRAME_BYTES_MAX, GOODBYE_TIME_MAX, INTRODUCTION_TIME_MAX, STRANGER_ANSWER_TIME_MAX, STRANGER_BYTES_MAX,
    STRANGER_INTERVAL, UNKNOWN_MAX,
};
use super::serve::{self, Incoming};
use super::{Caller, JOIN, socket, tls, verify};
use rustls_pki_types::CertificateDer;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How long the door stays shut after the system could not take a connection:
/// it has no more files or memory, and they do not come back by asking.
const REST: Duration = Duration::from_millis(100);

/// Where those stand who have not shown who they are, the oldest first.
#[derive(Default)]
pub(super) struct Hall(Mutex<Standing>);

#[derive(Default)]
struct Standing {
    last: u64,
    queue: VecDeque<(u64, CancellationToken)>,
}

/// A place in the hall; free again when it is dropped.
struct Place<'a> {
    hall: &'a Hall,
    number: u64,
    sent_away: CancellationToken,
}

/// Who came in.
enum Guest {
    Member(Arc<Incoming>),
    Stranger,
}

/// Takes connections until the hub closes.
pub(super) async fn keep(shared: Arc<Shared>, listener: TcpListener) {
    let mut is_failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.closing.cancelled() => return,
        };
        match accepted {
            Ok((stream, from)) => {
                is_failing = false;
                shared.tasks.spawn(receive(Arc::clone(&shared), stream, from));
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "cannot take connections of other nodes; trying on");
                }
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn receive(shared: Arc<Shared>, stream: TcpStream, from: SocketAddr) {
    let deadline = Instant::now() + INTRODUCTION_TIME_MAX;
    let place = shared.hall.enter();
    let introduced = tokio::select! {
        introduced = timeout_at(deadline, introduce(&shared, stream)) => introduced,
        () = place.sent_away.cancelled() => return,
        () = shared.closing.cancelled() => return,
    };
    match introduced {
        Ok(Ok((stream, Guest::Member(incoming)))) => {
            drop(place);
            serve::member(&shared, stream, &incoming).await;
        }
        Ok(Ok((stream, Guest::Stranger))) => {
            let Ok(_seat) = shared.strangers.try_acquire() else { return };
            drop(place);
            tokio::select! {
                () = serve_stranger(&shared, stream, deadline) => {}
                () = shared.closing.cancelled() => {}
            }
        }
        Ok(Err(error)) => tracing::debug!(%from, error = &error as &dyn std::error::Error, "turned a connection away"),
        Err(_) => tracing::debug!(%from, "closed a connection that did not say who it is"),
    }
}

/// Why a newcomer is turned away.
#[derive(Debug, thiserror::Error)]
enum IntroductionError {
    #[error("the handshake failed")]
    Tls(#[from] io::Error),
    #[error("it does not speak as a node does")]
    Foreign,
    #[error(transparent)]
    Greeting(#[from] GreetingError),
}

async fn introduce(
    shared: &Arc<Shared>,
    stream: TcpStream,
) -> Result<(TlsStream<TcpStream>, Guest), IntroductionError> {
    socket::tune(&stream)?;
    let mut stream = TlsAcceptor::from(shared.credentials().acceptor.clone()).accept(stream).await?;
    let session = stream.get_ref().1;
    if !tls::is_ours(session.alpn_protocol()) {
        return Err(IntroductionError::Foreign);
    }
    let shown: Vec<CertificateDer<'static>> =
        session.peer_certificates().unwrap_or_default().iter().map(|shown| shown.clone().into_owned()).collect();
    let Some(node) = shown.first().map(|leaf| verify::node_of(leaf).ok_or(IntroductionError::Foreign)).transpose()?
    else {
        return Ok((stream, Guest::Stranger));
    };
    let lane = match greeting::answer(shared, &mut stream, node).await {
        Ok(lane) => lane,
        Err(error) => {
            if let GreetingError::RefusedHere(why) = &error {
                tracing::info!(node, why, "a node that wanted to connect is not admitted");
            }
            return Err(error.into());
        }
    };
    let incoming = Incoming { node, lane, shown, cut: CancellationToken::new() };
    Ok((stream, Guest::Member(Arc::new(incoming))))
}

/// Hears and answers the one request of a stranger.
async fn serve_stranger(shared: &Arc<Shared>, mut stream: TlsStream<TcpStream>, deadline: Instant) {
    let asked = timeout_at(deadline, frame::read(&mut stream, STRANGER_BYTES_MAX)).await;
    let Ok(Ok((head, body))) = asked else { return };
    if head.kind != JOIN {
        return;
    }
    let turn = shared.next_turn(Instant::now());
    if turn > deadline {
        return;
    }
    sleep_until(turn).await;
    let answered = timeout(STRANGER_ANSWER_TIME_MAX, shared.handler.handle(Caller::Stranger, JOIN, body)).await;
    let Ok(answer) = answered else { return };
    let (kind, body) = match &answer {
        Ok(body) if body.len() > FRAME_BYTES_MAX => return,
        Ok(body) => (Kind::Result, body.as_slice()),
        Err(why) => (Kind::Failure, frame::sentence(why)),
    };
    let said = async {
        frame::write(&mut stream, head.request, kind.code(), body).await?;
        stream.shutdown().await
    };
    // Whether he hears it is his matter; a join can be asked for again.
    let _ = timeout(GOODBYE_TIME_MAX, said).await;
}

impl Shared {
    /// Gives the next stranger his turn.
    fn next_turn(&self, now: Instant) -> Instant {
        let mut next = self.next_stranger.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = now.max(*next);
        *next = turn + STRANGER_INTERVAL;
        turn
    }
}

impl Hall {
    fn enter(&self) -> Place<'_> {
        let mut standing = self.lock();
        if standing.queue.len() >= UNKNOWN_MAX
            && let Some((_, oldest)) = standing.queue.pop_front()
        {
            oldest.cancel();
        }
        standing.last += 1;
        let (number, sent_away) = (standing.last, CancellationToken::new());
        standing.queue.push_back((number, sent_away.clone()));
        Place { hall: self, number, sent_away }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.hall.lock().queue.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_stands_longest_makes_room() {
        let hall = Hall::default();
        let mut places: Vec<_> = (0..UNKNOWN_MAX).map(|_| hall.enter()).collect();
        assert!(places.iter().all(|place| !place.sent_away.is_cancelled()));
        let newest = hall.enter();
        assert!(places[0].sent_away.is_cancelled());
        assert!(!places[1].sent_away.is_cancelled() && !newest.sent_away.is_cancelled());
        // A place that becomes free is used before anybody is sent away.
        drop(places.swap_remove(5));
        let _another = hall.enter();
        assert!(!places[1].sent_away.is_cancelled());
    }
}
