//! Requests over loopback, a wire or a local socket, for tests that ask Mainstay something.
//!
//! Deliberately small: HTTP/1.0, one answer, one connection, no redirects. What
//! is under test must not also be what tests it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

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

/// How a request over a local socket ended, for those who must know whether it
/// could have had an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// It was answered.
    Answered(Response),
    /// Nobody listens there; nothing was sent.
    NotSent,
    /// It was sent, and no answer came.
    Unanswered,
}

impl Exchange {
    /// The answer, if there is one.
    pub fn answer(self) -> Option<Response> {
        match self {
            Self::Answered(response) => Some(response),
            Self::NotSent | Self::Unanswered => None,
        }
    }
}

/// Asks for a path. `None` if nobody answers or the answer is not HTTP.
pub fn get(address: SocketAddr, path: &str) -> Option<Response> {
    send(address, "GET", path, "", "")
}

/// As [`get`], and `None` also if the answer takes longer than the bound.
pub fn get_within(address: SocketAddr, path: &str, bound: Duration) -> Option<Response> {
    let end = Instant::now() + bound;
    let stream = TcpStream::connect_timeout(&address, bound).ok()?;
    let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    stream.set_read_timeout(Some(left)).ok()?;
    let answer = exchange(stream, &head("GET", path, &address.to_string(), "", 0), "");
    answer.filter(|_| Instant::now() <= end)
}

/// Sends a request with a body, such as `{"a":1}` of type `application/json`.
pub fn send(address: SocketAddr, method: &str, path: &str, content_type: &str, body: &str) -> Option<Response> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    exchange(stream, &head(method, path, &address.to_string(), content_type, body.len()), body)
}

/// Sends a request with a JSON body, or none, over a local socket.
pub fn send_locally(socket: &Path, method: &str, path: &str, body: &str, bound: Duration) -> Exchange {
    let Ok(stream) = UnixStream::connect(socket) else { return Exchange::NotSent };
    if stream.set_read_timeout(Some(bound)).and_then(|()| stream.set_write_timeout(Some(bound))).is_err() {
        return Exchange::NotSent;
    }
    let head = head(method, path, "localhost", "application/json", body.len());
    exchange(stream, &head, body).map_or(Exchange::Unanswered, Exchange::Answered)
}

fn head(method: &str, path: &str, host: &str, content_type: &str, length: usize) -> String {
    format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// `None` also for an answer that is cut short.
fn exchange(mut stream: impl Read + Write, head: &str, body: &str) -> Option<Response> {
    stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let response = parse(&bytes)?;
    let announced = response.header("content-length").and_then(|length| length.parse::<usize>().ok());
    let came = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|end| bytes.len() - end - 4);
    announced.is_none_or(|announced| Some(announced) == came).then_some(response)
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
