//! The head of an answer: finding its end, and reading it.
//!
//! Pure: bytes in, values out. The end is searched for before anything is
//! parsed, so that a server that sends a byte at a time costs one parse.

use model::limits::HEADERS_MAX;

/// What the head of an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The status code, 100 to 999.
    pub(super) status: u16,
    /// How the end of the body is known, if there is one at all.
    pub(super) framing: Framing,
    /// How the body is encoded.
    pub(super) coding: Coding,
}

/// How the end of a body is known (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After this many bytes.
    Length(u64),
    /// By its chunks.
    Chunked,
    /// When the server closes.
    UntilClose,
}

/// How a body is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950; some servers send bare RFC 1951.
    Deflate,
    /// Something we did not ask for and do not know.
    Other(String),
}

/// Why a head cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeadError {
    /// It does not begin as HTTP does.
    NotHttp,
    /// More than [`HEADERS_MAX`] headers.
    TooManyHeaders,
    /// Something in it breaks the protocol; completes "the head of its answer …".
    Broken(String),
}

/// The beginning of every answer.
const BEGINNING: &[u8] = b"HTTP/1.";

/// Whether these bytes can still become an answer in HTTP/1.
pub(super) fn begins_as_http(bytes: &[u8]) -> bool {
    let length = bytes.len().min(BEGINNING.len());
    bytes[..length] == BEGINNING[..length]
}

/// The length of the head including its empty line, if it is complete.
/// `searched` bytes from the start are known not to hold the end.
pub(super) fn head_end(bytes: &[u8], searched: usize) -> Option<usize> {
    // The end may have begun up to three bytes earlier ("\r\n\r" + "\n").
    let mut at = searched.saturating_sub(3);
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        at += found + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
    None
}

/// Reads a complete head. `to_head` tells that the request was HEAD, whose
/// answer has no body whatever it claims.
pub(super) fn parse(bytes: &[u8], to_head: bool) -> Result<Head, HeadError> {
    with_headers(bytes, |status, headers| {
        let mut head = Head { status, framing: Framing::UntilClose, coding: Coding::Identity };
        let mut length = None;
        let mut transfer = None;
        for header in headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                length = Some(content_length(header.value, length)?);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                transfer = Some(header.value);
            } else if header.name.eq_ignore_ascii_case("content-encoding") {
                head.coding = coding(header.value);
            }
        }
        head.framing = match (transfer, length) {
            _ if to_head || matches!(status, 100..=199 | 204 | 304) => Framing::Length(0),
            (Some(codings), _) => transfer_framing(codings, &mut head.coding),
            (None, Some(length)) => Framing::Length(length),
            (None, None) => Framing::UntilClose,
        };
        Ok(head)
    })
}

/// The values of a header, joined as RFC 9110 section 5.3 allows; `None` if it is not there.
pub(super) fn header(bytes: &[u8], name: &str) -> Option<String> {
    with_headers(bytes, |_, headers| {
        let mut joined: Option<String> = None;
        for header in headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)) {
            let value = String::from_utf8_lossy(header.value);
            match &mut joined {
                Some(joined) => {
                    joined.push_str(", ");
                    joined.push_str(&value);
                }
                None => joined = Some(value.into_owned()),
            }
        }
        Ok(joined)
    })
    .ok()
    .flatten()
}

/// The first line of a head without its line end.
pub(super) fn status_line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    &bytes[..end]
}

fn with_headers<T>(
    bytes: &[u8],
    read: impl FnOnce(u16, &[httparse::Header<'_>]) -> Result<T, HeadError>,
) -> Result<T, HeadError> {
    if !begins_as_http(bytes) {
        return Err(HeadError::NotHttp);
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let mut lenient = httparse::ParserConfig::default();
    // What every client has accepted for decades is no outage.
    lenient
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true);
    match lenient.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(HeadError::Broken("ends in the middle".to_owned())),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyHeaders),
        Err(error) => return Err(HeadError::Broken(format!("is broken: {error}"))),
    }
    match response.code {
        Some(status @ 100..=999) => read(status, response.headers),
        _ => Err(HeadError::Broken("has no usable status".to_owned())),
    }
}

/// Reads a Content-Length. Repeated equal values are one (RFC 9112 section 6.3);
/// different ones would make two readers see two bodies.
fn content_length(value: &[u8], before: Option<u64>) -> Result<u64, HeadError> {
    let wrong = || {
        let shown = String::from_utf8_lossy(value);
        HeadError::Broken(format!("has an unusable Content-Length ({:.40})", shown.escape_debug().to_string()))
    };
    let mut length = before;
    for part in value.split(|byte| *byte == b',') {
        let digits = part.trim_ascii();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(wrong());
        }
        let read = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
        if length.is_some_and(|length| length != read) {
            return Err(HeadError::Broken("has different Content-Lengths".to_owned()));
        }
        length = Some(read);
    }
    length.ok_or_else(wrong)
}

fn coding(value: &[u8]) -> Coding {
    let value = String::from_utf8_lossy(value).trim().to_ascii_lowercase();
    match value.as_str() {
        "" | "identity" => Coding::Identity,
        "gzip" | "x-gzip" => Coding::Gzip,
        "deflate" => Coding::Deflate,
        _ => Coding::Other(value),
    }
}

/// The framing of a Transfer-Encoding. Codings before `chunked` are taken for
/// the body's own, which they are to somebody who reads the body.
fn transfer_framing(codings: &[u8], body: &mut Coding) -> Framing {
    let codings = String::from_utf8_lossy(codings);
    let mut names = codings.rsplit(',').map(str::trim);
    let last = names.next().unwrap_or_default();
    let is_chunked = last.eq_ignore_ascii_case("chunked");
    let inner = if is_chunked { names.next() } else { Some(last) };
    if let Some(inner) = inner.filter(|_| *body == Coding::Identity) {
        *body = coding(inner.as_bytes());
    }
    if is_chunked { Framing::Chunked } else { Framing::UntilClose }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framing(head: &str) -> Result<Framing, HeadError> {
        parse(head.replace('\n', "\r\n").as_bytes(), false).map(|head| head.framing)
    }

    #[test]
    fn the_body_ends_as_the_protocol_says() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\nContent-Length: 5\n\n", Framing::Length(5)),
            ("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5\n\n", Framing::Length(5)),
            ("HTTP/1.1 200 OK\nContent-Length: 5, 5\n\n", Framing::Length(5)),
            ("HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked\n\n", Framing::Chunked),
            ("HTTP/1.1 200 OK\nTransfer-Encoding: gzip, CHUNKED\n\n", Framing::Chunked),
            ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked, gzip\n\n", Framing::UntilClose),
            ("HTTP/1.0 200\n\n", Framing::UntilClose),
            ("HTTP/1.1 204 No Content\nContent-Length: 5\n\n", Framing::Length(0)),
            ("HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n", Framing::Length(0)),
        ] {
            assert_eq!(framing(head), Ok(expected), "{head}");
        }
        for wrong in ["-1", "5, 6", "", "99999999999999999999", "0x5", "5 5"] {
            let head = format!("HTTP/1.1 200 OK\nContent-Length: {wrong}\n\n");
            assert!(matches!(framing(&head), Err(HeadError::Broken(_))), "{wrong}");
        }
        assert_eq!(framing("SSH-2.0-OpenSSH\n\n"), Err(HeadError::NotHttp));
        let many = format!("HTTP/1.1 200 OK\n{}\n", "a: b\n".repeat(HEADERS_MAX + 1));
        assert_eq!(framing(&many), Err(HeadError::TooManyHeaders));
    }

    #[test]
    fn repeated_headers_are_one_value() {
        let head = b"HTTP/1.1 200 OK\r\nVia: a\r\nServer : nginx\r\nvia:  b \r\n\r\n";
        assert_eq!(header(head, "VIA").as_deref(), Some("a, b"));
        assert_eq!(header(head, "server").as_deref(), Some("nginx"));
        assert_eq!(header(head, "x"), None);
        assert_eq!(status_line(head), b"HTTP/1.1 200 OK");
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_parser(bytes in prop::collection::vec(any::<u8>(), 0..300), to_head: bool) {
            let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
            answer.extend(&bytes);
            let _ = (parse(&answer, to_head), header(&answer, "a"), head_end(&bytes, 0), parse(&bytes, to_head));
        }

        #[test]
        fn the_end_is_found_wherever_the_bytes_are_split(
            lines in prop::collection::vec("[a-c\r]{0,3}\r?\n", 0..12),
            rest in "[a\r\n]{0,6}",
            splits in prop::collection::vec(0usize..60, 0..20),
        ) {
            let bytes = format!("{}{rest}", lines.concat()).into_bytes();
            let whole = head_end(&bytes, 0);
            let mut splits: Vec<usize> = splits.into_iter().filter(|at| *at < bytes.len()).collect();
            splits.sort_unstable();
            splits.push(bytes.len());
            let mut searched = 0;
            let mut found = None;
            for end in splits {
                found = head_end(&bytes[..end], searched);
                searched = end;
                if found.is_some() {
                    break;
                }
            }
            prop_assert_eq!(found, whole);
        }
    }
}
