//! One request: the front page straight from memory, everything else through
//! the routes, within a time and without taking the connection down by a bug.

use crate::error_page;
use crate::freshness;
use crate::shared::Shared;
use crate::visitor::{self, Via};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use futures_util::FutureExt as _;
use hyper::Request;
use hyper::body::Incoming;
use std::panic::AssertUnwindSafe;
use tower::ServiceExt as _;

/// Answers one request, and says which node did and what it knew.
pub(crate) async fn answer(shared: &Shared, router: &Router, via: Via, request: Request<Incoming>) -> Response<Body> {
    // Taken before the answer is made, so that it never claims to know more than it does.
    let as_of = shared.published().map(|published| published.state.now());
    let mut response = respond(shared, router, via, request).await;
    freshness::sign(response.headers_mut(), &shared.commands.contact(), as_of);
    response
}

async fn respond(shared: &Shared, router: &Router, via: Via, request: Request<Incoming>) -> Response<Body> {
    // During an outage everybody asks for this one page; it takes no detour.
    if request.uri().path() == "/"
        && matches!(*request.method(), Method::GET | Method::HEAD)
        && let Some(published) = shared.published()
        && let Some(page) = shared.page.ready(shared, &published)
    {
        return page.respond(request.headers());
    }
    if is_for_operators(request.uri().path()) && !is_trusted(shared, via, &request) {
        return error_page::problem(
            StatusCode::MISDIRECTED_REQUEST,
            "this address is not answered under this host name; use an IP address, localhost, or set `page.url`",
        );
    }
    let headers = request.headers().clone();
    // Unwind safe: the request is gone afterwards, and what is shared is swapped whole.
    let answering = AssertUnwindSafe(router.clone().oneshot(request.map(Body::new))).catch_unwind();
    match tokio::time::timeout(shared.options.request_timeout, answering).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(_)) => {
            tracing::error!("answering a request panicked; this is a bug");
            error_page::respond(shared, &headers, StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(_) => error_page::respond(shared, &headers, StatusCode::GATEWAY_TIMEOUT),
    }
}

/// What names targets and failures of services that are not public. Gatus's
/// heartbeats live below the same path and carry a token of their own.
fn is_for_operators(path: &str) -> bool {
    path == "/metrics" || (path.starts_with("/api/v1/") && !path.starts_with("/api/v1/endpoints/"))
}

fn is_trusted(shared: &Shared, via: Via, request: &Request<Incoming>) -> bool {
    let published = shared.published();
    let page_url = published.as_ref().and_then(|published| published.state.configuration().page.url.as_deref());
    visitor::is_trusted(via, request.uri(), request.headers(), page_url)
}
