//! One request and one answer on one connection, with a limit on whatever is read.

use super::chunked::{BadChunk, Chunked, Step};
use super::head::{self, Framing, Head, HeadError};
use super::redirect::is_redirect;
use crate::net::io_trouble;
use crate::round::{Round, Stage, Trouble, bytes_text};
use crate::text::quoted;
use crate::whole_us;
use model::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
use model::observation::Cause;
use std::io;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of the first buffer: the head and a small page. A check that waits has
/// no more than this.
const BUFFER_BYTES: usize = 1024;
/// Bytes the buffer grows to while a large body streams through it.
const BUFFER_BYTES_MAX: usize = 32 << 10;
/// Interim answers (1xx) before the real one; a well-behaved server sends one or two.
const INTERIM_ANSWERS_MAX: u32 = 20;
/// Overhead of a chunked body counted against its limit beside the data: as
/// much again, and some for small ones.
const CHUNK_OVERHEAD_BYTES: u64 = 64 << 10;

/// An answer whose head is there.
pub(super) struct Answer {
    /// What the head says.
    pub(super) head: Head,
    /// The head as it came, and the beginning of the body after it.
    buffer: Vec<u8>,
    head_bytes: usize,
    first_byte: Instant,
}

/// How much of a body is read, and how much of that is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    /// Bytes kept in [`Round::kept`].
    pub(super) kept: usize,
    /// Bytes read before the rest is left alone.
    pub(super) read: usize,
}

/// Sends a request and reads the head of its answer.
///
/// # Errors
/// What the connection ends with; `Protocol` or `TooLarge` for a head that
/// cannot be used.
pub(super) async fn ask<S>(stream: &mut S, request: &[u8], is_head: bool, round: &mut Round) -> Result<Answer, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    round.stage = Stage::Answer;
    let sent = send(stream, request).await;
    let sent_at = Instant::now();
    match (read_head(stream, is_head, sent_at, round).await, sent) {
        (Ok(answer), _) => Ok(answer),
        (Err(trouble), Ok(())) => Err(trouble),
        // A server that refuses early may answer before it has read everything;
        // only if it did not is the error of sending the one that counts.
        (Err(_), Err(error)) => Err(io_trouble(&error, &round.peer_text(), "sending the request")),
    }
}

/// Asks a proxy for a tunnel.
///
/// # Errors
/// `Unreachable` if the proxy cannot reach the target, `Own` if it does not
/// serve us.
pub(super) async fn open_tunnel(
    mut stream: TcpStream,
    request: &[u8],
    round: &mut Round,
) -> Result<TcpStream, Trouble> {
    let answer = ask(&mut stream, request, false, round).await.map_err(Trouble::at_proxy)?;
    round.phases.first_byte_us = None;
    let line = String::from_utf8_lossy(head::status_line(answer.head_bytes())).into_owned();
    match answer.head.status {
        200..=299 if answer.buffer.len() == answer.head_bytes => Ok(stream),
        200..=299 => Err(Trouble::own("the proxy said something inside the tunnel before the server could")),
        502..=504 => Err(Trouble::fail(Cause::Unreachable, format!("the proxy cannot reach the server ({line})"))),
        _ => Err(Trouble::own(format!("the proxy refuses to open a tunnel ({line})"))),
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, request: &[u8]) -> io::Result<()> {
    stream.write_all(request).await?;
    stream.flush().await
}

async fn read_head<S>(stream: &mut S, is_head: bool, sent: Instant, round: &mut Round) -> Result<Answer, Trouble>
where
    S: AsyncRead + Unpin,
{
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    let mut first_byte = None;
    let mut searched = 0;
    let mut interim_answers = 0;
    let mut interim_bytes = 0;
    loop {
        if let Some(end) = head::head_end(&buffer, searched) {
            let parsed = head::parse(&buffer[..end], is_head).map_err(|error| unusable(&error, &buffer, round))?;
            if !matches!(parsed.status, 100 | 102..=199) {
                let first_byte = first_byte.unwrap_or(sent);
                return Ok(Answer { head: parsed, buffer, head_bytes: end, first_byte });
            }
            interim_answers += 1;
            if interim_answers > INTERIM_ANSWERS_MAX {
                let sentence = format!("more than {INTERIM_ANSWERS_MAX} interim answers (1xx) and no real one");
                return Err(Trouble::fail(Cause::Protocol, sentence));
            }
            interim_bytes += end;
            buffer.drain(..end);
            searched = 0;
            continue;
        }
        searched = buffer.len();
        if interim_bytes + searched >= HEAD_BYTES_MAX {
            let limit = bytes_text(HEAD_BYTES_MAX as u64);
            return Err(Trouble::fail(Cause::TooLarge, format!("the head of the answer is larger than {limit}")));
        }
        // Never more than the limit, and at first never more than the small buffer.
        let room = (HEAD_BYTES_MAX - interim_bytes - searched).min(searched.max(BUFFER_BYTES));
        buffer.reserve(room);
        match (&mut *stream).take(room as u64).read_buf(&mut buffer).await {
            Ok(0) => return Err(closed_in_head(&buffer, round)),
            Ok(bytes) => round.received_bytes += bytes as u64,
            Err(error) => return Err(broken_in_head(&error, &buffer, round)),
        }
        if first_byte.is_none() {
            let now = Instant::now();
            round.phases.first_byte_us = Some(whole_us(now - sent));
            round.stage = Stage::Rest;
            first_byte = Some(now);
        }
        if !head::begins_as_http(&buffer) {
            return Err(unusable(&HeadError::NotHttp, &buffer, round));
        }
    }
}

impl Answer {
    /// The head as it came.
    pub(super) fn head_bytes(&self) -> &[u8] {
        &self.buffer[..self.head_bytes]
    }

    /// Where a redirect leads; `None` if it is none.
    pub(super) fn location(&self) -> Option<String> {
        if !is_redirect(self.head.status) {
            return None;
        }
        head::header(self.head_bytes(), "location").filter(|location| !location.is_empty())
    }

    /// Reads the body; its beginning is kept in [`Round::kept`]. Returns
    /// whether it was read to its end; a body that is larger than wanted is not.
    ///
    /// # Errors
    /// `Protocol` for a broken one, or what the connection ends with.
    pub(super) async fn read_body<S>(&mut self, stream: &mut S, keep: Keep, round: &mut Round) -> Result<bool, Trouble>
    where
        S: AsyncRead + Unpin,
    {
        round.stage = Stage::Rest;
        let ended = self.read_to_end(stream, keep, round).await;
        round.phases.transfer_us = Some(whole_us(self.first_byte.elapsed()));
        ended
    }

    async fn read_to_end<S>(&mut self, stream: &mut S, keep: Keep, round: &mut Round) -> Result<bool, Trouble>
    where
        S: AsyncRead + Unpin,
    {
        let mut body = Body::new(self.head.framing, keep);
        let mut ended = body.take(&self.buffer[self.head_bytes..], &mut round.kept);
        let mut buffer = Vec::new();
        loop {
            match ended {
                Ok(Progress::Complete) => return Ok(true),
                Ok(Progress::Enough) => return Ok(false),
                Ok(Progress::More) => {}
                Err(BadChunk) => {
                    let sentence = format!("the body is not chunked as it claims, after {}", bytes_text(body.data));
                    return Err(Trouble::fail(Cause::Protocol, sentence));
                }
            }
            let wanted = if buffer.len() == buffer.capacity() { buffer.capacity() * 2 } else { buffer.capacity() };
            buffer.clear();
            buffer.reserve(wanted.clamp(BUFFER_BYTES, BUFFER_BYTES_MAX));
            match stream.read_buf(&mut buffer).await {
                Ok(0) => return body.closed(round),
                Ok(bytes) => round.received_bytes += bytes as u64,
                // Servers that leave TLS without its goodbye are many, and a body until the close ends so.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return body.closed(round),
                Err(error) => {
                    let doing = format!("sending the body, after {}", body.progress_text());
                    return Err(io_trouble(&error, &round.peer_text(), &doing));
                }
            }
            ended = body.take(&buffer, &mut round.kept);
        }
    }
}

/// A body while it is read.
struct Body {
    framing: Framing,
    chunked: Chunked,
    keep: Keep,
    /// Bytes of the body so far.
    data: u64,
    /// Bytes so far with the overhead of chunks.
    wire: u64,
}

enum Progress {
    More,
    /// As large as was wanted; there may be more.
    Enough,
    Complete,
}

impl Body {
    fn new(framing: Framing, keep: Keep) -> Self {
        Self { framing, chunked: Chunked::default(), keep, data: 0, wire: 0 }
    }

    /// Takes the next bytes from the connection.
    fn take(&mut self, input: &[u8], kept: &mut Vec<u8>) -> Result<Progress, BadChunk> {
        self.wire += input.len() as u64;
        let complete = match self.framing {
            Framing::Length(length) => {
                let left = length - self.data;
                let data = &input[..input.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
                self.keep_data(data, kept);
                self.data == length
            }
            Framing::UntilClose => {
                self.keep_data(input, kept);
                false
            }
            Framing::Chunked => self.take_chunks(input, kept)?,
        };
        let read = self.keep.read as u64;
        // A body of exactly the limit is complete, one more byte is too much.
        let is_cut = self.data > read || self.wire > 2 * read + CHUNK_OVERHEAD_BYTES;
        Ok(match (complete, is_cut) {
            (_, true) => Progress::Enough,
            (true, false) => Progress::Complete,
            (false, false) => Progress::More,
        })
    }

    fn take_chunks(&mut self, input: &[u8], kept: &mut Vec<u8>) -> Result<bool, BadChunk> {
        let mut at = 0;
        loop {
            match self.chunked.step(input, at)? {
                Step::Data(range) => {
                    at = range.end;
                    self.keep_data(&input[range], kept);
                }
                Step::More => return Ok(false),
                Step::Done => return Ok(true),
            }
        }
    }

    fn keep_data(&mut self, data: &[u8], kept: &mut Vec<u8>) {
        self.data += data.len() as u64;
        let room = self.keep.kept.saturating_sub(kept.len());
        kept.extend_from_slice(&data[..data.len().min(room)]);
    }

    /// The end of a body whose connection was closed.
    fn closed(&self, round: &Round) -> Result<bool, Trouble> {
        if self.framing == Framing::UntilClose {
            return Ok(true);
        }
        let sentence = format!("{} closed the connection after {}", round.peer_text(), self.progress_text());
        Err(Trouble::fail(Cause::ClosedEarly, sentence))
    }

    fn progress_text(&self) -> String {
        match self.framing {
            Framing::Length(length) => format!("{} of {length} bytes of the body", self.data),
            Framing::Chunked | Framing::UntilClose => format!("{} of the body", bytes_text(self.data)),
        }
    }
}

/// The trouble of a head that cannot be used.
fn unusable(error: &HeadError, bytes: &[u8], round: &mut Round) -> Trouble {
    round.kept.clear();
    round.kept.extend_from_slice(&bytes[..bytes.len().min(model::limits::EXCERPT_BYTES_MAX)]);
    match error {
        HeadError::NotHttp => {
            let begins = quoted(&String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
            Trouble::fail(Cause::Protocol, format!("the answer is not HTTP/1: it begins with {begins}"))
        }
        HeadError::TooManyHeaders => {
            Trouble::fail(Cause::TooLarge, format!("the answer has more than {HEADERS_MAX} headers"))
        }
        HeadError::Broken(how) => Trouble::fail(Cause::Protocol, format!("the head of the answer {how}")),
    }
}

fn closed_in_head(buffer: &[u8], round: &mut Round) -> Trouble {
    if !buffer.is_empty() {
        round.keep_excerpt(buffer);
    }
    let peer = round.peer_text();
    let sentence = match buffer.len() {
        0 => format!("{peer} closed the connection without an answer"),
        bytes => format!("{peer} closed the connection in the middle of the head, after {bytes} bytes"),
    };
    Trouble::fail(Cause::ClosedEarly, sentence)
}

fn broken_in_head(error: &io::Error, buffer: &[u8], round: &mut Round) -> Trouble {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return closed_in_head(buffer, round);
    }
    io_trouble(error, &round.peer_text(), "waiting for the answer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::check::Family;
    use model::limits::BODY_BYTES_MAX;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;
    use tokio::io::ReadBuf;

    /// What a server sends, in pieces, and then the end.
    struct Pieces(VecDeque<Vec<u8>>);

    impl Pieces {
        fn cut(bytes: &[u8], cuts: &[usize]) -> Self {
            let mut pieces = VecDeque::new();
            let mut rest = bytes;
            for cut in cuts {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push_back(piece.to_vec());
                rest = after;
            }
            pieces.push_back(rest.to_vec());
            pieces.retain(|piece| !piece.is_empty());
            Self(pieces)
        }
    }

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if let Some(piece) = self.0.front_mut() {
                let length = piece.len().min(buffer.remaining());
                buffer.put_slice(&piece.drain(..length).collect::<Vec<_>>());
                if piece.is_empty() {
                    self.0.pop_front();
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    /// What is made of an answer: status, body and whether it was complete, or the trouble.
    type Made = Result<(u16, Vec<u8>, bool), Trouble>;

    fn make(mut pieces: Pieces, is_head: bool, keep: Keep) -> Made {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut round = Round::new(Duration::from_secs(10), Family::Any);
            let mut answer = read_head(&mut pieces, is_head, Instant::now(), &mut round).await?;
            let complete = answer.read_body(&mut pieces, keep, &mut round).await?;
            Ok((answer.head.status, round.kept, complete))
        })
    }

    const ALL: Keep = Keep { kept: BODY_BYTES_MAX, read: BODY_BYTES_MAX };

    fn answers() -> impl Strategy<Value = Vec<u8>> {
        let interim = prop_oneof![Just(""), Just("HTTP/1.1 100 Continue\r\n\r\n")];
        let framing = prop_oneof![
            Just("Content-Length: 20\r\n"),
            Just("Content-Length: 3\r\n"),
            Just("Transfer-Encoding: chunked\r\n"),
            Just("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
            Just("Content-Length: x\r\n"),
            Just("")
        ];
        let body =
            prop_oneof!["[a-z]{0,40}", "(5\r\n[a-z]{5}\r\n){0,4}0\r\n\r\n", "[0-9a-f]{0,3}\r\n[a-f0-9\r\n]{0,30}"];
        let line = prop_oneof![Just("HTTP/1.1 200 OK\r\n"), Just("HTTP/1.0 404\r\n"), Just("HTTP/2 200\r\n")];
        (interim, line, framing, "(X-[a-z]{1,5}: [a-z ]{0,9}\r?\n){0,4}", body).prop_map(
            |(interim, line, framing, headers, body)| {
                format!("{interim}{line}{framing}{headers}\r\n{body}").into_bytes()
            },
        )
    }

    /// A cut answer can be refused for what is wrong with its beginning alone,
    /// and the sentence shows the beginning; everything else must be equal.
    fn comparable(made: Made) -> Result<(u16, Vec<u8>, bool), Cause> {
        made.map_err(|trouble| trouble.failure.cause)
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_result(
            bytes in answers(),
            cuts in prop::collection::vec(1usize..12, 0..60),
            is_head: bool,
        ) {
            let whole = comparable(make(Pieces::cut(&bytes, &[]), is_head, ALL));
            let split = comparable(make(Pieces::cut(&bytes, &cuts), is_head, ALL));
            prop_assert_eq!(whole, split);
        }

        #[test]
        fn no_bytes_panic_or_exceed_the_limits(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            begins: bool,
            kept in 0usize..50,
            read in 0usize..50,
        ) {
            let mut answer = if begins { b"HTTP/1.1 200 OK\r\n".to_vec() } else { Vec::new() };
            answer.extend(bytes);
            if let Ok((_, body, _)) = make(Pieces::cut(&answer, &[7, 3]), false, Keep { kept, read }) {
                prop_assert!(body.len() <= kept);
            }
        }
    }
}
