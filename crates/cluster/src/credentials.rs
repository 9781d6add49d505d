//! The keys in this node's directory, and what is made with them.
//!
//! `node.key` is this node's own and never leaves it, `cluster.key` opens the
//! authority's key in the state, so each node signs its own certificate.

use crate::clock;
use crate::net::{self, AuthorityError, ClusterKey, KeyError, NodeKey, PrivateKey};
use crate::types::NodeId;
use model::member::{Authority, Digest};
use model::time::Timestamp;
use std::path::{Path, PathBuf};

/// Why a node has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A key or a certificate cannot be used.
    #[error("cannot use the keys of this node")]
    Key(#[from] KeyError),
    /// The authority does not sign.
    #[error("the cluster's authority does not sign")]
    Authority(#[from] AuthorityError),
    /// A thread for it could not be had.
    #[error("the node is stopping")]
    Stopped,
}

/// Signs a certificate for this node and writes it.
pub(crate) async fn sign_own(
    directory: &Path,
    authority: &Authority,
    node: NodeId,
) -> Result<NodeKey, CredentialsError> {
    let (directory, authority) = (directory.to_owned(), authority.clone());
    off_the_runtime(move || {
        let key = PrivateKey::read(&directory)?;
        let chain = sign_now(&directory, &authority, &key.signing_request(), node)?.chain;
        let key = NodeKey::new(&key, chain)?;
        key.write_certificates(&directory)?;
        Ok(key)
    })
    .await
}

/// Signs a certificate for another node.
pub(crate) async fn sign_for(
    directory: &Path,
    authority: &Authority,
    request: Vec<u8>,
    node: NodeId,
) -> Result<(net::Signed, ClusterKey), CredentialsError> {
    let (directory, authority) = (directory.to_owned(), authority.clone());
    off_the_runtime(move || {
        let signed = sign_now(&directory, &authority, &request, node)?;
        Ok((signed, ClusterKey::read(&directory)?))
    })
    .await
}

fn sign_now(
    directory: &Path,
    authority: &Authority,
    request: &[u8],
    node: NodeId,
) -> Result<net::Signed, CredentialsError> {
    let (now, _) = clock::read();
    Ok(net::sign(authority, &ClusterKey::read(directory)?, request, node, now)?)
}

/// Makes the keys of a cluster's first node, as far as they are missing.
/// Returns the cluster's, and the digest of the node's.
pub(crate) async fn found(directory: PathBuf) -> Result<(ClusterKey, Digest), CredentialsError> {
    off_the_runtime(move || {
        let cluster = match ClusterKey::read(&directory) {
            Err(KeyError::Missing { .. }) => {
                let key = ClusterKey::draw();
                key.write(&directory)?;
                key
            }
            read => read?,
        };
        Ok((cluster, own_key(&directory)?.digest()))
    })
    .await
}

/// Makes an authority whose key is sealed under the cluster's.
pub(crate) async fn make_authority(directory: &Path, now: Timestamp) -> Result<Authority, CredentialsError> {
    let directory = directory.to_owned();
    off_the_runtime(move || Ok(net::found(&ClusterKey::read(&directory)?, now))).await
}

/// The node's own key, made if it is missing. Only where nobody knows it yet.
pub(crate) fn own_key(directory: &Path) -> Result<PrivateKey, KeyError> {
    match PrivateKey::read(directory) {
        Err(KeyError::Missing { .. }) => {
            let key = PrivateKey::draw();
            key.write(directory)?;
            Ok(key)
        }
        read => read,
    }
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CredentialsError> + Send + 'static,
) -> Result<T, CredentialsError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(CredentialsError::Stopped))
}
