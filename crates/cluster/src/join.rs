//! How a new node comes to belong to a cluster.
//!
//! What is written down is written before anybody else relies on it: first
//! whose directory this is going to be, then the key, then the question. So a
//! join that was interrupted anywhere is repeated with the same ticket and the
//! same directory, and **an id that was let in once is never used by a
//! directory that does not have its key**.

use crate::acquaintance::{Acquaintance, AcquaintanceError};
use crate::credentials;
use crate::database::{Database, LogError};
use crate::directory::{self, DirectoryError};
use crate::identity::{ClusterId, Identity, IdentityError, Stage};
use crate::invite::{Answer, Request, Welcome};
use crate::meta::Meta;
use crate::net::{self, CallError, ClusterKey, KeyError, NodeKey, PrivateKey, Ticket, TicketError};
use crate::wire;
use model::id::LocationId;
use model::member::{NodeFacts, NodeId};
use rustls_pki_types::CertificateDer;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long one node may take to answer: a join waits for a majority.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// The pause before all of them are asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// What a node that joins says about itself.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// What people call it.
    pub name: String,
    /// Where the other nodes will reach it.
    pub address: String,
    /// Where it stands.
    pub location: LocationId,
    /// What it says about its machine.
    pub facts: NodeFacts,
    /// How long to try.
    pub patience: Duration,
}

/// A node that has joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// The cluster.
    pub cluster: ClusterId,
    /// The new node.
    pub node: NodeId,
    /// Whether it had joined already, and nothing was done.
    pub was_joined: bool,
}

/// Why a node did not join. Nothing that was done has to be undone: with the
/// same directory and ticket it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The ticket cannot be read.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Another node lives in the directory.
    #[error(
        "the data directory {path} belongs to node {node} of cluster {cluster}, and this ticket is for another; name an \
         empty directory"
    )]
    Occupied {
        /// The data directory.
        path: PathBuf,
        /// Whose it is.
        node: u64,
        /// Which cluster's.
        cluster: ClusterId,
    },
    /// No node of the cluster could be reached.
    #[error("cannot reach the cluster at {}", addresses.join(" or "))]
    Unreachable {
        /// Where it was looked for.
        addresses: Vec<String>,
        /// What happened at the last one.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cluster does not let this node in.
    #[error("the cluster does not let this node in: {why}")]
    Refused {
        /// Why, with what is allowed.
        why: String,
    },
    /// The cluster cannot let anybody in now.
    #[error("the cluster cannot let this node in now: {why}")]
    NotNow {
        /// Why.
        why: String,
    },
    /// What the cluster answered does not fit.
    #[error("the cluster's answer cannot be used")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The keys cannot be written.
    #[error("cannot write the keys of this node")]
    Key(#[from] KeyError),
    /// The list of the other nodes cannot be written.
    #[error(transparent)]
    Acquaintance(#[from] AcquaintanceError),
    /// The identity cannot be written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log cannot be made.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The system refused something else.
    #[error("cannot use the data directory {path}")]
    Io {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Joins a cluster: makes the directory that of the ticket's node. It is opened
/// as any other afterwards; the cluster brings it up to date then.
///
/// # Errors
/// [`JoinError`] says what to do.
pub async fn join(directory: &Path, ticket: &str, options: JoinOptions) -> Result<Joined, JoinError> {
    let ticket: Ticket = ticket.parse()?;
    let (cluster, node) = (ticket.cluster, NodeId(ticket.node));
    let Some((lock, key)) = begin(directory, &ticket)? else {
        return Ok(Joined { cluster, node, was_joined: true });
    };
    let request = Request {
        token: *ticket.token.as_bytes(),
        request: key.signing_request(),
        key: key.digest(),
        name: options.name,
        address: options.address,
        location: options.location,
        facts: options.facts,
    };
    let welcome = ask(&ticket, &request, options.patience).await?;
    finish(directory, &ticket, &key, &welcome)?;
    drop(lock);
    Ok(Joined { cluster, node, was_joined: false })
}

/// Makes the directory the future node's, with a key of its own; `None` if the
/// node lives there already.
fn begin(path: &Path, ticket: &Ticket) -> Result<Option<(File, PrivateKey)>, JoinError> {
    let lock = directory::hold_any(path)?;
    let identity = Identity { cluster: ticket.cluster, node: ticket.node, stage: Stage::Joining };
    match Identity::read(path)? {
        None => identity.write(path)?,
        Some(found) if (found.cluster, found.node) != (identity.cluster, identity.node) => {
            return Err(JoinError::Occupied { path: path.to_owned(), node: found.node, cluster: found.cluster });
        }
        Some(found) => match found.stage {
            Stage::Joining => {}
            Stage::Founded => return Ok(None),
            Stage::Founding => {
                return Err(JoinError::Occupied { path: path.to_owned(), node: found.node, cluster: found.cluster });
            }
        },
    }
    Ok(Some((lock, credentials::own_key(path)?)))
}

/// Asks the nodes named in the ticket, one after another, again and again.
async fn ask(ticket: &Ticket, request: &Request, patience: Duration) -> Result<Welcome, JoinError> {
    let until = Instant::now() + patience;
    loop {
        let error = match ask_all(ticket, request).await {
            Ok(welcome) => return Ok(welcome),
            Err(error @ (JoinError::Refused { .. } | JoinError::Answer(_))) => return Err(error),
            Err(error) => error,
        };
        if Instant::now() + AGAIN >= until {
            return Err(error);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn ask_all(ticket: &Ticket, request: &Request) -> Result<Welcome, JoinError> {
    let mut not_now = None;
    let mut last = CallError::Closed;
    for address in &ticket.addresses {
        let body = wire::encode(request);
        match net::ask_stranger(address, ticket.authority, wire::JOIN, body, ANSWER_TIME).await {
            Ok((answer, _)) => match wire::decode::<Answer>(&answer) {
                Ok(Answer::In(welcome)) => return Ok(*welcome),
                Ok(Answer::Refused(why)) => return Err(JoinError::Refused { why }),
                Ok(Answer::NotNow(why)) => not_now = Some(why),
                Err(error) => return Err(JoinError::Answer(error.into())),
            },
            Err(CallError::Answered(why)) => not_now = Some(why),
            Err(error) => {
                tracing::debug!(address, error = &error as &dyn std::error::Error, "a node does not answer");
                last = error;
            }
        }
    }
    Err(match not_now {
        Some(why) => JoinError::NotNow { why },
        None => JoinError::Unreachable { addresses: ticket.addresses.clone(), source: last.into() },
    })
}

/// Writes down what the cluster said, and an empty log; last that all is there.
fn finish(path: &Path, ticket: &Ticket, key: &PrivateKey, welcome: &Welcome) -> Result<(), JoinError> {
    let chain = welcome.chain.iter().map(|certificate| CertificateDer::from(certificate.clone())).collect();
    let node_key = NodeKey::new(key, chain).map_err(|error| JoinError::Answer(error.into()))?;
    ClusterKey::from_bytes(welcome.cluster_key).write(path)?;
    node_key.write_certificates(path)?;
    let told = Acquaintance { authorities: welcome.authorities.clone(), members: welcome.members.clone() };
    told.write(path)?;
    directory::clear(path).map_err(|source| JoinError::Io { path: path.to_owned(), source })?;
    Database::create(path, None, Meta::new(ticket.cluster, ticket.node))?.close(None)?;
    Identity { cluster: ticket.cluster, node: ticket.node, stage: Stage::Founded }.write(path)?;
    Ok(())
}
