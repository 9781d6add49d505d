//! Who belongs to the cluster, who may join it, and which of its nodes are there.
//!
//! This is what ought to be; which nodes the log is really replicated to is the
//! `cluster` room's matter, and the leader brings the second to the first.
//! `admit` holds the rules for commands, `presence` what is concluded from
//! hearing a node or not, `source` which batches were taken already.
//!
//! **An id that was removed never comes back, and the last member that makes
//! checks is never removed.**

mod admit;
mod presence;
mod source;

pub(crate) use admit::{Changes, disinvite, distrust, found, invite, join, may_offer, offer, remove, trust, update};
pub(crate) use presence::{condition_at, egress, presence, tick};
pub(crate) use source::Sources;

use model::member::{Authority, Digest, Invitation, Member, NodeId, Role};
use model::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A node of the cluster with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberState {
    /// The node as it ought to be.
    pub member: Member,
    /// Whether the leader hears it, as last logged. A node that has just joined was not heard yet.
    pub is_present: bool,
    /// Since when the leader hears it, or does not.
    pub present_since: Timestamp,
    /// When it became a member.
    pub joined: Timestamp,
    /// Since when its way out into the world does not work, and what was tried.
    pub egress_broken: Option<(Timestamp, String)>,
    /// The member that leaves when this one has caught up.
    pub replaces: Option<NodeId>,
}

impl MemberState {
    fn new(member: Member, is_present: bool, now: Timestamp, replaces: Option<NodeId>) -> Self {
        Self { member, is_present, present_since: now, joined: now, egress_broken: None, replaces }
    }

    /// Whether it makes checks at all.
    pub fn makes_checks(&self) -> bool {
        match self.member.role {
            Role::Full => true,
            Role::Witness => false,
        }
    }
}

/// An invitation and what has come of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationState {
    /// The invitation as it was given out.
    pub invitation: Invitation,
    /// The key that joined with it: only the same one may repeat that.
    pub redeemed_by: Option<Digest>,
}

/// All that is known of who belongs to the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) members: BTreeMap<NodeId, MemberState>,
    pub(crate) removed: BTreeSet<NodeId>,
    pub(crate) invitations: BTreeMap<NodeId, InvitationState>,
    pub(crate) authorities: Vec<Authority>,
    pub(crate) offers: BTreeMap<NodeId, String>,
}
