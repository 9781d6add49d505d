//! Where heartbeat tokens lead.
//!
//! Tokens are found by their SHA-256 digest: how long the search takes depends
//! on digests, which a guesser cannot steer, and not on how much of a token
//! was guessed.

use control::State;
use model::check::CheckKind;
use model::id::CheckId;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Longest token looked up, in bytes; longer ones are not ours.
const TOKEN_BYTES_MAX: usize = 256;

/// The tokens of one configuration.
pub(crate) struct Tokens(BTreeMap<[u8; 32], CheckId>);

impl Tokens {
    pub(crate) fn of(state: &State) -> Self {
        let checks = state.configuration().checks();
        let tokens = checks.filter_map(|(_, check)| match &check.kind {
            CheckKind::Heartbeat(heartbeat) => Some((Sha256::digest(&heartbeat.token).into(), check.id.clone())),
            CheckKind::Http(_)
            | CheckKind::Tcp(_)
            | CheckKind::Icmp(_)
            | CheckKind::Dns(_)
            | CheckKind::Tls(_)
            | CheckKind::Smtp(_)
            | CheckKind::Ssh(_)
            | CheckKind::Postgres(_)
            | CheckKind::Redis(_)
            | CheckKind::Plugin(_) => None,
        });
        Self(tokens.collect())
    }

    /// The check a token belongs to.
    pub(crate) fn find(&self, token: &str) -> Option<&CheckId> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        self.0.get(&digest)
    }
}
