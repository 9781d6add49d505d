//! How nodes talk: requests and answers over mutual TLS 1.3, and what trust is made of.
//!
//! ```text
//!  call ─► way (one for each peer and lane) ─► dial ─► link ══ TLS ══► door ─► serve ─► Handler
//!                                                                        └──► stranger's one request
//! ```
//!
//! A connection carries requests one way and answers the other; a pair of nodes
//! therefore has one in each direction, for each *lane*: what is urgent, what is
//! ordinary and what is large never wait behind each other. A request is sent
//! once and never repeated from here, and an error says whether it may have been
//! carried out.
//!
//! It does not know what is asked, who leads, or what the marks in a greeting
//! mean: that is the [`Handler`]'s. Whom it lets in follows from [`Trust`] alone,
//! asked anew at each handshake and at each change. **Nobody without a
//! certificate of this cluster gets an answer to anything but [`JOIN`].**
//!
//! Reading order: this file, `failure`, `hub`; `way`, `dial`, `link`; `door`,
//! `serve`, `stranger`; `greeting`, `frame`, `socket`, `limits`; `verify`, `tls`;
//! `authority`, `key`, `seal`, `digest`, `ticket`.

mod authority;
mod dial;
mod digest;
mod door;
mod failure;
mod frame;
mod greeting;
mod hub;
mod key;
mod limits;
mod link;
mod seal;
mod serve;
mod socket;
mod stranger;
mod ticket;
mod tls;
mod verify;
mod way;

#[cfg(test)]
mod tests;

use crate::identity::ClusterId;
use crate::types::NodeId;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use authority::AuthorityError;
pub use key::KeyError;
pub use seal::SealError;
pub use ticket::{Ticket, TicketError, Token};

pub(crate) use authority::{Signed, found, sign};
pub(crate) use digest::{is_same, sha256};
pub(crate) use failure::CallError;
pub(crate) use hub::{Hub, HubIdentity};
pub(crate) use key::{NodeKey, PrivateKey};
pub(crate) use seal::ClusterKey;
pub(crate) use stranger::ask_stranger;
pub(crate) use ticket::ADDRESSES_MAX as TICKET_ADDRESSES_MAX;
pub(crate) use tls::REMOVED;
pub(crate) use verify::Trust;

/// The one kind of request that a stranger may make.
pub(crate) const JOIN: u16 = 1;
/// Set in the kinds whose requests or answers are large: they have a connection of their own.
pub(crate) const BULK: u16 = 1 << 15;
/// Set in the kinds that keep the cluster alive (votes, appends): they have a
/// connection of their own, so that 256 requests that wait for a majority
/// cannot hold up the vote that would bring one.
pub(crate) const URGENT: u16 = 1 << 14;

/// What a node says about itself when a connection begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Its cluster; another one is refused before [`Handler::admit`] is asked.
    pub(crate) cluster: ClusterId,
    /// Itself; another id than its certificate's is refused before [`Handler::admit`] is asked.
    pub(crate) node: NodeId,
    /// How often it was started.
    pub(crate) incarnation: u64,
    /// Drawn at its start, so that two processes with one identity are told apart.
    pub(crate) nonce: u64,
    /// How far it has come; only the handler knows its meaning.
    pub(crate) marks: Vec<u8>,
    /// The newest requests it understands.
    pub(crate) protocol: u32,
}

/// Who makes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A node with a certificate of this cluster, whose greeting was admitted.
    Member(NodeId),
    /// Anybody; only ever with [`JOIN`].
    Stranger,
}

/// What stands behind the connections of a node.
pub(crate) trait Handler: Send + Sync + 'static {
    /// What we say when a connection begins; asked for each.
    fn hello(&self) -> Hello;

    /// Judges what a peer says about itself, before anything else on a
    /// connection, whichever side made it. Called where it may block (to write a
    /// mark), for several connections at a time.
    ///
    /// # Errors
    /// The sentence is sent to the peer, and the connection is closed.
    fn admit(&self, peer: &Hello) -> Result<(), String>;

    /// Answers a request, in a task of its own. Runs to its end also when the connection breaks, for
    /// [`limits::FINISH_TIME_MAX`]; is dropped half-way only when the hub closes.
    ///
    /// Several of one connection run at a time, in no order.
    fn handle(&self, from: Caller, kind: u16, body: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>>;

    /// Hears that a member answered something we sent, our greeting included:
    /// the way there *and back* is whole. Its own requests do not count, since
    /// they prove one direction only.
    fn heard(&self, from: NodeId);

    /// Hears that a member does not admit us, on a connection that it accepted
    /// or that we did; `why` is its sentence. Comes with every attempt, several
    /// times a second.
    fn refused(&self, by: NodeId, why: &str) {
        tracing::debug!(node = by, why, "a peer does not admit this node");
    }
}

/// Which of the connections to a peer a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Lane {
    Urgent,
    Ordinary,
    Bulk,
}

impl Lane {
    /// A large body goes with the bulk even if its kind is urgent: it would
    /// delay what is urgent and small.
    fn of(kind: u16, bytes: usize) -> Self {
        if kind & BULK != 0 || bytes > limits::SMALL_BYTES_MAX {
            Self::Bulk
        } else if kind & URGENT != 0 {
            Self::Urgent
        } else {
            Self::Ordinary
        }
    }
}
