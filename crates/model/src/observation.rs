//! What a hand saw: one [`Observation`] for each round of a check, many of
//! them in a numbered [`Batch`].
//!
//! An observation reports what was measured against what the check expects of
//! a single round. Whether a service is down is decided elsewhere, from many
//! of them. **An error of our own ([`Outcome::Own`]) says nothing about the target.**

use crate::id::{CheckSlot, LocationId};
use crate::member::NodeId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The result of one round of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Which check.
    pub slot: CheckSlot,
    /// When the round was due; with check and location the key of the result.
    pub scheduled: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// Time of the whole round in microseconds; for a timeout the time waited.
    pub latency_us: u32,
    /// More about it: always for what did not pass, otherwise for a sampled share.
    pub detail: Option<Box<Detail>>,
}

impl Observation {
    /// About how many bytes it takes in a batch: its texts, and a flat sum for the rest.
    pub fn weight(&self) -> usize {
        const FLAT: usize = 24;
        const FLAT_DETAIL: usize = 64;
        const FLAT_CERTIFICATE: usize = 96;
        let Some(detail) = &self.detail else {
            return FLAT;
        };
        let evidence = &detail.evidence;
        let texts = [&evidence.status, &evidence.excerpt, &evidence.performance];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let failure = detail.failure.as_ref().map_or(0, |failure| failure.sentence.len());
        let addresses: usize =
            evidence.addresses.iter().map(|tried| FLAT + tried.error.as_ref().map_or(0, String::len)).sum();
        let redirects: usize = evidence.redirects.iter().map(String::len).sum();
        let certificate = evidence.certificate.as_ref().map_or(0, |facts| {
            let names: usize = facts.names.iter().map(String::len).sum();
            FLAT_CERTIFICATE + facts.subject.len() + facts.issuer.len() + names
        });
        FLAT + FLAT_DETAIL + texts + failure + addresses + redirects + certificate
    }
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// All that is expected was met.
    Pass,
    /// It works, but a limit for `degraded` was reached.
    Degraded,
    /// What is expected was not met.
    Fail,
    /// We could not look: our own network, resources or configuration.
    Own,
}

impl Outcome {
    /// The name as metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Degraded => "degraded",
            Self::Fail => "fail",
            Self::Own => "own_error",
        }
    }
}

/// More about one round.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Detail {
    /// Why it did not pass; `None` for a round that passed.
    pub failure: Option<Failure>,
    /// Where the time went.
    pub phases: Phases,
    /// What can be shown for it.
    pub evidence: Evidence,
}

/// Why a round did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The closed list of causes, for metrics and grouping.
    pub cause: Cause,
    /// A sentence an operator understands, without a final period, with the facts in it
    /// ("expected status 200-299, got 503 Service Unavailable"). At most
    /// [`crate::limits::FAILURE_TEXT_LENGTH_MAX`] characters; never holds a secret.
    pub sentence: String,
}

/// The closed list of causes for a round that did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// The name does not exist or has no address.
    NameNotFound,
    /// The name could not be resolved: the resolver failed or was too slow.
    Resolve,
    /// The connection was refused.
    Refused,
    /// No route, or a network's "unreachable".
    Unreachable,
    /// No connection within the time.
    ConnectTimeout,
    /// Connected, but no complete answer within the time.
    Timeout,
    /// The peer reset the connection.
    Reset,
    /// The peer closed before the answer was complete.
    ClosedEarly,
    /// TLS failed for a reason not listed below.
    Tls,
    /// The certificate has expired or is not valid yet.
    CertificateExpired,
    /// The certificate is for another name.
    CertificateName,
    /// Nobody we trust has signed the chain.
    CertificateUntrusted,
    /// The certificate expires soon.
    CertificateExpiring,
    /// The answer breaks the protocol.
    Protocol,
    /// An answer with an unexpected status or code.
    Status,
    /// A body or text that does not pass its test.
    Body,
    /// A header that does not pass its test.
    Header,
    /// Too many redirects, or one that cannot be followed.
    Redirect,
    /// The answer is larger than its limit.
    TooLarge,
    /// Slower than its limit.
    Slow,
    /// Packets were lost.
    Loss,
    /// The host key is another one.
    HostKey,
    /// The login was refused.
    Login,
    /// An answer that is not the expected one (DNS, query, command).
    Answer,
    /// A plugin said so.
    Plugin,
    /// The heartbeat reported a failure.
    Reported,
    /// The heartbeat did not come.
    Missed,
    /// We could not look.
    Own,
}

impl Cause {
    /// The name as metric label and JSON value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NameNotFound => "name_not_found",
            Self::Resolve => "resolve",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::ClosedEarly => "closed_early",
            Self::Tls => "tls",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateName => "certificate_name",
            Self::CertificateUntrusted => "certificate_untrusted",
            Self::CertificateExpiring => "certificate_expiring",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Body => "body",
            Self::Header => "header",
            Self::Redirect => "redirect",
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::Loss => "loss",
            Self::HostKey => "host_key",
            Self::Login => "login",
            Self::Answer => "answer",
            Self::Plugin => "plugin",
            Self::Reported => "reported",
            Self::Missed => "missed",
            Self::Own => "own",
        }
    }
}

/// Where the time of a round went, in microseconds; `None` for a phase that was not reached.
/// After redirects, the phases are those of the last request and `resolve` to
/// `transfer` need not sum to the latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Phases {
    /// Name resolution.
    pub resolve_us: Option<u32>,
    /// TCP connect, or the echo's way there and back.
    pub connect_us: Option<u32>,
    /// TLS handshake.
    pub tls_us: Option<u32>,
    /// From the request sent to the first byte of the answer.
    pub first_byte_us: Option<u32>,
    /// From the first byte to the last.
    pub transfer_us: Option<u32>,
}

/// What can be shown for a result. Everything is cut to its limit in [`crate::limits`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Addresses tried, in order.
    pub addresses: Vec<AddressTried>,
    /// The status of the answer ("HTTP/1.1 503 Service Unavailable", "NXDOMAIN", "exit 2").
    pub status: Option<String>,
    /// The beginning of the answer, or the last lines of a dialogue, printable.
    pub excerpt: Option<String>,
    /// The certificate shown.
    pub certificate: Option<CertificateFacts>,
    /// Redirects followed, each as the URL it led to.
    pub redirects: Vec<String>,
    /// Performance data of a plugin, as it printed it.
    pub performance: Option<String>,
}

/// One address that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressTried {
    /// The address.
    pub address: IpAddr,
    /// Time until it connected or failed, in microseconds.
    pub took_us: u32,
    /// Why it did not connect; `None` for the one that was used.
    pub error: Option<String>,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// Subject, usually `CN=…`.
    pub subject: String,
    /// Issuer.
    pub issuer: String,
    /// Names and addresses it is for.
    pub names: Vec<String>,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
}

/// The observations of one location from one short span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Where they were made.
    pub location: LocationId,
    /// By which of the location's nodes.
    pub node: NodeId,
    /// A number drawn when the prober started: with `sequence` it names the batch.
    pub incarnation: u64,
    /// Counted from 1 without gaps within an incarnation.
    pub sequence: u64,
    /// At most [`crate::limits::BATCH_OBSERVATIONS_MAX`].
    pub observations: Vec<Observation>,
}
