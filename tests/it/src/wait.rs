//! Waiting for a level, with a bound; never for an edge, never without one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Between two looks: short beside any server's start, long beside the look.
const PAUSE: Duration = Duration::from_millis(20);
/// A local connection that takes longer than this will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Looks until there is something or the time is over. Returns what was found.
pub fn until<T>(bound: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + bound;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Looks until there is something.
///
/// # Panics
/// The time is over; the message says what was waited for.
pub fn expect<T>(what: &str, bound: Duration, look: impl FnMut() -> Option<T>) -> T {
    until(bound, look).unwrap_or_else(|| panic!("waited {} s in vain for {what}", bound.as_secs()))
}

/// Whether something accepts connections there.
pub fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_ok()
}

/// Returns a loopback address with a port that is free. Somebody else could
/// take it before it is used; who starts a server there must be ready to try
/// another one.
pub fn free_address() -> SocketAddr {
    free_address_at(Ipv4Addr::LOCALHOST.into())
}

/// As [`free_address`], at another address of this place.
///
/// # Panics
/// This place does not have it.
pub fn free_address_at(ip: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).expect("an address of ours has a free port");
    listener.local_addr().expect("a bound socket has an address")
}
