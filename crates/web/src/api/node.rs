//! The JSON about nodes: who belongs to the cluster, and what is wanted with them.

use serde::{Deserialize, Serialize};

/// How long a ticket is good when nothing is said, in seconds.
pub const VALID_FOR_SECONDS_DEFAULT: u64 = 3_600;

/// `GET /api/v1/nodes`, local socket only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nodes {
    /// Whether a majority of the voters can be reached from here.
    pub has_quorum: bool,
    /// Since when this node has had no contact with a majority, if it has none.
    pub cut_off_since: Option<String>,
    /// The nodes.
    pub nodes: Vec<NodeInfo>,
    /// What nodes have in common that could take them together.
    pub warnings: Vec<Warning>,
}

/// One of the nodes as the one that answers sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its number.
    pub id: u64,
    /// What people call it.
    pub name: String,
    /// Where the other nodes reach it.
    pub address: String,
    /// Where it stands.
    pub location: String,
    /// `full` or `witness`.
    pub role: String,
    /// Whether it votes already; a node that has just joined catches up first.
    pub is_voter: bool,
    /// Whether it leads.
    pub is_leader: bool,
    /// Whether it is heard.
    pub is_present: bool,
    /// Since when it is heard, or not heard any more.
    pub since: String,
    /// Whether it is the node that answers.
    pub is_this_one: bool,
    /// How many entries of the log it lacks, if that is known here.
    pub lag_entries: Option<u64>,
    /// Version of Mainstay on it.
    pub version: String,
    /// Where people reach its page, if that is known.
    pub url: Option<String>,
}

/// What nodes have in common that could take them together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// `machine`, `location`, `address_range`, `kernel`, `two_voters` or `even_voters`.
    pub kind: String,
    /// Which nodes, what they share and what it means.
    pub text: String,
}

/// What a new node will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    /// Everything.
    #[default]
    Full,
    /// It votes, but keeps no history and makes no checks.
    Witness,
}

/// `POST /api/v1/nodes/invite`, local socket only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InviteRequest {
    /// Who wants it.
    pub actor: String,
    /// Made by the sender, new for each wish and the same when it is sent again.
    pub key: String,
    /// What the new node will do.
    #[serde(default)]
    pub role: RoleName,
    /// How long the ticket is good.
    #[serde(default = "valid_for_seconds_default")]
    pub valid_for_seconds: u64,
    /// Name or id of the node that leaves when the new one has caught up.
    #[serde(default)]
    pub replaces: Option<String>,
}

fn valid_for_seconds_default() -> u64 {
    VALID_FOR_SECONDS_DEFAULT
}

/// `POST /api/v1/nodes/remove`, local socket only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveRequest {
    /// Who wants it.
    pub actor: String,
    /// Made by the sender, new for each wish and the same when it is sent again.
    pub key: String,
    /// Name or id of the node.
    pub node: String,
}

/// `POST /api/v1/nodes/transfer-leadership`, local socket only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferLeadershipRequest {
    /// Who wants it.
    pub actor: String,
    /// Made by the sender, new for each wish and the same when it is sent again.
    pub key: String,
    /// Name or id of the node; the one that is best prepared when nothing is said.
    #[serde(default)]
    pub to: Option<String>,
}

/// `POST /api/v1/nodes/rotate-authority`, local socket only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateAuthorityRequest {
    /// Who wants it.
    pub actor: String,
    /// Made by the sender, new for each wish and the same when it is sent again.
    pub key: String,
}

/// The answer to a wish about the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeAnswer {
    /// Whether it was carried out.
    pub is_accepted: bool,
    /// Why not, with what is allowed.
    pub refusal: Option<String>,
    /// What was done and what happens next, if there is more to say than that.
    pub said: Option<String>,
    /// The ticket that was asked for.
    pub invitation: Option<Invitation>,
}

/// Leave for one node to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// What the new node's operator gives to `mainstay join`; whoever has it can join.
    pub ticket: String,
    /// The id that the new node will have.
    pub node: u64,
    /// Until when the ticket is good.
    pub expires: String,
}
