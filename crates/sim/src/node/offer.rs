//! Offers the node's configuration file to the log when it is not what this
//! node has offered last.
//!
//! A node that starts late with an old file does not turn the others back.

use super::Node;
use super::propose::{Fate, Wish};
use crate::outside::Outside;
use control::state::CommandOutcome;
use model::configuration::Configuration;
use model::entry::{Action, Body, Command, Origin};
use std::sync::Arc;

/// How often the file is looked at.
const LOOK_MS: u64 = 2_000;

/// A configuration file.
#[derive(Debug)]
pub(crate) struct File {
    /// The how manieth it is that somebody wrote.
    pub(crate) version: u64,
    /// Of its stored form.
    pub(crate) digest: String,
    bytes: Vec<u8>,
}

impl File {
    /// The file that says this.
    pub(crate) fn of(configuration: &Configuration, version: u64) -> Self {
        Self { version, digest: format!("file-{version}"), bytes: configuration.encode() }
    }
}

/// What a node has done about its file.
#[derive(Debug, Default)]
pub(super) struct Offering {
    looked_ms: u64,
    stage: Stage,
}

/// How far an offer has come.
#[derive(Debug, Default, Clone)]
enum Stage {
    #[default]
    Idle,
    /// Its bytes are on the way into the log.
    Storing(Arc<File>),
    /// They are there and wait to be made the active configuration.
    Stored(Arc<File>),
    /// That is on its way.
    Activating,
}

impl Node {
    pub(super) fn offer(&mut self, outside: &mut Outside) {
        let (id, now_ms) = (self.id, outside.now);
        if let Stage::Stored(file) = self.life_mut().offering.stage.clone() {
            return self.activate(&file, outside);
        }
        let life = self.life_mut();
        if !matches!(life.offering.stage, Stage::Idle) || now_ms < life.offering.looked_ms + LOOK_MS {
            return;
        }
        life.offering.looked_ms = now_ms;
        let Some(file) = self.disk.file.clone() else { return };
        let state = &self.life_mut().state;
        // Before it is founded, or has heard of the others, it knows too little to say anything.
        if state.member(id).is_none() || state.offered_by(id) == Some(file.digest.as_str()) {
            return;
        }
        if state.digest() == file.digest {
            return self.activate(&file, outside);
        }
        let (digest, bytes) = (file.digest.clone(), file.bytes.clone());
        self.life_mut().offering.stage = Stage::Storing(file);
        let action = Action::StoreConfiguration { digest, part: 0, parts: 1, bytes };
        self.propose(Wish::Offer, command(action), outside);
    }

    fn activate(&mut self, file: &Arc<File>, outside: &mut Outside) {
        let action = Action::ActivateConfiguration { digest: file.digest.clone(), offered_by: Some(self.id) };
        self.life_mut().offering.stage = Stage::Activating;
        self.propose(Wish::Offer, command(action), outside);
    }

    /// What became of a step; what was not taken or not accepted is begun anew.
    pub(super) fn offered(&mut self, fate: &Fate) {
        let offering = &mut self.life_mut().offering;
        let is_accepted = matches!(fate, Fate::Taken { outcome: CommandOutcome::Accepted, .. });
        offering.stage = match std::mem::take(&mut offering.stage) {
            Stage::Storing(file) if is_accepted => Stage::Stored(file),
            Stage::Storing(_) | Stage::Stored(_) | Stage::Activating | Stage::Idle => Stage::Idle,
        };
    }
}

fn command(action: Action) -> Body {
    let (actor, key) = ("configuration file".to_owned(), String::new());
    Body::Command(Command { actor, origin: Origin::File, key, expected_revision: None, action })
}
