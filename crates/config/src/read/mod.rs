//! The tree becomes a configuration.
//!
//! Each file reads one part of the language. A reader that finds a mistake
//! notes it, puts something harmless in its place and goes on, so that all
//! mistakes are found at once; what was put there is never seen, because a
//! configuration with mistakes is refused.
//!
//! Reading order: [`path`], [`section`], [`value`], [`text`], [`top`], [`node`], [`backup`],
//! [`service`], [`check`], [`http`], [`network`], [`program`], [`expect`], [`receiver`], [`references`].

pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod expect;
pub(crate) mod http;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod path;
pub(crate) mod program;
pub(crate) mod receiver;
pub(crate) mod references;
pub(crate) mod section;
pub(crate) mod service;
pub(crate) mod text;
pub(crate) mod top;
pub(crate) mod value;

use crate::mistake::Notes;
use crate::node::NodeSettings;
use crate::yaml::Place;
use model::configuration::Configuration;
use model::id::LocationId;
use std::collections::{BTreeMap, BTreeSet};

/// What is carried along while reading.
pub(crate) struct Reader {
    pub(crate) notes: Notes,
    /// Every location, in order.
    locations: Vec<LocationId>,
    /// Whether one of them could not be read, so that an unknown name may be that one.
    are_locations_partial: bool,
    /// The same for services.
    are_services_partial: bool,
    /// The same for receivers.
    are_receivers_partial: bool,
    /// What was found about texts that are dear to judge, because checks repeat them.
    judged: BTreeMap<(&'static str, String), Option<String>>,
    /// Names of things that were mentioned, judged once everything is read.
    mentions: Vec<Mention>,
    /// Where each check's id was given.
    check_ids: BTreeMap<String, Place>,
    /// Where each service stands.
    services: BTreeMap<String, Place>,
    /// Where each service says what it needs.
    need_places: BTreeMap<String, Place>,
    /// Ids of receivers.
    receivers: BTreeSet<String>,
    /// Tokens of heartbeats, which must differ.
    tokens: BTreeMap<String, Place>,
}

/// What a tree said.
pub(crate) struct Read {
    pub(crate) configuration: Configuration,
    pub(crate) node: NodeSettings,
    /// Whether nothing of what is replicated was there.
    pub(crate) is_node_only: bool,
}

/// A name of a service or receiver that something mentions.
struct Mention {
    place: Place,
    path: String,
    name: String,
    what: Mentioned,
}

/// What a mentioned name must be the name of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mentioned {
    Service,
    Receiver,
}

impl Reader {
    pub(crate) fn new(notes: Notes) -> Self {
        Self {
            notes,
            locations: Vec::new(),
            are_locations_partial: false,
            are_services_partial: false,
            are_receivers_partial: false,
            judged: BTreeMap::new(),
            mentions: Vec::new(),
            check_ids: BTreeMap::new(),
            services: BTreeMap::new(),
            need_places: BTreeMap::new(),
            receivers: BTreeSet::new(),
            tokens: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests;
