//! "Is it us?": locations that are set aside, because what they see says more
//! about themselves than about what they look at.
//!
//! Two things set a location aside: none of its nodes has a way out, or most of
//! what it looked at last fails while other locations see it work. It goes on
//! looking, its readings are kept, and **it is silent in every vote** until
//! that has passed; what it held to be failing by then it has to see anew.
//!
//! For the second a location keeps how its last rounds ended, one for each of
//! the [`ROUNDS_KEPT`] checks it looked at last. So the question costs the same
//! for ten checks and for a million, and is asked only while most of them fail.
//! Nothing is concluded from a failure before another location has looked after
//! it began: when much fails at once, it may well be true.

use crate::decision::Reason;
use crate::delivery;
use crate::judge::{self, Reading, Seen};
use crate::members::MemberState;
use crate::rounds;
use crate::standing;
use crate::state::{Effect, State};
use model::check::CheckKind;
use model::id::{CheckSlot, LocationId};
use model::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

/// Checks whose last rounds at a location are kept. Of 32, a location that has
/// lost its network is found out after 17 failed rounds, in ten seconds at a
/// hundred checks a minute, while one that cannot reach a fifth of its
/// targets has more than half of them in its last 32 rounds once in 30,000 times.
const ROUNDS_KEPT: usize = 32;
/// Checks that must fail here and work elsewhere: fewer may well have something else in common.
const FAILING_MIN: u16 = 5;
/// A location is heard again when at most one in so many of its last rounds
/// still fails alone; well below the half that set it aside, so that it does not come and go.
const HEARD_AGAIN_SHARE: u16 = 4;

/// A location that is silent for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub because: Because,
}

/// Why a location is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Because {
    /// None of its nodes that are there has a way out.
    NoWayOut {
        /// What one of them tried, and what came of it.
        text: String,
    },
    /// Most of what it looked at last fails, and others see it work.
    OddOneOut {
        /// Checks that failed here and work elsewhere.
        failing: u16,
        /// Those, and the ones that worked here.
        of: u16,
    },
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWayOut { text } => write!(f, "its nodes have no way out: {text}"),
            Self::OddOneOut { failing, of } => {
                write!(f, "of the last {of} checks it made {failing} failed that other locations see working")
            }
        }
    }
}

/// How the last rounds of a location ended, one for each check, newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recent {
    rounds: VecDeque<(CheckSlot, bool)>,
    failing: u16,
}

impl Recent {
    /// Counts a round.
    pub(crate) fn count(&mut self, slot: CheckSlot, has_failed: bool) {
        let known = self.rounds.iter().position(|(known, _)| *known == slot);
        let oldest = (self.rounds.len() >= ROUNDS_KEPT).then_some(0);
        if let Some((_, had_failed)) = known.or(oldest).and_then(|at| self.rounds.remove(at)) {
            self.failing -= u16::from(had_failed);
        }
        self.rounds.push_back((slot, has_failed));
        self.failing += u16::from(has_failed);
    }

    /// How many of how many failed, if that is most of them.
    pub(crate) fn mostly_failing(&self) -> Option<(u16, u16)> {
        let of = u16::try_from(self.rounds.len()).unwrap_or(u16::MAX);
        (self.failing >= FAILING_MIN && self.failing * 2 > of).then_some((self.failing, of))
    }

    fn retain(&mut self, stays: impl Fn(CheckSlot, bool) -> bool) {
        self.rounds.retain(|(slot, has_failed)| stays(*slot, *has_failed));
        self.failing = self.rounds.iter().map(|(_, has_failed)| u16::from(*has_failed)).sum();
    }
}

/// How a location's last rounds compare with what others see.
#[derive(Debug, Default)]
struct Comparison {
    /// Failed here, and most of the others that have looked since see it work.
    alone: u16,
    /// Worked here.
    works: u16,
    /// Failed here and elsewhere.
    agrees: u16,
}

/// Looks after a batch whether a location is to be set aside or heard again.
pub(crate) fn review(state: &mut State, touched: &mut BTreeSet<u32>, effects: &mut BTreeSet<Effect>) {
    if state.configuration.locations.len() < 2 {
        return;
    }
    let is_odd = |id: &LocationId| match state.asides.get(id).map(|aside| &aside.because) {
        Some(Because::NoWayOut { .. }) => None,
        Some(Because::OddOneOut { .. }) => Some(true),
        None => state.recent.get(id)?.mostly_failing().map(|_| false),
    };
    let asked: Vec<(LocationId, bool)> = state.recent.keys().filter_map(|id| Some((id.clone(), is_odd(id)?))).collect();
    for (id, is_aside) in asked {
        let Comparison { alone, works, agrees } = compare(state, &id);
        if !is_aside && alone >= FAILING_MIN && alone > works {
            let because = Because::OddOneOut { failing: alone, of: alone + works };
            set_aside(state, &id, because, touched, effects);
        } else if is_aside && alone * HEARD_AGAIN_SHARE <= alone + works + agrees && works + agrees > 0 {
            hear_again(state, &id, touched, effects);
        }
    }
}

fn compare(state: &State, id: &LocationId) -> Comparison {
    let mut found = Comparison::default();
    let (Some(number), Some(recent)) = (state.location_number(id), state.recent.get(id)) else {
        return found;
    };
    let aside = state.aside_numbers();
    for (slot, has_failed) in &recent.rounds {
        if !has_failed {
            found.works += 1;
            continue;
        }
        let (Some((_, check)), Some(known)) = (state.target(*slot), state.check(*slot)) else {
            continue;
        };
        let is_heard = |seen: &Seen| state.now().since(seen.last) <= judge::silent_after(check);
        // What it saw before it fell silent says nothing of it now: it may be gone.
        let Some(begin) =
            known.seens.iter().find(|seen| seen.location == number && is_heard(seen)).map(|seen| seen.run_start)
        else {
            continue;
        };
        // That it worked before it began to fail here says nothing; that it failed before, something.
        let has_looked = |seen: &&Seen| {
            seen.location != number
                && !aside.contains(&seen.location)
                && (seen.fails > 0 || seen.last >= begin)
                && is_heard(seen)
        };
        let others = known.seens.iter().filter(has_looked).count();
        let fail = known.seens.iter().filter(has_looked).filter(|seen| seen.fails > 0).count();
        match others {
            // Nobody has looked since; they will.
            0 => {}
            _ if fail * 2 < others => found.alone += 1,
            _ => found.agrees += 1,
        }
    }
    found
}

/// Looks whether a location has lost its way out, or has one again, when a node
/// of it has, or has come or gone.
pub(crate) fn review_ways_out(state: &mut State, effects: &mut BTreeSet<Effect>) {
    let mut touched = BTreeSet::new();
    let configuration = Arc::clone(&state.configuration);
    for id in &configuration.locations {
        let is_cut = match state.asides.get(id).map(|aside| &aside.because) {
            Some(Because::NoWayOut { .. }) => true,
            // With its last node went who could have shown that it is over.
            Some(Because::OddOneOut { .. }) => is_deserted(state, id),
            None => false,
        };
        match (is_cut, way_out(state, id)) {
            (false, WayOut::Lost(text)) => {
                set_aside(state, id, Because::NoWayOut { text }, &mut touched, effects);
            }
            (true, WayOut::Works) => hear_again(state, id, &mut touched, effects),
            (false, WayOut::Works | WayOut::Unknown) | (true, WayOut::Lost(_) | WayOut::Unknown) => {}
        }
    }
    standing::settle(state, touched, effects);
}

enum WayOut {
    Works,
    Lost(String),
    /// Nobody is there who could tell.
    Unknown,
}

/// Whether none of the cluster's nodes that make checks stands there.
fn is_deserted(state: &State, location: &LocationId) -> bool {
    state.members().next().is_some() && standing_at(state, location).next().is_none()
}

fn standing_at<'a>(state: &'a State, location: &'a LocationId) -> impl Iterator<Item = &'a MemberState> {
    state.members().filter(move |known| known.makes_checks() && known.member.location == *location)
}

fn way_out(state: &State, location: &LocationId) -> WayOut {
    let standing = || standing_at(state, location);
    if standing().next().is_none() {
        return WayOut::Works;
    }
    let mut broken = standing().filter(|known| known.is_present).map(|known| known.egress_broken.as_ref());
    match broken.next() {
        None => WayOut::Unknown,
        Some(Some((_, text))) if broken.all(|broken| broken.is_some()) => WayOut::Lost(text.clone()),
        Some(_) => WayOut::Works,
    }
}

/// Makes what is kept fit another configuration: what is not looked at from
/// there any more says nothing, and with too little left nobody can tell whether
/// a location is the odd one out.
pub(crate) fn reconfigure(state: &mut State, effects: &mut BTreeSet<Effect>) {
    let mut recent = std::mem::take(&mut state.recent);
    recent.retain(|id, known| {
        known.retain(|slot, _| state.target(slot).is_some_and(|(_, check)| check.from.contains(id)));
        state.location_number(id).is_some()
    });
    state.recent = recent;
    let is_over = |(id, aside): &(&LocationId, &Aside)| {
        let left = state.recent.get(*id).map_or(0, |known| known.rounds.len());
        let is_odd = match aside.because {
            Because::NoWayOut { .. } => false,
            Because::OddOneOut { .. } => true,
        };
        state.location_number(id).is_none() || (is_odd && left < usize::from(FAILING_MIN))
    };
    let over: Vec<LocationId> = state.asides.iter().filter(is_over).map(|(id, _)| id.clone()).collect();
    for id in over {
        hear_again(state, &id, &mut BTreeSet::new(), effects);
    }
}

fn set_aside(
    state: &mut State,
    id: &LocationId,
    because: Because,
    touched: &mut BTreeSet<u32>,
    effects: &mut BTreeSet<Effect>,
) {
    let since = state.asides.get(id).map_or(state.now(), |aside| aside.since);
    state.decide(None, None, Reason::SetAside { location: id.clone(), because: because.clone() });
    // Of a node without a way out its owners hear for itself.
    if let Because::OddOneOut { .. } = because {
        let title = format!("Location {id} is set aside");
        let text = format!(
            "Location {id} is not heard at the moment: {because}. So it is probably {id} itself, its network or its power. What it sees does not count until most of it works again; the other locations decide meanwhile."
        );
        delivery::tell_own(state, &subject(id), &title, &text, true, effects);
    }
    state.asides.insert(id.clone(), Aside { since, because });
    revote(state, id, touched, false);
    effects.insert(Effect::Publish);
}

fn hear_again(state: &mut State, id: &LocationId, touched: &mut BTreeSet<u32>, effects: &mut BTreeSet<Effect>) {
    let Some(Aside { since, .. }) = state.asides.remove(id) else {
        return;
    };
    state.decide(None, None, Reason::HeardAgain { location: id.clone(), since });
    if state.is_raised(&subject(id)) {
        let title = format!("Location {id} is heard again");
        let text = format!("What {id} sees counts again. It had been set aside since {since}.");
        delivery::tell_own(state, &subject(id), &title, &text, false, effects);
    }
    if let Some(recent) = state.recent.get_mut(id) {
        recent.retain(|_, has_failed| !has_failed);
    }
    revote(state, id, touched, true);
    effects.insert(Effect::Publish);
}

/// Takes the vote on every check that the location has looked at. All checks
/// are gone through for it, which happens only when a location comes or goes.
fn revote(state: &mut State, id: &LocationId, touched: &mut BTreeSet<u32>, forget_failures: bool) {
    let Some(number) = state.location_number(id) else {
        return;
    };
    let configuration = Arc::clone(&state.configuration);
    let index = Arc::clone(&state.index);
    for slot in state.slots().collect::<Vec<_>>() {
        let Some((service, position)) = index.targets.get(slot.0 as usize).copied().flatten() else {
            continue;
        };
        let owner = &configuration.services[service as usize];
        let check = &owner.checks[position as usize];
        // A heartbeat comes by itself: where it came in says nothing about it.
        if matches!(check.kind, CheckKind::Heartbeat(_)) {
            continue;
        }
        let seen = state.check(slot).and_then(|known| known.seens.iter().find(|seen| seen.location == number));
        let Some(seen) = seen.copied() else {
            continue;
        };
        if forget_failures
            && (seen.fails > 0 || seen.reading == Reading::Failing)
            && let Some(known) = state.checks.get_mut(slot.0 as usize)
        {
            known.seens.retain(|seen| seen.location != number);
        }
        if rounds::conclude(state, owner, check, slot) {
            touched.insert(service);
        }
    }
}

/// The name under which it is raised that a location is the odd one out.
fn subject(location: &LocationId) -> String {
    format!("location-{location}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_counts_once_among_the_last_rounds() {
        let mut recent = Recent::default();
        (0..100).for_each(|_| recent.count(CheckSlot(1), true));
        assert_eq!((recent.rounds.len(), recent.failing, recent.mostly_failing()), (1, 1, None));
        (2..=5).for_each(|slot| recent.count(CheckSlot(slot), true));
        assert_eq!(recent.mostly_failing(), Some((5, 5)));
        (6..=10).for_each(|slot| recent.count(CheckSlot(slot), false));
        assert_eq!(recent.mostly_failing(), None, "half is not most");
        (100..200).for_each(|slot| recent.count(CheckSlot(slot), false));
        assert_eq!((recent.rounds.len(), recent.failing), (ROUNDS_KEPT, 0));
    }
}
