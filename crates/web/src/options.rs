//! What can be set about serving, and the bounds on everything a stranger can send.

use std::time::Duration;

/// Connections open at a time; each costs about 20 kB.
const CONNECTIONS_MAX: usize = 4_096;
/// Connections of one address at a time: a large office behind one address
/// stays below it, one machine cannot take all places.
const CONNECTIONS_PER_PEER_MAX: usize = 512;
/// Time for the head of a request, and the longest rest between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Time from the end of the head to the beginning of the answer, the body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time in which a peer takes not one byte of an answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Readers of the event stream at a time.
const SUBSCRIBERS_MAX: usize = 256;
/// Age from which a state is no longer shown as the present. An entry comes at
/// least every few seconds, so ten missed ones are no accident.
const STALE_AFTER: Duration = Duration::from_secs(30);
/// Time that requests in flight have to end after shutdown was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// How the web room serves. The defaults are meant for the open internet.
#[derive(Debug, Clone)]
pub struct Options {
    /// Version of the program, for `/metrics` and the status.
    pub version: String,
    /// Who may read `/api/v1/` and `/metrics` over TCP.
    pub operator_reads: OperatorReads,
    /// Connections open at a time, from 1; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Connections of one address at a time, loopback excepted; further ones are closed at once.
    pub connections_per_peer_max: usize,
    /// Time for the head of a request, and the longest rest between two.
    pub head_timeout: Duration,
    /// Time from the end of the head to the beginning of the answer.
    pub request_timeout: Duration,
    /// Longest time in which a peer takes not one byte of an answer.
    pub stall_timeout: Duration,
    /// Readers of the event stream at a time.
    pub subscribers_max: usize,
    /// Age from which a state is no longer shown as the present.
    pub stale_after: Duration,
    /// Time that requests in flight have to end after shutdown was asked for.
    pub grace: Duration,
}

/// Who may read `/api/v1/` and `/metrics`, which name targets and failures of
/// services that are not public, over TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorReads {
    /// Everybody who can connect.
    OverTcp,
    /// Nobody; only the local socket answers.
    LocalSocketOnly,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            operator_reads: OperatorReads::OverTcp,
            connections_max: CONNECTIONS_MAX,
            connections_per_peer_max: CONNECTIONS_PER_PEER_MAX,
            head_timeout: HEAD_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            stall_timeout: STALL_TIMEOUT,
            subscribers_max: SUBSCRIBERS_MAX,
            stale_after: STALE_AFTER,
            grace: GRACE,
        }
    }
}
