//! The key of the cluster: what seals the authorities' private keys, which
//! travel in the log and in snapshots.
//!
//! It lies in each node's data directory and leaves it only for a node that
//! joins. So whoever has a snapshot alone, or a backup of the log, cannot sign.

use super::key::{KeyError, read_text, write_text};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use std::path::Path;

/// The file's name.
const FILE: &str = "cluster.key";
const KEY_BYTES: usize = 32;
/// The first byte of what is sealed, for a form to come.
const FORMAT: u8 = 1;
/// What is done if the file is lost or damaged.
const ADVICE: &str = "copy it from another node of this cluster, or restore it from a backup";

/// 32 random bytes that all nodes of a cluster have, and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ClusterKey([u8; KEY_BYTES]);

/// Why something sealed cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A newer program sealed it.
    #[error("it was sealed by a newer Mainstay (format {found}, this program knows {FORMAT})")]
    Newer {
        /// The format found.
        found: u8,
    },
    /// Key, sealed bytes and what they belong to do not go together.
    #[error("{FILE} does not open it: {ADVICE}")]
    Closed,
}

impl ClusterKey {
    /// Draws the key of a new cluster.
    pub(crate) fn draw() -> Self {
        Self(random())
    }

    /// From the bytes that another node sent.
    pub(crate) const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a node that joins and for nobody else.
    pub(crate) const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Reads `cluster.key`.
    ///
    /// # Errors
    /// The file is missing or damaged; the error says what to do.
    pub(crate) fn read(directory: &Path) -> Result<Self, KeyError> {
        let path = directory.join(FILE);
        let text = read_text(&path, ADVICE)?;
        let digits = text.trim_end();
        let is_right = digits.len() == 2 * KEY_BYTES && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_right {
            return Err(KeyError::Damaged { path, what: "it is not 64 hexadecimal digits", advice: ADVICE });
        }
        let mut bytes = [0; KEY_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).expect("digits are ASCII");
            *byte = u8::from_str_radix(pair, 16).expect("digits are hexadecimal");
        }
        Ok(Self(bytes))
    }

    /// Writes `cluster.key`.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), KeyError> {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        write_text(directory, FILE, &format!("{digits}\n"))
    }

    /// Seals some bytes. `context` is what they belong to; it is not hidden, and
    /// they open with no other.
    pub(crate) fn seal(&self, context: &[u8], secret: &[u8]) -> Vec<u8> {
        let mut sealed = secret.to_vec();
        let nonce =
            self.cipher().seal_in_place_append_tag(Aad::from(context), &mut sealed).expect("a key is small enough");
        let mut whole = vec![FORMAT];
        whole.extend_from_slice(nonce.as_ref());
        whole.append(&mut sealed);
        whole
    }

    /// Opens what was sealed under this key in this context.
    ///
    /// # Errors
    /// [`SealError`]: key, bytes or context are others, or a byte was changed.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (format, rest) = sealed.split_first().ok_or(SealError::Closed)?;
        if *format != FORMAT {
            return Err(SealError::Newer { found: *format });
        }
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Closed)?;
        let mut bytes = sealed.to_vec();
        let opened = self.cipher().open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut bytes);
        opened.map(|secret| secret.to_vec()).map_err(|_| SealError::Closed)
    }

    fn cipher(&self) -> RandomizedNonceKey {
        RandomizedNonceKey::new(&AES_256_GCM, &self.0).expect("the key has 32 bytes")
    }
}

impl std::fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterKey(…)")
    }
}

/// Draws random bytes from the cryptographic library.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("AWS-LC aborts rather than fail");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_key_and_context_only() {
        let key = ClusterKey::draw();
        let sealed = key.seal(b"context", b"secret");
        assert_eq!(key.open(b"context", &sealed).unwrap(), b"secret");
        assert_eq!(key.open(b"other", &sealed), Err(SealError::Closed));
        assert_eq!(ClusterKey::draw().open(b"context", &sealed), Err(SealError::Closed));
    }

    #[test]
    fn every_changed_or_missing_byte_keeps_it_closed() {
        let key = ClusterKey::draw();
        let sealed = key.seal(b"", b"secret");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 0x40;
            key.open(b"", &changed).unwrap_err();
            key.open(b"", &sealed[..at]).unwrap_err();
        }
    }

    #[test]
    fn the_same_secret_is_never_sealed_alike() {
        let key = ClusterKey::draw();
        assert_ne!(key.seal(b"", b"secret"), key.seal(b"", b"secret"));
    }

    #[test]
    fn a_newer_form_is_named_as_newer() {
        let mut sealed = ClusterKey::draw().seal(b"", b"secret");
        sealed[0] = 2;
        assert_eq!(ClusterKey::draw().open(b"", &sealed), Err(SealError::Newer { found: 2 }));
    }

    #[test]
    fn the_key_survives_its_file_and_only_whole() {
        let directory = tempfile::tempdir().unwrap();
        let key = ClusterKey::draw();
        key.write(directory.path()).unwrap();
        assert_eq!(ClusterKey::read(directory.path()).unwrap(), key);
        let path = directory.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        for wrong in [&text[..63], "", &text.replace(&text[5..6], "x"), &format!("{text}0")] {
            std::fs::write(&path, wrong).unwrap();
            let error = ClusterKey::read(directory.path()).unwrap_err().to_string();
            assert!(error.contains("cluster.key is damaged") && error.contains("another node"), "{error}");
        }
    }

    #[test]
    fn a_missing_key_says_where_to_get_it() {
        let directory = tempfile::tempdir().unwrap();
        let error = ClusterKey::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("cluster.key is missing") && error.contains("another node"), "{error}");
    }

    #[test]
    fn a_key_does_not_print() {
        assert_eq!(format!("{:?}", ClusterKey::draw()), "ClusterKey(…)");
    }
}
