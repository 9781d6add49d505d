//! The front door's own requests between nodes.
//!
//! History is no part of the log, so a node that lacks some asks another one.
//! What is asked is the front door's matter; this room carries it, over
//! connections of its own, so that large answers hold nothing else up.

use crate::net::CallError;
use futures_util::future::BoxFuture;
use model::member::NodeId;

/// Answers what the front door of another node asks.
pub trait PeerService: Send + Sync + 'static {
    /// Answers a request. `kind` and `body` are the front doors' own.
    ///
    /// # Errors
    /// A sentence for the one who asks.
    fn answer(&self, from: NodeId, kind: u8, body: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>>;
}

/// Why a node gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It cannot be reached; nothing was sent.
    #[error("cannot reach node {node}")]
    Unreachable {
        /// Which node.
        node: NodeId,
        /// What was tried and what came of it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request was sent and not answered; it may have been carried out.
    #[error("node {node} gave no answer")]
    Lost {
        /// Which node.
        node: NodeId,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered with a sentence instead.
    #[error("{text}")]
    Answered {
        /// The sentence.
        text: String,
    },
}

impl AskError {
    pub(crate) fn new(node: NodeId, error: CallError) -> Self {
        match error {
            CallError::Answered(text) => Self::Answered { text },
            error if error.is_perhaps_done() => Self::Lost { node, source: error.into() },
            error => Self::Unreachable { node, source: error.into() },
        }
    }
}
