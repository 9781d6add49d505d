//! A node's private key and the certificate for it, in memory and in the data
//! directory.
//!
//! The key is drawn once, where it is used, and never leaves the directory:
//! what travels is a signing request. The certificate is replaced whenever it
//! is renewed; **the key stays, since the cluster knows a member by it.**

use super::authority::{self, AuthorityError};
use super::digest::sha256;
use crate::files;
use crate::types::NodeId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::member::Digest;
use model::time::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const KEY_FILE: &str = "node.key";
const CERTIFICATE_FILE: &str = "node.crt";
/// What is done if one of the two is lost or damaged.
const ADVICE: &str = "restore it from a backup of this node, or replace the node: invite a new one, join with it from \
                      an empty directory, and remove this one";
/// Bytes of any of the files; larger is not ours.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Base64 digits in a line of PEM (RFC 7468, section 2).
const PEM_WIDTH: usize = 64;

/// A private key on the curve P-256, as PKCS#8.
pub(crate) struct PrivateKey(PrivatePkcs8KeyDer<'static>);

/// A private key with the chain of certificates that vouches for it.
#[derive(Clone)]
pub(crate) struct NodeKey {
    certified: Arc<CertifiedKey>,
    node: NodeId,
    from: Timestamp,
    until: Timestamp,
}

/// Why a key or a certificate in the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or written.
    #[error("cannot use {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not there, although the node has others that need it.
    #[error("{path} is missing: {advice}")]
    Missing {
        /// Which file.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
    },
    /// The file holds something else.
    #[error("{path} is damaged ({what}): {advice}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Key and certificate do not belong together.
    #[error("the certificate is not for this node's private key")]
    Mismatch(#[source] rustls::Error),
    /// The certificate is not one of ours.
    #[error("the certificate cannot be used")]
    Certificate(#[source] AuthorityError),
}

impl PrivateKey {
    /// Draws a key.
    pub(crate) fn draw() -> Self {
        let pair = KeyPair::generate().expect("a key needs only randomness");
        Self::from_der(pair.serialized_der())
    }

    pub(super) fn from_der(der: &[u8]) -> Self {
        Self(PrivatePkcs8KeyDer::from(der.to_vec()))
    }

    /// Reads `node.key`.
    ///
    /// # Errors
    /// The file is missing or damaged; the error says what to do.
    pub(crate) fn read(directory: &Path) -> Result<Self, KeyError> {
        let path = directory.join(KEY_FILE);
        let text = read_text(&path, ADVICE)?;
        let damaged = |what| KeyError::Damaged { path: path.clone(), what, advice: ADVICE };
        let key =
            PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| damaged("it holds no private key"))?;
        let key = Self::from_der(key.secret_pkcs8_der());
        key.pair().map_err(|_| damaged("its private key is none on the curve P-256"))?;
        Ok(key)
    }

    /// Writes `node.key`.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), KeyError> {
        write_text(directory, KEY_FILE, &pem("PRIVATE KEY", self.der()))
    }

    /// Returns the digest of the public key, by which the cluster knows a member.
    pub(crate) fn digest(&self) -> Digest {
        sha256(&self.pair().expect("checked when read").subject_public_key_info())
    }

    /// Makes a signing request (PKCS#10, DER). It names nobody: who a
    /// certificate is for is decided by whoever signs it.
    pub(crate) fn signing_request(&self) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let pair = self.pair().expect("checked when read");
        params.serialize_request(&pair).expect("the request holds nothing unusual").der().to_vec()
    }

    pub(super) fn pair(&self) -> Result<KeyPair, rcgen::Error> {
        KeyPair::from_pkcs8_der_and_sign_algo(&self.0, &PKCS_ECDSA_P256_SHA256)
    }

    pub(super) fn der(&self) -> &[u8] {
        self.0.secret_pkcs8_der()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl NodeKey {
    /// Joins a key with its chain: its own certificate first, then the
    /// authority's, without which a joining node could not know the authority.
    ///
    /// # Errors
    /// The certificate is for another key, or none of ours.
    pub(crate) fn new(key: &PrivateKey, chain: Vec<CertificateDer<'static>>) -> Result<Self, KeyError> {
        let provider = super::tls::provider();
        let certified = CertifiedKey::from_der(chain, PrivateKeyDer::Pkcs8(key.0.clone_key()), &provider)
            .map_err(KeyError::Mismatch)?;
        let leaf = certified.end_entity_cert().map_err(KeyError::Mismatch)?;
        let node = super::verify::node_of(leaf).ok_or(KeyError::Certificate(AuthorityError::Certificate))?;
        let (from, until) = authority::validity(leaf).map_err(KeyError::Certificate)?;
        Ok(Self { certified: Arc::new(certified), node, from, until })
    }

    /// Reads `node.key` and `node.crt`.
    ///
    /// # Errors
    /// A file is missing or damaged, or they do not belong together.
    pub(crate) fn read(directory: &Path) -> Result<Self, KeyError> {
        let key = PrivateKey::read(directory)?;
        let path = directory.join(CERTIFICATE_FILE);
        let text = read_text(&path, ADVICE)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        match chain {
            Ok(chain) if !chain.is_empty() => Self::new(&key, chain),
            _ => Err(KeyError::Damaged { path, what: "it holds no certificates", advice: ADVICE }),
        }
    }

    /// Writes `node.crt`; the private key stays as it is.
    pub(crate) fn write_certificates(&self, directory: &Path) -> Result<(), KeyError> {
        let text: String = self.certified.cert.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect();
        write_text(directory, CERTIFICATE_FILE, &text)
    }

    /// The node that the certificate names.
    pub(crate) const fn node(&self) -> NodeId {
        self.node
    }

    /// Returns the digest of the authority's certificate, which a ticket names.
    /// `None` if the chain does not hold it.
    pub(crate) fn authority(&self) -> Option<Digest> {
        self.certified.cert.get(1..)?.last().map(|certificate| sha256(certificate))
    }

    /// From when on another certificate should be asked for: half of its time,
    /// so that there is as much left to try.
    pub(crate) fn renewal(&self) -> Timestamp {
        self.from.plus(self.until.since(self.from) / 2)
    }

    /// When the certificate ends.
    pub(crate) const fn until(&self) -> Timestamp {
        self.until
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.node)
    }
}

/// Reads a small text file that only its owner may read; one that others may
/// read is made private, which is what it was when it was written.
pub(super) fn read_text(path: &Path, advice: &'static str) -> Result<String, KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), source };
    let facts = match std::fs::metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyError::Missing { path: path.to_owned(), advice });
        }
        Err(error) => return Err(failed(error)),
    };
    let damaged = |what| KeyError::Damaged { path: path.to_owned(), what, advice };
    if facts.len() > FILE_BYTES_MAX {
        return Err(damaged("it is too large"));
    }
    if facts.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others could read this file; it is made private");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| damaged("it is not text"))
}

/// Replaces such a file as a whole.
pub(super) fn write_text(directory: &Path, name: &str, text: &str) -> Result<(), KeyError> {
    files::replace(directory, name, text.as_bytes())
        .map_err(|source| KeyError::File { path: directory.join(name), source })
}

fn pem(label: &str, der: &[u8]) -> String {
    let digits = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in digits.as_bytes().chunks(PEM_WIDTH) {
        text.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ClusterKey;

    #[test]
    fn key_and_certificate_survive_their_files() {
        let (directory, key, node_key) = written();
        assert_eq!(PrivateKey::read(directory.path()).unwrap().digest(), key.digest());
        let read = NodeKey::read(directory.path()).unwrap();
        assert_eq!(read.node(), 7);
        assert_eq!(read.authority(), node_key.authority());
        assert!(read.authority().is_some());
    }

    #[test]
    fn renewal_is_due_after_half_of_the_time() {
        let (_directory, _, key) = written();
        let half = key.until().since(key.renewal()).as_secs();
        assert!(half.abs_diff(183 * 86_400) < 86_400, "{half}");
    }

    #[test]
    fn files_are_private_and_become_private_again() {
        let (directory, _, _) = written();
        for name in [KEY_FILE, CERTIFICATE_FILE] {
            let path = directory.path().join(name);
            let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(), 0o600);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            NodeKey::read(directory.path()).unwrap();
            assert_eq!(mode(), 0o600);
        }
    }

    #[test]
    fn a_certificate_for_another_key_is_refused() {
        let (directory, _, _) = written();
        PrivateKey::draw().write(directory.path()).unwrap();
        let error = NodeKey::read(directory.path()).unwrap_err();
        assert!(matches!(error, KeyError::Mismatch(_)), "{error}");
    }

    #[test]
    fn missing_and_damaged_files_say_which_and_what_to_do() {
        for name in [KEY_FILE, CERTIFICATE_FILE] {
            let (directory, _, _) = written();
            let path = directory.path().join(name);
            std::fs::write(&path, "something else").unwrap();
            let error = NodeKey::read(directory.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("{name} is damaged")) && error.contains("replace the node"), "{error}");
            std::fs::write(&path, [0xff; 10]).unwrap();
            NodeKey::read(directory.path()).unwrap_err();
            std::fs::write(&path, vec![b' '; 100 << 10]).unwrap();
            NodeKey::read(directory.path()).unwrap_err();
            std::fs::remove_file(&path).unwrap();
            let error = NodeKey::read(directory.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("{name} is missing")) && error.contains("replace the node"), "{error}");
        }
    }

    #[test]
    fn keys_do_not_print() {
        let (_directory, key, node_key) = written();
        assert_eq!(format!("{key:?} {node_key:?}"), "PrivateKey(…) NodeKey(7)");
    }

    fn written() -> (tempfile::TempDir, PrivateKey, NodeKey) {
        let directory = tempfile::tempdir().unwrap();
        let (cluster, at) = (ClusterKey::draw(), Timestamp::from_ms(1_800_000_000_000));
        let authority = authority::found(&cluster, at);
        let key = PrivateKey::draw();
        let signed = authority::sign(&authority, &cluster, &key.signing_request(), 7, at).unwrap();
        let node_key = NodeKey::new(&key, signed.chain).unwrap();
        key.write(directory.path()).unwrap();
        node_key.write_certificates(directory.path()).unwrap();
        (directory, key, node_key)
    }
}
