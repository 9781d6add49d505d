//! What is where.
//!
//! Two doors: over TCP everything that only reads, and heartbeats; over the
//! local socket the same, commands, nodes and backups. **No route of the first door leads to a
//! command.**

mod backups;
mod commands;
mod nodes;
mod operator;
mod public;

use crate::error_page;
use crate::heartbeat::dialect;
use crate::options::OperatorReads;
use crate::shared::Shared;
use crate::visitor::Via;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use std::sync::Arc;

/// The routes over TCP.
pub(crate) fn over_tcp(shared: &Arc<Shared>) -> Router {
    let open = open();
    let routes = match shared.options.operator_reads {
        OperatorReads::OverTcp => open.merge(operator::routes(Via::Tcp { is_loopback: false })),
        OperatorReads::LocalSocketOnly => open,
    };
    routes.with_state(Arc::clone(shared))
}

/// The routes over the local socket.
pub(crate) fn over_local_socket(shared: &Arc<Shared>) -> Router {
    let routes = open()
        .merge(operator::routes(Via::LocalSocket))
        .merge(commands::routes())
        .merge(nodes::routes())
        .merge(backups::routes());
    routes.with_state(Arc::clone(shared))
}

fn open() -> Router<Arc<Shared>> {
    public::routes().merge(dialect::routes()).fallback(not_found).method_not_allowed_fallback(not_allowed)
}

async fn not_found(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response<Body> {
    error_page::respond(&shared, &headers, StatusCode::NOT_FOUND)
}

async fn not_allowed(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response<Body> {
    error_page::respond(&shared, &headers, StatusCode::METHOD_NOT_ALLOWED)
}
