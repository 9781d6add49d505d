//! Nodes: who belongs to the cluster, and what changes that. On the local socket only.

use super::commands::{at_most, bad, not_done, read_body, refuse_if_cut_off};
use super::operator::present;
use crate::api::node::{
    Invitation, InviteRequest, NodeAnswer, RemoveRequest, RoleName, RotateAuthorityRequest, TransferLeadershipRequest,
};
use crate::commands::{self, NodeRequest, Sender};
use crate::error_page::{Refusal, json};
use crate::operator;
use crate::shared::Shared;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use model::limits::NODE_NAME_LENGTH_MAX;
use model::member::Role;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/nodes", get(nodes))
        .route("/api/v1/nodes/invite", post(async |shared, body| wish::<InviteRequest>(shared, body).await))
        .route("/api/v1/nodes/remove", post(async |shared, body| wish::<RemoveRequest>(shared, body).await))
        .route(
            "/api/v1/nodes/transfer-leadership",
            post(async |shared, body| wish::<TransferLeadershipRequest>(shared, body).await),
        )
        .route(
            "/api/v1/nodes/rotate-authority",
            post(async |shared, body| wish::<RotateAuthorityRequest>(shared, body).await),
        )
}

async fn nodes(State(shared): State<Arc<Shared>>) -> Result<Response<Body>, Refusal> {
    let published = present(&shared)?;
    Ok(json(StatusCode::OK, &operator::nodes(&published.state, &shared.commands.status())))
}

async fn wish<R: Wish>(State(shared): State<Arc<Shared>>, body: Body) -> Result<Response<Body>, Refusal> {
    let (sender, request) = read_body::<R>(body).await?.read();
    judge(&sender, &request).map_err(bad)?;
    refuse_if_cut_off(&shared)?;
    match shared.commands.node(sender, request).await {
        Ok(answer) => Ok(json(StatusCode::OK, &answered(answer))),
        Err(error) => Err(not_done(&error)),
    }
}

/// A request about nodes, as the web room's neighbour takes it.
trait Wish: DeserializeOwned {
    fn read(self) -> (Sender, NodeRequest);
}

impl Wish for InviteRequest {
    fn read(self) -> (Sender, NodeRequest) {
        let Self { actor, key, role, valid_for_seconds, replaces } = self;
        let role = match role {
            RoleName::Full => Role::Full,
            RoleName::Witness => Role::Witness,
        };
        let valid_for = Duration::from_secs(valid_for_seconds);
        (Sender { actor, key }, NodeRequest::Invite { role, valid_for, replaces })
    }
}

impl Wish for RemoveRequest {
    fn read(self) -> (Sender, NodeRequest) {
        let Self { actor, key, node } = self;
        (Sender { actor, key }, NodeRequest::Remove { node })
    }
}

impl Wish for TransferLeadershipRequest {
    fn read(self) -> (Sender, NodeRequest) {
        let Self { actor, key, to } = self;
        (Sender { actor, key }, NodeRequest::TransferLeadership { to })
    }
}

impl Wish for RotateAuthorityRequest {
    fn read(self) -> (Sender, NodeRequest) {
        let Self { actor, key } = self;
        (Sender { actor, key }, NodeRequest::RotateAuthority)
    }
}

/// Checks the form of a wish; whether it is allowed is decided elsewhere.
fn judge(sender: &Sender, request: &NodeRequest) -> Result<(), String> {
    super::commands::sender(&sender.actor, &sender.key)?;
    match request {
        NodeRequest::Invite { replaces: Some(node), .. }
        | NodeRequest::Remove { node }
        | NodeRequest::TransferLeadership { to: Some(node) } => at_most("node's name", node, NODE_NAME_LENGTH_MAX),
        NodeRequest::Invite { replaces: None, .. }
        | NodeRequest::TransferLeadership { to: None }
        | NodeRequest::RotateAuthority => Ok(()),
    }
}

fn answered(answer: commands::NodeAnswer) -> NodeAnswer {
    match answer {
        commands::NodeAnswer::Invited { ticket, node, expires } => {
            let invitation = Invitation { ticket, node: node.0, expires: expires.to_string() };
            NodeAnswer { is_accepted: true, invitation: Some(invitation), ..NodeAnswer::default() }
        }
        commands::NodeAnswer::Done { said } => {
            NodeAnswer { is_accepted: true, said: Some(said), ..NodeAnswer::default() }
        }
        // Understood and decided: the refusal is the outcome, not an error of HTTP.
        commands::NodeAnswer::Refused { why } => NodeAnswer { refusal: Some(why), ..NodeAnswer::default() },
    }
}
