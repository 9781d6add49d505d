//! Whom to believe under TLS: the system's authorities, and those of a file.

use crate::answer::Setback;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// The system's certificate authorities, read once.
#[derive(Debug)]
pub(crate) struct Trust {
    roots: RootCertStore,
    config: Arc<ClientConfig>,
}

impl Trust {
    /// Reads the system's certificate authorities. A system without any is no
    /// error: mail may go without TLS, or with a `ca_file`.
    pub(crate) fn of_the_system() -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = Arc::new(config(roots.clone())?);
        Ok(Self { roots, config })
    }

    /// What a connection needs, with the authorities of `ca_file` added.
    pub(crate) async fn config(&self, ca_file: Option<&str>) -> Result<Arc<ClientConfig>, Setback> {
        let Some(path) = ca_file else { return Ok(Arc::clone(&self.config)) };
        let pem = tokio::fs::read(path)
            .await
            .map_err(|error| Setback::failed(format!("could not read ca_file {path}: {error}")))?;
        let refused = |what: &str| Setback::refused(format!("ca_file {path} {what}"));
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, PemError>>()
            .map_err(|_| refused("is not in PEM form"))?;
        if certificates.is_empty() {
            return Err(refused("holds no certificate"));
        }
        let mut roots = self.roots.clone();
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| refused(&format!("holds a certificate that cannot be used: {error}")))?;
        }
        config(roots).map(Arc::new).map_err(|error| Setback::failed(format!("could not set up TLS: {error}")))
    }
}

fn config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    // The provider is named, because a process that links two has no default.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
