//! What a certificate says, read without trusting it.

use super::chain_cache::ValidSpan;
use model::observation::CertificateFacts;
use model::time::Timestamp;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Reads the facts; `None` if it is no certificate.
pub(super) fn facts(der: &CertificateDer<'_>) -> Option<CertificateFacts> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let instant = |seconds: i64| Timestamp::from_ms(seconds.saturating_mul(1000));
    Some(CertificateFacts {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        names: names(&certificate),
        not_before: instant(validity.not_before.timestamp()),
        not_after: instant(validity.not_after.timestamp()),
        fingerprint: fingerprint(der),
    })
}

/// The span in which all of the certificates are valid; `None` if one cannot be read.
pub(super) fn valid_span<'a>(chain: impl Iterator<Item = &'a CertificateDer<'a>>) -> Option<ValidSpan> {
    let mut span = ValidSpan { from: i64::MIN, until: i64::MAX };
    for der in chain {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        span.from = span.from.max(validity.not_before.timestamp());
        span.until = span.until.min(validity.not_after.timestamp());
    }
    Some(span)
}

/// The names a certificate is for. The common name counts only for people:
/// no client has looked at it for years, so it is not among them.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |general: &GeneralName<'_>| match general {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    alternative.value.general_names.iter().filter_map(name).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn fingerprint(der: &CertificateDer<'_>) -> String {
    let mut out = String::with_capacity(64);
    for byte in Sha256::digest(der) {
        let _ = write!(out, "{byte:02x}");
    }
    out
}
