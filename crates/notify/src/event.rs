//! A message as JSON: the body of a webhook and the input of a program.
//!
//! The form is public (`docs/receivers.md`): fields are added, never renamed or
//! removed, and a field that does not apply is `null` rather than absent.

use crate::text::{shorten_bytes, title};
use crate::{Attempt, Try};
use model::message::{Message, Step};
use serde::Serialize;

/// Bytes of the text. Standard Webhooks asks for bodies below 20 kB, and one
/// byte of text may take two of JSON.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// The whole JSON document, shaped as Standard Webhooks asks.
#[derive(Serialize)]
struct Event<'a> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    incident: Option<u64>,
    thread: &'a str,
    step: &'static str,
    service: Option<Service<'a>>,
    status: &'static str,
    title: String,
    text: String,
    started: String,
    url: Option<&'a str>,
    delivery: Delivery<'a>,
}

#[derive(Serialize)]
struct Service<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Delivery<'a> {
    key: &'a str,
    attempt: u32,
    possibly_double: bool,
}

/// The JSON of an attempt.
pub(crate) fn json(attempt: &Attempt<'_>) -> Vec<u8> {
    serde_json::to_vec(&event(attempt.message, attempt.this)).expect("text and numbers always encode")
}

/// What kind of event a message is: about an incident, or about Mainstay itself.
pub(crate) fn kind(message: &Message) -> &'static str {
    match message.step {
        Step::Opened => "incident.opened",
        Step::Worsened => "incident.worsened",
        Step::Flapping => "incident.flapping",
        Step::Resolved if message.incident.is_some() => "incident.resolved",
        Step::Resolved => "mainstay.resolved",
        Step::Own => "mainstay.opened",
        Step::Test => "mainstay.test",
    }
}

fn event(message: &Message, this: Try) -> Event<'_> {
    Event {
        r#type: kind(message),
        timestamp: message.at.to_string(),
        data: Data {
            incident: message.incident.map(|id| id.0),
            thread: &message.thread,
            step: message.step.name(),
            service: message.service.as_ref().map(|(id, name)| Service { id: id.as_str(), name }),
            status: message.status.name(),
            title: title(message),
            text: shorten_bytes(&message.text, TEXT_BYTES_MAX),
            started: message.started.to_string(),
            url: message.url.as_deref(),
            delivery: Delivery { key: &message.key, attempt: this.attempt, possibly_double: this.possibly_double },
        },
    }
}
