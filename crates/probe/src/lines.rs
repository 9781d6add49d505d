//! Reading lines of a text dialogue, with a limit on each.

use crate::net::io_trouble;
use crate::round::{Round, Trouble};
use model::limits::LINE_BYTES_MAX;
use model::observation::Cause;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes asked for at once; most lines of a greeting fit.
const READ_BYTES: usize = 512;

/// Reads lines from a stream it borrows, so that the stream can change to TLS
/// between two lines. **Bytes after a line wait here; a change to TLS with any
/// left is an injected answer and must be refused ([`Lines::is_empty`]).**
#[derive(Default)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
}

impl Lines {
    /// Reads one line without its line end. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// `ClosedEarly`, `Reset`, or `TooLarge` after [`LINE_BYTES_MAX`].
    pub(crate) async fn next<S>(&mut self, stream: &mut S, round: &mut Round, doing: &str) -> Result<String, Trouble>
    where
        S: AsyncRead + Unpin,
    {
        let mut searched = 0;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=searched + end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            searched = self.buffer.len();
            if searched >= LINE_BYTES_MAX {
                let sentence = format!("{} sent a line of more than {LINE_BYTES_MAX} bytes", round.peer_text());
                return Err(Trouble::fail(Cause::TooLarge, sentence));
            }
            let room = READ_BYTES.min(LINE_BYTES_MAX - searched);
            self.buffer.reserve(room);
            let read = (&mut *stream).take(room as u64).read_buf(&mut self.buffer).await;
            match read {
                Ok(0) => {
                    let sentence = format!("{} closed the connection while {doing}", round.peer_text());
                    return Err(Trouble::fail(Cause::ClosedEarly, sentence));
                }
                Ok(bytes) => round.received_bytes += bytes as u64,
                Err(error) => return Err(io_trouble(&error, &round.peer_text(), doing)),
            }
        }
    }

    /// The bytes read beyond the lines taken, for a protocol that goes on in another form.
    pub(crate) fn into_rest(self) -> Vec<u8> {
        self.buffer
    }

    /// Whether all that was read has been taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// Sends a text as it is.
///
/// # Errors
/// `Reset` or whatever else the connection ends with.
pub(crate) async fn send<S>(stream: &mut S, text: &str, round: &Round, doing: &str) -> Result<(), Trouble>
where
    S: AsyncWrite + Unpin,
{
    let sent = async {
        stream.write_all(text.as_bytes()).await?;
        stream.flush().await
    };
    sent.await.map_err(|error| io_trouble(&error, &round.peer_text(), doing))
}
