//! PagerDuty Events v2.
//!
//! An incident is one alert there: its thread is the `dedup_key`, `Resolved`
//! resolves it, every other step triggers it again with the new state. A word
//! about Mainstay itself has a thread of its own and goes the same way. A test triggers an alert of lowest severity and resolves it in the same
//! attempt: it takes the whole way, and leaves nothing open.

use crate::Attempt;
use crate::answer::Setback;
use crate::event;
use crate::hidden::Hidden;
use crate::http::{self, NotFound};
use crate::text::{headline, shorten, text_with_note};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::message::{Message, Step};
use model::secret::Secret;
use model::verdict::ServiceStatus;
use reqwest::Client;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

/// PagerDuty's own endpoint; European accounts have `https://events.eu.pagerduty.com`.
const ADDRESS_DEFAULT: &str = "https://events.pagerduty.com";
/// Characters of a `dedup_key`, by PagerDuty's reference.
const KEY_LENGTH_MAX: usize = 255;
/// Characters of the text in the details; an event may have 512 kB.
const TEXT_LENGTH_MAX: usize = 16 << 10;

/// What PagerDuty is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Trigger,
    Resolve,
}

pub(crate) async fn deliver(
    client: &Client,
    routing_key: &Secret,
    address: Option<&str>,
    attempt: &Attempt<'_>,
    hidden: &mut Hidden,
) -> Result<String, Setback> {
    let url = endpoint(address.unwrap_or(ADDRESS_DEFAULT))?;
    let routing_key = hidden.reveal(routing_key).await?;
    let mut said = String::new();
    for act in acts(attempt.message) {
        let body = serde_json::to_vec(&payload(attempt, *act, &routing_key)).expect("a JSON value always encodes");
        said = http::post(client, &url, HeaderMap::new(), body, NotFound::IsFinal, attempt.deadline).await?;
    }
    Ok(said)
}

fn endpoint(address: &str) -> Result<Url, Setback> {
    let mut url = http::parse_address(address)?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["v2", "enqueue"]);
    }
    Ok(url)
}

fn acts(message: &Message) -> &'static [Act] {
    match message.step {
        Step::Opened | Step::Worsened | Step::Flapping | Step::Own => &[Act::Trigger],
        Step::Resolved => &[Act::Resolve],
        Step::Test => &[Act::Trigger, Act::Resolve],
    }
}

fn payload(attempt: &Attempt<'_>, act: Act, routing_key: &str) -> Value {
    let message = attempt.message;
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": match act { Act::Trigger => "trigger", Act::Resolve => "resolve" },
        "dedup_key": dedup_key(message),
        "client": "Mainstay",
        "payload": {
            "summary": headline(message),
            "source": message.service.as_ref().map_or("mainstay", |(id, _)| id.as_str()),
            "severity": severity(message),
            "timestamp": message.started.to_string(),
            "component": message.service.as_ref().map(|(_, name)| name.as_str()),
            "class": event::kind(message),
            "custom_details": {
                "text": shorten(&text_with_note(message, attempt.this), TEXT_LENGTH_MAX),
                "status": message.status.name(),
                "incident": message.incident.map(|id| id.0),
                "delivery": message.key,
                "attempt": attempt.this.attempt,
                "possibly_double": attempt.this.possibly_double,
            },
        },
    });
    if let Some(url) = &message.url {
        event["client_url"] = url.as_str().into();
        event["links"] = json!([{ "href": url, "text": "Status page" }]);
    }
    event
}

/// The thread and its begin: incidents are counted from 1 in every installation,
/// and two of them may report to one service there.
fn dedup_key(message: &Message) -> String {
    let key = format!("mainstay:{}:{}", message.thread, message.started.as_ms());
    if key.len() <= KEY_LENGTH_MAX { key } else { format!("mainstay:{}", URL_SAFE_NO_PAD.encode(Sha256::digest(&key))) }
}

/// PagerDuty treats `critical` and `error` as urgent, the others not. That a
/// receiver cannot be reached or the disk is full wakes people: the next outage
/// would otherwise pass unheard.
fn severity(message: &Message) -> &'static str {
    match message.step {
        Step::Opened | Step::Worsened | Step::Resolved => match message.status {
            ServiceStatus::Down => "critical",
            ServiceStatus::Degraded | ServiceStatus::Unknown => "warning",
            ServiceStatus::Maintenance | ServiceStatus::Up => "info",
        },
        Step::Flapping => "error",
        Step::Own => "error",
        Step::Test => "info",
    }
}
