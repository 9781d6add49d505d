//! A small HTTP server that says "it works" to everything and remembers what
//! came when: what checks look at, and what receives messages.

use super::machine::wall;
use anyhow::Result;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest request that is understood.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(2);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nit works\n";

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    /// When its connection was accepted, by the wall clock since 1970.
    pub(crate) at: Duration,
    /// All of it.
    pub(crate) text: String,
}

/// A running server; it stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) port: u16,
    came: Arc<Mutex<Vec<Came>>>,
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it.
    ///
    /// # Errors
    /// It finds no port.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let came = Arc::new(Mutex::new(Vec::new()));
        let is_stopping = Arc::new(AtomicBool::new(false));
        let (notes, stopping) = (Arc::clone(&came), Arc::clone(&is_stopping));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let at = wall();
                // A client that goes away is its own business.
                if let Ok(text) = answer(stream) {
                    notes.lock().unwrap_or_else(PoisonError::into_inner).push(Came { at, text });
                }
            }
        });
        Ok(Self { port, came, is_stopping, thread: Some(thread) })
    }

    /// What came since this was asked last.
    pub(crate) fn take(&self) -> Vec<Came> {
        std::mem::take(&mut *self.came.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        // Wakes it; if that fails it is not listening any more.
        let _ = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port)));
        if let Some(thread) = self.thread.take() {
            // It panicked if this fails, and has said so.
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while !is_whole(&bytes) && bytes.len() < REQUEST_BYTES_MAX {
        match stream.read(&mut piece)? {
            0 => break,
            count => bytes.extend(&piece[..count]),
        }
    }
    stream.write_all(ANSWER)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    bytes.len() >= end + 4 + length.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::client;

    #[test]
    fn what_came_is_remembered_once() {
        let server = Server::start().unwrap();
        let before = wall();
        let answer = client::get(server.port, "/c/7").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"it works\n".as_slice()));
        let came = server.take();
        assert_eq!(came.len(), 1);
        assert!(came[0].text.starts_with("GET /c/7 ") && came[0].at >= before);
        assert!(server.take().is_empty());
    }

    #[test]
    fn a_body_is_waited_for() {
        assert!(!is_whole(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab"));
        assert!(is_whole(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc"));
        assert!(is_whole(b"GET / HTTP/1.1\r\n\r\n"));
    }
}
