//! Letting further nodes in.
//!
//! A ticket holds a token; the cluster keeps its digest. Whoever shows the
//! token gets a certificate for the key it brings, the cluster's key, and the
//! names of the others. **The same key may ask again**, because an answer can
//! be lost; another key may not, because a ticket can be.

use crate::clock;
use crate::credentials::{self, CredentialsError};
use crate::forward;
use crate::identity;
use crate::net::{self, ClusterKey, Ticket, Token};
use crate::parts::Parts;
use crate::propose::ProposeError;
use crate::types::NodeId;
use crate::wire;
use control::{CommandOutcome, State};
use model::entry::{Action, Body, Command, Origin};
use model::id::LocationId;
use model::member::{Digest, Invitation, Member, NodeFacts, NodeId as MemberId, Role};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the leader may take with a join that was passed on to it.
const PASS_ON_TIME: Duration = Duration::from_secs(15);

/// What an invitation is for.
#[derive(Debug, Clone)]
pub struct InviteOptions {
    /// Who invites, for the journal.
    pub actor: String,
    /// What the new node will do.
    pub role: Role,
    /// How long the ticket is good.
    pub good_for: Duration,
    /// The member that leaves when the new one has caught up.
    pub replaces: Option<MemberId>,
}

/// Why there is no invitation.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// The cluster does not allow it.
    #[error("{why}")]
    Refused {
        /// Why, with what is allowed.
        why: String,
    },
    /// It has no authority yet.
    #[error(
        "this node has no address for other nodes; give it one (`cluster: listen` and `address`) and start it again"
    )]
    NotFounded,
    /// It could not be logged.
    #[error("cannot log the invitation")]
    Propose(#[from] ProposeError),
    /// The system gave no random bytes.
    #[error("cannot draw an id for the new node")]
    Random(#[source] std::io::Error),
}

/// What a node that joins says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) token: [u8; 32],
    /// The signing request for its key.
    pub(crate) request: Vec<u8>,
    /// The digest of that key.
    pub(crate) key: Digest,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) location: LocationId,
    pub(crate) facts: NodeFacts,
}

/// The answer to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Welcome.
    In(Box<Welcome>),
    /// Not like this, and why.
    Refused(String),
    /// Not now, and why.
    NotNow(String),
}

/// All that a node needs to belong.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    /// Its certificate, and its authority's.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) cluster_key: [u8; 32],
    pub(crate) authorities: Vec<Vec<u8>>,
    pub(crate) members: BTreeMap<NodeId, (String, Digest)>,
}

/// Leaves a way for one more node to join.
pub(crate) async fn invite(parts: &Parts, options: InviteOptions) -> Result<Ticket, InviteError> {
    let state = parts.shared.state();
    let Some(authority) = state.authorities().last() else { return Err(InviteError::NotFounded) };
    let token = Token::draw();
    let node = identity::draw_node().map_err(InviteError::Random)?;
    let expires = parts.shared.now().max(clock::read().0).plus(options.good_for);
    let invitation = Invitation {
        token: token.digest(),
        node: MemberId(node),
        role: options.role,
        expires,
        replaces: options.replaces,
    };
    let command = Command {
        actor: options.actor,
        origin: Origin::CommandLine,
        key: format!("invite {}", token.digest()),
        expected_revision: None,
        action: Action::Invite(invitation),
    };
    match forward::propose(parts, Body::Command(command)).await?.applied.outcome {
        CommandOutcome::Refused(why) => Err(InviteError::Refused { why }),
        CommandOutcome::Accepted => Ok(Ticket {
            cluster: parts.cluster,
            node,
            token,
            authority: net::sha256(&authority.certificate),
            addresses: addresses(parts, &state),
            expires,
        }),
    }
}

/// This node first: it is known to be there.
fn addresses(parts: &Parts, state: &State) -> Vec<String> {
    let is_me = |member: &&Member| member.id.0 == parts.me;
    let members: Vec<&Member> = state.members().map(|known| &known.member).collect();
    let mine = members.iter().copied().filter(is_me);
    let others = members.iter().copied().filter(|member| !is_me(member));
    mine.chain(others).map(|member| member.address.clone()).take(net::TICKET_ADDRESSES_MAX).collect()
}

/// Answers a node that wants to join. The leader alone does it.
pub(crate) async fn let_in(parts: &Parts, body: &[u8]) -> Result<Vec<u8>, String> {
    let answer = if parts.is_leader() {
        let request: Request = wire::decode(body).map_err(|error| error.to_string())?;
        decide(parts, request).await
    } else if let Some(leader) = parts.leader() {
        let asked = parts.peers.call(leader, wire::JOIN, body.to_vec(), PASS_ON_TIME).await;
        return asked
            .or_else(|error| Ok(wire::encode(&Answer::NotNow(format!("the leader cannot be reached: {error}")))));
    } else {
        Answer::NotNow("no node leads the cluster at the moment".to_owned())
    };
    Ok(wire::encode(&answer))
}

async fn decide(parts: &Parts, request: Request) -> Answer {
    let state = parts.shared.state();
    let token = Token::from_bytes(request.token).digest();
    // Looked for before anything is logged: a stranger must not fill the log.
    let Some(known) = state.invitations().find(|known| net::is_same(&known.invitation.token, &token)) else {
        return Answer::Refused(
            "there is no invitation with this token, or it has ended; `mainstay node invite` makes another one".into(),
        );
    };
    let (node, role) = (known.invitation.node, known.invitation.role);
    let Request { request, key, name, address, location, facts, .. } = request;
    let Some(authority) = state.authorities().last() else {
        return Answer::NotNow("the cluster has no authority".to_owned());
    };
    // Signed before it is logged, so that no key is logged that nobody has;
    // without the entry the certificate is never given out.
    let (signed, cluster_key) = match credentials::sign_for(&parts.directory, authority, request, node.0).await {
        Ok(signed) => signed,
        Err(error) => return Answer::NotNow(in_full(&error)),
    };
    if signed.key != key {
        return Answer::Refused("the signing request is for another key than the one that joins".to_owned());
    }
    let member = Member { id: node, name, address, location, role, ordinal: 0, key, facts };
    match propose_join(parts, token, member).await {
        Ok(CommandOutcome::Accepted) => welcome(parts, signed, &cluster_key),
        Ok(CommandOutcome::Refused(why)) => Answer::Refused(why),
        Err(error) => Answer::NotNow(error.to_string()),
    }
}

async fn propose_join(parts: &Parts, token: Digest, member: Member) -> Result<CommandOutcome, ProposeError> {
    // A refusal must not be remembered under the key: what it complains of can be mended.
    let lot = identity::random::<16>().map(u128::from_be_bytes).unwrap_or_default();
    let command = Command {
        actor: format!("node {}", member.name),
        origin: Origin::Node,
        key: format!("join {} {lot:032x}", member.id),
        expected_revision: None,
        action: Action::Join { token, member },
    };
    Ok(forward::propose(parts, Body::Command(command)).await?.applied.outcome)
}

fn welcome(parts: &Parts, signed: net::Signed, cluster_key: &ClusterKey) -> Answer {
    let state = parts.shared.state();
    let members = state.members().map(|known| &known.member);
    Answer::In(Box::new(Welcome {
        chain: signed.chain.iter().map(|certificate| certificate.to_vec()).collect(),
        cluster_key: *cluster_key.as_bytes(),
        authorities: state.authorities().iter().map(|authority| authority.certificate.clone()).collect(),
        members: members.map(|member| (member.id.0, (member.address.clone(), member.key))).collect(),
    }))
}

fn in_full(error: &CredentialsError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
