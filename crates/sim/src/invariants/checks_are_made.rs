//! While a node of a place is well, every check of that place is made by some
//! node there, with no longer pause than its interval and the time a take-over
//! takes; and while nothing changes, by no two nodes for long. A witness makes none.

use super::Moment;
use crate::world::World;
use control::Effect;
use model::check::{Check, CheckKind};
use model::id::{CheckSlot, LocationId};
use model::member::{NodeId, Role};
use model::service::Service;
use std::collections::{BTreeMap, BTreeSet};

/// How long a take-over may take beyond the interval: a leader is elected, it
/// misses a node for seconds, and a clock that was set back has to catch up.
const TAKEN_OVER_MS: u64 = 45_000;
/// How often it is looked at.
const LOOKED_EVERY_MS: u64 = 5_000;

/// Where a check is made.
pub(super) type Place = (CheckSlot, LocationId);

#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// When each node made its last round of a check from a place.
    rounds: BTreeMap<Place, BTreeMap<NodeId, u64>>,
    /// Since when a check is to be made from a place as it is defined.
    wanted: BTreeMap<Place, (Check, u64)>,
    /// Since when each node is well and together with the others.
    well: BTreeMap<NodeId, u64>,
    /// When the checks were shared out last.
    shared_ms: u64,
}

impl Watch {
    pub(crate) fn round(&mut self, node: NodeId, slot: CheckSlot, location: &LocationId, now_ms: u64) {
        self.rounds.entry((slot, location.clone())).or_default().insert(node, now_ms);
    }

    pub(super) fn entry(&mut self, moment: &Moment<'_>) {
        if !moment.applied.effects.contains(&Effect::Reconfigure) {
            return;
        }
        self.shared_ms = moment.now_ms;
        let mut before = std::mem::take(&mut self.wanted);
        for slot in moment.state.slots() {
            let Some((_, check)) = moment.state.target(slot).filter(|target| is_made(*target)) else { continue };
            for location in &check.from {
                let place = (slot, location.clone());
                let known = before.remove(&place).filter(|(known, _)| known == check);
                self.wanted.insert(place, known.unwrap_or_else(|| (check.clone(), moment.now_ms)));
            }
        }
    }

    pub(super) fn second(&mut self, world: &World, now_ms: u64) -> Result<(), String> {
        let well = world.well_nodes();
        self.well.retain(|node, _| well.contains(node));
        for node in well {
            self.well.entry(node).or_insert(now_ms);
        }
        if !(now_ms / 1_000 * 1_000).is_multiple_of(LOOKED_EVERY_MS) {
            return Ok(());
        }
        let nodes: BTreeMap<NodeId, (&LocationId, Role)> =
            world.nodes.values().map(|node| (node.id, (&node.location, node.role))).collect();
        for (place, (check, since_ms)) in &self.wanted {
            let makers = self.well.iter().filter(|(node, _)| {
                nodes.get(node).is_some_and(|(location, role)| **location == place.1 && *role == Role::Full)
            });
            self.look(place, check, *since_ms, makers, now_ms)?;
        }
        let witnesses: BTreeSet<NodeId> =
            world.nodes.values().filter(|node| node.role == Role::Witness).map(|node| node.id).collect();
        match self.rounds.values().flat_map(BTreeMap::keys).find(|node| witnesses.contains(node)) {
            Some(witness) => Err(format!("witness {witness} has made a check")),
            None => Ok(()),
        }
    }

    /// Whether a check was to be made from a place for so long as it is defined.
    pub(super) fn is_wanted_for(&self, place: &Place, for_ms: u64, now_ms: u64) -> bool {
        self.wanted.get(place).is_some_and(|(_, since_ms)| now_ms >= since_ms + for_ms)
    }

    /// The nodes that have been well for so long.
    pub(super) fn well_for(&self, for_ms: u64, now_ms: u64) -> impl Iterator<Item = &NodeId> {
        self.well.iter().filter(move |(_, since_ms)| now_ms >= **since_ms + for_ms).map(|(node, _)| node)
    }

    fn look<'a>(
        &self,
        place: &Place,
        check: &Check,
        since_ms: u64,
        makers: impl Iterator<Item = (&'a NodeId, &'a u64)>,
        now_ms: u64,
    ) -> Result<(), String> {
        let every_ms = u64::try_from((check.every + check.timeout).as_millis()).unwrap_or(u64::MAX);
        let patience_ms = every_ms + TAKEN_OVER_MS;
        let settled: Vec<NodeId> =
            makers.filter(|(_, well_ms)| now_ms >= *well_ms + patience_ms).map(|(node, _)| *node).collect();
        if settled.is_empty() || now_ms < since_ms + patience_ms {
            return Ok(());
        }
        let rounds = self.rounds.get(place);
        let last_ms = rounds.and_then(|rounds| rounds.values().max()).copied().unwrap_or(since_ms);
        let (id, location) = (&check.id, &place.1);
        if now_ms > last_ms + patience_ms {
            let pause = (now_ms - last_ms) / 1_000;
            return Err(format!(
                "{id} was not made from {location} for {pause} s, although {settled:?} are well there"
            ));
        }
        let is_recent = |node: &&NodeId| {
            rounds.and_then(|rounds| rounds.get(node)).is_some_and(|made_ms| now_ms < made_ms + every_ms)
        };
        let made: Vec<&NodeId> = settled.iter().filter(is_recent).collect();
        if made.len() > 1 && now_ms > self.shared_ms + patience_ms + every_ms {
            return Err(format!("{id} is made from {location} by {made:?}, although nothing has changed for long"));
        }
        Ok(())
    }
}

/// Whether somebody has to make a check: heartbeats come by themselves.
const fn is_made((_, check): (&Service, &Check)) -> bool {
    !matches!(check.kind, CheckKind::Heartbeat(_))
}
