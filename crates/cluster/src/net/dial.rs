//! Makes a connection to a member: name, TCP, TLS, greeting.

use super::Lane;
use super::failure::DialError;
use super::greeting::{self, GreetingError};
use super::hub::{Credentials, Shared};
use super::limits::{ADDRESSES_TRIED_MAX, GREETING_TIME_MAX};
use super::link::Link;
use super::way::{Outcome, Way};
use super::{socket, tls};
use crate::types::NodeId;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Makes one attempt for a way, and tells those who wait for it.
pub(super) async fn attempt(
    shared: Arc<Shared>,
    way: Arc<Way>,
    peer: NodeId,
    lane: Lane,
    address: String,
    tell: watch::Sender<Outcome>,
) {
    let known = way.known(&address);
    let credentials = shared.credentials();
    let dialled = tokio::select! {
        dialled = dial(&shared, &credentials, peer, lane, &address, known) => dialled,
        () = shared.closing.cancelled() => return,
    };
    let outcome = match dialled {
        Ok((stream, at)) => {
            let link = Link::start(&shared, peer, stream);
            way.reached(&address, at, &link);
            // Trust or our certificate may have changed since the handshake, and
            // then nobody looked at this connection.
            way.verify(&shared.trust());
            if !Arc::ptr_eq(&credentials, &shared.credentials()) {
                way.retire();
            }
            shared.handler.heard(peer);
            tracing::debug!(node = peer, %at, ?lane, "connected to a peer");
            Ok(link)
        }
        Err(error) => {
            let error = Arc::new(error);
            way.failed(&address, &error, Instant::now());
            if let DialError::RefusedThere { why, .. } = &*error {
                shared.handler.refused(peer, why);
            }
            Err(error)
        }
    };
    let _ = tell.send(Some(outcome));
}

async fn dial(
    shared: &Arc<Shared>,
    credentials: &Credentials,
    peer: NodeId,
    lane: Lane,
    address: &str,
    known: Option<SocketAddr>,
) -> Result<(TlsStream<TcpStream>, SocketAddr), DialError> {
    let mut last = None;
    for at in targets(address, known).await? {
        match reach(shared, credentials, peer, lane, at).await {
            Ok(stream) => return Ok((stream, at)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("a name stands for an address"))
}

/// The addresses to try, the one that worked last first. It is tried also when
/// the name cannot be resolved: name servers tend to be away with whatever else is.
pub(super) async fn targets(address: &str, known: Option<SocketAddr>) -> Result<Vec<SocketAddr>, DialError> {
    match (socket::resolve(address).await, known) {
        (Ok(mut found), known) => {
            found.sort_by_key(|at| Some(*at) != known);
            found.truncate(ADDRESSES_TRIED_MAX);
            Ok(found)
        }
        (Err(_), Some(known)) => Ok(vec![known]),
        (Err(source), None) => Err(DialError::Resolve { address: address.to_owned(), source }),
    }
}

async fn reach(
    shared: &Arc<Shared>,
    credentials: &Credentials,
    peer: NodeId,
    lane: Lane,
    at: SocketAddr,
) -> Result<TlsStream<TcpStream>, DialError> {
    let config = Arc::clone(&credentials.dialer);
    let greeted = async {
        let mut stream = secure(config, tls::server_name(peer), at).await?;
        match greeting::begin(shared, &mut stream, peer, lane).await {
            Ok(()) => Ok(stream),
            Err(GreetingError::RefusedHere(why)) => Err(DialError::RefusedHere { address: at, why }),
            Err(GreetingError::RefusedThere(why)) => Err(DialError::RefusedThere { address: at, why }),
            // In TLS 1.3 an acceptor that does not accept our certificate says
            // so after our side of the handshake is done: here.
            Err(GreetingError::Frame(super::frame::FrameError::Io(error))) if is_tls(&error) => {
                Err(tls::diagnose(error, at))
            }
            Err(GreetingError::Frame(source)) => Err(DialError::Greeting { address: at, source }),
        }
    };
    // The time for TCP is part of `secure` and has a bound of its own.
    let limit = super::limits::CONNECT_TIME_MAX + GREETING_TIME_MAX;
    timeout(limit, greeted).await.unwrap_or(Err(DialError::Silent { address: at }))
}

/// Connects and encrypts; who is there was verified when it returns.
pub(super) async fn secure(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    at: SocketAddr,
) -> Result<TlsStream<TcpStream>, DialError> {
    let stream = socket::connect(at).await.map_err(|source| DialError::Connect { address: at, source })?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| tls::diagnose(error, at))?;
    if tls::is_ours(stream.get_ref().1.alpn_protocol()) { Ok(stream) } else { Err(DialError::Foreign { address: at }) }
}

fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}
