//! Checks against the servers people run: what they answer in good and bad
//! states, and what a check makes of it. One file for each kind of server; the
//! helpers that all of them use are here.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod dns;
mod mail;
mod postgres;
mod redis;
#[path = "../servers/mod.rs"]
mod servers;
mod ssh;

use model::check::{Check, CheckKind, Family, HostPort, LatencyLimits, Trust};
use model::id::{CheckId, LocationId};
use model::observation::{Cause, Outcome};
use probe::{Measured, Prober, ProberOptions};
use servers::certificates::Certificates;
use std::time::Duration;

pub(crate) async fn probe(kind: CheckKind) -> Measured {
    let prober = Prober::new(ProberOptions::default()).unwrap();
    probe_with(&prober, check(kind, Duration::from_secs(20))).await
}

pub(crate) async fn probe_with(prober: &Prober, check: Check) -> Measured {
    let prepared = prober.prepare(&check).unwrap();
    prober.probe(&prepared).await
}

pub(crate) fn check(kind: CheckKind, timeout: Duration) -> Check {
    Check {
        id: CheckId::new("test").unwrap(),
        kind,
        every: Duration::from_secs(60),
        timeout,
        retry: Duration::from_secs(5),
        down_after: 2,
        up_after: 2,
        from: vec![LocationId::new("here").unwrap()],
        family: Family::Any,
        latency: LatencyLimits::default(),
    }
}

pub(crate) fn local(port: u16) -> HostPort {
    HostPort { host: "127.0.0.1".to_owned(), port }
}

pub(crate) fn trust(certificates: &Certificates, name: &str) -> Trust {
    Trust {
        ca_file: Some(certificates.authority.display().to_string()),
        server_name: Some(name.to_owned()),
        ..Trust::default()
    }
}

pub(crate) fn assert_passed(measured: &Measured) {
    assert_eq!((measured.outcome, &measured.detail.failure), (Outcome::Pass, &None), "{measured:?}");
}

/// Returns the sentence of a failure with the given cause.
pub(crate) fn assert_failed(measured: &Measured, cause: Cause) -> String {
    assert_eq!(measured.outcome, Outcome::Fail, "{measured:?}");
    let failure = measured.detail.failure.clone().unwrap();
    assert_eq!(failure.cause, cause, "{}", failure.sentence);
    failure.sentence
}
