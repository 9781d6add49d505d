//! Who asks: by which door, from where, and under which name.
//!
//! A name in `Host` is used for nothing but one test. A page of a stranger
//! can make a visitor's browser send requests to this machine under a name
//! that the stranger has pointed here, and would read the answers. So what is
//! meant for operators is not given over loopback to a name that is not ours.

use axum::http::header::HOST;
use axum::http::{HeaderMap, Uri};
use std::net::{IpAddr, SocketAddr};

/// How a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// Over TCP; `is_loopback` if it came to a loopback address of ours.
    Tcp {
        /// Whether it came to a loopback address of ours.
        is_loopback: bool,
    },
    /// Over the local socket, which only those with rights to its file can open.
    LocalSocket,
}

/// Whether a request for what is meant for operators may be answered.
pub(crate) fn is_trusted(via: Via, uri: &Uri, headers: &HeaderMap, page_url: Option<&str>) -> bool {
    match via {
        Via::LocalSocket | Via::Tcp { is_loopback: false } => true,
        Via::Tcp { is_loopback: true } => {
            let host = headers.get(HOST).and_then(|value| value.to_str().ok()).or(uri.host()).unwrap_or_default();
            is_own_name(host, page_url)
        }
    }
}

/// Addresses, names without a dot, and the page's own name cannot be pointed here by a stranger.
fn is_own_name(host: &str, page_url: Option<&str>) -> bool {
    if host.is_empty() || host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    if host.starts_with('[') {
        return true;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_end_matches('.');
    if !name.contains('.') || name.ends_with(".localhost") {
        return true;
    }
    let own = page_url.and_then(|url| url.parse::<Uri>().ok()).and_then(|url| url.host().map(str::to_owned));
    own.is_some_and(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_stranger_could_point_here_is_not_ours() {
        let page = Some("https://status.acme.example");
        for (host, expected) in [
            ("127.0.0.1:8480", true),
            ("[::1]:8480", true),
            ("localhost:8480", true),
            ("mainstay:8480", true),
            ("status.acme.example", true),
            ("STATUS.acme.example:443", true),
            ("evil.example", false),
            ("evil.example:8480", false),
            ("127.0.0.1.evil.example", false),
            ("status.acme.example.evil.example", false),
        ] {
            assert_eq!(is_own_name(host, page), expected, "{host}");
        }
    }
}
