//! Remembers which certificate chains were verified, because two thirds of a
//! handshake's verification is the same answer as last time.
//!
//! It is safe to remember a chain under these conditions, all of which hold here:
//!
//! 1. The key covers the server name, the leaf and every intermediate as sent,
//!    each with its length. One cache belongs to one trust store and one policy.
//! 2. The value is the span in which the result holds, tested at every use, and
//!    there is a time to live.
//! 3. The signature of the handshake is checked every time, outside of here: it
//!    proves that the peer has the key of the certificate, which is public.
//! 4. Only successes are remembered.
//! 5. No revocation data goes into a result.
//! 6. The size is bounded, and the days left are computed from the leaf anew.

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a chain counts as verified.
const TIME_TO_LIVE: Duration = Duration::from_secs(3600);
/// Chains remembered; about 100 bytes each.
const CHAINS_MAX: usize = 65_536;

/// Chains that were verified.
#[derive(Debug, Default)]
pub(super) struct ChainCache {
    chains: Mutex<HashMap<ChainKey, Held>>,
}

/// A chain with the name it was verified for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ChainKey([u8; 32]);

/// The seconds since 1970 between which every certificate of a chain is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ValidSpan {
    /// The latest beginning.
    pub(super) from: i64,
    /// The earliest end.
    pub(super) until: i64,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    span: ValidSpan,
    since: Instant,
}

impl ChainKey {
    /// The key of a chain shown for a name.
    pub(super) fn of(name: &ServerName<'_>, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Self {
        let name = name.to_str();
        let mut hash = Sha256::new();
        for part in [name.as_bytes(), leaf.as_ref()].into_iter().chain(rest.iter().map(AsRef::as_ref)) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl ChainCache {
    /// Whether the chain was verified lately and is valid at this time.
    pub(super) fn holds(&self, key: &ChainKey, now: UnixTime) -> bool {
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = chains.get(key) else { return false };
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if held.since.elapsed() < TIME_TO_LIVE && held.span.from <= now && now <= held.span.until {
            return true;
        }
        chains.remove(key);
        false
    }

    /// Remembers a chain that was just verified.
    pub(super) fn remember(&self, key: ChainKey, span: ValidSpan) {
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if chains.len() >= CHAINS_MAX && !chains.contains_key(&key) {
            chains.retain(|_, held| held.since.elapsed() < TIME_TO_LIVE);
            if chains.len() >= CHAINS_MAX {
                // All are fresh: any of them will do, the next round verifies it again.
                let any = chains.keys().next().copied();
                any.map(|any| chains.remove(&any));
            }
        }
        chains.insert(key, Held { span, since: Instant::now() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, leaf: &[u8], rest: &[&[u8]]) -> ChainKey {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let rest: Vec<_> = rest.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        ChainKey::of(&name, &CertificateDer::from(leaf.to_vec()), &rest)
    }

    #[test]
    fn the_key_covers_the_name_and_every_certificate_apart() {
        let base = key("a.example", b"leaf", &[b"one", b"two"]);
        assert_eq!(base, key("a.example", b"leaf", &[b"one", b"two"]));
        for other in [
            key("b.example", b"leaf", &[b"one", b"two"]),
            key("a.example", b"leafo", &[b"ne", b"two"]),
            key("a.example", b"leaf", &[b"onetwo"]),
            key("a.example", b"leaf", &[b"two", b"one"]),
            key("a.example", b"leaf", &[b"one"]),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_chain_holds_only_while_it_is_valid() {
        let cache = ChainCache::default();
        let key = key("a.example", b"leaf", &[]);
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        assert!(!cache.holds(&key, at(150)));
        for (now, expected) in [(99, false), (100, true), (200, true), (201, false)] {
            cache.remember(key, ValidSpan { from: 100, until: 200 });
            assert_eq!(cache.holds(&key, at(now)), expected, "{now}");
        }
    }

    #[test]
    fn the_number_of_chains_is_bounded() {
        let cache = ChainCache::default();
        for number in 0..CHAINS_MAX + 10 {
            let mut raw = [0; 32];
            raw[..8].copy_from_slice(&number.to_be_bytes());
            cache.remember(ChainKey(raw), ValidSpan { from: 0, until: i64::MAX });
        }
        assert_eq!(cache.chains.lock().map(|chains| chains.len()).ok(), Some(CHAINS_MAX));
    }
}
