//! The state of the machine.
use model::configuration::DecodeError;
use model::entry::Entry;
use model::time::Timestamp;
use serde::{Deserialize, Serialize};

/// All that the machine knows. Cloning is cheap: the large parts are shared until changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    applied: u64,
    now: Timestamp,
}

/// What applying one entry gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The answer to a command; `Accepted` for every other entry.
    pub outcome: CommandOutcome,
    /// What is to be done about it.
    pub effects: Vec<Effect>,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandOutcome {
    /// Done.
    Accepted,
    /// Not done, and why.
    Refused(String),
}

/// What is to be done in the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A delivery became due.
    Deliver,
}

impl State {
    /// Applies one entry. Entries must come in the order of their indices.
    pub fn apply(&mut self, index: u64, entry: &Entry) -> Applied {
        assert!(index > self.applied, "entries are applied once and in order");
        self.applied = index;
        self.now = entry.at;
        Applied { outcome: CommandOutcome::Accepted, effects: Vec::new() }
    }

    /// Index of the last entry applied; 0 before the first.
    pub fn applied_index(&self) -> u64 {
        self.applied
    }

    /// The stamp of the last entry applied.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The stored form, with its version in front.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![1]).expect("own types always encode")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing is guessed.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        postcard::from_bytes(bytes.get(1..).ok_or(DecodeError::Damaged)?).map_err(|_| DecodeError::Damaged)
    }
}
