//! Connections: accepting them, bounding them, and ending them in good time.

use crate::answer::answer;
use crate::commands::Commands;
use crate::door::{Arrival, Door, OverLocalSocket, OverTcp};
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
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
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
        let door = OverTcp::new(listener, per_peer_max);
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
                    Ok(Some(Arrival { stream, via, place: of_peer })) => {
                        let (web, closing) = (self.clone(), closing.subscribe());
                        tasks.spawn(async move {
                            web.connection(stream, via, closing).await;
                            drop((place, of_peer));
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
