//! Servers that do what they are told, however wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server does with every connection, once it has read a request.
#[derive(Clone)]
pub(crate) enum Script {
    /// Says this and closes.
    Say(Vec<u8>),
    /// Says this and keeps the connection open, silently.
    Hold(Vec<u8>),
    /// Says the first, then the second a byte at a time.
    Drip(Vec<u8>, Vec<u8>, Duration),
    /// Says this and resets the connection.
    Reset(Vec<u8>),
    /// Says this, closes its half only, and keeps the connection.
    HalfClose(Vec<u8>),
    /// Says the first once and the second until the client goes.
    Flood(Vec<u8>, Vec<u8>),
    /// Redirects every path to a longer one.
    RedirectOn,
    /// Closes without reading anything.
    Slam,
    /// Says back the request it got, as a body.
    Echo,
}

/// A server that follows a script on an address of its own.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Bytes it got rid of, over all connections.
    pub(crate) sent_bytes: Arc<AtomicU64>,
}

impl Server {
    /// Listens on 127.0.0.1.
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let sent_bytes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent_bytes);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(follow(script.clone(), stream, Arc::clone(&counter)));
            }
        });
        Self { address, sent_bytes }
    }

    /// The URL of its root.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Bytes it got rid of so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }
}

/// An address of 127.0.0.1 on which no one listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("it is bound")
}

async fn follow(script: Script, mut stream: TcpStream, sent: Arc<AtomicU64>) {
    let request = if matches!(script, Script::Slam) { Vec::new() } else { read_request(&mut stream).await };
    match script {
        Script::Say(bytes) => send(&mut stream, &bytes, &sent).await,
        Script::Hold(bytes) => {
            send(&mut stream, &bytes, &sent).await;
            hold(&mut stream).await;
        }
        Script::Drip(at_once, bytes, every) => {
            send(&mut stream, &at_once, &sent).await;
            for byte in bytes {
                tokio::time::sleep(every).await;
                send(&mut stream, &[byte], &sent).await;
            }
        }
        Script::Reset(bytes) => {
            send(&mut stream, &bytes, &sent).await;
            // What was said must have arrived before the reset discards it.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        Script::HalfClose(bytes) => {
            send(&mut stream, &bytes, &sent).await;
            let _ = stream.shutdown().await;
            hold(&mut stream).await;
        }
        Script::Flood(once, again) => {
            send(&mut stream, &once, &sent).await;
            while stream.write_all(&again).await.is_ok() {
                sent.fetch_add(again.len() as u64, Ordering::Relaxed);
            }
        }
        Script::RedirectOn => {
            let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or("/").to_owned();
            let answer = format!("HTTP/1.1 302 Found\r\nLocation: {path}a\r\nContent-Length: 0\r\n\r\n");
            send(&mut stream, answer.as_bytes(), &sent).await;
        }
        Script::Slam => {}
        Script::Echo => send(&mut stream, &ok(&String::from_utf8_lossy(&request)), &sent).await,
    }
}

/// Says a text whose line ends become those of the network.
pub(crate) fn say(text: &str) -> Script {
    Script::Say(text.replace('\n', "\r\n").into_bytes())
}

/// An answer that is as it should be.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    request
}

async fn send(stream: &mut TcpStream, bytes: &[u8], sent: &AtomicU64) {
    if stream.write_all(bytes).await.is_ok() {
        sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}

/// Waits until the client goes.
async fn hold(stream: &mut TcpStream) {
    let mut rest = [0; 512];
    while matches!(stream.read(&mut rest).await, Ok(1..)) {}
}
