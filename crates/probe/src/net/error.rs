//! Whose fault an I/O error is, and how to say it.

use crate::round::Trouble;
use model::observation::Cause;
use rustls::AlertDescription;
use std::io;

/// Whether an error says something about our own host only: no descriptors, no
/// memory, no local address or port, forbidden by our own firewall.
pub(crate) fn is_own(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::EADDRNOTAVAIL
                | libc::EADDRINUSE
                | libc::EAFNOSUPPORT
                | libc::EPROTONOSUPPORT
                | libc::EACCES
                | libc::EPERM
                | libc::ENETDOWN
        )
    )
}

/// Says what an error means for people, without "os error 111".
pub(crate) fn reason(error: &io::Error) -> String {
    let words = match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => "connection refused",
        Some(libc::ECONNRESET) => "connection reset",
        Some(libc::EPIPE) => "connection closed by the other side",
        Some(libc::EHOSTUNREACH) => "no route to the host",
        Some(libc::ENETUNREACH) => "network unreachable",
        Some(libc::ETIMEDOUT) => "no answer",
        Some(libc::EMFILE) => "too many open files in this process",
        Some(libc::ENFILE) => "too many open files on this machine",
        Some(libc::EADDRNOTAVAIL) => "no local address or port is free",
        Some(libc::EAFNOSUPPORT) => "this machine does not have that address family",
        Some(libc::EACCES | libc::EPERM) => "forbidden by this machine",
        Some(libc::ENOBUFS | libc::ENOMEM) => "out of memory for the network",
        Some(libc::ENETDOWN) => "this machine's network is down",
        _ => return plain(error),
    };
    words.to_owned()
}

/// The trouble of an error on an established connection. `doing` completes
/// "while …", as in "reading the answer".
pub(crate) fn io_trouble(error: &io::Error, peer: &str, doing: &str) -> Trouble {
    if is_own(error) {
        return Trouble::own(format!("{} while {doing} of {peer}", reason(error)));
    }
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_trouble(error, peer, doing);
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            Trouble::fail(Cause::Reset, format!("{peer} reset the connection while {doing}"))
        }
        io::ErrorKind::UnexpectedEof => {
            Trouble::fail(Cause::ClosedEarly, format!("{peer} closed the connection while {doing}"))
        }
        io::ErrorKind::TimedOut => Trouble::fail(Cause::Timeout, format!("{peer} stopped answering while {doing}")),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Trouble::fail(Cause::Unreachable, format!("{peer} became unreachable while {doing}"))
        }
        _ => Trouble::fail(Cause::Protocol, format!("{} while {doing} of {peer}", plain(error))),
    }
}

/// The trouble of TLS after its handshake. Servers of TLS 1.3 refuse a client
/// certificate only here, since their side of the handshake ends last.
fn tls_trouble(error: &rustls::Error, peer: &str, doing: &str) -> Trouble {
    let sentence = match error {
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            format!("{peer} asks for a client certificate")
        }
        rustls::Error::AlertReceived(alert) => format!("{peer} ended TLS with alert {alert:?} while {doing}"),
        other => format!("TLS with {peer} failed while {doing}: {other}"),
    };
    Trouble::fail(Cause::Tls, sentence)
}

/// The text of an error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::observation::Outcome;

    #[test]
    fn what_this_machine_lacks_is_never_the_targets_fault() {
        for (code, outcome, cause, sentence) in [
            (libc::EMFILE, Outcome::Own, Cause::Own, "too many open files in this process while reading of a:1"),
            (libc::ENOBUFS, Outcome::Own, Cause::Own, "out of memory for the network while reading of a:1"),
            (libc::EADDRNOTAVAIL, Outcome::Own, Cause::Own, "no local address or port is free while reading of a:1"),
            (libc::ECONNRESET, Outcome::Fail, Cause::Reset, "a:1 reset the connection while reading"),
            (libc::EPIPE, Outcome::Fail, Cause::Reset, "a:1 reset the connection while reading"),
            (libc::ETIMEDOUT, Outcome::Fail, Cause::Timeout, "a:1 stopped answering while reading"),
            (libc::EHOSTUNREACH, Outcome::Fail, Cause::Unreachable, "a:1 became unreachable while reading"),
        ] {
            let trouble = io_trouble(&io::Error::from_raw_os_error(code), "a:1", "reading");
            assert_eq!((trouble.outcome, trouble.failure.cause), (outcome, cause), "{sentence}");
            assert_eq!(trouble.failure.sentence, sentence);
        }
    }
}
