//! A server for a test and a client that does exactly what it is told.

use crate::made_up::Fake;
use control::State;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use web::{Options, Web};

/// No answer in a test takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs as long as this lives.
pub(crate) struct Served {
    pub(crate) web: Web,
    pub(crate) fake: Arc<Fake>,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// Options under which made-up times are never out of date.
pub(crate) fn timeless() -> Options {
    Options {
        stale_after: Duration::from_secs(100 * 365 * 86_400),
        version: "0.0.0-test".to_owned(),
        ..Options::default()
    }
}

/// Serves a state on a port of its own.
pub(crate) async fn serve(state: State) -> Served {
    serve_with(timeless(), Some(state), Fake::default()).await
}

/// Serves with everything chosen.
pub(crate) async fn serve_with(options: Options, state: Option<State>, fake: Fake) -> Served {
    let fake = Arc::new(fake);
    let web = Web::new(options, Arc::clone(&fake) as Arc<dyn web::Commands>);
    if let Some(state) = state {
        web.publish(state);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = web.clone();
    let task = tokio::spawn(async move {
        serving.serve(listener, async { drop(stopped.await) }).await;
    });
    Served { web, fake, address, stop: Some(stop), task }
}

impl Served {
    /// Asks for a path.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "", "").await
    }

    /// Asks with any method, further header lines (each with its line end) and a body.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let length = body.len();
        // HTTP/1.0: the answer comes whole and the connection ends with it.
        let request =
            format!("{method} {path} HTTP/1.0\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        self.raw(&request).await
    }

    /// Sends these bytes and reads until the other side closes.
    pub(crate) async fn raw(&self, request: &str) -> Reply {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        Reply::parse(&read_all(&mut stream).await)
    }

    /// A connection on which nothing has been said.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// Shuts the server down; returns when it has ended.
    pub(crate) async fn shut_down(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(PATIENCE, self.task).await.expect("in time").expect("no panic");
    }
}

/// Reads until the other side closes; a reset is an end as well.
pub(crate) async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reading = stream.read_to_end(&mut bytes);
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the other side closes in time");
    bytes
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    /// Takes the bytes of an answer apart.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Self { status, head: head.to_ascii_lowercase(), bytes: bytes[end + 4..].to_vec() }
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("the body is text")
    }

    /// The body as JSON, indented.
    pub(crate) fn pretty(&self) -> String {
        serde_json::to_string_pretty(&self.json::<serde_json::Value>()).expect("it was JSON")
    }

    /// The body as a typed value.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}
