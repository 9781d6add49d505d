//! A GET request over loopback, for tests that ask Mainstay something.
//!
//! Deliberately small: HTTP/1.0, one answer, one connection, no redirects. What
//! is under test must not also be what tests it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any page may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200 and so on.
    pub status: u16,
    /// Header lines, as sent.
    pub headers: Vec<String>,
    /// The body, as text.
    pub body: String,
}

impl Response {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value.trim()))
    }
}

/// Asks for a path. `None` if nobody answers or the answer is not HTTP.
pub fn get(address: SocketAddr, path: &str) -> Option<Response> {
    send(address, "GET", path, "", "")
}

/// Sends a request with a body, such as `{"a":1}` of type `application/json`.
pub fn send(address: SocketAddr, method: &str, path: &str, content_type: &str, body: &str) -> Option<Response> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Option<Response> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Response { status, headers: lines.map(str::to_owned).collect(), body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let response = parse(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\r\nlater").unwrap();
        assert_eq!(
            (response.status, response.header("retry-after"), response.body.as_str()),
            (503, Some("5"), "later")
        );
        assert_eq!(parse(b"SSH-2.0-OpenSSH\r\n\r\n"), None);
    }
}
