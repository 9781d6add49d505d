//! A state that another cluster begins with: what a restored backup becomes.
//!
//! What was watched, concluded and told stays. What belongs to the nodes of
//! the cluster it came from goes: they may live, and must not be taken for
//! nodes of the new one. **What was to be sent when the backup was made is not
//! sent**, unless somebody asks for it: nobody is woken for last week.
//!
//! This is the one other way to a state than [`State::apply`], and like there
//! the result follows from what is given alone.

use super::State;
use crate::decision::Reason;
use crate::delivery;
use crate::members::Sources;
use std::sync::Arc;

/// Whence a state comes, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct Transplant<'a> {
    /// Name of the cluster it comes from.
    pub from: &'a str,
    /// Who transplants it.
    pub actor: &'a str,
    /// What becomes of messages that were to be sent yet.
    pub unsent: Unsent,
}

/// What becomes of messages that were to be sent yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// They are given up, with the reason.
    GivenUp,
    /// They are sent, and said to be possibly double.
    Sent,
}

impl State {
    /// The state with which a new cluster goes on where this one was.
    #[must_use]
    pub fn transplanted(&self, how: &Transplant<'_>) -> Self {
        let mut state = self.clone();
        state.membership = Arc::default();
        state.sources = Sources::default();
        // Whether a location has a way out its new nodes will tell.
        state.asides.clear();
        state.recent.clear();
        state.uploads = Arc::default();
        state.conditions.clear();
        // Alarms about nodes can only be ended by these nodes; those about receivers end here too.
        state
            .own_raised
            .retain(|subject, _| subject.starts_with(delivery::UNREACHABLE_PREFIX) || subject == delivery::TOO_MANY);
        let unsent = match how.unsent {
            Unsent::GivenUp => {
                let reason = "it was still to be sent when the backup was made that this cluster was restored from";
                format!(
                    "{} messages that were still to be sent are given up",
                    delivery::give_up_all(&mut state, reason)
                )
            }
            Unsent::Sent => {
                delivery::doubt_all(&mut state);
                format!("{} messages that were still to be sent are sent", state.deliveries_open)
            }
        };
        let what = format!("restore the state of {}, from cluster {}; {unsent}", state.now(), how.from);
        state.decide(None, None, Reason::Commanded { actor: how.actor.to_owned(), what });
        state
    }
}
