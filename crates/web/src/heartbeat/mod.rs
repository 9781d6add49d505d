//! Heartbeats in three dialects, so that moving here is a change of host name:
//! healthchecks (`/ping/…`), Uptime Kuma (`/api/push/…`) and Gatus
//! (`/api/v1/endpoints/…/external`).
//!
//! A dialect is only a way of asking and answering; all become one
//! [`Heartbeat`]. **The sender hears "OK" only after it is committed; an
//! unknown token is answered like any other wrong address.** A body that is
//! too long is cut, never refused: the sign of life counts, not its text.

pub(crate) mod dialect;
pub(crate) mod starts;
pub(crate) mod tokens;

use crate::commands::{Heartbeat, HeartbeatError};
use crate::lookup;
use crate::shared::Shared;
use model::id::{CheckId, CheckSlot};
use model::limits::{EXCERPT_BYTES_MAX, FAILURE_TEXT_LENGTH_MAX};
use model::observation::Outcome;
use std::time::Duration;

/// What a sender reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signal {
    /// It was done.
    Success,
    /// It begins; the time until it is done is measured from here.
    Start,
    /// Something worth noting that says nothing about success.
    Log,
    /// It failed.
    Fail,
    /// It ended with this exit code; 0 is success.
    Exit(u8),
}

/// What came with a signal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// Text that was sent along, as it came.
    pub(crate) text: Vec<u8>,
    /// How long the work took, if that was said.
    pub(crate) took: Option<Duration>,
    /// Names a run, so that its start and its end are known to belong together.
    pub(crate) run: String,
}

/// Why a signal was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Untaken {
    /// No heartbeat has this token.
    Unknown,
    /// The log takes nothing at the moment.
    NotCommitted(String),
}

/// Takes a signal; returns when it is committed.
pub(crate) async fn take(shared: &Shared, token: &str, signal: Signal, report: Report) -> Result<(), Untaken> {
    let published = shared.published().ok_or_else(|| Untaken::NotCommitted("Mainstay is starting".to_owned()))?;
    let id = published.tokens.find(token).ok_or(Untaken::Unknown)?;
    let (slot, ..) = lookup::check(&published.state, id).ok_or(Untaken::Unknown)?;
    let said = printable(&report.text);
    let first_line = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let (outcome, sentence) = match signal {
        Signal::Start => {
            shared.starts.note(slot, &report.run);
            return Ok(());
        }
        Signal::Log => {
            tracing::info!(check = %id, text = %cut(first_line), "heartbeat note");
            return Ok(());
        }
        Signal::Success | Signal::Exit(0) => (Outcome::Pass, None),
        Signal::Fail if first_line.is_empty() => (Outcome::Fail, Some("it reported a failure".to_owned())),
        Signal::Fail => (Outcome::Fail, Some(cut(&format!("it reported: {first_line}")))),
        Signal::Exit(code) if first_line.is_empty() => (Outcome::Fail, Some(format!("it ended with exit code {code}"))),
        Signal::Exit(code) => (Outcome::Fail, Some(cut(&format!("it ended with exit code {code}: {first_line}")))),
    };
    let took = report.took.or_else(|| shared.starts.took(slot, &report.run));
    commit(shared, id, slot, outcome, sentence, said, took).await
}

async fn commit(
    shared: &Shared,
    id: &CheckId,
    slot: CheckSlot,
    outcome: Outcome,
    sentence: Option<String>,
    said: String,
    took: Option<Duration>,
) -> Result<(), Untaken> {
    let excerpt = said.get(..said.floor_char_boundary(EXCERPT_BYTES_MAX)).map(str::to_owned);
    let excerpt = excerpt.filter(|text| !text.trim().is_empty());
    let heartbeat = Heartbeat { check: id.clone(), slot, outcome, sentence, excerpt, took };
    match shared.commands.heartbeat(heartbeat).await {
        Ok(()) => Ok(()),
        Err(HeartbeatError::Gone) => Err(Untaken::Unknown),
        Err(HeartbeatError::NotCommitted { because }) => Err(Untaken::NotCommitted(because)),
    }
}

/// Text without control characters other than line ends.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

fn cut(text: &str) -> String {
    text.chars().take(FAILURE_TEXT_LENGTH_MAX).collect()
}
