//! The three ways in which heartbeats are asked for and answered.

use super::{Report, Signal, Untaken, take};
use crate::error_page;
use crate::shared::Shared;
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::routing::{MethodFilter, on, post};
use serde::Deserialize;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a body that are kept.
const BODY_KEPT_MAX: usize = 16 << 10;
/// Bytes of a body that are read and dropped, so that a sender of a long log
/// gets its answer; the connection of a longer one is closed after the answer.
const BODY_READ_MAX: usize = 1 << 20;

/// The routes of all dialects. The signal counts for every method that carries
/// it; healthchecks takes these three.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    let ping = MethodFilter::GET.or(MethodFilter::HEAD).or(MethodFilter::POST);
    Router::new()
        .route("/ping/{token}", on(ping, healthchecks))
        .route("/ping/{token}/{signal}", on(ping, healthchecks_signal))
        .route("/api/push/{token}", on(ping, kuma))
        .route("/api/v1/endpoints/{key}/external", post(gatus))
}

#[derive(Deserialize, Default)]
struct Run {
    #[serde(default)]
    rid: String,
}

async fn healthchecks(
    State(shared): State<Arc<Shared>>,
    Path(token): Path<String>,
    Query(run): Query<Run>,
    request: Request,
) -> Response<Body> {
    healthchecks_answer(&shared, &token, Signal::Success, run, request).await
}

async fn healthchecks_signal(
    State(shared): State<Arc<Shared>>,
    Path((token, signal)): Path<(String, String)>,
    Query(run): Query<Run>,
    request: Request,
) -> Response<Body> {
    let signal = match signal.as_str() {
        "start" => Signal::Start,
        "log" => Signal::Log,
        "fail" => Signal::Fail,
        code => match code.parse() {
            Ok(code) => Signal::Exit(code),
            Err(_) => return plain(StatusCode::NOT_FOUND, "not found"),
        },
    };
    healthchecks_answer(&shared, &token, signal, run, request).await
}

async fn healthchecks_answer(
    shared: &Shared,
    token: &str,
    signal: Signal,
    run: Run,
    request: Request,
) -> Response<Body> {
    let text = if request.method() == Method::POST { read_some(request.into_body()).await } else { Vec::new() };
    let report = Report { text, took: None, run: run.rid };
    match take(shared, token, signal, report).await {
        Ok(()) => plain(StatusCode::OK, "OK"),
        Err(Untaken::Unknown) => plain(StatusCode::NOT_FOUND, "not found"),
        Err(Untaken::NotCommitted(because)) => plain(StatusCode::SERVICE_UNAVAILABLE, &because),
    }
}

#[derive(Deserialize)]
struct Push {
    #[serde(default)]
    status: String,
    #[serde(default)]
    msg: String,
    /// Milliseconds, as text: scripts leave it empty or write nonsense into it.
    #[serde(default)]
    ping: String,
}

async fn kuma(
    State(shared): State<Arc<Shared>>,
    Path(token): Path<String>,
    Query(push): Query<Push>,
) -> Response<Body> {
    let signal = match push.status.as_str() {
        "" | "up" => Signal::Success,
        _ => Signal::Fail,
    };
    let took = push.ping.parse::<f64>().ok().and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
    let report = Report { text: push.msg.into_bytes(), took, run: String::new() };
    match take(&shared, &token, signal, report).await {
        Ok(()) => error_page::json(StatusCode::OK, &serde_json::json!({ "ok": true })),
        Err(Untaken::Unknown) => {
            let body = serde_json::json!({ "ok": false, "msg": "Monitor not found or not active." });
            error_page::json(StatusCode::NOT_FOUND, &body)
        }
        Err(Untaken::NotCommitted(because)) => {
            let body = serde_json::json!({ "ok": false, "msg": because });
            error_page::json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

#[derive(Deserialize)]
struct External {
    success: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    duration: String,
}

/// The key in the path is Gatus's name of the endpoint; the token alone says which check is meant.
async fn gatus(
    State(shared): State<Arc<Shared>>,
    Query(external): Query<External>,
    headers: HeaderMap,
) -> Response<Body> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = bearer.and_then(|value| value.strip_prefix("Bearer ")) else {
        return plain(StatusCode::UNAUTHORIZED, "invalid Authorization header");
    };
    let signal = if external.success { Signal::Success } else { Signal::Fail };
    let took = model::time::parse_duration(&external.duration).ok();
    let report = Report { text: external.error.into_bytes(), took, run: String::new() };
    match take(&shared, token.trim(), signal, report).await {
        Ok(()) => plain(StatusCode::OK, ""),
        Err(Untaken::Unknown) => plain(StatusCode::NOT_FOUND, "not found"),
        Err(Untaken::NotCommitted(because)) => plain(StatusCode::SERVICE_UNAVAILABLE, &because),
    }
}

/// The beginning of a body. One that breaks off is as good as a whole one.
async fn read_some(mut body: Body) -> Vec<u8> {
    let (mut kept, mut read) = (Vec::new(), 0);
    while let Some(Ok(frame)) = poll_fn(|ctx| Pin::new(&mut body).poll_frame(ctx)).await {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        read += data.len();
        kept.extend_from_slice(&data[..data.len().min(BODY_KEPT_MAX - kept.len())]);
        if read >= BODY_READ_MAX {
            break;
        }
    }
    kept
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
