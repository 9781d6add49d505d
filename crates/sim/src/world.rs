//! A run: a cluster is founded, lives through bad weather, and is left alone
//! until it has settled.

use crate::faults::Mending;
use crate::log;
use crate::node::Node;
use crate::outside::trace::Trace;
use crate::outside::{Event, Outside};
use crate::people::{Deed, Join, People, changes};
use crate::plan::Plan;
use crate::random::Random;
use crate::record::Story;
use crate::{Violation, invariants};
use control::State;
use model::check::CheckKind;
use model::id::LocationId;
use model::member::{NodeId, Role};
use model::service::Service;
use std::collections::{BTreeMap, BTreeSet};

/// Virtual seconds in which a cluster must have come together.
const TOGETHER_SECONDS: u64 = 180;
/// Virtual seconds in which everything must have settled when all works again:
/// longer than the longest pause between two attempts, and than flapping takes to end.
const SETTLED_SECONDS: u64 = 2 * 3600;
/// How often the operator looks for members without a machine.
const GHOSTS_SECONDS: u64 = 60;
/// How often it is looked whether all has settled.
const LOOKED_EVERY_SECONDS: u64 = 20;

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) people: People,
    pub(crate) outside: Outside,
    /// Whether anything may go wrong now.
    is_bad_weather: bool,
}

impl World {
    /// The world of a seed, with the first node of its cluster started.
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(seed, &mut random);
        let wanted = changes::configuration(&mut random, plan.locations());
        let mut outside = Outside::new(&plan, random, trace);
        outside.targets.looked_at_from(plan.locations());
        let mut world = Self { nodes: BTreeMap::new(), people: People::new(wanted), outside, is_bad_weather: false };
        world.found(&plan);
        world
    }

    /// Starts the first node and has the others invited.
    fn found(&mut self, plan: &Plan) {
        let last = plan.places.iter().map(|(_, count)| count).sum::<usize>() - 1;
        let places = plan.places.iter().flat_map(|(location, count)| (0..*count).map(move |_| location.clone()));
        let mut joins = Vec::new();
        for (at, location) in places.enumerate() {
            let role = if plan.has_witness && at == last { Role::Witness } else { Role::Full };
            joins.push(Join { node: self.people.draw_node(), location, role, replaces: None });
        }
        let others = joins.split_off(1);
        for join in joins {
            let mut node = self.make_node(&join);
            node.found();
            node.start(&mut self.outside);
            self.nodes.insert(join.node, node);
            self.people.found(&join, others.clone(), &mut self.outside);
        }
        self.outside.after(1_000, Event::Acts(Deed::Second));
    }

    /// Lives through the whole run.
    ///
    /// # Errors
    /// The first property that did not hold.
    pub(crate) fn live(&mut self) -> Result<Story, Violation> {
        self.until(TOGETHER_SECONDS, |world| world.is_together())?;
        if !self.is_together() {
            return Err(self.violation("everything_settles", "the cluster did not come together".to_owned()));
        }
        self.is_bad_weather = true;
        self.outside.after(1_000, Event::Acts(Deed::Fault));
        self.until(self.outside.record.plan.weather_seconds, |_| false)?;
        self.is_bad_weather = false;
        self.mend_all();
        self.until(SETTLED_SECONDS, |world| invariants::at_end(world).is_ok())?;
        invariants::at_end(self)?;
        let taken = self.outside.receivers.taken.len() as u64;
        Ok(Story { taken, ..self.outside.record.story() })
    }

    /// Lets so many virtual seconds pass, or fewer if something is reached before.
    fn until(&mut self, seconds: u64, is_reached: impl Fn(&Self) -> bool) -> Result<(), Violation> {
        let end_ms = self.outside.now + seconds * 1_000;
        while self.outside.now < end_ms {
            let part_ms = (self.outside.now + LOOKED_EVERY_SECONDS * 1_000).min(end_ms);
            while let Some(event) = self.outside.next(part_ms) {
                self.happen(event);
                if let Some(violation) = self.outside.record.violation.take() {
                    return Err(violation);
                }
            }
            self.outside.now = part_ms;
            if is_reached(self) {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn violation(&self, property: &'static str, found: String) -> Violation {
        Violation { seed: self.outside.record.plan.seed, property, found }
    }

    fn happen(&mut self, event: Event) {
        let now_ms = self.outside.now;
        let (id, life) = match &event {
            Event::Turn { node, life }
            | Event::Flushed { node, life, .. }
            | Event::Looked { node, life, .. }
            | Event::Answered { node, life, .. } => (*node, Some(*life)),
            Event::Comes { to, .. } => (*to, None),
            Event::Reaches { node, life, told } => {
                let (node, life, told) = (*node, *life, told.clone());
                return self.reach(node, life, told);
            }
            Event::Acts(_) => {
                if let Event::Acts(deed) = event {
                    self.act(deed);
                }
                return;
            }
        };
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.life.is_some()) else { return };
        if life.is_some_and(|life| !node.is_life(life)) {
            return;
        }
        if node.is_paused(now_ms) {
            // It comes when the machine goes on.
            return self.outside.after(node.paused_until_ms - now_ms, event);
        }
        let is_turn = matches!(event, Event::Turn { .. });
        match event {
            Event::Turn { .. } => node.turn(&mut self.outside),
            Event::Comes { from, message, .. } => node.receive(from, message, &mut self.outside),
            Event::Flushed { term, upto, .. } => node.flushed_here(term, upto, &mut self.outside),
            Event::Looked { round, .. } => node.looked(&round, &mut self.outside),
            Event::Answered { told, answer, .. } => node.answered(&told, answer, &mut self.outside),
            Event::Reaches { .. } | Event::Acts(_) => {}
        }
        node.answer_settled(&mut self.outside);
        if is_turn && self.nodes.get(&id).is_some_and(|node| node.wants_to_lead(&self.outside)) {
            log::elect(&mut self.nodes, id, &mut self.outside);
        }
    }

    /// A message to people reaches its receiver, whether or not its sender still lives.
    fn reach(&mut self, node: NodeId, life: u64, told: Box<crate::outside::Attempt>) {
        let outside = &mut self.outside;
        if outside.targets.has_way_out(node) {
            let (answer, after_ms) = outside.receivers.reached(&told, &mut outside.random);
            outside.trace(|| format!("{} gets {}: {answer:?}", told.receiver, told.message.key));
            outside.after(after_ms, Event::Answered { node, life, told, answer });
        } else {
            let reason = "no route to host".to_owned();
            let answer = model::entry::Answer::Failed { reason, retry_after_seconds: None };
            outside.after(100, Event::Answered { node, life, told, answer });
        }
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Second => self.second(),
            Deed::Ask { client, after } => self.ask(client, after),
            Deed::Answered { client, asked, fate } => self.hear_answer(client, asked, fate),
            Deed::BeatAnswered { beat, is_taken } => self.outside.record.beat_answered(&beat, is_taken),
            Deed::Write { node, file } => {
                let node = self.nodes.get_mut(&node);
                let is_newer =
                    |node: &&mut Node| node.disk.file.as_ref().is_some_and(|known| known.version < file.version);
                if let Some(node) = node.filter(is_newer) {
                    node.disk.file = Some(file);
                }
            }
            Deed::Fault if self.is_bad_weather => {
                self.fail();
                let next_ms = self.outside.random.between(1, 2_000 * self.outside.record.plan.fault_every_seconds);
                self.outside.after(next_ms, Event::Acts(Deed::Fault));
            }
            Deed::Fault => {}
            Deed::Mend(Mending::Retire(node)) => self.mend(&Mending::Retire(node)),
            Deed::Mend(mending) if self.is_bad_weather => self.mend(&mending),
            Deed::Mend(_) => {}
        }
    }

    fn second(&mut self) {
        let outside = &mut self.outside;
        outside.after(1_000, Event::Acts(Deed::Second));
        outside.receivers.pass(&mut outside.random);
        self.beat();
        if (self.outside.now / 1_000).is_multiple_of(GHOSTS_SECONDS) {
            self.remove_ghosts();
        }
        invariants::each_second(self);
        if !self.is_bad_weather {
            return;
        }
        let outside = &mut self.outside;
        outside.targets.pass(&mut outside.random);
        if self.outside.random.happens(25) {
            self.do_something();
        }
        let plan = self.outside.record.plan.clone();
        if plan.is_changed && self.outside.random.happens(8) {
            self.change_configuration();
        }
        if plan.is_rebuilt && self.outside.random.happens(6) {
            self.rebuild();
        }
    }

    /// The node that leads as far as all know: of those that think so the one with the highest term.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let leads = |node: &&Node| node.life.as_ref().is_some_and(|life| life.raft.leading().is_some());
        self.nodes.values().filter(leads).max_by_key(|node| node.disk.term).map(|node| node.id)
    }

    /// Whether all nodes are members that vote, and no change is under way.
    pub(crate) fn is_together(&self) -> bool {
        self.people.discontent().is_none() && self.nodes.keys().all(|node| self.is_settled_member(*node))
    }

    /// Whether a node is a voting member in the eyes of the leader, and nobody votes who is not there.
    pub(crate) fn is_settled_member(&self, id: NodeId) -> bool {
        let Some(leader) = self.leader().and_then(|leader| self.nodes.get(&leader)) else { return false };
        let Some(life) = &leader.life else { return false };
        let (since, newest) = leader.disk.log.newest_voters();
        *since <= life.raft.committed
            && newest.voting.contains(&id)
            && newest.voting.len() == self.nodes.len()
            && life.state.members().count() == self.nodes.len()
            && life.state.member(id).is_some()
    }

    /// The nodes that are well, have a way out, and are together with a leader that
    /// a majority follows, over good lines.
    pub(crate) fn well_nodes(&self) -> BTreeSet<NodeId> {
        let now_ms = self.outside.now;
        let is_awake = |node: &&Node| node.life.is_some() && !node.is_paused(now_ms);
        let Some(leader) = self.leader().and_then(|leader| self.nodes.get(&leader)).filter(is_awake) else {
            return BTreeSet::new();
        };
        let Some(life) = leader.life.as_ref().filter(|_| self.outside.network.is_good()) else {
            return BTreeSet::new();
        };
        let (_, newest) = leader.disk.log.newest_voters();
        // Who is on its way in or out hears no log, or not yet.
        let belongs = |id: NodeId| newest.voting.contains(&id) && life.state.member(id).is_some();
        let is_with =
            |node: &&Node| belongs(node.id) && (node.id == leader.id || self.outside.network.joins(node.id, leader.id));
        let with: BTreeSet<NodeId> = self.nodes.values().filter(is_awake).filter(is_with).map(|node| node.id).collect();
        if !newest.is_majority(|node| with.contains(&node)) {
            return BTreeSet::new();
        }
        with.into_iter().filter(|node| self.outside.targets.has_way_out(*node)).collect()
    }

    /// The living nodes that can have no leader with a majority: those of which no
    /// line leads anywhere, and if too few live, all of them.
    pub(crate) fn lonely_nodes(&self) -> BTreeSet<NodeId> {
        let now_ms = self.outside.now;
        let awake: BTreeSet<NodeId> = self
            .nodes
            .values()
            .filter(|node| node.life.is_some() && !node.is_paused(now_ms))
            .map(|node| node.id)
            .collect();
        let network = &self.outside.network;
        let is_lonely = |node: &NodeId| {
            let Some(known) = self.nodes.get(node) else { return false };
            let (_, newest) = known.disk.log.newest_voters();
            let is_alone = awake
                .iter()
                .all(|other| other == node || !network.leads(*node, *other) && !network.leads(*other, *node));
            let are_few = !newest.is_majority(|node| awake.contains(&node));
            newest.voting.contains(node) && (are_few || is_alone && newest.voting.len() > 1)
        };
        awake.iter().copied().filter(is_lonely).collect()
    }

    /// Whether enough places of each check of a service have a node that makes checks.
    pub(crate) fn is_watchable(&self, state: &State, service: &Service) -> bool {
        let has_node = |location: &&LocationId| {
            state.members().any(|known| known.member.location == **location && known.makes_checks())
        };
        service.checks.iter().all(|check| {
            matches!(check.kind, CheckKind::Heartbeat(_))
                || check.from.iter().filter(has_node).count() * 2 > check.from.len()
        })
    }
}
