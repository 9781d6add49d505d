//! Whoever follows the log entry by entry: history, effects, pages.

use control::{Applied, State};
use model::entry::Entry;
use std::sync::Arc;

/// Follows the log. All calls come from one thread of the node's own, in the
/// order of the log.
///
/// A call may block for a short while: nothing is applied meanwhile, so
/// proposers wait, which is how a slow store slows its sources down. It must
/// not wait for something that itself waits for a proposal.
pub trait Observer: Send + 'static {
    /// An entry was applied. `state` is the state with this entry in it, which
    /// nobody else can see yet: who is woken for an entry is woken in
    /// [`Observer::published`].
    ///
    /// After a restart entries behind the snapshot are applied once more and
    /// reported once more with the same index; see [`Observer::replay_begins`].
    fn applied(&mut self, index: u64, entry: &Arc<Entry>, applied: &Applied, state: &State);

    /// What was applied since the last call is published: whoever asks the node
    /// for its state from now on gets one with all of it.
    fn published(&mut self) {}

    /// Called once while the node opens, before anything else: every entry up
    /// to and including index `upto` was in the log already, so it may have
    /// been reported to this observer's predecessor in a former process, and
    /// what it caused may have been done.
    fn replay_begins(&mut self, upto: u64) {
        let _ = upto;
    }

    /// Called while the node opens for entries that the snapshot holds, but
    /// that lie behind [`crate::Options::durable_history`]. There is no outcome to
    /// report, the machine is further already.
    fn repeated(&mut self, index: u64, entry: &Arc<Entry>) {
        let _ = (index, entry);
    }

    /// The state was replaced by a snapshot of another node, without the
    /// entries between.
    fn replaced(&mut self, state: &State) {
        let _ = state;
    }
}
