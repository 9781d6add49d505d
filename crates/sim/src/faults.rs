//! What goes wrong, and when it is over: crashes, lost and full disks, cut and
//! bad lines, machines that stand still, clocks that jump, lost ways out.

use crate::outside::{Event, Outside};
use crate::people::Deed;
use crate::world::World;
use model::id::LocationId;
use model::member::NodeId;

/// Something that went wrong is over.
#[derive(Debug)]
pub(crate) enum Mending {
    /// A node that died is started.
    Start(NodeId),
    /// All lines lead in both directions.
    Lines,
    /// Lines are quick and lose nothing.
    GoodLines,
    /// A disk has room.
    Room(NodeId),
    /// Nodes have a way out.
    WaysOut,
    /// A node that was taken out is switched off for good.
    Retire(NodeId),
}

impl World {
    /// Something goes wrong.
    pub(super) fn fail(&mut self) {
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        let leader = self.leader();
        let random = &mut self.outside.random;
        // Whoever leads is worth aiming at.
        let leader = leader.filter(|_| random.happens(400));
        let Some(node) = leader.or_else(|| random.pick(&nodes).copied()) else { return };
        match random.between(0, 100) {
            0..25 => self.crash(node, 60),
            25..32 => nodes.into_iter().for_each(|node| self.crash(node, 90)),
            32..55 => self.cut_lines(&nodes, node),
            55..65 => self.worsen_lines(),
            65..75 => self.pause(node),
            75..82 => self.jump_clock(node),
            82..88 => self.fill_disk(node),
            88..96 => self.cut_ways_out(node),
            _ => self.lose_some_disk(node),
        }
    }

    /// What went wrong is over.
    pub(super) fn mend(&mut self, mending: &Mending) {
        let outside = &mut self.outside;
        outside.trace(|| format!("mended: {mending:?}"));
        match mending {
            Mending::Start(node) => {
                if let Some(node) = self.nodes.get_mut(node).filter(|node| node.life.is_none()) {
                    node.start(outside);
                }
            }
            Mending::Lines => outside.network.join_all(),
            Mending::GoodLines => outside.network.mend(),
            Mending::Room(node) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.disk.is_full = false;
                }
            }
            Mending::WaysOut => outside.targets.mend_ways_out(),
            Mending::Retire(node) => {
                if let Some(mut node) = self.nodes.remove(node) {
                    node.crash(outside);
                }
            }
        }
    }

    /// Everything works from here on.
    pub(super) fn mend_all(&mut self) {
        let outside = &mut self.outside;
        outside.trace(|| "everything works from here on".to_owned());
        outside.network.join_all();
        outside.network.mend();
        outside.targets.mend();
        outside.receivers.mend();
        for node in self.nodes.values_mut() {
            node.paused_until_ms = node.paused_until_ms.min(outside.now);
            node.disk.is_full = false;
            if node.life.is_none() {
                node.start(outside);
            }
        }
    }

    fn crash(&mut self, node: NodeId, seconds_max: u64) {
        let back_ms = self.outside.random.between(500, seconds_max * 1_000);
        if let Some(known) = self.nodes.get_mut(&node).filter(|node| node.life.is_some()) {
            known.crash(&mut self.outside);
            plan(&mut self.outside, back_ms, Mending::Start(node));
        }
    }

    fn cut_lines(&mut self, nodes: &[NodeId], node: NodeId) {
        let outside = &mut self.outside;
        let others: Vec<NodeId> = nodes.iter().copied().filter(|other| *other != node).collect();
        let shape = outside.random.between(0, 6);
        for other in &others {
            let (hears, is_heard) = match shape {
                // Alone; or it does not hear; or it is not heard.
                0 | 1 => (false, false),
                2 => (false, true),
                3 => (true, false),
                // Two parts; or anything.
                4 => {
                    let is_same_part = outside.random.happens(500);
                    (is_same_part, is_same_part)
                }
                _ => (outside.random.happens(500), outside.random.happens(500)),
            };
            if !hears {
                outside.network.cut(*other, node);
            }
            if !is_heard {
                outside.network.cut(node, *other);
            }
        }
        outside.trace(|| format!("lines of {node} are cut, shape {shape}"));
        let whole_ms = outside.random.between(2_000, 150_000);
        plan(outside, whole_ms, Mending::Lines);
    }

    fn worsen_lines(&mut self) {
        let outside = &mut self.outside;
        let delay_ms = outside.random.between(50, 1_200);
        let (lost, doubled) = (outside.random.between(0, 250), outside.random.between(0, 200));
        outside.trace(|| format!("lines take up to {delay_ms} ms, lose {lost} and double {doubled} of a thousand"));
        outside.network.worsen(delay_ms, lost, doubled);
        let good_ms = outside.random.between(5_000, 90_000);
        plan(outside, good_ms, Mending::GoodLines);
    }

    fn pause(&mut self, node: NodeId) {
        let outside = &mut self.outside;
        let pause_ms = outside.random.between(500, 50_000);
        if let Some(known) = self.nodes.get_mut(&node).filter(|node| node.life.is_some()) {
            outside.trace(|| format!("{node} stands still for {pause_ms} ms"));
            known.paused_until_ms = outside.now + pause_ms;
        }
    }

    fn jump_clock(&mut self, node: NodeId) {
        let by_ms = self.outside.random.between(0, 20_000) as i64 - 10_000;
        if let Some(known) = self.nodes.get_mut(&node) {
            self.outside.trace(|| format!("the clock of {node} jumps by {by_ms} ms"));
            known.clock.jump(self.outside.now, by_ms);
        }
    }

    fn fill_disk(&mut self, node: NodeId) {
        if let Some(known) = self.nodes.get_mut(&node) {
            self.outside.trace(|| format!("the disk of {node} is full"));
            known.disk.is_full = true;
            self.outside.record.story.disks_full += 1;
            let room_ms = self.outside.random.between(10_000, 200_000);
            plan(&mut self.outside, room_ms, Mending::Room(node));
        }
    }

    /// A node, or its whole place, loses its way out.
    fn cut_ways_out(&mut self, node: NodeId) {
        let Some(location) = self.nodes.get(&node).map(|node| node.location.clone()) else { return };
        let is_whole_place = self.outside.random.happens(500);
        let is_there = |known: &LocationId, id: NodeId| id == node || is_whole_place && *known == location;
        for known in self.nodes.values().filter(|known| is_there(&known.location, known.id)) {
            self.outside.targets.cut_way_out(known.id);
        }
        self.outside.trace(|| format!("{node} has no way out, nor its whole place: {is_whole_place}"));
        let back_ms = self.outside.random.between(5_000, 200_000);
        plan(&mut self.outside, back_ms, Mending::WaysOut);
    }

    /// A disk is lost, if the others are enough to go on without it and no other is being replaced.
    fn lose_some_disk(&mut self, node: NodeId) {
        let is_whole = self.nodes.values().all(|known| self.is_settled_member(known.id));
        if self.outside.record.plan.is_rebuilt && !self.people.is_rebuilding() && is_whole && self.nodes.len() >= 3 {
            self.lose_disk(node);
        }
    }
}

fn plan(outside: &mut Outside, after_ms: u64, mending: Mending) {
    outside.after(after_ms, Event::Acts(Deed::Mend(mending)));
}
