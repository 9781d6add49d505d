//! How a case is run and compared.

use model::check::{Check, CheckKind, Family, HttpCheck, HttpExpect, LatencyLimits, RETRY_DEFAULT, Trust};
use model::id::{CheckId, LocationId};
use model::observation::{Cause, Outcome};
use probe::{Measured, Prober, ProberOptions};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The timeout of a case unless it is about timeouts.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What a round may take beyond its timeout before a case calls it unbounded;
/// the machine that runs the tests may be busy.
const SLACK: Duration = Duration::from_millis(1500);

/// A prober without any way of its own out.
pub(crate) fn prober() -> Prober {
    prober_with(ProberOptions::default())
}

/// A prober with options.
pub(crate) fn prober_with(options: ProberOptions) -> Prober {
    Prober::new(options).expect("the machine has a resolver configuration")
}

/// A GET of a URL with everything else as by default.
pub(crate) fn get(url: impl Into<String>) -> HttpCheck {
    HttpCheck {
        url: url.into(),
        method: "GET".to_owned(),
        headers: Vec::new(),
        basic_auth: None,
        bearer: None,
        body: None,
        redirects: 10,
        proxy: None,
        trust: Trust::default(),
        expect: HttpExpect::default(),
        close_by_reset: false,
    }
}

/// A check of some kind.
pub(crate) fn check(kind: CheckKind) -> Check {
    Check {
        id: CheckId::new("case").expect("an id"),
        kind,
        every: Duration::from_secs(60),
        timeout: TIMEOUT,
        retry: RETRY_DEFAULT,
        down_after: 1,
        up_after: 1,
        from: vec![LocationId::new("here").expect("an id")],
        family: Family::Any,
        latency: LatencyLimits::default(),
    }
}

/// An HTTP check.
pub(crate) fn http(check_of: HttpCheck) -> Check {
    check(CheckKind::Http(Box::new(check_of)))
}

/// Carries out one round and insists on its bound.
pub(crate) async fn round(prober: &Prober, check: &Check) -> Measured {
    let prepared = prober.prepare(check).expect("the check can be prepared");
    let started = Instant::now();
    let measured = prober.probe(&prepared).await;
    assert!(started.elapsed() < check.timeout + SLACK, "took {:?}", started.elapsed());
    measured
}

/// Insists on how a round ended. An empty sentence stands for none.
pub(crate) fn assert_ended(
    name: &str,
    measured: &Measured,
    server: SocketAddr,
    expected: (Outcome, Option<Cause>, &str),
) {
    let failure = measured.detail.failure.as_ref();
    let sentence = failure.map(|failure| failure.sentence.replace(&server.to_string(), "ADDRESS")).unwrap_or_default();
    let got = (measured.outcome, failure.map(|failure| failure.cause));
    assert_eq!(got, (expected.0, expected.1), "{name}: {sentence}");
    assert!(matches(expected.2, &sentence), "{name}: expected {:?}, got {sentence:?}", expected.2);
}

/// Whether a text is the pattern, with `*` for anything.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("")
}

/// How a round that passes ends.
pub(crate) const PASS: (Outcome, Option<Cause>, &str) = (Outcome::Pass, None, "");

/// How a round ends that fails with this sentence.
pub(crate) fn fail(cause: Cause, sentence: &'static str) -> (Outcome, Option<Cause>, &'static str) {
    (Outcome::Fail, Some(cause), sentence)
}
