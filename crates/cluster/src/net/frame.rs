//! Frames: how requests, answers and greetings follow one another in a connection.
//!
//! ```text
//!  length of the body: u32 │ request: u64 │ kind: u16 │ body        little endian
//! ```
//!
//! The meaning of `kind` depends on who sends and when; see [`Kind`] and
//! `greeting`. **A body is not allocated before it arrives**: a head can claim
//! what it wants.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of a head.
const HEAD_BYTES: usize = 14;
/// Bytes allocated on the strength of a head alone; the rest comes as the body does.
const ALLOCATED_AT_ONCE_MAX: usize = 64 << 10;

/// What precedes a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: u32,
    /// Number of the request on its connection; in an answer, the request's.
    pub(super) request: u64,
    pub(super) kind: u16,
}

/// The kinds of an answer; those of requests are the handler's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The result.
    Result,
    /// A sentence instead.
    Failure,
}

impl Kind {
    pub(super) const fn code(self) -> u16 {
        match self {
            Self::Result => 0,
            Self::Failure => 1,
        }
    }

    pub(super) const fn of(code: u16) -> Option<Self> {
        match code {
            0 => Some(Self::Result),
            1 => Some(Self::Failure),
            _ => None,
        }
    }
}

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The peer closed where something had to follow.
    #[error("the connection was closed")]
    Ended,
    /// The peer wants to send more than is taken.
    #[error("a frame of {length} bytes is too large, at most {max}")]
    TooLarge {
        /// What it announced.
        length: u32,
        /// What is taken.
        max: usize,
    },
    /// The frame is none that is expected here.
    #[error("a frame of an unknown kind ({kind})")]
    Unknown {
        /// Its kind.
        kind: u16,
    },
    /// Its body is not what its kind says.
    #[error("a frame that cannot be read")]
    Body,
}

/// Reads a head; `None` if the peer closed between frames.
pub(super) async fn read_head(
    reader: &mut (impl AsyncRead + Unpin),
    length_max: usize,
) -> Result<Option<Head>, FrameError> {
    let mut bytes = [0; HEAD_BYTES];
    let mut filled = 0;
    while filled < HEAD_BYTES {
        match reader.read(&mut bytes[filled..]).await? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(FrameError::Ended),
            count => filled += count,
        }
    }
    let head = Head {
        length: u32::from_le_bytes(part(&bytes, 0)),
        request: u64::from_le_bytes(part(&bytes, 4)),
        kind: u16::from_le_bytes(part(&bytes, 12)),
    };
    if head.length as usize > length_max {
        return Err(FrameError::TooLarge { length: head.length, max: length_max });
    }
    Ok(Some(head))
}

/// Reads the body that belongs to a head.
pub(super) async fn read_body(reader: &mut (impl AsyncRead + Unpin), head: Head) -> Result<Vec<u8>, FrameError> {
    let length = head.length as usize;
    let mut body = Vec::with_capacity(length.min(ALLOCATED_AT_ONCE_MAX));
    reader.take(u64::from(head.length)).read_to_end(&mut body).await?;
    if body.len() < length { Err(FrameError::Ended) } else { Ok(body) }
}

/// Reads a whole frame where one has to come.
pub(super) async fn read(
    reader: &mut (impl AsyncRead + Unpin),
    length_max: usize,
) -> Result<(Head, Vec<u8>), FrameError> {
    let head = read_head(reader, length_max).await?.ok_or(FrameError::Ended)?;
    let body = read_body(reader, head).await?;
    Ok((head, body))
}

/// Writes a frame; does not flush.
pub(super) async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    request: u64,
    kind: u16,
    body: &[u8],
) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..12].copy_from_slice(&request.to_le_bytes());
    head[12..].copy_from_slice(&kind.to_le_bytes());
    writer.write_all(&head).await?;
    writer.write_all(body).await
}

/// Shortens a sentence to what is sent of one.
pub(super) fn sentence(text: &str) -> &[u8] {
    &text.as_bytes()[..text.floor_char_boundary(super::limits::SENTENCE_BYTES_MAX)]
}

fn part<const N: usize>(bytes: &[u8; HEAD_BYTES], from: usize) -> [u8; N] {
    bytes[from..from + N].try_into().expect("N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_survives_the_way() {
        check(|| async {
            let mut wire = Vec::new();
            write(&mut wire, 7, 0x8003, b"body").await.unwrap();
            let (head, body) = read(&mut wire.as_slice(), 4).await.unwrap();
            assert_eq!((head, body), (Head { length: 4, request: 7, kind: 0x8003 }, b"body".to_vec()));
        });
    }

    #[test]
    fn an_end_between_frames_is_told_from_one_inside() {
        check(|| async {
            assert!(read_head(&mut [].as_slice(), 10).await.unwrap().is_none());
            let mut wire = Vec::new();
            write(&mut wire, 7, 3, b"body").await.unwrap();
            for length in 1..wire.len() {
                let error = read(&mut &wire[..length], 10).await.unwrap_err();
                assert!(matches!(error, FrameError::Ended), "{length}: {error}");
            }
        });
    }

    #[test]
    fn a_claimed_length_is_refused_before_anything_is_allocated() {
        check(|| async {
            let mut wire = Vec::new();
            write(&mut wire, 1, 1, b"").await.unwrap();
            wire[..4].copy_from_slice(&u32::MAX.to_le_bytes());
            let error = read(&mut wire.as_slice(), 64).await.unwrap_err();
            assert!(matches!(error, FrameError::TooLarge { length: u32::MAX, max: 64 }), "{error}");
        });
    }

    #[test]
    fn a_long_sentence_is_cut_between_characters() {
        let text = "ä".repeat(super::super::limits::SENTENCE_BYTES_MAX);
        assert!(std::str::from_utf8(sentence(&text)).unwrap().ends_with('ä'));
        assert_eq!(sentence("short"), b"short");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(wire: Vec<u8>, max in 0usize..100) {
            check(|| async { let _ = read(&mut wire.as_slice(), max).await; });
        }
    }

    fn check<F: Future<Output = ()>>(body: impl FnOnce() -> F) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(body());
    }
}
