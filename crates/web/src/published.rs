//! The state as it was published last, and how old it is.
//!
//! A state is the present as long as entries keep being applied. When they
//! stop coming, everything made from it must say so: **a page is never green
//! for longer than [`crate::Options::stale_after`] after the last entry.** The
//! age is counted on the monotonic clock from the last entry on, so that a
//! wall clock that jumps neither greys a live page nor greens a dead one. Only
//! the first state after a start is dated by its stamp: it may come from a
//! snapshot made before a long stop.

use crate::api;
use crate::heartbeat::tokens::Tokens;
use control::State;
use model::time::Timestamp;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A published state with what belongs to it.
pub(crate) struct Published {
    pub(crate) state: State,
    /// Counts publications, from 1.
    pub(crate) generation: u64,
    /// When it was published.
    pub(crate) at: Instant,
    /// Where heartbeat tokens lead.
    pub(crate) tokens: Arc<Tokens>,
    /// Everything at a glance, made when it is first asked for: it looks at every check.
    pub(crate) overview: OnceLock<api::Status>,
    /// When the last entry was known to be applied, and how old the state was then.
    advanced: Instant,
    age_then: Duration,
}

impl Published {
    /// The state to be served after `before`.
    pub(crate) fn after(before: Option<&Self>, state: State) -> Self {
        let at = Instant::now();
        let tokens = match before {
            Some(before) if before.state.revision() == state.revision() => Arc::clone(&before.tokens),
            Some(_) | None => Arc::new(Tokens::of(&state)),
        };
        let (advanced, age_then) = match before {
            None => (at, now().since(state.now())),
            Some(before) if before.state.applied_index() < state.applied_index() => (at, Duration::ZERO),
            Some(before) => (before.advanced, before.age_then),
        };
        let generation = before.map_or(1, |before| before.generation + 1);
        Self { state, generation, at, tokens, overview: OnceLock::new(), advanced, age_then }
    }

    /// How long ago the last entry was applied.
    pub(crate) fn age(&self) -> Duration {
        self.age_then + self.advanced.elapsed()
    }
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}
