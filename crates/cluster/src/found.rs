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
    /// Makes a new authority that signs from here on. Each node gets a new
    /// certificate from it; the one before stays trusted until it is told otherwise.
    ///
    /// # Errors
    /// [`FoundError`] says why nothing has changed.
    pub async fn rotate_authority(&self, actor: &str, key: String) -> Result<(), FoundError> {
        let parts = self.parts();
        if parts.shared.state().authorities().is_empty() {
            let why = "there is no authority yet: no other node was ever invited".to_owned();
            return Err(FoundError::Refused { why });
        }
        let (now, _) = clock::read();
        let authority = credentials::make_authority(&parts.directory, now).await?;
        let command = Command {
            actor: actor.to_owned(),
            origin: Origin::CommandLine,
            key,
            expected_revision: None,
            action: Action::TrustAuthority(authority),
        };
        match forward::propose(parts, Body::Command(command)).await?.applied.outcome {
            CommandOutcome::Accepted => Ok(()),
            CommandOutcome::Refused(why) => Err(FoundError::Refused { why }),
        }
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

/// Has a new authority sign from here on. The one before stays trusted while
/// the nodes renew; the one before that goes.
pub(crate) async fn rotate_authority(parts: &Parts, actor: &str, key: String) -> Result<(), FoundError> {
    let state = parts.shared.state();
    let Some(signs) = state.authorities().last() else {
        return Err(FoundError::Refused { why: "the cluster has no authority yet".to_owned() });
    };
    let command = |key, action| Command {
        actor: actor.to_owned(),
        origin: Origin::CommandLine,
        key,
        expected_revision: None,
        action,
    };
    for old in state.authorities().iter().filter(|authority| *authority != signs) {
        let action = Action::DistrustAuthority { certificate: old.certificate.clone() };
        log(parts, command(format!("{key} old {}", net::sha256(&old.certificate)), action)).await?;
    }
    let (cluster_key, _) = credentials::found(parts.directory.clone()).await?;
    let (now, _) = clock::read();
    log(parts, command(key, Action::TrustAuthority(net::found(&cluster_key, now)))).await
}
