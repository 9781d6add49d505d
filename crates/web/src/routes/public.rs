//! What everybody may see: the page, its JSON, and whether we live.

use crate::error_page;
use crate::operator;
use crate::page;
use crate::shared::Shared;
use crate::statuspage::Resource;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::routing::get;
use model::id::IncidentId;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Shared>> {
    let mut routes = Router::new()
        .route("/", get(front))
        .route("/incidents/{id}", get(incident))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/robots.txt", get(async || "User-agent: *\nDisallow: /api/\nDisallow: /ping/\n"));
    for resource in Resource::ALL {
        let path = format!("/api/v2/{}", resource.path());
        let answer = async move |State(shared): State<Arc<Shared>>, headers: HeaderMap| {
            statuspage(shared, headers, resource).await
        };
        routes = routes.route(&path, get(answer).options(preflight));
    }
    routes
}

async fn front(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response<Body> {
    let Some(published) = shared.published() else {
        return error_page::respond(&shared, &headers, StatusCode::SERVICE_UNAVAILABLE);
    };
    match shared.page.get(&shared, &published, page::front).await {
        Some(page) => page.respond(&headers),
        None => error_page::respond(&shared, &headers, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn incident(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Response<Body> {
    let Some(published) = shared.published() else {
        return error_page::respond(&shared, &headers, StatusCode::SERVICE_UNAVAILABLE);
    };
    let freshness = shared.freshness(&published);
    let page = id.parse().ok().and_then(|id| page::incident(&published.state, IncidentId(id), freshness));
    match page {
        Some(page) => page.respond(&headers),
        None => error_page::respond(&shared, &headers, StatusCode::NOT_FOUND),
    }
}

async fn statuspage(shared: Arc<Shared>, headers: HeaderMap, resource: Resource) -> Response<Body> {
    let Some(published) = shared.published() else {
        return error_page::problem(StatusCode::SERVICE_UNAVAILABLE, "Mainstay is starting");
    };
    match shared.statuspage(resource).get(&shared, &published, resource.make()).await {
        Some(document) => document.respond(&headers),
        None => error_page::respond(&shared, &headers, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("access-control-allow-methods", HeaderValue::from_static("GET, HEAD"));
    headers.insert("access-control-allow-headers", HeaderValue::from_static("*"));
    headers.insert("access-control-max-age", HeaderValue::from_static("86400"));
    response
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let published = shared.published();
    let state = published.as_ref().map(|published| &published.state);
    let age = published.as_ref().map(|published| published.age());
    let readiness = operator::readiness(state, age, &shared.commands.status(), shared.options.stale_after);
    let status = if readiness.is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    error_page::json(status, &readiness)
}
