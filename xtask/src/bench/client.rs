//! A small HTTP client: one request, one answer, timed. It says HTTP/1.0, so
//! that answers come whole and unchunked, and the connection ends with them.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest time of one exchange.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// From before the connection until the last byte.
    pub(crate) took: Duration,
}

/// Asks a server on this machine.
///
/// # Errors
/// No connection, or no complete answer.
pub(crate) fn get(port: u16, path: &str) -> Result<Answer> {
    let begin = Instant::now();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let took = begin.elapsed();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").context("the answer has no head")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).context("the answer has no status")?;
    if head.to_ascii_lowercase().contains("transfer-encoding") {
        bail!("a chunked answer to an HTTP/1.0 request");
    }
    Ok(Answer { status, body: bytes.split_off(end + 4), took })
}

/// Asks for JSON.
///
/// # Errors
/// No answer, not 200, or not JSON.
pub(crate) fn json(port: u16, path: &str) -> Result<Value> {
    let answer = get(port, path)?;
    if answer.status != 200 {
        bail!("{path} answers {}", answer.status);
    }
    serde_json::from_slice(&answer.body).with_context(|| format!("{path} is not JSON"))
}
