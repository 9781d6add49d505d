//! Stored results and roll-ups.

use super::checks::{failure, phases};
use super::text;
use crate::commands::{StoredResult, StoredRollup};
use crate::{api, redact};
use model::observation::{CertificateFacts, Evidence};

/// One stored result. The excerpt of an answer may hold anything, so only
/// those who may see it get it.
pub(crate) fn result(stored: StoredResult, has_excerpt: bool) -> api::ResultRecord {
    let detail = stored.detail.as_deref();
    api::ResultRecord {
        location: stored.location.to_string(),
        at: text(stored.scheduled),
        outcome: stored.outcome.name().to_owned(),
        latency_us: stored.latency_us,
        failure: detail.and_then(|detail| detail.failure.as_ref()).map(failure),
        phases: detail.map(|detail| phases(&detail.phases)),
        evidence: detail.map(|detail| evidence(&detail.evidence, has_excerpt)),
    }
}

fn evidence(evidence: &Evidence, has_excerpt: bool) -> api::Evidence {
    let tried = evidence.addresses.iter().map(|tried| api::AddressTried {
        address: tried.address.to_string(),
        took_us: tried.took_us,
        error: tried.error.clone(),
    });
    api::Evidence {
        addresses: tried.collect(),
        status: evidence.status.clone(),
        excerpt: evidence.excerpt.clone().filter(|_| has_excerpt),
        certificate: evidence.certificate.as_ref().map(certificate),
        redirects: evidence.redirects.iter().map(|url| redact::url(url)).collect(),
        performance: evidence.performance.clone(),
    }
}

fn certificate(facts: &CertificateFacts) -> api::Certificate {
    api::Certificate {
        subject: facts.subject.clone(),
        issuer: facts.issuer.clone(),
        names: facts.names.clone(),
        not_before: text(facts.not_before),
        not_after: text(facts.not_after),
        fingerprint: facts.fingerprint.clone(),
    }
}

/// One roll-up.
pub(crate) fn rollup(stored: StoredRollup) -> api::Rollup {
    let latency =
        |[min_us, mean_us, p50_us, p95_us, max_us]: [u32; 5]| api::Latency { min_us, mean_us, p50_us, p95_us, max_us };
    api::Rollup {
        from_ms: stored.from.as_ms(),
        to_ms: stored.to.as_ms(),
        pass: stored.pass,
        degraded: stored.degraded,
        fail: stored.fail,
        own: stored.own,
        latency: stored.latency_us.map(latency),
    }
}
