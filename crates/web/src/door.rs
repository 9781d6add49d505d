//! Where connections come from, and how many one stranger may hold.

use crate::visitor::Via;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Where connections come from.
pub(crate) trait Door: Send + Sync {
    /// What is read from and written to.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection; `None` for one that is closed at once.
    fn accept(&self) -> impl Future<Output = io::Result<Option<Arrival<Self::Stream>>>> + Send;
}

/// A connection that was let in.
pub(crate) struct Arrival<S> {
    pub(crate) stream: S,
    pub(crate) via: Via,
    /// Its count among those of its address, given back when it is dropped.
    pub(crate) place: Option<Place>,
}

/// Strangers and visitors.
pub(crate) struct OverTcp {
    listener: TcpListener,
    peers: Arc<Peers>,
    per_peer_max: usize,
}

impl OverTcp {
    pub(crate) fn new(listener: TcpListener, per_peer_max: usize) -> Self {
        Self { listener, peers: Arc::new(Peers::default()), per_peer_max }
    }
}

impl Door for OverTcp {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<Option<Arrival<TcpStream>>> {
        let (stream, peer) = self.listener.accept().await?;
        let is_loopback = stream.local_addr().is_ok_and(|own| own.ip().to_canonical().is_loopback());
        // Answers are written whole; waiting to fill packets only delays them.
        stream.set_nodelay(true)?;
        let place = self.peers.admit(peer.ip(), self.per_peer_max);
        Ok(place.map(|place| Arrival { stream, via: Via::Tcp { is_loopback }, place: Some(place) }))
    }
}

/// The command line on this machine.
pub(crate) struct OverLocalSocket(pub(crate) UnixListener);

impl Door for OverLocalSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<Option<Arrival<UnixStream>>> {
        let (stream, _) = self.0.accept().await?;
        Ok(Some(Arrival { stream, via: Via::LocalSocket, place: None }))
    }
}

/// How many connections each address holds.
#[derive(Default)]
struct Peers(Mutex<BTreeMap<IpAddr, usize>>);

impl Peers {
    /// A place for one more connection of an address; `None` when it has enough.
    /// Proxies of this machine speak for many and are not counted.
    fn admit(self: &Arc<Self>, peer: IpAddr, max: usize) -> Option<Place> {
        let peer = neighbourhood(peer.to_canonical());
        let mut peers = self.0.lock().expect("nothing panics with it held");
        let count = peers.get(&peer).copied().unwrap_or_default();
        if count >= max && !peer.is_loopback() {
            return None;
        }
        peers.insert(peer, count + 1);
        Some(Place { peers: Arc::clone(self), peer })
    }
}

/// Who has an IPv6 address usually has 2⁶⁴ of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

/// One connection's count among those of its address.
pub(crate) struct Place {
    peers: Arc<Peers>,
    peer: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut peers = self.peers.0.lock().expect("nothing panics with it held");
        if let Some(count) = peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_neighbourhood_cannot_take_all_places() {
        let peers = Arc::new(Peers::default());
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let first = peers.admit(address("2001:db8::1"), 1);
        assert!(first.is_some());
        assert!(peers.admit(address("2001:db8::ffff"), 1).is_none(), "of the same /64");
        assert!(peers.admit(address("2001:db8:0:1::1"), 1).is_some(), "of another");
        drop(first);
        assert!(peers.admit(address("2001:db8::1"), 1).is_some());
        let local: Vec<_> = (0..3).map(|_| peers.admit(address("127.0.0.1"), 1)).collect();
        assert!(local.iter().all(Option::is_some));
    }
}
