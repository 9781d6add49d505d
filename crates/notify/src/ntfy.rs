//! A topic on an ntfy server, published as JSON.
//!
//! JSON goes to the server's root with the topic as a field, so the topic is
//! split from the configured address; the form with headers would need an
//! encoding for every letter beyond ASCII. A topic's name is all it takes to
//! read it, so it is not shown.

use crate::Attempt;
use crate::answer::Setback;
use crate::hidden::Hidden;
use crate::http::{self, NotFound};
use crate::text::{headline, shorten_bytes, text_with_note};
use model::message::{Message, Step};
use model::secret::Secret;
use model::verdict::ServiceStatus;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use url::Url;

/// Bytes of the text: beyond 4,096 ntfy makes an attachment of it, which nobody
/// reads on a lock screen and some servers refuse.
const TEXT_BYTES_MAX: usize = 4_000;

pub(crate) async fn deliver(
    client: &Client,
    url: &str,
    token: Option<&Secret>,
    attempt: &Attempt<'_>,
    hidden: &mut Hidden,
) -> Result<String, Setback> {
    let address = http::parse_address(url)?;
    hidden.add_address(&address);
    let (root, topic) = split(address)?;
    hidden.add(&topic);
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let token = hidden.reveal(token).await?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Setback::refused("the ntfy token holds characters that no token has; copy it again"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let body = serde_json::to_vec(&payload(attempt, &topic)).expect("a JSON value always encodes");
    http::post(client, &root, headers, body, NotFound::IsFinal, attempt.deadline).await
}

/// The server's root and the topic.
fn split(mut address: Url) -> Result<(Url, String), Setback> {
    let topic = address
        .path_segments()
        .and_then(|mut segments| segments.rfind(|segment| !segment.is_empty()).map(str::to_owned))
        .ok_or_else(|| Setback::refused("the ntfy address names no topic; write it as https://ntfy.sh/your-topic"))?;
    if let Ok(mut path) = address.path_segments_mut() {
        path.pop_if_empty().pop().push("");
    }
    address.set_query(None);
    address.set_fragment(None);
    Ok((address, topic))
}

fn payload(attempt: &Attempt<'_>, topic: &str) -> Value {
    let message = attempt.message;
    let (priority, tag) = urgency(message);
    let text = match text_with_note(message, attempt.this) {
        // ntfy writes "triggered" for an empty message.
        text if text.is_empty() => headline(message),
        text => text,
    };
    let mut payload = json!({
        "topic": topic,
        "title": headline(message),
        "message": shorten_bytes(&text, TEXT_BYTES_MAX),
        "priority": priority,
        "tags": [tag, message.step.name()],
    });
    if let Some(url) = &message.url {
        payload["click"] = url.as_str().into();
    }
    payload
}

/// ntfy's priority (5 rings through, 3 is the usual) and the name of its emoji.
fn urgency(message: &Message) -> (u8, &'static str) {
    match message.step {
        Step::Opened | Step::Worsened => match message.status {
            ServiceStatus::Down => (5, "rotating_light"),
            ServiceStatus::Degraded => (4, "warning"),
            ServiceStatus::Unknown | ServiceStatus::Maintenance | ServiceStatus::Up => (3, "warning"),
        },
        Step::Flapping => (4, "warning"),
        Step::Resolved => (3, "white_check_mark"),
        Step::Own => (4, "wrench"),
        Step::Test => (3, "test_tube"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, root: &str, topic: &str) {
        let (found_root, found_topic) = split(Url::parse(address).unwrap()).unwrap();
        assert_eq!((found_root.as_str(), found_topic.as_str()), (root, topic));
    }

    #[test]
    fn a_topic_is_the_last_part_of_the_address() {
        check("https://ntfy.sh/acme-ops", "https://ntfy.sh/", "acme-ops");
        check("https://acme.example/push/acme-ops/", "https://acme.example/push/", "acme-ops");
        assert!(split(Url::parse("https://ntfy.sh/").unwrap()).is_err());
    }
}
