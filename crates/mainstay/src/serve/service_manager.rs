//! Tells systemd when the service is ready and when it stops (sd_notify(3));
//! does nothing where no service manager asked.

use std::os::unix::net::UnixDatagram;

/// The page is served and the first checks run.
pub(crate) fn ready() {
    notify("READY=1\nSTATUS=watching");
}

/// The service has begun to stop.
pub(crate) fn stopping() {
    notify("STOPPING=1\nSTATUS=stopping");
}

fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let path = path.to_string_lossy().into_owned();
    let sent = UnixDatagram::unbound().and_then(|socket| match path.strip_prefix('@') {
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            socket.send_to_addr(state.as_bytes(), &address)
        }
        None => socket.send_to(state.as_bytes(), &path),
    });
    if let Err(error) = sent {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
