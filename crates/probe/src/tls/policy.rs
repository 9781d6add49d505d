//! Ways of trusting, each with its shared TLS configuration.

use super::verify::ChainVerifier;
use crate::PrepareError;
use model::check::Trust;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, ClientConfig, NamedGroup, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Ways of trusting that are kept although no check uses them at the moment.
const POLICIES_IDLE_MAX: usize = 64;

/// The TLS configurations of a prober by way of trusting.
pub(crate) struct Policies {
    provider: Arc<CryptoProvider>,
    system_roots: OnceLock<Arc<RootCertStore>>,
    configured: Mutex<HashMap<PolicyKey, Arc<Policy>>>,
}

/// One way of trusting.
pub(super) struct Policy {
    /// Settings without a verifier of their own; the handshake adds one.
    pub(super) config: ClientConfig,
    /// Verifies chains and remembers which held; `None` when nothing is verified.
    pub(super) verifier: Option<Arc<ChainVerifier>>,
}

/// What a check needs to speak TLS with its target.
pub(crate) struct TlsClient {
    pub(super) policy: Arc<Policy>,
    /// The name sent and verified.
    pub(super) server_name: ServerName<'static>,
    /// Days left from which an expiring certificate degrades; 0 for never.
    pub(super) days_left: u32,
}

/// What is agreed on inside the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Alpn {
    /// Nothing.
    None,
    /// HTTP/1.1; servers that speak HTTP/2 as well need to be told.
    Http1,
}

/// Files are part of the key with their state, so that a renewed one makes a
/// new policy (and with it an empty chain cache) when checks are prepared again.
#[derive(Clone, PartialEq, Eq, Hash)]
struct PolicyKey {
    verify: bool,
    alpn: Alpn,
    authorities: Option<FileState>,
    client: Option<(FileState, FileState)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct FileState {
    path: String,
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Policies {
    /// Nothing configured yet, nothing read.
    pub(crate) fn new() -> Self {
        Self { provider: Arc::new(provider()), system_roots: OnceLock::new(), configured: Mutex::default() }
    }

    /// Makes ready to speak TLS with a host: the name it is known by, and the
    /// configuration shared with all that trust alike.
    ///
    /// # Errors
    /// [`PrepareError`] for files that cannot be used or a name that cannot be sent.
    pub(crate) fn client(&self, trust: &Trust, host: &str, alpn: Alpn) -> Result<TlsClient, PrepareError> {
        let name = trust.server_name.as_deref().unwrap_or(host);
        let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        // A scope is known to this machine only and never in a certificate.
        let bare = bare.split('%').next().unwrap_or(bare);
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        let server_name =
            ServerName::try_from(bare.to_owned()).map_err(|_| PrepareError::Host { host: name.to_owned() })?;
        Ok(TlsClient { policy: self.policy(trust, alpn)?, server_name, days_left: trust.days_left })
    }

    fn policy(&self, trust: &Trust, alpn: Alpn) -> Result<Arc<Policy>, PrepareError> {
        let client = match trust.client_certificate.as_deref() {
            Some((chain, key)) => Some((FileState::of(chain)?, FileState::of(key)?)),
            None => None,
        };
        let authorities = trust.ca_file.as_deref().map(FileState::of).transpose()?;
        let key = PolicyKey { verify: trust.verify, alpn, authorities, client };
        // Held while a policy is built: a hundred thousand checks prepared at
        // once should build it once.
        let mut configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(policy) = configured.get(&key) {
            return Ok(Arc::clone(policy));
        }
        let policy = Arc::new(self.build(trust, alpn)?);
        // Checks that run rarely are prepared anew for each round and hold
        // nothing between, but their chains are to be remembered all the same.
        if configured.len() >= POLICIES_IDLE_MAX {
            configured.retain(|_, other| Arc::strong_count(other) > 1);
        }
        configured.insert(key, Arc::clone(&policy));
        Ok(policy)
    }

    fn build(&self, trust: &Trust, alpn: Alpn) -> Result<Policy, PrepareError> {
        let verifier = if trust.verify { Some(Arc::new(self.verifier(trust)?)) } else { None };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(PrepareError::Tls)?
            .with_root_certificates(RootCertStore::empty());
        let mut config = match trust.client_certificate.as_deref() {
            Some((chain, key)) => {
                builder.with_client_auth_cert(certificates(chain)?, private_key(key)?).map_err(PrepareError::Tls)?
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        config.alpn_protocols = match alpn {
            Alpn::None => Vec::new(),
            Alpn::Http1 => vec![b"http/1.1".to_vec()],
        };
        Ok(Policy { config, verifier })
    }

    fn verifier(&self, trust: &Trust) -> Result<ChainVerifier, PrepareError> {
        let system = self.system_roots.get_or_init(system_roots);
        let Some(path) = &trust.ca_file else {
            return ChainVerifier::new(Arc::clone(system), Vec::new(), &self.provider);
        };
        let listed = certificates(path)?;
        let mut roots = RootCertStore::clone(system);
        let (added, _) = roots.add_parsable_certificates(listed.iter().cloned());
        if added == 0 {
            return Err(PrepareError::Pem { path: path.clone(), what: "certificate authority" });
        }
        ChainVerifier::new(Arc::new(roots), listed, &self.provider)
    }
}

impl FileState {
    fn of(path: &str) -> Result<Self, PrepareError> {
        let metadata =
            std::fs::metadata(path).map_err(|source| PrepareError::File { path: path.to_owned(), source })?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The algorithms offered, cheapest first. A server usually takes the client's
/// first choice: AES-128 spares SHA-384, and X25519 spares the post-quantum
/// share that doubles the first message. All others stay in the list behind.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider.kx_groups.sort_by_key(|group| match group.name() {
        NamedGroup::X25519 => 0,
        NamedGroup::secp256r1 => 1,
        NamedGroup::secp384r1 => 2,
        _ => 3,
    });
    provider
}

/// The machine's certificate authorities. Single ones that cannot be read are
/// left out, as every other program on the machine does.
fn system_roots() -> Arc<RootCertStore> {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::warn!(%error, "a certificate authority of this machine cannot be used");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    Arc::new(roots)
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, PrepareError> {
    let wrong = || PrepareError::Pem { path: path.to_owned(), what: "certificate" };
    let bytes = std::fs::read(path).map_err(|source| PrepareError::File { path: path.to_owned(), source })?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|_| wrong())?;
    if found.is_empty() { Err(wrong()) } else { Ok(found) }
}

fn private_key(path: &str) -> Result<PrivateKeyDer<'static>, PrepareError> {
    let bytes = std::fs::read(path).map_err(|source| PrepareError::File { path: path.to_owned(), source })?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| PrepareError::Pem { path: path.to_owned(), what: "private key" })
}
