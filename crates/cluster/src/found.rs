//! The first node becomes the first member.
//!
//! A node founds its cluster alone, before anybody can reach it. When it is to
//! be reached, the cluster gets an authority, and the node a certificate and a
//! place among the members. **Each step is an entry or a file that is looked
//! for first**, so this can be interrupted and repeated.

use crate::acquaintance::{Acquaintance, AcquaintanceError};
use crate::clock;
use crate::credentials::{self, CredentialsError};
use crate::forward;
use crate::net;
use crate::node::Node;
use crate::parts::Parts;
use crate::propose::ProposeError;
use control::CommandOutcome;
use model::entry::{Action, Body, Command, Origin};
use model::limits::AUTHORITIES_MAX;
use model::member::{Member, NodeId};
use std::collections::BTreeMap;

/// Why a node did not become the first member.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// The keys cannot be made or used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// What is needed to meet the others cannot be written.
    #[error(transparent)]
    Acquaintance(#[from] AcquaintanceError),
    /// It could not be logged.
    #[error("cannot log the founding of the cluster")]
    Propose(#[from] ProposeError),
    /// The machine does not allow it.
    #[error("the cluster cannot be founded: {why}")]
    Refused {
        /// Why, with what is allowed.
        why: String,
    },
    /// The way to other nodes cannot be opened.
    #[error("cannot listen for other nodes")]
    Listen(#[source] std::io::Error),
}

/// Makes the leader of a cluster without members its first one; does nothing
/// anywhere else.
pub(crate) async fn found_if_needed(node: &Node) -> Result<(), FoundError> {
    let parts = node.parts();
    let is_for_others = !parts.about.address.is_empty();
    if !parts.is_leader() || !is_for_others || parts.shared.state().members().next().is_some() {
        return Ok(());
    }
    let (cluster_key, key) = credentials::found(parts.directory.clone()).await?;
    if parts.shared.state().authorities().is_empty() {
        let (now, _) = clock::read();
        let authority = net::found(&cluster_key, now);
        propose(parts, "authority", Action::TrustAuthority(authority)).await?;
    }
    let about = parts.about.clone();
    let member = Member {
        id: NodeId(parts.me),
        name: about.name,
        address: about.address,
        location: about.location,
        role: about.role,
        ordinal: 0,
        key,
        facts: about.facts,
    };
    // A start that finds less in the log than was there must find the others all the same.
    let authorities = parts.shared.state().authorities().iter().map(|known| known.certificate.clone()).collect();
    let members = BTreeMap::from([(parts.me, (member.address.clone(), member.key))]);
    Acquaintance { authorities, members }.write(&parts.directory)?;
    propose(parts, "member", Action::Found(member)).await?;
    node.open_hub().await?;
    Ok(())
}

impl Node {
    /// Makes a new authority that signs from here on; each node takes a new
    /// certificate from it within seconds. Those before stay trusted, because a
    /// node that is away has none yet; with as many as there can be the oldest goes.
    ///
    /// # Errors
    /// [`FoundError`]; with the same `key` it can be tried again.
    pub async fn rotate_authority(&self, actor: &str, key: String) -> Result<(), FoundError> {
        let parts = self.parts();
        let state = parts.shared.state();
        let Some(oldest) = state.authorities().first() else {
            let why = "there is no authority yet: no other node was ever invited".to_owned();
            return Err(FoundError::Refused { why });
        };
        let command = |key, action| {
            let (actor, origin) = (actor.to_owned(), Origin::CommandLine);
            Command { actor, origin, key, expected_revision: None, action }
        };
        if state.authorities().len() >= AUTHORITIES_MAX {
            let action = Action::DistrustAuthority { certificate: oldest.certificate.clone() };
            log(parts, command(format!("{key} oldest"), action)).await?;
        }
        let (now, _) = clock::read();
        let authority = credentials::make_authority(&parts.directory, now).await?;
        log(parts, command(key, Action::TrustAuthority(authority))).await
    }
}

async fn propose(parts: &Parts, what: &str, action: Action) -> Result<(), FoundError> {
    let command = Command {
        actor: format!("node {}", parts.about.name),
        origin: Origin::Node,
        key: format!("found {what} {} {}", parts.me, parts.guard.incarnation()),
        expected_revision: None,
        action,
    };
    log(parts, command).await
}

async fn log(parts: &Parts, command: Command) -> Result<(), FoundError> {
    match forward::propose(parts, Body::Command(command)).await?.applied.outcome {
        CommandOutcome::Accepted => Ok(()),
        CommandOutcome::Refused(why) => Err(FoundError::Refused { why }),
    }
}
