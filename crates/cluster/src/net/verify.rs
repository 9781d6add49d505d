//! Which certificates are accepted: one rule for both sides, asked at each
//! handshake and again whenever [`Trust`] changes.
//!
//! A certificate is a member's if a trusted authority signed it, it names one
//! node, that node was not removed, and its key is the one the cluster knows the
//! member by. rustls has verifiers of its own, but they know neither removals
//! nor keys, and trust what was trusted when they were made.
//!
//! **The clock is not asked about a member whose key is known.** Its key says who
//! it is and its removal ends that at once; a date adds nothing but the danger
//! that machines that start with a wrong clock, as after a blackout, refuse each
//! other. For keys that are not known yet the dates count.

use super::digest::{is_same, sha256};
use crate::types::NodeId;
use model::member::Digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, PeerIncompatible, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use webpki::{EndEntityCert, KeyUsage};

/// What follows a node's number in its certificate. `.internal` is reserved for
/// private use and belongs to nobody on the Internet (ICANN, 29 July 2024).
const DOMAIN: &str = ".node.internal";

/// What authorities and nodes sign with, and nothing else.
static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::aws_lc_rs::ECDSA_P256_SHA256],
    mapping: &[(SignatureScheme::ECDSA_NISTP256_SHA256, &[webpki::aws_lc_rs::ECDSA_P256_SHA256])],
};

/// Whom this node believes, taken from the state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Certificates of the authorities.
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    /// Nodes that were removed.
    pub(crate) removed: BTreeSet<NodeId>,
    /// Digests of the members' public keys (SubjectPublicKeyInfo).
    pub(crate) keys: BTreeMap<NodeId, Digest>,
}

/// Which side of a connection shows the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Dialer,
    Acceptor,
}

/// Why a certificate is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum VerifyError {
    #[error("its certificate is not in a form that nodes use")]
    Form,
    #[error("its certificate is that of node {found}, not of node {wanted}")]
    OtherNode { found: NodeId, wanted: NodeId },
    #[error("node {node} was removed from the cluster")]
    Removed { node: NodeId },
    #[error("the cluster knows node {node} by another key")]
    OtherKey { node: NodeId },
    #[error("no authority that is trusted here signed its certificate")]
    Authority,
    #[error("its certificate is not valid at this machine's time; compare the clocks of both machines")]
    Time,
}

impl VerifyError {
    /// Whether the same node may come with another certificate; if not, it is no
    /// longer spoken to.
    pub(super) const fn is_about_the_certificate(self) -> bool {
        match self {
            Self::Form | Self::Authority | Self::Time => true,
            Self::OtherNode { .. } | Self::Removed { .. } | Self::OtherKey { .. } => false,
        }
    }

    /// The form of rustls that sends the peer the alert that says it.
    const fn alerting(self) -> CertificateError {
        match self {
            Self::Form => CertificateError::BadEncoding,
            Self::OtherNode { .. } => CertificateError::NotValidForName,
            Self::Removed { .. } => CertificateError::Revoked,
            Self::OtherKey { .. } => CertificateError::ApplicationVerificationFailure,
            Self::Authority => CertificateError::UnknownIssuer,
            Self::Time => CertificateError::Expired,
        }
    }
}

/// The name of a node in its certificate.
pub(super) fn name_of(node: NodeId) -> String {
    format!("{node}{DOMAIN}")
}

/// The node that a certificate names; `None` if it names none, or more than one.
pub(super) fn node_of(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    let mut names = parsed.valid_dns_names();
    let (name, further) = (names.next()?, names.next());
    if further.is_some() { None } else { parse_name(name) }
}

/// Digest of a certificate's public key.
pub(super) fn key_of(certificate: &CertificateDer<'_>) -> Option<Digest> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    Some(sha256(&parsed.subject_public_key_info()))
}

/// Returns the node that showed this chain, its own certificate first.
pub(super) fn verify(
    trust: &Trust,
    leaf: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    side: Side,
    now: UnixTime,
) -> Result<NodeId, VerifyError> {
    let node = node_of(leaf).ok_or(VerifyError::Form)?;
    if trust.removed.contains(&node) {
        return Err(VerifyError::Removed { node });
    }
    let key = key_of(leaf).ok_or(VerifyError::Form)?;
    let at = match trust.keys.get(&node) {
        Some(known) if !is_same(known, &key) => return Err(VerifyError::OtherKey { node }),
        Some(_) => beginning_of(leaf)?,
        None => now,
    };
    let anchors = trust.authorities.iter().filter_map(|der| webpki::anchor_from_trusted_cert(der).ok());
    verify_chain(&anchors.collect::<Vec<_>>(), leaf, rest, side, at)?;
    Ok(node)
}

fn verify_chain(
    anchors: &[TrustAnchor<'_>],
    leaf: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    side: Side,
    at: UnixTime,
) -> Result<(), VerifyError> {
    let parsed = EndEntityCert::try_from(leaf).map_err(|_| VerifyError::Form)?;
    let usage = match side {
        Side::Dialer => KeyUsage::client_auth(),
        Side::Acceptor => KeyUsage::server_auth(),
    };
    match parsed.verify_for_usage(ALGORITHMS.all, anchors, rest, at, usage, None, None) {
        Ok(_) => Ok(()),
        Err(webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) => Err(VerifyError::Time),
        Err(_) => Err(VerifyError::Authority),
    }
}

/// A time at which the certificate is valid.
fn beginning_of(leaf: &CertificateDer<'_>) -> Result<UnixTime, VerifyError> {
    let (from, _) = super::authority::validity(leaf).map_err(|_| VerifyError::Form)?;
    let seconds = u64::try_from(from.as_seconds()).map_err(|_| VerifyError::Form)?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

/// One form for each number, so that no two names are one node.
fn parse_name(name: &str) -> Option<NodeId> {
    let node = name.strip_suffix(DOMAIN)?.parse().ok()?;
    (name_of(node) == name).then_some(node)
}

/// Verifies members, on both sides of a connection.
#[derive(Debug)]
pub(super) struct MemberVerifier(pub(super) watch::Receiver<Arc<Trust>>);

impl MemberVerifier {
    fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.0.borrow())
    }
}

impl ServerCertVerifier for MemberVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let wanted = parse_name(&server_name.to_str()).ok_or_else(|| told(VerifyError::Form))?;
        let found = verify(&self.trust(), leaf, rest, Side::Acceptor, now).map_err(told)?;
        if found == wanted {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(told(VerifyError::OtherNode { found, wanted }))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

impl ClientCertVerifier for MemberVerifier {
    /// Whoever joins has none; what he may do without is `door`'s matter.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Empty: a stranger is not told the authorities' names.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match verify(&self.trust(), leaf, rest, Side::Dialer, now) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(error) => Err(error.alerting().into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

/// Verifies any node under one authority that is known by its digest alone:
/// what a node knows that wants to join.
#[derive(Debug)]
pub(super) struct TicketVerifier(pub(super) Digest);

impl TicketVerifier {
    /// The authority's certificate, if the other side showed it.
    pub(super) fn authority_in<'a, 'c>(&self, shown: &'a [CertificateDer<'c>]) -> Option<&'a CertificateDer<'c>> {
        shown.iter().find(|certificate| is_same(&sha256(certificate), &self.0))
    }
}

impl ServerCertVerifier for TicketVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        node_of(leaf).ok_or_else(|| told(VerifyError::Form))?;
        let authority = self.authority_in(rest).ok_or_else(|| told(VerifyError::Authority))?;
        let anchor = webpki::anchor_from_trusted_cert(authority).map_err(|_| told(VerifyError::Authority))?;
        verify_chain(&[anchor], leaf, rest, Side::Acceptor, now).map_err(told)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

/// Carries the reason through rustls to whoever dialled.
fn told(error: VerifyError) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

fn no_tls12() -> rustls::Error {
    PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into()
}
