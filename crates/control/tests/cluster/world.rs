//! A log of commands about members, and the nodes in it.

use control::State;
use control::state::CommandOutcome;
use model::configuration::Configuration;
use model::entry::{Action, Body, Command, Entry, Origin};
use model::id::LocationId;
use model::member::{Digest, Invitation, Member, NodeFacts, NodeId, Role};
use model::time::Timestamp;
use std::time::Duration;

const BEGIN: Timestamp = Timestamp::from_ms(1_795_000_000_000);
const INVITED_FOR: Duration = Duration::from_secs(3600);

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    index: u64,
}

impl World {
    /// A cluster without members and without a configuration.
    pub(crate) fn new() -> Self {
        Self { state: State::default(), now: BEGIN, index: 0 }
    }

    /// A cluster of so many present nodes, numbered from 1.
    pub(crate) fn of(count: u64) -> Self {
        let mut world = Self::new();
        world.accepted(Action::Found(node(1)));
        for number in 2..=count {
            world.join(number, None);
        }
        world
    }

    /// Lets a node join, and be heard.
    pub(crate) fn join(&mut self, number: u64, replaces: Option<u64>) {
        let invitation = Invitation { replaces: replaces.map(NodeId), ..self.invitation(number) };
        self.accepted(Action::Invite(invitation));
        self.accepted(Action::Join { token: token(number), member: node(number) });
        self.apply(Body::Presence { node: NodeId(number), is_present: true });
    }

    pub(crate) fn invitation(&self, number: u64) -> Invitation {
        let expires = self.now.plus(INVITED_FOR);
        Invitation { token: token(number), node: NodeId(number), role: Role::Full, expires, replaces: None }
    }

    pub(crate) fn activate(&mut self, configuration: &Configuration, digest: &str, offered_by: Option<NodeId>) {
        let (digest, bytes) = (digest.to_owned(), configuration.encode());
        self.accepted(Action::StoreConfiguration { digest: digest.clone(), part: 0, parts: 1, bytes });
        self.accepted(Action::ActivateConfiguration { digest, offered_by });
    }

    pub(crate) fn apply(&mut self, body: Body) -> CommandOutcome {
        self.index += 1;
        self.state.apply(self.index, &Entry { at: self.now, body }).outcome
    }

    pub(crate) fn accepted(&mut self, action: Action) {
        let outcome = self.command(action.clone());
        assert_eq!(outcome, CommandOutcome::Accepted, "{action:?}");
    }

    /// Expects a command to be refused with this sentence.
    pub(crate) fn refused(&mut self, action: Action, expected: &str) {
        let before = self.state.members().cloned().collect::<Vec<_>>();
        let outcome = self.command(action.clone());
        assert_eq!(outcome, CommandOutcome::Refused(expected.to_owned()), "{action:?}");
        assert!(self.state.members().eq(before.iter()), "what is refused changes nothing");
    }

    fn command(&mut self, action: Action) -> CommandOutcome {
        let key = format!("key-{}", self.index);
        let command =
            Command { actor: "ops".to_owned(), origin: Origin::CommandLine, key, expected_revision: None, action };
        self.apply(Body::Command(command))
    }
}

/// A node as it says it is.
pub(crate) fn node(number: u64) -> Member {
    Member {
        id: NodeId(number),
        name: format!("node-{number}"),
        address: format!("192.0.2.{number}:8481"),
        location: location("local"),
        role: Role::Full,
        ordinal: 0,
        key: key(number),
        facts: NodeFacts::default(),
    }
}

pub(crate) fn location(name: &str) -> LocationId {
    LocationId::new(name).expect("a legal id")
}

pub(crate) fn token(number: u64) -> Digest {
    Digest([number as u8; 32])
}

pub(crate) fn key(number: u64) -> Digest {
    Digest([100 + number as u8; 32])
}
