//! Why a call failed, and whether it may have been carried out all the same.

use super::limits::{FRAME_BYTES_MAX, GREETING_TIME_MAX};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Why a call has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CallError {
    /// There is no connection and none could be made; nothing was sent.
    #[error("cannot reach the other node")]
    Unreachable {
        /// What happened at the last attempt.
        #[source]
        source: Arc<DialError>,
    },
    /// One of the two nodes does not admit the other; nothing was sent.
    #[error("{why}")]
    Refused {
        /// Which of them, and its reason.
        why: String,
    },
    /// The connection broke before the answer came.
    #[error("the connection broke before the answer came")]
    Broken {
        /// Whether the request had been given to the network.
        is_sent: bool,
    },
    /// The time for the call is over.
    #[error("there was no answer in time")]
    TimedOut {
        /// Whether the request had been given to the network.
        is_sent: bool,
    },
    /// The other node received the request and answered with this sentence
    /// instead of a result; the handler there says what it means.
    #[error("{0}")]
    Answered(String),
    /// The request is larger than a frame may be; nothing was sent.
    #[error("a request of {bytes} bytes is too large, at most {FRAME_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The hub was closed; nothing was sent.
    #[error("this node is closing its connections")]
    Closed,
}

impl CallError {
    /// Returns whether the other node may have received the request. If not, it
    /// can be made again, or elsewhere, without being made twice.
    pub(crate) fn is_perhaps_done(&self) -> bool {
        match self {
            Self::Broken { is_sent } | Self::TimedOut { is_sent } => *is_sent,
            Self::Answered(_) => true,
            Self::Unreachable { .. } | Self::Refused { .. } | Self::TooLarge { .. } | Self::Closed => false,
        }
    }
}

impl From<Arc<DialError>> for CallError {
    fn from(error: Arc<DialError>) -> Self {
        match &*error {
            DialError::RefusedHere { .. } | DialError::RefusedThere { .. } => Self::Refused { why: error.to_string() },
            DialError::Resolve { .. }
            | DialError::Connect { .. }
            | DialError::Silent { .. }
            | DialError::Handshake { .. }
            | DialError::Foreign { .. }
            | DialError::Greeting { .. } => Self::Unreachable { source: error },
        }
    }
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The name has no address.
    #[error("cannot find the network address of {address}")]
    Resolve {
        /// What was looked up.
        address: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// No TCP connection came about.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It took the connection and said nothing.
    #[error("{address} accepts connections but did not greet within {} s", GREETING_TIME_MAX.as_secs())]
    Silent {
        /// Where to.
        address: SocketAddr,
    },
    /// TLS failed for another reason than trust.
    #[error("cannot agree on encryption with {address}")]
    Handshake {
        /// Where to.
        address: SocketAddr,
        /// What rustls or the system said.
        #[source]
        source: io::Error,
    },
    /// Something else listens there.
    #[error("{address} speaks TLS but not as a node does; is it the address of another service?")]
    Foreign {
        /// Where to.
        address: SocketAddr,
    },
    /// It broke off, or said what nobody understands.
    #[error("{address} broke off while greeting")]
    Greeting {
        /// Where to.
        address: SocketAddr,
        /// What happened.
        #[source]
        source: super::frame::FrameError,
    },
    /// We do not admit it.
    #[error("this node does not admit the one at {address}: {why}")]
    RefusedHere {
        /// Where to.
        address: SocketAddr,
        /// Our reason.
        why: String,
    },
    /// It does not admit us.
    #[error("the node at {address} does not admit this one: {why}")]
    RefusedThere {
        /// Where to.
        address: SocketAddr,
        /// Its reason.
        why: String,
    },
}
