//! A message as a mail: headers that make one thread of an incident, the text,
//! and the same as HTML.
//!
//! **The first mail of an incident has an id that every later one can compute**
//! from the thread, its begin and the address, so that the answers to it find it also when
//! another process sent it, and stay together even if it never arrived. The
//! subject is the same for all of them but for the tag in front, because some
//! clients split a thread where the subject changes.

use super::html;
use crate::Attempt;
use crate::answer::Setback;
use crate::text::{headline, humane_time, single_line, tag, text_with_note};
use lettre::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use model::message::{Message, Step};
use model::receiver::MailMeans;
use model::time::Timestamp;
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime};
use url::Host;

/// Characters of a key in a Message-ID; a longer one is replaced by its digest,
/// for a header line must not exceed 998 characters (RFC 5322, 2.1.1).
const ID_LENGTH_MAX: usize = 200;
/// Stands in for a sender's domain that no Message-ID can hold (RFC 2606).
const DOMAIN_FALLBACK: &str = "mainstay.invalid";

/// A mail that is ready to be handed over.
pub(super) struct Mail {
    pub(super) from: String,
    pub(super) to: String,
    /// An address needs the SMTPUTF8 extension.
    pub(super) needs_utf8: bool,
    /// Headers and body, lines ended by CR LF.
    pub(super) bytes: Vec<u8>,
}

/// Makes the mail of an attempt; all but the note about a double is the same
/// at every attempt.
pub(super) fn compose(means: &MailMeans, attempt: &Attempt<'_>) -> Result<Mail, Setback> {
    let message = attempt.message;
    let from = parse_address("sender", &means.from)?;
    let to = parse_address("recipient", &means.to)?;
    let (from_address, to_address) = (from.email.to_string(), to.email.to_string());
    let ids = Ids::of(message, &from.email, &to_address);
    let mut builder = lettre::Message::builder()
        .from(from)
        .to(to)
        .subject(subject(message))
        .date(SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(message.at.as_ms()).unwrap_or(0)))
        .message_id(Some(ids.own))
        // RFC 3834: nobody's holiday notice answers this.
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Mainstay-Delivery", &message.key))
        .raw_header(header("X-Mainstay-Attempt", &attempt.this.attempt.to_string()));
    if let Some(root) = ids.root {
        builder = builder.in_reply_to(root.clone()).references(root);
    }
    let body = MultiPart::alternative()
        .boundary(format!("mainstay-{}", digest(&message.key)))
        .singlepart(SinglePart::plain(plain_text(attempt)))
        .singlepart(SinglePart::html(html::page(attempt)));
    let mail =
        builder.multipart(body).map_err(|error| Setback::refused(format!("could not write the mail: {error}")))?;
    Ok(Mail {
        needs_utf8: !(from_address.is_ascii() && to_address.is_ascii()),
        from: from_address,
        to: to_address,
        bytes: mail.formatted(),
    })
}

/// Message-IDs of a mail.
struct Ids {
    own: String,
    /// That of the mail it answers.
    root: Option<String>,
}

impl Ids {
    fn of(message: &Message, from: &Address, to: &str) -> Self {
        let domain = match Host::parse(from.domain()) {
            Ok(host) if host.to_string().is_ascii() => host.to_string(),
            Ok(_) | Err(_) => DOMAIN_FALLBACK.to_owned(),
        };
        // Mailboxes drop a second mail with an id they have seen. Incidents are
        // counted from 1 in every installation and one mail may go to several
        // addresses, so an id also holds when it was and whom it goes to.
        let id = |name: &str, when: Timestamp| {
            format!("<{}.{}@{domain}>", id_text(name), &digest(&format!("{} {to}", when.as_ms()))[..12])
        };
        let root = id(&message.thread, message.started);
        let own = id(&message.key, message.at);
        match message.step {
            Step::Opened | Step::Own => Self { own: root, root: None },
            Step::Worsened | Step::Flapping | Step::Resolved => Self { own, root: Some(root) },
            Step::Test => Self { own, root: None },
        }
    }
}

/// A key as the left side of a Message-ID, which is letters, digits and a few
/// signs with single dots between (RFC 5322, 3.2.3); others become `=XX`.
fn id_text(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            _ => out.push_str(&format!("={byte:02X}")),
        }
    }
    if out.len() <= ID_LENGTH_MAX && !out.is_empty() { out } else { digest(key) }
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The tag, and what stays the same for the whole incident.
fn subject(message: &Message) -> String {
    match (&message.service, message.incident) {
        (Some((_, name)), Some(incident)) => {
            format!("[{}] {}: incident {incident}", tag(message), single_line(name))
        }
        (Some(_) | None, _) => headline(message),
    }
}

fn plain_text(attempt: &Attempt<'_>) -> String {
    let message = attempt.message;
    let mut out = format!("{}\n", headline(message));
    let text = text_with_note(message, attempt.this);
    if !text.is_empty() {
        out.push_str(&format!("\n{text}\n"));
    }
    if message.incident.is_some() {
        out.push_str(&format!("\nSince: {}\n", humane_time(message.started)));
    }
    if let Some(url) = &message.url {
        out.push_str(&format!("\nStatus page: {}\n", single_line(url)));
    }
    // Two dashes and a space: clients show what follows as a signature.
    out.push_str(&format!("\n-- \nMainstay, {}\n{}\n", humane_time(message.at), single_line(&message.key)));
    out
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), single_line(value))
}

/// Reads `name@domain` or `Name <name@domain>`. A domain in another script
/// becomes its ASCII form, which every server takes.
fn parse_address(role: &str, text: &str) -> Result<Mailbox, Setback> {
    let wrong =
        |why: &str| Setback::refused(format!("the {role} {:?} is not a mail address: {why}", single_line(text)));
    if text.chars().any(char::is_control) {
        return Err(wrong("it holds a control character"));
    }
    let mut mailbox: Mailbox =
        text.trim().parse().map_err(|error: lettre::address::AddressError| wrong(&error.to_string()))?;
    if !mailbox.email.domain().is_ascii() {
        let domain = Host::parse(mailbox.email.domain()).map_err(|error| wrong(&error.to_string()))?.to_string();
        mailbox.email = Address::new(mailbox.email.user(), domain).map_err(|error| wrong(&error.to_string()))?;
    }
    Ok(mailbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_name_and_another_script_but_no_line_break() {
        assert_eq!(parse_address("recipient", "Ops <ops@acme.example>").unwrap().email.to_string(), "ops@acme.example");
        assert_eq!(parse_address("recipient", "ops@bücher.example").unwrap().email.domain(), "xn--bcher-kva.example");
        assert_eq!(parse_address("sender", "mainstay@localhost").unwrap().email.domain(), "localhost");
        for text in ["ops@acme.example\r\nRCPT TO:<evil@acme.example>", "ops", "a@b@c", "", "\"a\r\nb\"@acme.example"] {
            assert!(parse_address("recipient", text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn any_key_makes_a_legal_id() {
        assert_eq!(id_text("incident-42:ops:opened"), "incident-42=3Aops=3Aopened");
        assert_eq!(id_text("a..b>\r\n"), "a=2E=2Eb=3E=0D=0A");
        assert_eq!(id_text(&"x".repeat(500)).len(), 32);
        assert_eq!(id_text("").len(), 32);
    }
}
