//! An incoming webhook in Slack's shape.
//!
//! The oldest form, `text` with an attachment in a colour, because Mattermost,
//! Rocket.Chat and Discord (at `…/slack`) take the same one. The address is the
//! whole authorisation, hence a secret. **What a failing server wrote cannot
//! call people or format itself**: Slack's three characters are escaped and
//! the words that call a whole channel are broken.

use crate::Attempt;
use crate::answer::Setback;
use crate::hidden::Hidden;
use crate::http::{self, NotFound};
use crate::text::{colour, headline, humane_time, shorten_bytes, single_line, text_with_note};
use model::secret::Secret;
use reqwest::Client;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// Bytes of the text: Discord refuses an embed of more than 4,096 characters.
const TEXT_BYTES_MAX: usize = 3_500;

pub(crate) async fn deliver(
    client: &Client,
    url: &Secret,
    attempt: &Attempt<'_>,
    hidden: &mut Hidden,
) -> Result<String, Setback> {
    let url = http::parse_address(&hidden.reveal(url).await?)?;
    hidden.add_address(&url);
    let body = serde_json::to_vec(&payload(attempt)).expect("a JSON value always encodes");
    http::post(client, &url, HeaderMap::new(), body, NotFound::IsFinal, attempt.deadline).await
}

fn payload(attempt: &Attempt<'_>) -> Value {
    let message = attempt.message;
    let headline = escape(&headline(message));
    let mut attachment = json!({
        "fallback": headline,
        "color": colour(message),
        "text": escape(&shorten_bytes(&text_with_note(message, attempt.this), TEXT_BYTES_MAX)),
        "fields": fields(attempt),
        "footer": format!("Mainstay · {}", escape(&single_line(&message.key))),
        "ts": message.at.as_seconds(),
    });
    if let Some(url) = &message.url {
        attachment["title"] = "Status page".into();
        attachment["title_link"] = url.as_str().into();
    }
    // Underscores and stars in host names are no formatting.
    json!({ "text": headline, "mrkdwn": false, "attachments": [attachment] })
}

fn fields(attempt: &Attempt<'_>) -> Vec<Value> {
    let message = attempt.message;
    let field = |title: &str, value: String| json!({ "title": title, "value": value, "short": true });
    let service = message.service.iter().flat_map(|(_, name)| {
        let name = field("Service", escape(&single_line(name)));
        [name, field("State", message.status.name().to_owned())]
    });
    let since = message.incident.map(|_| field("Since", humane_time(message.started)));
    service.chain(since).collect()
}

/// Slack's own escapes, and a zero-width space in the words by which Slack,
/// Mattermost, Rocket.Chat and Discord call everybody.
fn escape(text: &str) -> String {
    let mut text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for word in ["channel", "here", "everyone", "all"] {
        text = text.replace(&format!("@{word}"), &format!("@\u{200b}{word}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_neither_links_nor_calls_a_channel() {
        assert_eq!(escape("<!channel> & <https://evil|x>"), "&lt;!channel&gt; &amp; &lt;https://evil|x&gt;");
        assert_eq!(escape("ask @here"), "ask @\u{200b}here");
    }
}
