//! Finds what listens on this machine, and what each of it speaks.
//!
//! The list comes from `/proc`, the names from the processes that own the
//! sockets (as far as we may look), the protocols from asking politely: first
//! listening for a greeting, then asking what the process's name or the port
//! suggests, and HTTP last. Nothing is sent that could change anything.

mod ask;
mod listeners;

pub(crate) use listeners::{Listener, listeners};

use config::{Found, FoundKind};
use futures_util::future::join_all;

/// Listeners asked; a machine with more has generated ports, not services.
const LISTENERS_MAX: usize = 64;

/// What was found, and what was left out and why.
pub(crate) struct Discovery {
    /// What gets a check, in the order of their ports.
    pub(crate) found: Vec<Found>,
    /// Listeners without a check, with the reason.
    pub(crate) left_out: Vec<(Listener, &'static str)>,
}

/// Looks at this machine. `own_ports` are Mainstay's and are not watched.
pub(crate) async fn discover(own_ports: &[u16]) -> Discovery {
    let mut left_out = Vec::new();
    let mut to_ask = Vec::new();
    for listener in listeners() {
        if own_ports.contains(&listener.port) {
            left_out.push((listener, "Mainstay itself"));
        } else if to_ask.len() >= LISTENERS_MAX {
            left_out.push((listener, "too many listeners to ask"));
        } else {
            to_ask.push(listener);
        }
    }
    let kinds = join_all(to_ask.iter().map(ask::ask)).await;
    let mut found = Vec::new();
    for (listener, kind) in to_ask.into_iter().zip(kinds) {
        match kind {
            Some(kind) => found.push(describe(listener, kind)),
            None => left_out.push((listener, "did not take a connection")),
        }
    }
    Discovery { found, left_out }
}

fn describe(listener: Listener, kind: FoundKind) -> Found {
    let what = match &kind {
        FoundKind::Http { tls: true, .. } => "Website (HTTPS)",
        FoundKind::Http { tls: false, .. } => "Website",
        FoundKind::Tls => "TLS service",
        FoundKind::Ssh { .. } => "SSH",
        FoundKind::Smtp => "Mail (SMTP)",
        FoundKind::Imap => "Mail (IMAP)",
        FoundKind::Pop3 => "Mail (POP3)",
        FoundKind::Postgres => "PostgreSQL",
        FoundKind::Redis => "Redis",
        FoundKind::Dns => "DNS",
        FoundKind::Tcp => "Service",
    };
    let name = match (&kind, &listener.process) {
        (FoundKind::Tcp | FoundKind::Tls | FoundKind::Http { .. }, Some(process)) => {
            format!("{what} of {process}, port {}", listener.port)
        }
        _ => format!("{what}, port {}", listener.port),
    };
    let address = listener.address_text();
    Found { name, process: listener.process, address, kind }
}
