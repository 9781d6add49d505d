//! Connections: accepting them, bounding them, and ending them in good time.

use crate::answer::answer;
use crate::commands::Commands;
use crate::options::Options;
use crate::routes;
use crate::shared::Shared;
use crate::stalling::Stalling;
use crate::visitor::Via;
use axum::Router;
use control::State;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Bytes of a request's head: what nginx and Apache allow, with room for cookies of other pages of the domain.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Connections to the local socket; a machine has few people at its terminal.
const LOCAL_CONNECTIONS_MAX: usize = 128;
/// Rest after an accept that failed, usually for lack of file descriptors.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The web room: serves the state that was published last.
#[derive(Clone)]
pub struct Web {
    shared: Arc<Shared>,
    over_tcp: Router,
    over_local_socket: Router,
}

/// Where connections come from.
trait Door: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection; `None` for one that is closed at once.
    fn accept(&self) -> impl Future<Output = io::Result<Option<(Self::Stream, Via, Option<Place>)>>> + Send;
}

/// Strangers and visitors.
struct OverTcp {
    listener: TcpListener,
    peers: Arc<Peers>,
    per_peer_max: usize,
}

impl Door for OverTcp {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<Option<(TcpStream, Via, Option<Place>)>> {
        let (stream, peer) = self.listener.accept().await?;
        let is_loopback = stream.local_addr().is_ok_and(|own| own.ip().to_canonical().is_loopback());
        // Answers are written whole; waiting to fill packets only delays them.
        stream.set_nodelay(true)?;
        let place = self.peers.admit(peer.ip(), self.per_peer_max);
        Ok(place.map(|place| (stream, Via::Tcp { is_loopback }, Some(place))))
    }
}

/// The command line on this machine.
struct OverLocalSocket(UnixListener);

impl Door for OverLocalSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<Option<(UnixStream, Via, Option<Place>)>> {
        let (stream, _) = self.0.accept().await?;
        Ok(Some((stream, Via::LocalSocket, None)))
    }
}

impl Web {
    /// A server with nothing to show yet; until the first [`Web::publish`] it answers 503.
    pub fn new(options: Options, commands: Arc<dyn Commands>) -> Self {
        let shared = Arc::new(Shared::new(options, commands));
        let over_tcp = routes::over_tcp(&shared);
        let over_local_socket = routes::over_local_socket(&shared);
        Self { shared, over_tcp, over_local_socket }
    }

    /// Serves this state from here on. Called by one task, at most every 250 ms
    /// and at once after a change that people wait for; a node that starts
    /// publishes first when it has caught up. Costs microseconds: what is made
    /// from the state is made when somebody asks.
    pub fn publish(&self, state: State) {
        self.shared.publish(state);
    }

    /// Serves TCP connections, read only but for heartbeats, until `shutdown`
    /// is ready; then ends what is in flight, event streams of all doors
    /// included, and returns after at most the grace period.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) {
        let per_peer_max = self.shared.options.connections_per_peer_max;
        let door = OverTcp { listener, peers: Arc::new(Peers::default()), per_peer_max };
        self.run(door, self.shared.options.connections_max, shutdown).await;
    }

    /// Serves the local socket, writes included, until `shutdown` is ready.
    /// The caller has made the socket so that only the right people can open it.
    pub async fn serve_local(&self, listener: UnixListener, shutdown: impl Future<Output = ()> + Send) {
        self.run(OverLocalSocket(listener), LOCAL_CONNECTIONS_MAX, shutdown).await;
    }

    async fn run(&self, door: impl Door, connections_max: usize, shutdown: impl Future<Output = ()> + Send) {
        let places = Arc::new(Semaphore::new(connections_max));
        let closing = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        let accepting = async {
            loop {
                // Further connections wait in the kernel's queue, which refuses when it is full.
                let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
                match door.accept().await {
                    Ok(Some((stream, via, peer))) => {
                        let (web, closing) = (self.clone(), closing.subscribe());
                        tasks.spawn(async move {
                            web.connection(stream, via, closing).await;
                            drop((place, peer));
                        });
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(REST_AFTER_FAILURE).await;
                    }
                }
                while tasks.try_join_next().is_some() {}
            }
        };
        tokio::select! {
            () = shutdown => {}
            () = accepting => {}
        }
        self.shared.events.close();
        closing.send_replace(true);
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.shared.options.grace, ended).await.is_err() {
            tracing::info!(connections = tasks.len(), "connections were cut at shutdown");
        }
        tasks.shutdown().await;
    }

    async fn connection<S>(&self, stream: S, via: Via, mut closing: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let options = &self.shared.options;
        let router = match via {
            Via::Tcp { .. } => &self.over_tcp,
            Via::LocalSocket => &self.over_local_socket,
        };
        let service =
            service_fn(|request| async move { Ok::<_, Infallible>(answer(&self.shared, router, via, request).await) });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.head_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(Stalling::new(stream, options.stall_timeout)), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = until_closing(&mut closing) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Ready when shutdown was asked for, or whoever could ask is gone.
async fn until_closing(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
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
        let count = peers.entry(peer).or_default();
        if *count >= max && !peer.is_loopback() {
            return None;
        }
        *count += 1;
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

/// One connection's count in [`Peers`].
struct Place {
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
