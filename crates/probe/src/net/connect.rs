//! Connecting: one address, or the first of several that answers.
//!
//! Several addresses are tried in the manner of RFC 8305: the next one starts
//! when the one before it fails, or after [`NEXT_ADDRESS_AFTER`] without an
//! answer, so that a black hole costs a quarter of a second and not the timeout.

use super::error::{is_own, reason};
use crate::round::{Round, Stage, Trouble};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use model::limits::ADDRESSES_MAX;
use model::observation::Cause;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long an address has for itself; RFC 8305 section 5 recommends 250 ms.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Why one address did not connect.
struct Refusal {
    error: io::Error,
    /// Whether the reason lies on our side.
    is_own: bool,
}

/// Connects to the only address there is.
pub(super) async fn connect_one(address: SocketAddr, round: &mut Round) -> Result<TcpStream, Trouble> {
    round.stage = Stage::Connecting;
    round.trying(address);
    let number = round.attempt_started(address.ip());
    match dial(address).await {
        Ok(stream) => {
            round.attempt_succeeded(number, address);
            Ok(stream)
        }
        Err(refusal) => {
            round.attempt_failed(number, reason(&refusal.error));
            Err(trouble(&refusal, &address.to_string()))
        }
    }
}

/// Connects to the first of several addresses that answers.
pub(super) async fn connect_first(addresses: &[SocketAddr], round: &mut Round) -> Result<TcpStream, Trouble> {
    round.stage = Stage::Connecting;
    let mut waiting = addresses.iter().take(ADDRESSES_MAX);
    let mut under_way = FuturesUnordered::new();
    let mut refusals = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            let number = round.attempt_started(address.ip());
            under_way.push(async move { (number, *address, dial(*address).await) });
        }
        let has_more = waiting.len() > 0;
        let ended = tokio::select! {
            biased;
            ended = under_way.next() => ended,
            () = tokio::time::sleep(NEXT_ADDRESS_AFTER), if has_more => continue,
        };
        match ended {
            Some((number, address, Ok(stream))) => {
                round.attempt_succeeded(number, address);
                return Ok(stream);
            }
            Some((number, _, Err(refusal))) => {
                round.attempt_failed(number, reason(&refusal.error));
                refusals.push(refusal);
            }
            None => return Err(all_refused(&refusals, &round.target)),
        }
    }
}

/// One TCP connection, without a time limit of its own. The socket is made by
/// hand because only the error of `connect` itself tells that *we* have no
/// route; the same code that comes later was sent by a router on the way.
async fn dial(address: SocketAddr) -> Result<TcpStream, Refusal> {
    let own = |error| Refusal { error, is_own: true };
    let flags = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), flags, Some(Protocol::TCP)).map_err(own)?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => {
            let no_route = matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH));
            return Err(Refusal { is_own: no_route || is_own(&error), error });
        }
    }
    let stream = TcpStream::from_std(socket.into()).map_err(own)?;
    stream.writable().await.map_err(own)?;
    match stream.take_error() {
        Ok(None) => Ok(stream),
        Ok(Some(error)) | Err(error) => Err(Refusal { is_own: is_own(&error), error }),
    }
}

/// The trouble of a single address.
fn trouble(refusal: &Refusal, target: &str) -> Trouble {
    let reason = reason(&refusal.error);
    if refusal.is_own {
        return Trouble::own(format!("cannot connect to {target} from here: {reason}"));
    }
    match refusal.error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Trouble::fail(Cause::Refused, format!("no one listens on {target} ({reason})")),
        Some(libc::ETIMEDOUT) => Trouble::fail(Cause::ConnectTimeout, format!("no connection to {target}: no answer")),
        Some(libc::ECONNRESET) => Trouble::fail(Cause::Reset, format!("{target} reset the connection at once")),
        _ => Trouble::fail(Cause::Unreachable, format!("{target} cannot be reached: {reason}")),
    }
}

/// The trouble of all addresses. What one of them did counts before what we
/// could not do ourselves: a host without IPv6 still learns of a refusal by IPv4.
fn all_refused(refusals: &[Refusal], target: &str) -> Trouble {
    match refusals.iter().find(|refusal| !refusal.is_own).or(refusals.first()) {
        Some(refusal) => trouble(refusal, target),
        None => Trouble::own(format!("no address of {target} was tried")),
    }
}
