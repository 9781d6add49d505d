//! A port that passes everything on to another one, a while later: distance
//! between nodes on one machine.

use anyhow::Result;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Bytes taken at a time.
const PIECE: usize = 64 << 10;
/// Pieces under way in one direction; whoever sends more waits, as on a long line.
const UNDER_WAY_MAX: usize = 1024;

/// A delaying port; it takes no more connections when this is dropped, and
/// those it has end with their two sides.
#[derive(Debug)]
pub(crate) struct Delay {
    /// Where it listens, on loopback.
    pub(crate) port: u16,
    is_over: Arc<AtomicBool>,
}

impl Delay {
    /// Passes on to a port of this machine, each way after this time.
    ///
    /// # Errors
    /// There is no free port.
    pub(crate) fn before(target: u16, one_way: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                // Nobody behind it is what the one before it hears: the line ends.
                let _ = join(stream, target, one_way);
            }
        });
        Ok(Self { port, is_over })
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes it; if that fails it is not listening any more.
        let _ = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port)));
    }
}

fn join(near: TcpStream, target: u16, one_way: Duration) -> Result<()> {
    let far = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], target)))?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
    }
    for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        let (sender, receiver) = sync_channel(UNDER_WAY_MAX);
        std::thread::spawn(move || take(from, &sender, one_way));
        std::thread::spawn(move || give(to, &receiver));
    }
    Ok(())
}

/// Ends when the side that sends does, which the other one hears as late as everything.
fn take(mut from: TcpStream, sender: &SyncSender<(Instant, Vec<u8>)>, one_way: Duration) {
    let mut piece = vec![0; PIECE];
    while let Ok(length) = from.read(&mut piece) {
        let is_last = length == 0;
        if sender.send((Instant::now() + one_way, piece[..length].to_vec())).is_err() || is_last {
            return;
        }
    }
}

fn give(mut to: TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((due, bytes)) = receiver.recv() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if bytes.is_empty() || to.write_all(&bytes).is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::client;
    use crate::bench::server::Server;

    #[test]
    fn an_answer_takes_one_way_there_and_one_way_back() {
        let server = Server::start().unwrap();
        let delay = Delay::before(server.port, Duration::from_millis(30)).unwrap();
        let answer = client::get(delay.port, "/").unwrap();
        assert_eq!(answer.body, b"it works\n");
        assert!(answer.took >= Duration::from_millis(60), "{:?}", answer.took);
    }
}
