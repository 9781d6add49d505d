//! Who belongs to the cluster: nodes, their names, places and keys, and the
//! invitations by which more come.
//!
//! **An id that was removed is never used again**, so that a directory that
//! comes back from a drawer is known for what it is.

use crate::id::LocationId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// A node's number: drawn at random, below 2^53 so that programs that read JSON
/// numbers as floats keep it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A SHA-256 digest: of a join token, of a node's public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Everything: votes, checks, keeps history, shows pages.
    Full,
    /// Votes and applies, but keeps no history and makes no checks: the small third.
    Witness,
}

impl Role {
    /// The name in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Witness => "witness",
        }
    }
}

/// A node of the cluster, as it ought to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub id: NodeId,
    /// What people call it; no two members have the same. Letters, digits, `-`, `_` and `.`,
    /// at most [`crate::limits::NODE_NAME_LENGTH_MAX`].
    pub name: String,
    /// Where the other nodes reach it: host and port.
    pub address: String,
    /// Where it stands.
    pub location: LocationId,
    /// What it does.
    pub role: Role,
    /// The lowest number that no other member had when it came; names its range of election timeouts.
    pub ordinal: u8,
    /// Digest of its public key (SubjectPublicKeyInfo).
    pub key: Digest,
    /// What it says about the machine it runs on.
    pub facts: NodeFacts,
}

/// What a node says about itself and its machine, to find out what two nodes have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Version of Mainstay.
    pub version: String,
    /// The newest decisions it can make (`machine_version`).
    pub machine_version: u32,
    /// A digest of the machine's own id, the same for two nodes on one machine; empty if unknown.
    pub machine: String,
    /// Release of the kernel, as `uname -r` prints it.
    pub kernel: String,
    /// Addresses of the machine, without loopback and link-local ones; at most
    /// [`crate::limits::ADDRESSES_MAX`].
    pub addresses: Vec<IpAddr>,
    /// Where people reach its page, if that is known.
    pub url: Option<String>,
}

/// Leave for one node to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Digest of the token in the ticket.
    pub token: Digest,
    /// The id that the new node gets.
    pub node: NodeId,
    /// What it will do.
    pub role: Role,
    /// Until when it is good.
    pub expires: Timestamp,
    /// The member that leaves when the new one has caught up.
    pub replaces: Option<NodeId>,
}

/// An authority that signs the nodes' certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// Its private key, sealed under the cluster's key.
    pub sealed_key: Vec<u8>,
}
