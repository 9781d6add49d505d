//! A key exchange as far as the host key and the proof that the server has it.
//!
//! Pure bytes in, facts out. What is agreed on for encryption is never used:
//! the connection is given up after the server's half of the exchange.

use super::wire::{Fields, KEX_ECDH_INIT, KEX_ECDH_REPLY, KEXINIT, WireError, put_number, put_string};
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey as PeerKey, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// Families of host keys; a server has at most one key of each, and the first
/// one that it has is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyFamily {
    /// Ed25519.
    Ed25519,
    /// ECDSA on the NIST curves.
    Ecdsa,
    /// RSA, with SHA-2 or on old devices SHA-1.
    Rsa,
}

impl KeyFamily {
    /// All, in the order servers prefer them.
    pub(super) const ALL: [Self; 3] = [Self::Ed25519, Self::Ecdsa, Self::Rsa];

    const fn algorithms(self) -> &'static [&'static str] {
        match self {
            Self::Ed25519 => &["ssh-ed25519"],
            Self::Ecdsa => &["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"],
            Self::Rsa => &["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"],
        }
    }
}

const EXCHANGES: [(&str, &agreement::Algorithm); 5] = [
    ("curve25519-sha256", &agreement::X25519),
    ("curve25519-sha256@libssh.org", &agreement::X25519),
    ("ecdh-sha2-nistp256", &agreement::ECDH_P256),
    ("ecdh-sha2-nistp384", &agreement::ECDH_P384),
    ("ecdh-sha2-nistp521", &agreement::ECDH_P521),
];
// Offered because a server refuses to go on without one in common; never used.
const CIPHERS: &str = "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,\
                       aes256-gcm@openssh.com,aes128-cbc,aes256-cbc,3des-cbc";
const MACS: &str = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,umac-128-etm@openssh.com,\
                    hmac-sha2-256,hmac-sha2-512,hmac-sha1";

/// Why no host key was obtained.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExchangeError {
    /// The bytes are wrong.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The server can do none of what we can.
    #[error("it offers none of the {0} this prober knows ({1})")]
    NothingInCommon(&'static str, String),
    /// Its half of the exchange is not a point of the curve.
    #[error("its half of the key exchange is not valid")]
    Agreement,
    /// The signature does not prove possession of the key shown.
    #[error("it cannot prove that it has the host key it shows")]
    Signature,
    /// Our own random source or key generation failed.
    #[error("keys cannot be generated on this machine")]
    Own,
}

/// What the server's first packet says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerOffer {
    payload: Vec<u8>,
    exchanges: Vec<String>,
    host_keys: Vec<String>,
    guess_follows: bool,
}

impl ServerOffer {
    /// Reads a KEXINIT payload.
    pub(super) fn read(payload: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::of(payload);
        if fields.byte()? != KEXINIT {
            return Err(WireError);
        }
        fields.take(16)?;
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let (exchanges, host_keys) = (list(fields.text()?), list(fields.text()?));
        for _ in 0..8 {
            fields.string()?;
        }
        let guess_follows = fields.byte()? != 0;
        Ok(Self { payload: payload.to_vec(), exchanges, host_keys, guess_follows })
    }

    /// Whether the server has a key of a family.
    pub(super) fn has(&self, family: KeyFamily) -> bool {
        family.algorithms().iter().any(|algorithm| self.host_keys.iter().any(|offered| offered == algorithm))
    }
}

/// Our half of an exchange.
pub(super) struct Exchange {
    our_banner: String,
    their_banner: String,
    our_offer: Vec<u8>,
    their_offer: ServerOffer,
    name: &'static str,
    private: EphemeralPrivateKey,
    public: Vec<u8>,
    /// Whether the server's next packet was sent on a wrong guess and must be dropped.
    pub(super) drop_next: bool,
}

/// A host key, shown and proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostKey {
    /// Its kind, as in `ssh-ed25519`.
    pub kind: String,
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}

/// Our first packet, asking for keys of some families, most wanted first.
pub(super) fn our_offer(families: &[KeyFamily]) -> Result<Vec<u8>, ExchangeError> {
    let mut out = vec![KEXINIT];
    let mut cookie = [0u8; 16];
    aws_lc_rs::rand::fill(&mut cookie).map_err(|_| ExchangeError::Own)?;
    out.extend_from_slice(&cookie);
    let exchanges: Vec<&str> = EXCHANGES.iter().map(|(name, _)| *name).collect();
    let host_keys: Vec<&str> = families.iter().flat_map(|family| family.algorithms()).copied().collect();
    let (exchanges, host_keys) = (exchanges.join(","), host_keys.join(","));
    for list in [exchanges.as_str(), &host_keys, CIPHERS, CIPHERS, MACS, MACS, "none", "none", "", ""] {
        put_string(&mut out, list.as_bytes());
    }
    out.extend_from_slice(&[0; 5]);
    Ok(out)
}

impl Exchange {
    /// Agrees on a way and makes our half of the exchange.
    pub(super) fn begin(
        our_banner: &str,
        their_banner: &str,
        our_offer: Vec<u8>,
        their_offer: ServerOffer,
        families: &[KeyFamily],
    ) -> Result<Self, ExchangeError> {
        let nothing = |what, theirs: &[String]| ExchangeError::NothingInCommon(what, theirs.join(", "));
        let (name, algorithm) = EXCHANGES
            .iter()
            .find(|(name, _)| their_offer.exchanges.iter().any(|theirs| theirs == name))
            .ok_or_else(|| nothing("key exchanges", &their_offer.exchanges))?;
        if !families.iter().any(|family| their_offer.has(*family)) {
            return Err(nothing("host key algorithms", &their_offer.host_keys));
        }
        let private = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).map_err(|_| ExchangeError::Own)?;
        let public = private.compute_public_key().map_err(|_| ExchangeError::Own)?.as_ref().to_vec();
        // A guess is right only if both sides like the same things best (RFC 4253 section 7).
        let best = families.first().and_then(|family| family.algorithms().first());
        let guessed_right = their_offer.exchanges.first().map(String::as_str) == Some(EXCHANGES[0].0)
            && their_offer.host_keys.first().map(String::as_str) == best.copied();
        let drop_next = their_offer.guess_follows && !guessed_right;
        let (our_banner, their_banner) = (our_banner.to_owned(), their_banner.to_owned());
        Ok(Self { our_banner, their_banner, our_offer, their_offer, name, private, public, drop_next })
    }

    /// The payload that opens the exchange.
    pub(super) fn opening(&self) -> Vec<u8> {
        let mut out = vec![KEX_ECDH_INIT];
        put_string(&mut out, &self.public);
        out
    }

    /// Reads the server's half and verifies its signature over all that was said.
    pub(super) fn end(self, reply: &[u8]) -> Result<HostKey, ExchangeError> {
        let mut fields = Fields::of(reply);
        if fields.byte()? != KEX_ECDH_REPLY {
            return Err(WireError.into());
        }
        let (key, theirs, signed) = (fields.string()?, fields.string()?, fields.string()?);
        let algorithm = EXCHANGES.iter().find(|(name, _)| *name == self.name).expect("chosen from this list").1;
        let mut said = Vec::new();
        for part in
            [self.our_banner.as_bytes(), self.their_banner.as_bytes(), &self.our_offer, &self.their_offer.payload]
        {
            put_string(&mut said, part);
        }
        put_string(&mut said, key);
        put_string(&mut said, &self.public);
        put_string(&mut said, theirs);
        agree_ephemeral(self.private, PeerKey::new(algorithm, theirs), ExchangeError::Agreement, |shared| {
            put_number(&mut said, shared);
            Ok(())
        })?;
        let hash = match self.name {
            "ecdh-sha2-nistp384" => Sha384::digest(&said).to_vec(),
            "ecdh-sha2-nistp521" => Sha512::digest(&said).to_vec(),
            _ => Sha256::digest(&said).to_vec(),
        };
        verify(key, signed, &hash)?;
        let kind = Fields::of(key).text()?.to_owned();
        Ok(HostKey { kind, fingerprint: format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key))) })
    }
}

/// Verifies a signature blob of RFC 4253 section 6.6 with a key blob.
fn verify(key: &[u8], signed: &[u8], hash: &[u8]) -> Result<(), ExchangeError> {
    let mut key = Fields::of(key);
    let kind = key.text()?;
    let mut signed = Fields::of(signed);
    let (algorithm, blob) = (signed.text()?, signed.string()?);
    let result = match (kind, algorithm) {
        ("ssh-ed25519", "ssh-ed25519") => UnparsedPublicKey::new(&signature::ED25519, key.string()?).verify(hash, blob),
        ("ssh-rsa", "rsa-sha2-512" | "rsa-sha2-256" | "ssh-rsa") => {
            let (e, n) = (key.number()?, key.number()?);
            let parameters = match algorithm {
                "rsa-sha2-512" => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
                "rsa-sha2-256" => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
                _ => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            };
            RsaPublicKeyComponents { n, e }.verify(parameters, hash, blob)
        }
        _ if kind == algorithm => {
            let (parameters, width): (&'static dyn signature::VerificationAlgorithm, usize) = match kind {
                "ecdsa-sha2-nistp256" => (&signature::ECDSA_P256_SHA256_FIXED, 32),
                "ecdsa-sha2-nistp384" => (&signature::ECDSA_P384_SHA384_FIXED, 48),
                "ecdsa-sha2-nistp521" => (&signature::ECDSA_P521_SHA512_FIXED, 66),
                _ => return Err(ExchangeError::Signature),
            };
            key.string()?;
            let point = key.string()?;
            let mut numbers = Fields::of(blob);
            let fixed = [padded(numbers.number()?, width)?, padded(numbers.number()?, width)?].concat();
            UnparsedPublicKey::new(parameters, point).verify(hash, &fixed)
        }
        _ => return Err(ExchangeError::Signature),
    };
    result.map_err(|_| ExchangeError::Signature)
}

fn padded(number: &[u8], width: usize) -> Result<Vec<u8>, WireError> {
    let missing = width.checked_sub(number.len()).ok_or(WireError)?;
    Ok([vec![0; missing], number.to_vec()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn our_own_offer_is_read_back_as_a_servers() {
        let offer = ServerOffer::read(&our_offer(&KeyFamily::ALL).unwrap()).unwrap();
        assert!(KeyFamily::ALL.iter().all(|family| offer.has(*family)));
        assert_eq!(offer.exchanges.first().map(String::as_str), Some("curve25519-sha256"));
        let only_rsa = ServerOffer::read(&our_offer(&[KeyFamily::Rsa]).unwrap()).unwrap();
        assert!(only_rsa.has(KeyFamily::Rsa) && !only_rsa.has(KeyFamily::Ed25519));
    }

    #[test]
    fn a_server_with_nothing_in_common_is_named_as_such() {
        let families = [KeyFamily::Ed25519];
        let theirs = ServerOffer::read(&our_offer(&[KeyFamily::Rsa]).unwrap()).unwrap();
        let begun = Exchange::begin("a", "b", our_offer(&families).unwrap(), theirs, &families);
        assert!(matches!(begun, Err(ExchangeError::NothingInCommon("host key algorithms", _))));
    }

    proptest! {
        #[test]
        fn no_reply_breaks_the_exchange(reply in prop::collection::vec(any::<u8>(), 0..120)) {
            let theirs = ServerOffer::read(&our_offer(&KeyFamily::ALL).unwrap()).unwrap();
            let ours = our_offer(&KeyFamily::ALL).unwrap();
            let exchange = Exchange::begin("a", "b", ours, theirs, &KeyFamily::ALL).unwrap();
            prop_assert!(exchange.end(&[&[KEX_ECDH_REPLY][..], &reply].concat()).is_err());
        }

        #[test]
        fn no_offer_breaks_the_reader(payload in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = ServerOffer::read(&[&[KEXINIT][..], &payload].concat());
        }
    }
}
