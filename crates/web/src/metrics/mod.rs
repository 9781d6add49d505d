//! `/metrics` in Prometheus's text form, streamed.
//!
//! A hundred thousand checks are many megabytes of text. They are written on a
//! thread of their own, in pieces, into a channel that holds a few of them:
//! memory stays small, other requests are not held up, and a reader that goes
//! away ends the writing. All numbers are of one state.

mod families;
mod process;
pub(crate) mod scrapes;
mod text;

use crate::error_page::problem;
use crate::shared::Shared;
use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use std::convert::Infallible;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of a piece.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for the reader; when they are full the writing waits.
const PIECES_WAITING_MAX: usize = 4;

/// Answers a scrape.
pub(crate) fn respond(shared: &Arc<Shared>, request: &HeaderMap) -> Response<Body> {
    let Some(published) = shared.published() else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "Mainstay is starting");
    };
    let Some(place) = shared.scrapes.admit() else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "as many scrapes are under way as may be; try again later");
    };
    let offered = request.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let is_gzip = offered.is_some_and(|offered| offered.contains("gzip"));
    let (sender, receiver) = mpsc::channel(PIECES_WAITING_MAX);
    let shared = Arc::clone(shared);
    let writing = tokio::task::spawn_blocking(move || {
        let _place = place;
        let write = |out: &mut dyn Write| families::write(out, &shared, &published);
        // Fails only when the reader has gone away, which needs no word.
        let _ = if is_gzip { compressed(sender, write) } else { plain(sender, write) };
    });
    // The writing task is held by the stream that reads it, and ends with it.
    let pieces = stream::unfold((receiver, writing), async |(mut receiver, writing)| {
        let piece = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(piece), (receiver, writing)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if is_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn plain(sender: mpsc::Sender<Bytes>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(PIECE_BYTES, Pieces(sender));
    write(&mut out)?;
    out.flush()
}

fn compressed(sender: mpsc::Sender<Bytes>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let pieces = BufWriter::with_capacity(PIECE_BYTES, Pieces(sender));
    // The text repeats itself so much that the fastest level is good enough.
    let mut out = BufWriter::with_capacity(PIECE_BYTES, GzEncoder::new(pieces, Compression::fast()));
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?.flush()
}

/// Writes into the channel; waits when it is full, fails when nobody reads.
struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
