//! The nodes of the cluster.

use super::text;
use crate::api::node::{NodeInfo, Nodes};
use crate::commands::{self, NodeStatus};

/// All nodes, as far as the one that answers knows.
pub(crate) fn nodes(node: &NodeStatus) -> Nodes {
    Nodes {
        has_quorum: node.has_quorum,
        cut_off_since: node.cut_off_since.map(text),
        nodes: infos(node),
        warnings: Vec::new(),
    }
}

pub(super) fn infos(node: &NodeStatus) -> Vec<NodeInfo> {
    node.nodes.iter().map(info).collect()
}

fn info(known: &commands::NodeInfo) -> NodeInfo {
    NodeInfo {
        id: known.id.0,
        name: known.name.clone(),
        address: known.address.clone(),
        location: known.location.to_string(),
        role: known.role.name().to_owned(),
        is_voter: known.is_voter,
        is_leader: known.is_leader,
        is_present: known.is_present,
        since: text(known.since),
        is_this_one: known.is_this_one,
        lag_entries: known.lag_entries,
        version: known.version.clone(),
        url: known.url.clone(),
    }
}
