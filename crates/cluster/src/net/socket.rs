//! TCP as nodes use it: nothing is held back to be sent with more, and a peer
//! that is gone is noticed within seconds.

use super::limits::{
    ADDRESSES_TRIED_MAX, CONNECT_TIME_MAX, QUESTION_INTERVAL, RESOLVE_TIME_MAX, SILENCE_BEFORE_QUESTION,
    UNCONFIRMED_TIME_MAX,
};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Sets the options, on a connection made by either side.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(SILENCE_BEFORE_QUESTION).with_interval(QUESTION_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    // Linux lets this also decide when unanswered questions of the keep-alive
    // end the connection (tcp(7), TCP_USER_TIMEOUT).
    socket.set_tcp_user_timeout(Some(UNCONFIRMED_TIME_MAX))
}

/// Makes a connection in the time there is for it.
pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await??;
    tune(&stream)?;
    Ok(stream)
}

/// Finds what a host and port stand for. An address of digits asks nobody.
pub(super) async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = timeout(RESOLVE_TIME_MAX, lookup_host(address)).await??.take(ADDRESSES_TRIED_MAX).collect();
    if found.is_empty() { Err(io::Error::from(io::ErrorKind::NotFound)) } else { Ok(found) }
}
