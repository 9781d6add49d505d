//! Redis's wire form (RESP2): commands written, answers read.
//!
//! The reader is given all bytes that have come so far and says whether they
//! are a whole answer, so it does not matter how they were cut on the way.

use model::limits::BODY_BYTES_MAX;

/// Elements of an array, nested ones included: more is no answer a check can test.
const ELEMENTS_MAX: usize = 10_000;
/// Depth of nested arrays; Redis's own answers stay below 4.
const DEPTH_MAX: usize = 8;
/// Bytes of a line: Redis's errors and statuses are one line of text.
const LINE_BYTES_MAX: usize = 4096;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A status, a bulk text or a number.
    Text(String),
    /// An error, its first word naming the kind.
    Error(String),
    /// Nothing.
    Nil,
    /// Several answers.
    Many(Vec<Answer>),
}

/// Why bytes are not an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    /// Not this protocol.
    #[error("it does not speak the Redis protocol")]
    Protocol,
    /// More than a check can test.
    #[error("its answer is larger than {} KiB", BODY_BYTES_MAX / 1024)]
    TooLarge,
}

impl Answer {
    /// The answer as `redis-cli` prints it without decoration: elements of an
    /// array one below the other.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Error(text) => text.clone(),
            Self::Nil => "(nil)".to_owned(),
            Self::Many(answers) => answers.iter().map(Self::text).collect::<Vec<_>>().join("\n"),
        }
    }
}

/// Writes a command as an array of bulk strings, in which any byte is safe.
pub(super) fn command<'a>(words: impl ExactSizeIterator<Item = &'a str>) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    out
}

/// Reads an answer from the start of `bytes`; `None` while it is not complete.
///
/// # Errors
/// [`AnswerError`] as soon as more bytes cannot mend it.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Answer>, AnswerError> {
    if bytes.len() > BODY_BYTES_MAX {
        return Err(AnswerError::TooLarge);
    }
    Reader { bytes, at: 0, elements: 0 }.answer(0)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    elements: usize,
}

impl Reader<'_> {
    fn answer(&mut self, depth: usize) -> Result<Option<Answer>, AnswerError> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX || depth > DEPTH_MAX {
            return Err(AnswerError::TooLarge);
        }
        let Some(&kind) = self.bytes.get(self.at) else { return Ok(None) };
        if !matches!(kind, b'+' | b'-' | b':' | b'$' | b'*') {
            return Err(AnswerError::Protocol);
        }
        let Some(line) = self.line()? else { return Ok(None) };
        match kind {
            b'+' | b':' => Ok(Some(Answer::Text(line))),
            b'-' => Ok(Some(Answer::Error(line))),
            b'$' => self.bulk(&line),
            _ => self.array(&line, depth),
        }
    }

    /// The rest of the line after its first byte.
    fn line(&mut self) -> Result<Option<String>, AnswerError> {
        let rest = &self.bytes[self.at + 1..];
        let window = &rest[..rest.len().min(LINE_BYTES_MAX)];
        let Some(end) = window.iter().position(|byte| *byte == b'\r') else {
            return if window.len() < LINE_BYTES_MAX { Ok(None) } else { Err(AnswerError::Protocol) };
        };
        match rest.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => {
                self.at += end + 3;
                Ok(Some(String::from_utf8_lossy(&rest[..end]).into_owned()))
            }
            Some(_) => Err(AnswerError::Protocol),
        }
    }

    fn bulk(&mut self, length: &str) -> Result<Option<Answer>, AnswerError> {
        let Some(length) = count(length, BODY_BYTES_MAX)? else { return Ok(Some(Answer::Nil)) };
        let Some(whole) = self.bytes.get(self.at..self.at + length + 2) else { return Ok(None) };
        let (text, end) = whole.split_at(length);
        if end != b"\r\n" {
            return Err(AnswerError::Protocol);
        }
        self.at += length + 2;
        Ok(Some(Answer::Text(String::from_utf8_lossy(text).into_owned())))
    }

    fn array(&mut self, length: &str, depth: usize) -> Result<Option<Answer>, AnswerError> {
        let Some(length) = count(length, ELEMENTS_MAX)? else { return Ok(Some(Answer::Nil)) };
        let mut answers = Vec::new();
        for _ in 0..length {
            match self.answer(depth + 1)? {
                Some(answer) => answers.push(answer),
                None => return Ok(None),
            }
        }
        Ok(Some(Answer::Many(answers)))
    }
}

/// A length; `None` for −1, which stands for nothing.
fn count(text: &str, limit: usize) -> Result<Option<usize>, AnswerError> {
    if text == "-1" {
        return Ok(None);
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AnswerError::Protocol);
    }
    match text.parse::<usize>() {
        Ok(length) if length <= limit => Ok(Some(length)),
        Ok(_) | Err(_) => Err(AnswerError::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(of: &str) -> Answer {
        Answer::Text(of.to_owned())
    }

    #[test]
    fn answers_of_every_kind_are_read() {
        for (bytes, answer) in [
            ("+PONG\r\n", text("PONG")),
            ("-ERR no\r\n", Answer::Error("ERR no".into())),
            (":42\r\n", text("42")),
            ("$5\r\nhe\r\no\r\n", text("he\r\no")),
            ("$0\r\n\r\n", text("")),
            ("$-1\r\n", Answer::Nil),
            ("*-1\r\n", Answer::Nil),
            ("*2\r\n$1\r\na\r\n*1\r\n:1\r\n", Answer::Many(vec![text("a"), Answer::Many(vec![text("1")])])),
        ] {
            assert_eq!(read(bytes.as_bytes()), Ok(Some(answer)), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_not_an_answer_is_refused_at_once() {
        for (bytes, error) in [
            ("HTTP/1.1 400 Bad Request\r\n", AnswerError::Protocol),
            ("$x\r\n", AnswerError::Protocol),
            ("$1\r\nab\r\n", AnswerError::Protocol),
            ("+a\rb", AnswerError::Protocol),
            ("$999999999999\r\n", AnswerError::TooLarge),
            ("*99999\r\n", AnswerError::TooLarge),
            (&"*1\r\n".repeat(20), AnswerError::TooLarge),
        ] {
            assert_eq!(read(bytes.as_bytes()), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn a_command_survives_any_byte_in_its_words() {
        assert_eq!(command(["SET", "a b", "\r\n"].into_iter()), b"*3\r\n$3\r\nSET\r\n$3\r\na b\r\n$2\r\n\r\n\r\n");
    }

    fn answers() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            "[+:-][a-z ]{0,8}\r\n".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| {
                let mut out = format!("${}\r\n", bytes.len()).into_bytes();
                out.extend(bytes);
                out.extend(b"\r\n");
                out
            }),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop::collection::vec(inner, 0..4)
                .prop_map(|parts| [format!("*{}\r\n", parts.len()).into_bytes(), parts.concat()].concat())
        })
    }

    proptest! {
        #[test]
        fn an_answer_is_complete_only_with_its_last_byte(bytes in answers()) {
            for cut in 0..bytes.len() {
                prop_assert_eq!(read(&bytes[..cut]), Ok(None));
            }
            prop_assert!(matches!(read(&bytes), Ok(Some(_))));
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200), start in "[-+:$*][0-9]{0,3}(\r\n)?") {
            let _ = read(&bytes);
            let _ = read(&[start.as_bytes(), &bytes].concat());
        }
    }
}
