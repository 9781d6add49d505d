//! The chunked transfer coding (RFC 9112 section 7.1), as a machine that takes
//! bytes in any split.

use model::limits::HEAD_BYTES_MAX;
use std::ops::Range;

/// Bytes of one line with a chunk's size. Extensions are allowed and nobody sends any.
const SIZE_LINE_BYTES_MAX: usize = 1024;

/// Where in a chunked body we are.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of the current line, or of all trailer lines.
    line_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// In the digits of a size; the number so far and whether there was a digit.
    #[default]
    SizeStart,
    Size(u64),
    /// After the digits, up to the end of the line.
    Extension(u64),
    /// In the line end after a size.
    SizeEnd(u64),
    Data(u64),
    /// The line end after the data.
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk.
    TrailerStart,
    Trailer,
    /// After the carriage return of the empty last line.
    LastLf,
    Done,
}

/// What the next bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// These bytes of the input belong to the body; go on after them.
    Data(Range<usize>),
    /// The input is used up.
    More,
    /// The body is complete; what follows in the input is not part of it.
    Done,
}

/// A body that breaks the coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadChunk;

impl Chunked {
    /// Takes input from `at` on. After [`Step::Data`] it is to be called again
    /// with `at` at the end of the range.
    ///
    /// # Errors
    /// [`BadChunk`] where the coding is broken or a line is too long.
    pub(super) fn step(&mut self, input: &[u8], mut at: usize) -> Result<Step, BadChunk> {
        loop {
            if self.state == State::Done {
                return Ok(Step::Done);
            }
            let Some(byte) = input.get(at) else { return Ok(Step::More) };
            if let State::Data(left) = self.state {
                let end = input.len().min(at.saturating_add(usize::try_from(left).unwrap_or(usize::MAX)));
                let left = left - (end - at) as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data(left) };
                return Ok(Step::Data(at..end));
            }
            self.state = self.after(*byte)?;
            at += 1;
        }
    }

    /// The state after one byte that is not data.
    fn after(&mut self, byte: u8) -> Result<State, BadChunk> {
        self.line_bytes += 1;
        let limit = if matches!(self.state, State::TrailerStart | State::Trailer | State::LastLf) {
            HEAD_BYTES_MAX
        } else {
            SIZE_LINE_BYTES_MAX
        };
        if self.line_bytes > limit {
            return Err(BadChunk);
        }
        let next = match (self.state, byte) {
            (State::SizeStart, digit) => State::Size(hexadecimal(digit).ok_or(BadChunk)?),
            (State::Size(size) | State::Extension(size), b'\n') | (State::SizeEnd(size), b'\n') => {
                self.line_bytes = 0;
                if size == 0 { State::TrailerStart } else { State::Data(size) }
            }
            (State::Size(size) | State::Extension(size), b'\r') => State::SizeEnd(size),
            (State::Size(size), b';' | b' ' | b'\t') | (State::Extension(size), _) => State::Extension(size),
            (State::Size(size), digit) => {
                let digit = hexadecimal(digit).ok_or(BadChunk)?;
                State::Size(size.checked_mul(16).and_then(|size| size.checked_add(digit)).ok_or(BadChunk)?)
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataCr | State::DataLf, b'\n') => {
                self.line_bytes = 0;
                State::SizeStart
            }
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart | State::LastLf, b'\n') => State::Done,
            (State::Trailer, b'\n') => State::TrailerStart,
            (State::TrailerStart | State::Trailer, _) => State::Trailer,
            (State::SizeEnd(_) | State::DataCr | State::DataLf | State::LastLf, _) => return Err(BadChunk),
            (State::Data(_) | State::Done, _) => return Ok(self.state),
        };
        Ok(next)
    }
}

fn hexadecimal(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes input given in pieces: the body, whether it is complete, or that it is bad.
    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(Vec<u8>, bool), BadChunk> {
        let mut chunked = Chunked::default();
        let mut body = Vec::new();
        for piece in pieces {
            let mut at = 0;
            loop {
                match chunked.step(piece, at)? {
                    Step::Data(range) => {
                        body.extend_from_slice(&piece[range.clone()]);
                        at = range.end;
                    }
                    Step::More => break,
                    Step::Done => return Ok((body, true)),
                }
            }
        }
        Ok((body, false))
    }

    #[test]
    fn a_chunked_body_is_put_together() {
        let of = |text: &'static str| decode([text.as_bytes()]);
        let done = |text: &str| Ok((text.as_bytes().to_vec(), true));
        assert_eq!(of("5\r\nhello\r\n0\r\n\r\n"), done("hello"));
        assert_eq!(of("5;a=\"b\"\r\nhello\r\nA \r\n0123456789\r\n00\r\nX: y\r\n\r\nrest"), done("hello0123456789"));
        assert_eq!(of("1\na\n0\n\n"), done("a"));
        assert_eq!(of("5\r\nhel"), Ok((b"hel".to_vec(), false)));
        for wrong in ["x\r\n", "\r\n", "5\r\nhello0\r\n\r\n", "1\rx", "ffffffffffffffff1\r\n", "-1\r\n", "0\r\n\rx"] {
            assert_eq!(of(wrong), Err(BadChunk), "{wrong:?}");
        }
        assert_eq!(decode([format!("1;{}", "a".repeat(2000)).as_bytes()]), Err(BadChunk));
        assert_eq!(decode([format!("0\r\n{}", "a: b\r\n".repeat(20_000)).as_bytes()]), Err(BadChunk));
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_body(
            text in "([0-9a-f]{1,2}(;[a-z]{0,3})?\r?\n[a-f0-9\r\n]{0,20}\r\n){0,6}0\r\n(x: y\r\n){0,2}\r\n",
            cuts in prop::collection::vec(1usize..9, 1..200),
        ) {
            let bytes = text.as_bytes();
            let mut pieces = Vec::new();
            let mut at = 0;
            for cut in cuts {
                let end = bytes.len().min(at + cut);
                pieces.push(&bytes[at..end]);
                at = end;
            }
            pieces.push(&bytes[at..]);
            prop_assert_eq!(decode(pieces), decode([bytes]));
        }

        #[test]
        fn what_is_well_formed_comes_out_whole(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..10),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend(format!("{:x}\r\n", chunk.len()).bytes());
                wire.extend(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\n\r\n");
            prop_assert_eq!(decode([&wire[..]]), Ok((chunks.concat(), true)));
        }

        #[test]
        fn no_bytes_break_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((body, _)) = decode([&bytes[..]]) {
                prop_assert!(body.len() <= bytes.len());
            }
        }
    }
}
