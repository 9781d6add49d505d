//! SHA-256, by which tokens, keys and authorities are known without being told.

use aws_lc_rs::{constant_time, digest};
use model::member::Digest;

/// Returns the SHA-256 digest of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let digest = digest::digest(&digest::SHA256, bytes);
    Digest(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// Compares in a time that tells nothing about where two digests differ.
pub(crate) fn is_same(one: &Digest, other: &Digest) -> bool {
    constant_time::verify_slices_are_equal(&one.0, &other.0).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").to_string(), expected);
    }

    #[test]
    fn digests_are_the_same_only_whole() {
        let mut other = sha256(b"abc");
        assert!(is_same(&sha256(b"abc"), &other));
        other.0[31] ^= 1;
        assert!(!is_same(&sha256(b"abc"), &other));
    }
}
