//! What operators read: `/api/v1/` and `/metrics`.

use crate::commands::{ResultRange, RollupRange, RollupStep};
use crate::error_page::{Refusal, json};
use crate::operator::{self, DecisionFilter, LIMIT_DEFAULT, LIMIT_MAX, Part};
use crate::published::Published;
use crate::shared::Shared;
use crate::visitor::Via;
use crate::{api, lookup, metrics};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::get;
use model::id::{CheckId, IncidentId, ServiceId};
use model::time::{Timestamp, parse_duration};
use model::verdict::Verdict;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// How far back results are read when nothing is said.
const RESULTS_BACK: Duration = Duration::from_secs(24 * 3600);
/// How far back roll-ups are read when nothing is said.
const ROLLUPS_BACK: Duration = Duration::from_secs(90 * 24 * 3600);
/// Five-minute spans read at most: a month of them.
const FIVE_MINUTES_BACK_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// Results read at most; about 5 MB of JSON with evidence, 1 MB without.
const RESULTS_MAX: usize = 10_000;

type Answer = Result<Response<Body>, Refusal>;

pub(super) fn routes(via: Via) -> Router<Arc<Shared>> {
    let has_excerpt = matches!(via, Via::LocalSocket);
    Router::new()
        .route("/metrics", get(async |State(shared): State<_>, headers: HeaderMap| metrics::respond(&shared, &headers)))
        .route("/api/v1/status", get(status))
        .route("/api/v1/checks", get(checks))
        .route("/api/v1/checks/{id}", get(async move |shared, id| check(shared, id, has_excerpt).await))
        .route(
            "/api/v1/checks/{id}/results",
            get(async move |shared, id, range| results(shared, id, range, has_excerpt).await),
        )
        .route("/api/v1/checks/{id}/rollups", get(rollups))
        .route("/api/v1/services", get(services))
        .route("/api/v1/services/{id}", get(service))
        .route("/api/v1/incidents", get(incidents))
        .route("/api/v1/incidents/{id}", get(incident))
        .route("/api/v1/decisions", get(decisions))
        .route("/api/v1/deliveries", get(deliveries))
        .route("/api/v1/events", get(events))
}

/// What may be said in the query of any list.
#[derive(Deserialize, Default)]
struct Wanted {
    after: Option<String>,
    limit: Option<usize>,
    state: Option<String>,
    check: Option<String>,
    service: Option<String>,
    from: Option<String>,
    to: Option<String>,
    step: Option<String>,
}

impl Wanted {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
    }

    fn part(&self) -> Part {
        Part { after: self.after.clone(), limit: self.limit() }
    }

    /// The span from `from` until `to`, each an RFC 3339 time, milliseconds
    /// since 1970, or a duration back from now.
    fn span(&self, now: Timestamp, back: Duration) -> Result<(Timestamp, Timestamp), Refusal> {
        let read = |text: &str| {
            Timestamp::parse_rfc3339(text)
                .or_else(|| text.parse().ok().map(Timestamp::from_ms))
                .or_else(|| parse_duration(text).ok().map(|back| now.minus(back)))
                .ok_or_else(|| bad(format!("{text:?} is no time; allowed are RFC 3339, milliseconds since 1970, and durations back from now such as 24h")))
        };
        // The end is not part of the span, so the present instant is included.
        let to = self.to.as_deref().map_or(Ok(now.plus(Duration::from_millis(1))), read)?;
        let from = self.from.as_deref().map_or(Ok(to.minus(back)), read)?;
        Ok((from, to))
    }
}

async fn status(State(shared): State<Arc<Shared>>) -> Answer {
    let published = present(&shared)?;
    let freshness = shared.freshness(&published);
    let node = shared.commands.status();
    Ok(json(StatusCode::OK, &operator::status(&published, &node, freshness, &shared.options.version)))
}

async fn checks(State(shared): State<Arc<Shared>>, Query(wanted): Query<Wanted>) -> Answer {
    let published = present(&shared)?;
    let filter: fn(Verdict) -> bool = match wanted.state.as_deref() {
        None => |_| true,
        Some("up") => |verdict| verdict == Verdict::Up,
        Some("unknown") => |verdict| verdict == Verdict::Unknown,
        Some("degraded") => |verdict| verdict == Verdict::Degraded,
        Some("down") => |verdict| verdict == Verdict::Down,
        Some("not-up") => |verdict| verdict != Verdict::Up,
        Some(other) => {
            return Err(bad(format!(
                "there is no state {other:?}; allowed are up, unknown, degraded, down and not-up"
            )));
        }
    };
    Ok(json(StatusCode::OK, &operator::checks(&published.state, &wanted.part(), filter)))
}

async fn check(State(shared): State<Arc<Shared>>, Path(id): Path<String>, has_excerpt: bool) -> Answer {
    let published = present(&shared)?;
    let id = known_check(&published, &id)?;
    let slot = published.state.slot(&id);
    let Some(mut detail) = slot.and_then(|slot| operator::check_detail(&published.state, slot)) else {
        return Err(missing("check", id.as_str()));
    };
    match shared.commands.last_failure(id).await {
        Ok(stored) => detail.last_failure = stored.map(|stored| operator::result(stored, has_excerpt)),
        Err(error) => detail.history_error = Some(error.to_string()),
    }
    Ok(json(StatusCode::OK, &detail))
}

async fn results(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
    has_excerpt: bool,
) -> Answer {
    let published = present(&shared)?;
    let check = known_check(&published, &id)?;
    let (from, to) = wanted.span(published.state.now(), RESULTS_BACK)?;
    let limit = wanted.limit.unwrap_or(LIMIT_MAX).clamp(1, RESULTS_MAX);
    let range = ResultRange { check, from, to, limit: limit + 1 };
    let mut stored = shared.commands.results(range).await.map_err(|error| unreadable(&error))?;
    let next = (stored.len() > limit).then(|| stored[limit].scheduled.to_string());
    stored.truncate(limit);
    let results = stored.into_iter().map(|stored| operator::result(stored, has_excerpt)).collect();
    Ok(json(StatusCode::OK, &api::Results { results, next }))
}

async fn rollups(State(shared): State<Arc<Shared>>, Path(id): Path<String>, Query(wanted): Query<Wanted>) -> Answer {
    let published = present(&shared)?;
    let check = known_check(&published, &id)?;
    let (from, to) = wanted.span(published.state.now(), ROLLUPS_BACK)?;
    let (step, from) = match wanted.step.as_deref() {
        None | Some("1d") => (RollupStep::Day, from),
        Some("5m") => (RollupStep::FiveMinutes, from.max(to.minus(FIVE_MINUTES_BACK_MAX))),
        Some(other) => return Err(bad(format!("there is no step {other:?}; allowed are 5m and 1d"))),
    };
    let stored =
        shared.commands.rollups(RollupRange { check, from, to, step }).await.map_err(|error| unreadable(&error))?;
    Ok(json(StatusCode::OK, &api::Rollups { rollups: stored.into_iter().map(operator::rollup).collect() }))
}

async fn services(State(shared): State<Arc<Shared>>, Query(wanted): Query<Wanted>) -> Answer {
    let published = present(&shared)?;
    Ok(json(StatusCode::OK, &operator::services(&published.state, &wanted.part())))
}

async fn service(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Answer {
    let published = present(&shared)?;
    let found = ServiceId::new(&id).ok().and_then(|id| lookup::service(&published.state, &id));
    let (service, known) = found.ok_or_else(|| missing("service", &id))?;
    Ok(json(StatusCode::OK, &operator::service(&published.state, service, known)))
}

async fn incidents(State(shared): State<Arc<Shared>>, Query(wanted): Query<Wanted>) -> Answer {
    let published = present(&shared)?;
    let only_open = match wanted.state.as_deref() {
        None => false,
        Some("open") => true,
        Some(other) => return Err(bad(format!("there is no state {other:?}; allowed is open"))),
    };
    Ok(json(StatusCode::OK, &operator::incidents(&published.state, only_open, wanted.limit())))
}

async fn incident(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Answer {
    let published = present(&shared)?;
    let found = id.parse().ok().and_then(|id| published.state.incident(IncidentId(id)));
    let incident = found.ok_or_else(|| missing("incident", &id))?;
    Ok(json(StatusCode::OK, &operator::incident(incident)))
}

async fn decisions(State(shared): State<Arc<Shared>>, Query(wanted): Query<Wanted>) -> Answer {
    let published = present(&shared)?;
    let check = wanted.check.as_deref().map(|id| known_check(&published, id)).transpose()?;
    let service =
        wanted.service.as_deref().map(|id| ServiceId::new(id).map_err(|_| missing("service", id))).transpose()?;
    if let Some(id) = &service
        && published.state.service(id).is_none()
    {
        return Err(missing("service", id.as_str()));
    }
    let filter = DecisionFilter { check, service, limit: wanted.limit() };
    Ok(json(StatusCode::OK, &operator::decisions(&published.state, &filter)))
}

async fn deliveries(State(shared): State<Arc<Shared>>, Query(wanted): Query<Wanted>) -> Answer {
    let published = present(&shared)?;
    if let Some(other) = wanted.state.as_deref()
        && !["waiting", "in_flight", "delivered", "dead"].contains(&other)
    {
        return Err(bad(format!("there is no state {other:?}; allowed are waiting, in_flight, delivered and dead")));
    }
    Ok(json(StatusCode::OK, &operator::deliveries(&published.state, wanted.state.as_deref(), wanted.limit())))
}

async fn events(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Answer {
    let published = present(&shared)?;
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let full = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "as many listen to events as may; try again later");
    shared.events.subscribe(&published.state, seen).ok_or_else(full)
}

pub(super) fn present(shared: &Shared) -> Result<Arc<Published>, Refusal> {
    shared.published().ok_or_else(|| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "Mainstay is starting"))
}

fn known_check(published: &Published, id: &str) -> Result<CheckId, Refusal> {
    let known = CheckId::new(id).ok().filter(|id| lookup::check(&published.state, id).is_some());
    known.ok_or_else(|| missing("check", id))
}

fn missing(what: &str, id: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no {what} {id}"))
}

fn bad(error: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, error)
}

fn unreadable(error: &crate::commands::HistoryError) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}
