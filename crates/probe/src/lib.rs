//! Carries out one check over the network and reports what it measured.
//!
//! A hand: it touches the world and decides nothing. It says what one round of
//! one check saw, measured against what that check expects of a single round;
//! whether a service is down is concluded elsewhere, from many rounds.
//!
//! ```text
//! Check ── prepare ──► Prepared ── probe ──► Measured { outcome, latency, detail }
//!          (once)                  (every round; resolve, connect, TLS, talk, judge)
//! ```
//!
//! It deliberately does not know when a check is due, what other locations see,
//! or what was measured before. **An error of our own never becomes the
//! target's fault, and no answer can take more memory or time than its limit.**
//!
//! Reading order: [`Prober`] here, then `plan` (one entry for each kind of
//! check), `round` (what all kinds collect into), `net`, `stream`, `tls`,
//! `http`, and the other kinds.

mod conversation;
mod dns;
mod http;
mod icmp;
mod lines;
mod net;
mod plan;
mod plugin;
mod postgres;
mod redis;
mod round;
mod secret;
mod smtp;
mod ssh;
mod start_tls;
mod stream;
mod tcp;
mod text;
mod tls;

use crate::plan::Plan;
use crate::round::Round;
use model::check::{Check, Family, LatencyLimits};
use model::observation::{Detail, Outcome};
use std::net::SocketAddr;
use std::time::Duration;

/// Carries out checks. One for a process, shared by reference or `Arc` between
/// any number of runtimes; holds the resolver, the TLS configurations and the
/// cache of verified certificate chains.
pub struct Prober {
    options: ProberOptions,
    net: net::Net,
    tls: tls::Policies,
    pinger: icmp::Pinger,
}

/// What a [`Prober`] may do and what it calls itself.
#[derive(Debug, Clone)]
pub struct ProberOptions {
    /// The `User-Agent` of HTTP requests.
    pub user_agent: String,
    /// Whether programs may be run. Off where whoever writes checks should not
    /// thereby be able to run commands.
    pub allow_plugins: bool,
    /// Name servers asked instead of the system's; empty for the system's.
    pub name_servers: Vec<SocketAddr>,
}

impl Default for ProberOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("Mainstay/", env!("CARGO_PKG_VERSION")).to_owned(),
            allow_plugins: false,
            name_servers: Vec::new(),
        }
    }
}

/// Why no [`Prober`] could be made.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    /// The system's resolver configuration could not be used.
    #[error("cannot set up name resolution")]
    Resolver(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a check cannot be carried out as it is written. The caller shows it as
/// an error of our own: it says nothing about the target.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A heartbeat is waited for; there is nothing to carry out.
    #[error("a heartbeat is received, not probed")]
    Heartbeat,
    /// A plugin, where programs may not be run.
    #[error("plugins are not allowed here")]
    PluginsNotAllowed,
    /// Not a URL that can be probed.
    #[error("{url:?} cannot be probed: {reason}")]
    Url {
        /// The URL as written, without its password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not a host name or address.
    #[error("{host:?} is not a host name or address")]
    Host {
        /// What was written.
        host: String,
    },
    /// A header that would break the request.
    #[error("the request header {name:?} has a name or value that HTTP does not allow")]
    Header {
        /// Its name; the value may be a secret.
        name: String,
    },
    /// A method that would break the request.
    #[error("{method:?} is not an HTTP method")]
    Method {
        /// What was written.
        method: String,
    },
    /// Not a regular expression.
    #[error("{pattern:?} is not a usable regular expression")]
    Pattern {
        /// What was written.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: Box<regex::Error>,
    },
    /// Not a JSONPath.
    #[error("{path:?} is not a JSONPath (RFC 9535)")]
    JsonPath {
        /// What was written.
        path: String,
        /// What is wrong with it.
        #[source]
        source: Box<serde_json_path::ParseError>,
    },
    /// Not a JSON value.
    #[error("{text:?} is not a JSON value")]
    JsonValue {
        /// What was written.
        text: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A condition that wants a number was given something else.
    #[error("{text:?} is not a number")]
    JsonNumber {
        /// What was written.
        text: String,
    },
    /// A file that the check names cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file that should hold certificates or a key does not.
    #[error("{path} holds no usable {what}")]
    Pem {
        /// Its path.
        path: String,
        /// What was looked for.
        what: &'static str,
    },
    /// A client certificate that does not fit its key, or another refusal by TLS.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// The machine has no certificate authorities, and the check names no file of them.
    #[error("this machine has no certificate authorities; install its package of them or give a file")]
    NoAuthorities,
    /// A word of the check that cannot be sent as its protocol demands.
    #[error("{what} {text:?} cannot be used: {reason}")]
    Word {
        /// Which part of the check.
        what: &'static str,
        /// What was written.
        text: String,
        /// Why not.
        reason: &'static str,
    },
}

/// A check made ready to run: URL, request and expressions compiled once.
/// Small, because there may be 100,000 of them.
pub struct Prepared {
    plan: Plan,
    timeout: Duration,
    latency: LatencyLimits,
    family: Family,
}

/// What one round saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// How it ended.
    pub outcome: Outcome,
    /// Time of the whole round in microseconds; for a timeout the time waited.
    pub latency_us: u32,
    /// Why, where the time went, and the evidence. Complete for what did not
    /// pass; a round that passed has no excerpt.
    pub detail: Detail,
}

impl Prober {
    /// Makes a prober. Reads the resolver's configuration, and nothing else:
    /// certificate authorities are loaded when the first check needs them.
    ///
    /// # Errors
    /// [`ProberError`] if the system's resolver configuration cannot be used.
    pub fn new(options: ProberOptions) -> Result<Self, ProberError> {
        let net = net::Net::new(&options.name_servers)?;
        Ok(Self { options, net, tls: tls::Policies::new(), pinger: icmp::Pinger::new() })
    }

    /// Makes a check ready to run. Reads the certificate files it names, so a
    /// changed file counts from the next time the check is prepared; secrets by
    /// file are read in every round.
    ///
    /// # Errors
    /// [`PrepareError`] if the check cannot be carried out as it is written; a
    /// heartbeat always is refused, since it is received and not probed.
    pub fn prepare(&self, check: &Check) -> Result<Prepared, PrepareError> {
        Ok(Prepared {
            plan: Plan::prepare(self, check)?,
            timeout: check.timeout,
            latency: check.latency,
            family: check.family,
        })
    }

    /// Carries out one round. Returns within the check's timeout, whatever the
    /// target does, and never panics. Must run inside a tokio runtime with I/O
    /// and time enabled; dropping the future abandons the round.
    pub async fn probe(&self, prepared: &Prepared) -> Measured {
        let mut round = Round::new(prepared.timeout, prepared.family);
        let deadline = tokio::time::Instant::from_std(round.deadline());
        let ended = match tokio::time::timeout_at(deadline, prepared.plan.run(self, &mut round)).await {
            Ok(ended) => ended,
            Err(_) => Err(round.timed_out()),
        };
        round.finish(ended, prepared.latency)
    }
}

/// Whole microseconds of a duration, saturating after 71 minutes: longer than any timeout.
fn whole_us(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
