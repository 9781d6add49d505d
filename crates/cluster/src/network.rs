//! The way to other nodes. There are none yet: with one voter openraft never
//! asks for a connection, and one that is asked for is refused with a reason.

use crate::types::{NodeId, Peer, TypeConfig};
use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};
use openraft::{RaftNetwork, RaftNetworkFactory};

/// Refuses every connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoNetwork;

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("this version of Mainstay runs on one node; there are no connections to node {target} yet")]
pub(crate) struct NoPeersYet {
    target: NodeId,
}

type Refused<E> = RPCError<NodeId, Peer, E>;

impl NoPeersYet {
    fn refuse<E: std::error::Error>(self) -> Refused<E> {
        RPCError::Unreachable(Unreachable::new(&self))
    }
}

impl RaftNetworkFactory<TypeConfig> for NoNetwork {
    type Network = NoPeersYet;

    async fn new_client(&mut self, target: NodeId, _node: &Peer) -> NoPeersYet {
        NoPeersYet { target }
    }
}

impl RaftNetwork<TypeConfig> for NoPeersYet {
    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, Refused<RaftError<NodeId>>> {
        Err(self.refuse())
    }

    async fn install_snapshot(
        &mut self,
        _rpc: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<NodeId>, Refused<RaftError<NodeId, InstallSnapshotError>>> {
        Err(self.refuse())
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<NodeId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, Refused<RaftError<NodeId>>> {
        Err(self.refuse())
    }
}
