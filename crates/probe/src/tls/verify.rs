//! Verification of a chain, and the verifier of one handshake.

use super::chain_cache::{ChainCache, ChainKey};
use super::facts::valid_span;
use crate::PrepareError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::{Arc, Mutex, PoisonError};

/// Verifies chains against one trust store and remembers which held.
#[derive(Debug)]
pub(super) struct ChainVerifier {
    webpki: Arc<WebPkiServerVerifier>,
    /// Certificates the operator listed himself. One of them is trusted as a
    /// leaf too, even if it says it is an authority: that is what
    /// `openssl req -x509` makes, and listing it can mean nothing else.
    listed: Vec<CertificateDer<'static>>,
    cache: ChainCache,
}

impl ChainVerifier {
    /// For a trust store, with the certificates of it that the operator listed.
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        listed: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, PrepareError> {
        let built = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
        let webpki = built.map_err(|error| match error {
            VerifierBuilderError::NoRootAnchors => PrepareError::NoAuthorities,
            other => PrepareError::Tls(Error::General(other.to_string())),
        })?;
        Ok(Self { webpki, listed, cache: ChainCache::default() })
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = ChainKey::of(name, leaf, rest);
        if self.cache.holds(&key, now) {
            return Ok(ServerCertVerified::assertion());
        }
        if self.listed.iter().any(|listed| listed == leaf) {
            return verify_listed(leaf, name, now);
        }
        let verified = self.webpki.verify_server_cert(leaf, rest, name, ocsp, now)?;
        // The path that was found is not told, so every certificate sent
        // counts; one needless and expired merely keeps the chain from being remembered.
        if let Some(span) = valid_span(std::iter::once(leaf).chain(rest)) {
            self.cache.remember(key, span);
        }
        Ok(verified)
    }
}

/// Verifies a leaf that is trusted by itself: its name and its time.
fn verify_listed(leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<ServerCertVerified, Error> {
    let span = valid_span(std::iter::once(leaf)).ok_or(CertificateError::BadEncoding)?;
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if seconds > span.until {
        return Err(CertificateError::Expired.into());
    }
    if seconds < span.from {
        return Err(CertificateError::NotValidYet.into());
    }
    verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
    Ok(ServerCertVerified::assertion())
}

/// The verifier of one handshake. It exists for each handshake apart so that a
/// refused certificate can be shown with the failure; making one costs less
/// than a microsecond of a handshake's two hundred.
#[derive(Debug)]
pub(super) struct HandshakeVerifier {
    chain: Option<Arc<ChainVerifier>>,
    provider: Arc<CryptoProvider>,
    refused: Mutex<Option<CertificateDer<'static>>>,
}

impl HandshakeVerifier {
    /// Without `chain` any certificate is accepted.
    pub(super) fn new(chain: Option<Arc<ChainVerifier>>, provider: Arc<CryptoProvider>) -> Self {
        Self { chain, provider, refused: Mutex::new(None) }
    }

    /// The certificate that was refused, if one was.
    pub(super) fn take_refused(&self) -> Option<CertificateDer<'static>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ServerCertVerifier for HandshakeVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        chain.verify(leaf, rest, name, ocsp, now).inspect_err(|_| {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(leaf.clone().into_owned());
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match &self.chain {
            Some(chain) => chain.webpki.verify_tls12_signature(message, leaf, signed),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match &self.chain {
            Some(chain) => chain.webpki.verify_tls13_signature(message, leaf, signed),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
