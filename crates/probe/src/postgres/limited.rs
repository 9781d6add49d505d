//! A connection that gives at most so many bytes.
//!
//! The client library keeps whole messages in memory, and a row may be a
//! gigabyte; this is what keeps it within the limit of an answer.

use crate::stream::Stream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at once: an answer that is tested rarely has more.
const PIECE_BYTES: usize = 4096;

/// The error of a connection whose limit is reached.
#[derive(Debug, thiserror::Error)]
#[error("the answer is larger than its limit")]
pub(super) struct LimitReached;

/// A connection with a limit on what is read.
pub(super) struct Limited {
    stream: Stream,
    left: usize,
}

impl Limited {
    /// Gives at most `limit` bytes of `stream`.
    pub(super) fn new(stream: Stream, limit: usize) -> Self {
        Self { stream, left: limit }
    }
}

impl AsyncRead for Limited {
    fn poll_read(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other(LimitReached)));
        }
        // Through a buffer of our own: a shortened view of the caller's buffer
        // could not hand back what it filled without unsafe code.
        let mut space = [0u8; PIECE_BYTES];
        let room = self.left.min(PIECE_BYTES).min(buffer.remaining());
        let mut piece = ReadBuf::new(&mut space[..room]);
        ready!(Pin::new(&mut self.stream).poll_read(ctx, &mut piece))?;
        buffer.put_slice(piece.filled());
        self.left -= piece.filled().len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Limited {
    fn poll_write(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(ctx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(ctx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(ctx)
    }
}
