//! How a connection between members begins: each side says who it is and how
//! far it has come, and each side may refuse.
//!
//! ```text
//!  dialler  ── greeting ─────────────▶  acceptor     cluster? node as in the certificate? admitted?
//!           ◀───────────── greeting ──               or a refusal, and the end
//!           ── first request ────────▶               or a refusal, and the end
//! ```
//!
//! **No request is read before both have admitted each other.** An acceptor
//! that refuses says why, but nothing about itself.

use super::frame::{self, FrameError};
use super::hub::Shared;
use super::limits::GREETING_BYTES_MAX;
use super::{Hello, Lane};
use crate::types::NodeId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// What stands in the place of a request's number: no request comes that far.
const NO_REQUEST: u64 = u64::MAX;
/// The kinds of the frames here.
const GREETING: u16 = 0;
const REFUSAL: u16 = 1;
/// The first byte of a greeting. Fields are only ever appended within one
/// format; an older reader passes over what it does not know.
const FORMAT: u8 = 1;

/// What one side says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Greeting {
    lane: Lane,
    hello: Hello,
}

/// Why a connection did not come about although both have certificates.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetingError {
    #[error("the greeting broke off")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    RefusedHere(String),
    #[error("{0}")]
    RefusedThere(String),
}

/// Greets first, as the dialler of a connection to `peer`.
pub(super) async fn begin<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Arc<Shared>,
    stream: &mut S,
    peer: NodeId,
    lane: Lane,
) -> Result<(), GreetingError> {
    let said = say(stream, lane, shared.handler.hello()).await;
    // An acceptor that does not accept our certificate says so and closes, so
    // that our words may meet a closed connection while its reason waits to be read.
    let theirs = listen(stream).await?;
    said?;
    admit(shared, stream, peer, theirs).await
}

/// Greets second, as the acceptor of a connection from `peer`; returns the lane it is for.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Arc<Shared>,
    stream: &mut S,
    peer: NodeId,
) -> Result<Lane, GreetingError> {
    let theirs = listen(stream).await?;
    let lane = theirs.lane;
    admit(shared, stream, peer, theirs).await?;
    say(stream, lane, shared.handler.hello()).await?;
    Ok(lane)
}

/// Whether a frame that came in the place of a request is the dialler's refusal.
pub(super) fn is_refusal(head: frame::Head) -> bool {
    head.request == NO_REQUEST && head.kind == REFUSAL
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, lane: Lane, hello: Hello) -> Result<(), FrameError> {
    let mut body = vec![FORMAT];
    body.append(&mut postcard::to_allocvec(&Greeting { lane, hello }).expect("a greeting has nothing unusual"));
    frame::write(stream, NO_REQUEST, GREETING, &body).await?;
    Ok(stream.flush().await?)
}

async fn listen<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Greeting, GreetingError> {
    let (head, body) = frame::read(stream, GREETING_BYTES_MAX).await?;
    match head.kind {
        GREETING => match body.split_first() {
            Some((&FORMAT, rest)) => Ok(postcard::from_bytes(rest).map_err(|_| FrameError::Body)?),
            Some(_) | None => Err(FrameError::Body.into()),
        },
        REFUSAL => Err(GreetingError::RefusedThere(String::from_utf8_lossy(&body).into_owned())),
        kind => Err(FrameError::Unknown { kind }.into()),
    }
}

async fn admit<S: AsyncWrite + Unpin>(
    shared: &Arc<Shared>,
    stream: &mut S,
    peer: NodeId,
    theirs: Greeting,
) -> Result<(), GreetingError> {
    let Err(why) = judge(shared, peer, theirs.hello).await else { return Ok(()) };
    frame::write(stream, NO_REQUEST, REFUSAL, frame::sentence(&why)).await.map_err(FrameError::from)?;
    stream.shutdown().await.map_err(FrameError::from)?;
    Err(GreetingError::RefusedHere(why))
}

async fn judge(shared: &Arc<Shared>, peer: NodeId, hello: Hello) -> Result<(), String> {
    if hello.node != peer {
        return Err(format!("the certificate is that of node {peer}, the greeting that of node {}", hello.node));
    }
    if hello.cluster != shared.cluster {
        return Err(format!("it belongs to cluster {}, this one to cluster {}", hello.cluster, shared.cluster));
    }
    let handler = Arc::clone(&shared.handler);
    // On a thread of its own, because the handler may write to its disk.
    let judged = tokio::task::spawn_blocking(move || handler.admit(&hello)).await;
    judged.unwrap_or_else(|_| Err("this node could not judge the greeting".to_owned()))
}
