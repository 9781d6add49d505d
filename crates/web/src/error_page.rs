//! Answers to requests that failed: JSON for programs, a page for people.

use crate::api::Problem;
use crate::document::Document;
use crate::page;
use crate::shared::Shared;
use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;

/// An answer of JSON that no cache keeps.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_string(body).expect("own types always encode");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

/// A failed request, said in JSON.
pub(crate) fn problem(status: StatusCode, error: impl Into<String>) -> Response<Body> {
    json(status, &Problem { error: error.into() })
}

/// A request that an operator's route refuses.
pub(crate) struct Refusal {
    status: StatusCode,
    error: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        problem(self.status, self.error)
    }
}

/// A failed request, said in the form the client asked for.
pub(crate) fn respond(shared: &Shared, request: &HeaderMap, status: StatusCode) -> Response<Body> {
    let (heading, text) = match status {
        StatusCode::NOT_FOUND => ("Not found", "There is nothing at this address."),
        StatusCode::METHOD_NOT_ALLOWED => ("Not possible", "This address does not take requests of this kind."),
        StatusCode::SERVICE_UNAVAILABLE => {
            ("Starting", "Mainstay has just been started and is not ready yet. Try again in a moment.")
        }
        StatusCode::GATEWAY_TIMEOUT => ("Too slow", "The answer took too long. Try again in a moment."),
        _ => ("Something went wrong", "This is our mistake, and it was logged. Try again in a moment."),
    };
    let wants_html = request.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|v| v.contains("text/html"));
    if !wants_html {
        return problem(status, text);
    }
    let published = shared.published();
    let name = published.as_ref().map_or("Mainstay", |published| published.state.configuration().page.name.as_str());
    let document: Document = page::message(name, heading, text).with_status(status);
    document.respond(request)
}
