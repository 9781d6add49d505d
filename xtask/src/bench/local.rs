//! A client of a node's local socket: one connection, one request after the other.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A connection to a local socket.
#[derive(Debug)]
pub(crate) struct Local {
    stream: BufReader<UnixStream>,
}

impl Local {
    /// Connects; no answer may take longer than the bound.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) fn connect(socket: &Path, bound: Duration) -> Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| format!("cannot connect to {}", socket.display()))?;
        stream.set_read_timeout(Some(bound))?;
        stream.set_write_timeout(Some(bound))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks for JSON.
    ///
    /// # Errors
    /// No answer, not 200, or not JSON.
    pub(crate) fn get(&mut self, path: &str) -> Result<Value> {
        self.exchange("GET", path, "")
    }

    /// Sends JSON.
    ///
    /// # Errors
    /// No answer, not 200, or not JSON.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        self.exchange("POST", path, &body.to_string())
    }

    fn exchange(&mut self, method: &str, path: &str, body: &str) -> Result<Value> {
        let length = body.len();
        // In one piece, so that the other side wakes up once.
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut status = String::new();
        self.stream.read_line(&mut status)?;
        let mut length = None;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                bail!("the connection ended in the head of an answer");
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = Some(value.trim().parse::<usize>()?);
            }
        }
        let mut bytes = vec![0; length.context("the answer has no length")?];
        self.stream.read_exact(&mut bytes)?;
        if status.split(' ').nth(1) != Some("200") {
            bail!("{path} answers {}: {}", status.trim(), String::from_utf8_lossy(&bytes));
        }
        serde_json::from_slice(&bytes).with_context(|| format!("{path} is not JSON"))
    }
}
