//! Two small servers of the tests' own: a target that works or does not, and a
//! receiver of webhooks with moods.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A web server that answers 200, or 503 while it is told to.
#[derive(Debug, Clone)]
pub struct Target {
    address: SocketAddr,
    fails: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

impl Target {
    /// Starts one that works.
    ///
    /// # Panics
    /// There is no free port.
    pub fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into())
    }

    /// As [`Target::start`], at another address of this place.
    ///
    /// # Panics
    /// There is no free port.
    pub fn start_at(ip: IpAddr) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let target = Self { address, fails: Arc::default(), answered: Arc::default() };
        let serving = target.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.answer(stream));
            }
        });
        target
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes it fail, or work again.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// How many requests it has answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    fn answer(&self, mut stream: TcpStream) {
        if read_request(&mut stream).is_none() {
            return;
        }
        self.answered.fetch_add(1, Ordering::SeqCst);
        let status = if self.fails.load(Ordering::SeqCst) { "503 Service Unavailable" } else { "200 OK" };
        // The checker may have gone.
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    }
}

/// How a receiver treats what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Takes it: 204.
    Takes,
    /// Reads it and keeps the sender waiting.
    Holds,
    /// Hangs up without an answer.
    HangsUp,
    /// Is gone for ever: 410.
    Gone,
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The header `webhook-id`.
    pub id: String,
    /// The body.
    pub body: String,
    /// How it was treated.
    pub mood: Mood,
}

/// A receiver of webhooks.
#[derive(Debug, Clone)]
pub struct Receiver {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

/// How long a request that is held is held; longer than any attempt lasts.
const HELD: Duration = Duration::from_secs(60);

impl Receiver {
    /// Starts one in a mood.
    ///
    /// # Panics
    /// There is no free port.
    pub fn start(mood: Mood) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), mood)
    }

    /// As [`Receiver::start`], at another address of this place.
    ///
    /// # Panics
    /// There is no free port.
    pub fn start_at(ip: IpAddr, mood: Mood) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let receiver = Self { address, mood: Arc::new(Mutex::new(mood)), arrived: Arc::default() };
        let serving = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.take(stream));
            }
        });
        receiver
    }

    /// Where it is told.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Changes its mood.
    ///
    /// # Panics
    /// A thread of it has panicked.
    pub fn be(&self, mood: Mood) {
        *self.mood.lock().expect("no thread panics") = mood;
    }

    /// All that arrived, in order.
    ///
    /// # Panics
    /// A thread of it has panicked.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().expect("no thread panics").clone()
    }

    fn take(&self, mut stream: TcpStream) {
        let Some((head, body)) = read_request(&mut stream) else { return };
        let header = |line: &str| line.to_ascii_lowercase().strip_prefix("webhook-id:").map(|id| id.trim().to_owned());
        let id = head.lines().find_map(header).unwrap_or_default();
        let mood = *self.mood.lock().expect("no thread panics");
        self.arrived.lock().expect("no thread panics").push(Arrived { id, body, mood });
        let answer = match mood {
            Mood::Takes => "204 No Content",
            Mood::Gone => "410 Gone",
            Mood::HangsUp => return,
            Mood::Holds => {
                std::thread::sleep(HELD);
                return;
            }
        };
        // The sender may have gone.
        let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
}

/// Reads one request: its head, and as much body as it announces.
fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok();
    let mut body = vec![0; head.lines().find_map(length).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}
