//! The public page: from the projection of the state to finished HTML.
//!
//! Complete without scripts; one small script of ours keeps the relative times
//! true and looks for news. Style and script are inline and named by their
//! digests in the content security policy, so that no other can run. **All
//! text of users goes through the templates' escaping.**

mod bar;
mod front;
mod incident;
mod words;

use crate::document::Document;
use crate::freshness::Freshness;
use crate::published::Published;
use askama::Template;
use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::State;
use model::id::IncidentId;
use model::time::Timestamp;
use model::verdict::ServiceStatus;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const STYLE: &str = include_str!("../../templates/style.css");
const SCRIPT: &str = include_str!("../../templates/script.js");

/// What the inline parts of our pages may do, and that nothing else may do anything.
pub(crate) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    HeaderValue::from_str(&policy).expect("base64 is legal in a header")
});

/// What stands around every page.
struct Frame<'a> {
    /// Name of the page.
    name: &'a str,
    /// One sentence below it.
    description: Option<&'a str>,
    /// Title of the window.
    title: String,
    /// The state that colours the icon of the window.
    class: &'static str,
    /// The way to the front page: empty on itself.
    home: &'static str,
    /// Whether the state may be out of date.
    is_past: bool,
    /// Since when there has been no news, if that is why it may be.
    stale_since: Option<Moment>,
    /// Since when the node has had no contact with the others, if that is why.
    cut_off_since: Option<Moment>,
    /// The stamp of the state.
    now: Timestamp,
    style: &'static str,
    script: &'static str,
}

impl<'a> Frame<'a> {
    fn new(name: &'a str, title: String, now: Timestamp) -> Self {
        Self {
            name,
            description: None,
            title,
            class: words::class(ServiceStatus::Unknown),
            home: "",
            is_past: false,
            stale_since: None,
            cut_off_since: None,
            now,
            style: STYLE,
            script: SCRIPT,
        }
    }

    /// The same, with what a visitor must know if the state is not the present.
    fn told(mut self, freshness: Freshness) -> Self {
        self.is_past = freshness.is_past();
        match freshness {
            Freshness::Present => {}
            Freshness::Stale => self.stale_since = Some(Moment::of(self.now, words::moment(self.now))),
            Freshness::CutOff { since, is_today } => {
                let people = if is_today { words::time_of_day(since) } else { words::minute(since) };
                self.cut_off_since = Some(Moment::of(since, people));
            }
        }
        self
    }

    /// The colour of the window's icon.
    fn icon_colour(&self) -> &'static str {
        match self.class {
            "up" => "1f9d61",
            "de" => "d9930d",
            "dn" => "c8321f",
            "ma" => "3d6fd9",
            _ => "7d8796",
        }
    }
}

/// A point in time for machines and for people.
struct Moment {
    machine: String,
    people: String,
}

impl Moment {
    fn of(at: Timestamp, people: String) -> Self {
        // Milliseconds are noise on a page.
        Self { machine: Timestamp::from_ms(at.as_seconds() * 1000).to_string(), people }
    }
}

/// The front page.
pub(crate) fn front(published: &Published, freshness: Freshness) -> Document {
    let view = control::page::view(&published.state);
    Document::html(front::render(&view, published.state.revision() > 0, freshness), &POLICY).true_at(view.now)
}

/// The page of one incident; `None` if there is none, or none that is public.
pub(crate) fn incident(state: &State, id: IncidentId, freshness: Freshness) -> Option<Document> {
    let incident = state.incident(id).filter(|incident| incident.is_public)?;
    Some(Document::html(incident::render(state, incident, freshness), &POLICY).true_at(state.now()))
}

/// A page that says why there is nothing else.
pub(crate) fn message(name: &str, heading: &str, text: &str) -> Document {
    let mut frame = Frame::new(name, heading.to_owned(), Timestamp::EPOCH);
    frame.home = "/";
    Document::html(finish(&MessagePage { frame, heading, text }), &POLICY)
}

#[derive(Template)]
#[template(path = "message.html", whitespace = "minimize")]
struct MessagePage<'a> {
    frame: Frame<'a>,
    heading: &'a str,
    text: &'a str,
}

/// Fills a template; ours write into memory and format only what always formats.
fn finish(template: &impl Template) -> String {
    template.render().expect("writing into memory works")
}
