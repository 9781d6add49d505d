//! The cluster's own certificate authority: what it is made of, and what it signs.
//!
//! An authority is a value in the state: a certificate, and its private key
//! sealed under the cluster's key. So each node can sign, and a rotation is an
//! entry in the log: a newer authority signs while the older is still trusted,
//! the nodes renew, the older is dropped.
//!
//! **A certificate names a node by its number and nothing else**: no cluster, no
//! host, no address. What a stranger sees of one is of no use to him.

use super::digest::sha256;
use super::key::PrivateKey;
use super::seal::{ClusterKey, SealError, random};
use super::verify;
use crate::types::NodeId;
use model::member::{Authority, Digest};
use model::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// Longer than a machine lives; rotation is by command, not by date.
const AUTHORITY_TIME: Duration = Duration::from_secs(3_652 * 86_400);
/// A node asks for another after half of it, so it has half a year to succeed.
const CERTIFICATE_TIME: Duration = Duration::from_secs(365 * 86_400);
/// Certificates are valid this long before they are made, for clocks that are behind.
const BACKDATE: Duration = DAY;
/// The last second for which X.509 has a form: 9999-12-31 (RFC 5280, section 4.1.2.5).
const SECONDS_MAX: u64 = 253_402_300_799;
/// Bytes of an uncompressed point on P-256 with the byte that says so.
const POINT_BYTES: usize = 65;
/// What an authority's sealed key belongs to, before the certificate's digest.
const CONTEXT: &[u8] = b"mainstay authority key 1 ";

/// What a node gets when it asks for a certificate.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    /// The node's certificate, then the authority's.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Digest of the public key in it.
    pub(crate) key: Digest,
}

/// Why something cannot be signed or read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate cannot be read, or is none that an authority of ours made.
    #[error("the certificate is not in a form that nodes use")]
    Certificate,
    /// The authority's private key cannot be opened.
    #[error("cannot open the private key of the cluster's authority")]
    Sealed(#[from] SealError),
    /// The request cannot be read, its signature is wrong, or its key is of another kind.
    #[error("the signing request is none for a key on the curve P-256, signed by that key")]
    Request,
    /// The authority may sign no more.
    #[error("the cluster's authority ended at {}; rotate it", until.minute())]
    Ended {
        /// When.
        until: Timestamp,
    },
    /// The library refused.
    #[error("cannot sign a certificate")]
    Sign(#[source] rcgen::Error),
}

/// Makes an authority, its key sealed. `at` is the time of the log.
pub(crate) fn found(cluster: &ClusterKey, at: Timestamp) -> Authority {
    let key = PrivateKey::draw();
    let pair = key.pair().expect("the key was just made");
    let mut params = params(at, at.plus(AUTHORITY_TIME));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = params.self_signed(&pair).expect("the certificate holds nothing unusual").der().to_vec();
    let sealed_key = cluster.seal(&context(&certificate), key.der());
    Authority { certificate, sealed_key }
}

/// Signs a request for a node. Whether the node may have a certificate was
/// decided before; that it has the key is what its signature shows.
///
/// # Errors
/// The request is not one, the cluster's key is another, or the authority's time is over.
pub(crate) fn sign(
    authority: &Authority,
    cluster: &ClusterKey,
    request: &[u8],
    node: NodeId,
    at: Timestamp,
) -> Result<Signed, AuthorityError> {
    let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))
        .map_err(|_| AuthorityError::Request)?;
    let public_key = &request.public_key;
    if *public_key.algorithm() != PKCS_ECDSA_P256_SHA256 || public_key.der_bytes().len() != POINT_BYTES {
        return Err(AuthorityError::Request);
    }
    let certificate = CertificateDer::from(authority.certificate.clone());
    let (_, until) = validity(&certificate)?;
    if until <= at {
        return Err(AuthorityError::Ended { until });
    }
    let key = PrivateKey::from_der(&cluster.open(&context(&certificate), &authority.sealed_key)?);
    let pair = key.pair().map_err(AuthorityError::Sign)?;
    let issuer = Issuer::from_ca_cert_der(&certificate, pair).map_err(|_| AuthorityError::Certificate)?;
    let mut params = params(at, at.plus(CERTIFICATE_TIME).min(until));
    let name = verify::name_of(node).try_into().map_err(AuthorityError::Sign)?;
    params.subject_alt_names = vec![SanType::DnsName(name)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let signed = params.signed_by(public_key, &issuer).map_err(AuthorityError::Sign)?;
    let key = sha256(&public_key.subject_public_key_info());
    Ok(Signed { chain: vec![signed.der().clone(), certificate], key })
}

/// Returns from when until when a certificate is valid.
///
/// # Errors
/// It is none.
pub(crate) fn validity(certificate: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), AuthorityError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| AuthorityError::Certificate)?;
    let time = |time: x509_parser::time::ASN1Time| Timestamp::from_ms(time.timestamp().saturating_mul(1_000));
    Ok((time(parsed.validity().not_before), time(parsed.validity().not_after)))
}

/// What every certificate of ours has: a random serial number and a random
/// name, because names are required and ours would say something.
fn params(at: Timestamp, until: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(at.minus(BACKDATE));
    params.not_after = epoch + since_epoch(until);
    let mut serial: [u8; 16] = random();
    // A serial number is positive and its first byte not zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    let name: [u8; 8] = random();
    params.distinguished_name.push(DnType::CommonName, format!("{:016x}", u64::from_be_bytes(name)));
    params.use_authority_key_identifier_extension = true;
    params
}

/// Times that certificates cannot say become the nearest they can.
fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.as_seconds()).unwrap_or(0).min(SECONDS_MAX))
}

fn context(certificate: &[u8]) -> Vec<u8> {
    [CONTEXT, &sha256(certificate).0].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::extensions::{GeneralName, ParsedExtension};
    use x509_parser::prelude::X509Certificate;

    const AT: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    #[test]
    fn a_certificate_says_the_node_and_nothing_else() {
        let (cluster, authority) = founded();
        let signed = sign(&authority, &cluster, &PrivateKey::draw().signing_request(), 42, AT).unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&signed.chain[0]).unwrap();
        assert_opaque(&leaf);
        for extension in leaf.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    assert_eq!(names.general_names, [GeneralName::DNSName("42.node.internal")]);
                }
                ParsedExtension::AuthorityKeyIdentifier(_)
                | ParsedExtension::SubjectKeyIdentifier(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::BasicConstraints(_)
                | ParsedExtension::ExtendedKeyUsage(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let (_, root) = x509_parser::parse_x509_certificate(&signed.chain[1]).unwrap();
        assert_opaque(&root);
        assert!(root.extensions().iter().all(|extension| !format!("{extension:?}").contains("SubjectAlternativeName")));
    }

    #[test]
    fn no_two_certificates_have_the_same_names_or_numbers() {
        let (cluster, authority) = founded();
        let request = PrivateKey::draw().signing_request();
        let seen: std::collections::BTreeSet<(String, String)> = (0..20)
            .map(|_| {
                let signed = sign(&authority, &cluster, &request, 42, AT).unwrap();
                let (_, leaf) = x509_parser::parse_x509_certificate(&signed.chain[0]).unwrap();
                (leaf.subject().to_string(), leaf.raw_serial_as_string())
            })
            .collect();
        assert_eq!(seen.len(), 20);
    }

    #[test]
    fn a_certificate_is_good_for_a_year_but_not_longer_than_its_authority() {
        let (cluster, authority) = founded();
        let request = PrivateKey::draw().signing_request();
        let at = |at| validity(&sign(&authority, &cluster, &request, 1, at).unwrap().chain[0]).unwrap();
        assert_eq!(at(AT), (AT.minus(DAY), AT.plus(CERTIFICATE_TIME)));
        let (_, end) = validity(&CertificateDer::from(authority.certificate.clone())).unwrap();
        assert_eq!(end, AT.plus(AUTHORITY_TIME));
        assert_eq!(at(end.minus(DAY)).1, end);
        let error = sign(&authority, &cluster, &request, 1, end).unwrap_err().to_string();
        assert!(error.contains("rotate it"), "{error}");
    }

    #[test]
    fn clocks_that_are_far_off_make_certificates_all_the_same() {
        let cluster = ClusterKey::draw();
        for ms in [i64::MIN, -1, 0, i64::MAX] {
            let authority = found(&cluster, Timestamp::from_ms(ms));
            validity(&CertificateDer::from(authority.certificate)).unwrap();
        }
    }

    #[test]
    fn another_clusters_key_does_not_sign() {
        let (_, authority) = founded();
        let request = PrivateKey::draw().signing_request();
        let error = sign(&authority, &ClusterKey::draw(), &request, 1, AT).unwrap_err();
        assert!(matches!(error, AuthorityError::Sealed(SealError::Closed)), "{error}");
    }

    #[test]
    fn a_sealed_key_belongs_to_its_certificate() {
        let (cluster, mut authority) = founded();
        authority.certificate = found(&cluster, AT).certificate;
        let error = sign(&authority, &cluster, &PrivateKey::draw().signing_request(), 1, AT).unwrap_err();
        assert!(matches!(error, AuthorityError::Sealed(SealError::Closed)), "{error}");
    }

    #[test]
    fn a_request_with_a_changed_byte_never_gets_another_key_certified() {
        let (cluster, authority) = founded();
        let key = PrivateKey::draw();
        let request = key.signing_request();
        let mut refused = 0;
        for at in 0..request.len() {
            let mut changed = request.clone();
            changed[at] ^= 1;
            match sign(&authority, &cluster, &changed, 1, AT) {
                // A few bytes are not signed and mean nothing, as the one that
                // counts unused bits.
                Ok(signed) => assert_eq!(signed.key, key.digest(), "byte {at}"),
                Err(AuthorityError::Request) => refused += 1,
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
        assert!(refused > request.len() - 10, "{refused} of {}", request.len());
        sign(&authority, &cluster, &[], 1, AT).unwrap_err();
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let (cluster, authority) = founded();
        for kind in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let pair = rcgen::KeyPair::generate_for(kind).unwrap();
            let request = CertificateParams::default().serialize_request(&pair).unwrap();
            let error = sign(&authority, &cluster, request.der(), 1, AT).unwrap_err();
            assert!(matches!(error, AuthorityError::Request), "{error}");
        }
    }

    fn assert_opaque(certificate: &X509Certificate<'_>) {
        for name in [certificate.subject(), certificate.issuer()] {
            let text = name.to_string();
            let digits = text.strip_prefix("CN=").unwrap();
            assert!(digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
        }
    }

    fn founded() -> (ClusterKey, Authority) {
        let cluster = ClusterKey::draw();
        let authority = found(&cluster, AT);
        (cluster, authority)
    }
}
