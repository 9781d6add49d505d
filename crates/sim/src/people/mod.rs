//! People, and whatever else acts from outside: they ask for things until they
//! have an answer, write configuration files, add and replace nodes, and send heartbeats.
//!
//! **Whoever has no answer asks again with the same key**, perhaps another node.

pub(crate) mod changes;
mod operator;

use crate::node::propose::Fate;
use crate::outside::{Event, Outside};
use crate::random::Random;
use crate::world::World;
use control::state::CommandOutcome;
use model::check::{CheckKind, HeartbeatSchedule};
use model::configuration::Configuration;
use model::entry::{Action, Body, Command, Origin};
use model::id::CheckId;
use model::member::NodeId;
use std::time::Duration;

pub(crate) use operator::Join;

/// How long somebody waits for an answer before he asks again.
const PATIENCE_MS: u64 = 12_000;
/// How often somebody asks before he gives up.
const ASKED_MAX: u64 = 400;

/// What happens outside at some moment.
#[derive(Debug)]
pub(crate) enum Deed {
    /// A second has passed for targets, receivers, senders of heartbeats and the plans of people.
    Second,
    /// Somebody asks for the next time after so many, unless he has an answer by then.
    Ask { client: usize, after: u64 },
    /// Somebody is answered.
    Answered { client: usize, asked: u64, fate: Fate },
    /// The sender of a heartbeat is answered.
    BeatAnswered { beat: CheckId, is_taken: bool },
    /// The file of a node is written.
    Write { node: NodeId, file: std::sync::Arc<crate::node::File> },
    /// Something begins to go wrong.
    Fault,
    /// Something that went wrong is over.
    Mend(crate::faults::Mending),
}

/// Somebody who wants something.
#[derive(Debug)]
pub(crate) struct Client {
    key: String,
    wanted: Wanted,
    asked: u64,
    is_done: bool,
}

/// What somebody wants.
#[derive(Debug, Clone)]
enum Wanted {
    Command(Box<Action>),
    /// That a member is taken out; its vote goes before its removal is logged.
    Remove(NodeId),
}

/// All people.
#[derive(Debug)]
pub(crate) struct People {
    clients: Vec<Client>,
    /// What ought to be configured.
    pub(crate) wanted: Configuration,
    files_written: u64,
    rebuilding: operator::Rebuilding,
}

impl People {
    pub(crate) fn new(wanted: Configuration) -> Self {
        Self { clients: Vec::new(), wanted, files_written: 0, rebuilding: operator::Rebuilding::default() }
    }

    /// What somebody waits for; `None` if nobody waits for anything.
    pub(crate) fn discontent(&self) -> Option<String> {
        let waiting = self.clients.iter().find(|client| !client.is_done);
        let waiting =
            waiting.map(|client| format!("{} asked {} times: {:.80?}", client.key, client.asked, client.wanted));
        waiting.or_else(|| (!self.rebuilding.is_over()).then(|| "a node is to come".to_owned()))
    }

    fn add(&mut self, wanted: Wanted, outside: &mut Outside) -> usize {
        let client = self.clients.len();
        self.clients.push(Client { key: format!("key-{client}"), wanted, asked: 0, is_done: false });
        outside.after(0, Event::Acts(Deed::Ask { client, after: 0 }));
        client
    }

    /// Somebody wants a command carried out.
    pub(crate) fn want(&mut self, action: Action, outside: &mut Outside) -> usize {
        self.add(Wanted::Command(Box::new(action)), outside)
    }
}

impl World {
    /// Somebody asks some node that is there.
    pub(super) fn ask(&mut self, client: usize, after: u64) {
        let able = self.nodes.values().filter(|node| node.life.is_some() && !node.is_paused(self.outside.now));
        let able: Vec<NodeId> = able.map(|node| node.id).collect();
        let known = self.people.clients.get_mut(client).filter(|client| !client.is_done && client.asked == after);
        let Some(known) = known else { return };
        known.asked += 1;
        let asked = known.asked;
        if asked > ASKED_MAX {
            known.is_done = true;
            return;
        }
        self.outside.after(PATIENCE_MS, Event::Acts(Deed::Ask { client, after: asked }));
        let Some(node) = self.outside.random.pick(&able).and_then(|id| self.nodes.get_mut(id)) else { return };
        match known.wanted.clone() {
            Wanted::Command(action) => {
                let command = Command {
                    actor: "sim".to_owned(),
                    origin: Origin::CommandLine,
                    key: known.key.clone(),
                    expected_revision: None,
                    action: *action,
                };
                let wish = crate::node::propose::Wish::Command { client, asked };
                node.propose(wish, Body::Command(command), &mut self.outside);
            }
            Wanted::Remove(removed) => {
                // Only the leader can take a vote away; whoever asks another node asks again.
                if let Err(why) = node.remove(removed, client, asked, &mut self.outside) {
                    self.outside.trace(|| format!("nobody removes {removed}: {why}"));
                }
            }
        }
        node.answer_settled(&mut self.outside);
    }

    /// Somebody has an answer, perhaps to an earlier question.
    pub(super) fn hear_answer(&mut self, client: usize, asked: u64, fate: Fate) {
        let Some(known) = self.people.clients.get_mut(client).filter(|client| !client.is_done) else { return };
        match fate {
            Fate::Taken { index, outcome } => {
                known.is_done = true;
                let (key, action) = match &known.wanted {
                    Wanted::Command(action) => (known.key.clone(), (**action).clone()),
                    Wanted::Remove(node) => (crate::node::removal_key(*node), Action::RemoveMember { node: *node }),
                };
                self.outside.record.acknowledged(&key, &action, &outcome, index);
                self.after_answer(client, &action, &outcome);
            }
            Fate::NotTaken | Fate::Unknown if asked == known.asked => {
                let rest_ms = self.outside.random.between(500, 4_000);
                self.outside.after(rest_ms, Event::Acts(Deed::Ask { client, after: asked }));
            }
            Fate::NotTaken | Fate::Unknown => {}
        }
    }

    fn after_answer(&mut self, client: usize, action: &Action, outcome: &CommandOutcome) {
        if let CommandOutcome::Refused(why) = outcome {
            self.outside.record.story.refused += 1;
            self.outside.trace(|| format!("refused: {why}"));
        }
        self.rebuild_after(client, action, *outcome == CommandOutcome::Accepted);
    }

    /// Heartbeats come on the dot as long as their senders are well.
    pub(super) fn beat(&mut self) {
        let seconds = self.outside.now / 1_000;
        let is_due = |check: &&model::check::Check| match &check.kind {
            CheckKind::Heartbeat(heartbeat) => match heartbeat.expected {
                HeartbeatSchedule::Period(period) => seconds.is_multiple_of(period.as_secs().max(1)),
                HeartbeatSchedule::Cron { .. } => false,
            },
            _ => false,
        };
        let due: Vec<CheckId> =
            self.people.wanted.checks().map(|(_, check)| check).filter(is_due).map(|check| check.id.clone()).collect();
        for beat in due {
            if !self.outside.targets.beats(&beat, &mut self.outside.random) {
                continue;
            }
            let able: Vec<NodeId> =
                self.nodes.values().filter(|node| node.life.is_some()).map(|node| node.id).collect();
            if let Some(node) = self.outside.random.pick(&able).and_then(|id| self.nodes.get_mut(id)) {
                node.take_beat(beat, &mut self.outside);
            }
        }
    }

    /// Now and then somebody plans or ends work, acknowledges, or tells the public.
    pub(super) fn do_something(&mut self) {
        let Some(node) = self.nodes.values().find(|node| node.life.is_some()) else { return };
        let Some(life) = &node.life else { return };
        let random = &mut self.outside.random;
        let number = self.people.clients.len();
        if let Some(action) = changes::act(random, &life.state, self.outside.now, number) {
            self.people.want(action, &mut self.outside);
        }
    }

    /// Somebody changes the configuration and writes it into the files of some nodes, one after the other.
    pub(super) fn change_configuration(&mut self) {
        self.people.files_written += 1;
        let version = self.people.files_written;
        changes::change(&mut self.outside.random, &mut self.people.wanted, version);
        self.write_files(60_000);
    }

    /// Writes the wanted configuration into the files of nodes within so many milliseconds.
    pub(super) fn write_files(&mut self, within_ms: u64) {
        let file = std::sync::Arc::new(crate::node::File::of(&self.people.wanted, self.people.files_written));
        let first = self.nodes.keys().next().copied();
        for node in self.nodes.values().filter(|node| node.disk.file.is_some()) {
            // Somebody may forget a node; its file stays as it was.
            if Some(node.id) == first || !self.outside.random.happens(300) {
                let after_ms = self.outside.random.between(0, within_ms);
                let deed = Deed::Write { node: node.id, file: std::sync::Arc::clone(&file) };
                self.outside.after(after_ms, Event::Acts(deed));
            }
        }
    }
}

/// A length of time between two numbers of seconds.
fn seconds(random: &mut Random, low: u64, high: u64) -> Duration {
    Duration::from_secs(random.between(low, high))
}
