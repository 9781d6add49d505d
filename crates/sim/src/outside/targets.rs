//! What is watched, as it really is: targets that fail, limp and flap, some of
//! them only from one place, and nodes that have no way out to any of them.

use crate::random::Random;
use model::id::{CheckId, LocationId};
use model::member::NodeId;
use model::observation::Outcome;
use std::collections::{BTreeMap, BTreeSet};

/// How a target behaves for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// It works.
    Well,
    /// It does not work.
    Down,
    /// It works slowly.
    Slow,
    /// It works every other time.
    Flapping,
    /// We cannot look.
    OutOfSight,
}

/// One target.
#[derive(Debug, Clone)]
struct Target {
    mood: Mood,
    /// The only place from which it is so; from the others it works.
    only_from: Option<LocationId>,
    seconds_left: u64,
    /// How long it is so.
    seconds: u64,
}

/// All targets.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    known: BTreeMap<CheckId, Target>,
    locations: Vec<LocationId>,
    without_way_out: BTreeSet<NodeId>,
    is_mended: bool,
}

const NEW: Target = Target { mood: Mood::Well, only_from: None, seconds_left: 60, seconds: 0 };

impl Targets {
    /// The places from which targets are looked at.
    pub(crate) fn looked_at_from(&mut self, locations: Vec<LocationId>) {
        self.locations = locations;
    }

    /// Lets a second pass.
    pub(crate) fn pass(&mut self, random: &mut Random) {
        if self.is_mended {
            return;
        }
        for target in self.known.values_mut() {
            target.seconds += 1;
            target.seconds_left = target.seconds_left.saturating_sub(1);
            if target.seconds_left > 0 {
                continue;
            }
            let (mood, low, high) = match random.between(0, 100) {
                0..45 => (Mood::Well, 60, 900),
                45..75 => (Mood::Down, 5, 600),
                75..83 => (Mood::Slow, 30, 300),
                83..92 => (Mood::Flapping, 60, 600),
                _ => (Mood::OutOfSight, 30, 300),
            };
            let is_regional = random.happens(250);
            let only_from = if is_regional { random.pick(&self.locations).cloned() } else { None };
            *target = Target { mood, only_from, seconds_left: random.between(low, high), seconds: 0 };
        }
    }

    /// Makes everything work from here on.
    pub(crate) fn mend(&mut self) {
        self.is_mended = true;
        self.known.values_mut().for_each(|target| *target = NEW);
        self.without_way_out.clear();
    }

    pub(crate) fn has_way_out(&self, node: NodeId) -> bool {
        !self.without_way_out.contains(&node)
    }

    pub(crate) fn cut_way_out(&mut self, node: NodeId) {
        self.without_way_out.insert(node);
    }

    pub(crate) fn mend_ways_out(&mut self) {
        self.without_way_out.clear();
    }

    /// For how many seconds a target has not worked, from wherever one looks.
    pub(crate) fn down_for(&self, check: &CheckId) -> Option<u64> {
        let target = self.known.get(check).filter(|target| target.mood == Mood::Down && target.only_from.is_none());
        target.map(|target| target.seconds)
    }

    /// What a round sees.
    pub(crate) fn seen(&mut self, check: &CheckId, from: &LocationId, by: NodeId, random: &mut Random) -> Outcome {
        if !self.has_way_out(by) {
            return Outcome::Fail;
        }
        self.is(check, Some(from), random)
    }

    /// Whether the sender of a heartbeat does its work.
    pub(crate) fn beats(&mut self, check: &CheckId, random: &mut Random) -> bool {
        matches!(self.is(check, None, random), Outcome::Pass | Outcome::Degraded)
    }

    fn is(&mut self, check: &CheckId, from: Option<&LocationId>, random: &mut Random) -> Outcome {
        let target = self.known.entry(check.clone()).or_insert(NEW);
        let is_here = target.only_from.is_none() || target.only_from.as_ref() == from;
        match if is_here { target.mood } else { Mood::Well } {
            // A single bad round now and then, but not when all is mended for good.
            Mood::Well if !self.is_mended && random.happens(3) => Outcome::Fail,
            Mood::Well => Outcome::Pass,
            Mood::Down => Outcome::Fail,
            Mood::Slow => Outcome::Degraded,
            Mood::Flapping if random.happens(500) => Outcome::Fail,
            Mood::Flapping => Outcome::Pass,
            Mood::OutOfSight => Outcome::Own,
        }
    }
}
