//! Commands: what changes something, on the local socket only.

use crate::api::command::{ActionRequest, CommandAnswer, CommandRequest};
use crate::commands::CommandError;
use crate::error_page::{Refusal, json};
use crate::shared::Shared;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Response, StatusCode};
use axum::routing::post;
use control::CommandOutcome;
use model::entry::{Action, Command, Origin};
use model::service::Maintenance;
use model::time::Timestamp;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Bytes of a command; an incident's update is a page of text at most.
const BODY_MAX: usize = 64 << 10;
/// Bytes that are read before a command is refused for its length: an answer
/// sent while the sender still writes would be lost.
const BODY_READ_MAX: usize = 1 << 20;
/// Characters of a text of a command.
const TEXT_LENGTH_MAX: usize = 10_000;
/// Characters of a command's key and actor.
const NAME_LENGTH_MAX: usize = 200;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/api/v1/commands", post(command))
}

async fn command(State(shared): State<Arc<Shared>>, body: Body) -> Result<Response<Body>, Refusal> {
    let command = read(read_body(body).await?).map_err(bad)?;
    refuse_if_cut_off(&shared)?;
    match shared.commands.command(command).await {
        Ok(CommandOutcome::Accepted) => Ok(json(StatusCode::OK, &CommandAnswer { is_accepted: true, refusal: None })),
        // The request was understood and decided: the refusal is its outcome, not an error of HTTP.
        Ok(CommandOutcome::Refused(why)) => {
            Ok(json(StatusCode::OK, &CommandAnswer { is_accepted: false, refusal: Some(why) }))
        }
        Err(error) => Err(not_done(&error)),
    }
}

/// Reads what was sent as JSON.
pub(super) async fn read_body<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    match to_bytes(body, BODY_READ_MAX).await {
        Ok(bytes) if bytes.len() <= BODY_MAX => {
            serde_json::from_slice(&bytes).map_err(|error| bad(format!("the command cannot be read: {error}")))
        }
        Ok(_) | Err(_) => {
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a command has at most {BODY_MAX} bytes")))
        }
    }
}

/// Refuses a command on a node without contact to the others, before anything
/// is sent: a wish that waits for a majority could still be granted long after
/// whoever had it has gone another way.
pub(super) fn refuse_if_cut_off(shared: &Shared) -> Result<(), Refusal> {
    let Some(since) = shared.commands.contact().cut_off_since else {
        return Ok(());
    };
    let why = format!(
        "nothing was done: this node has had no contact with the others since {since}, and a command counts only \
         when a majority of the nodes has it on disk. Ask another node, or bring the connection back; \
         `mainstay status` shows the nodes"
    );
    Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why))
}

/// The answer to a command whose fate is not success.
pub(super) fn not_done(error: &CommandError) -> Refusal {
    match error {
        CommandError::NotCommitted { .. } | CommandError::Unknown => {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
    }
}

/// The answer to a command that makes no sense.
pub(super) fn bad(why: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, why)
}

/// Checks who sends a command, and under which key.
pub(super) fn sender(actor: &str, key: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("a command needs a key, new for each wish".to_owned());
    }
    at_most("key", key, NAME_LENGTH_MAX)?;
    at_most("actor", actor, NAME_LENGTH_MAX)
}

/// Checks the form of a command; whether it is allowed is decided elsewhere.
fn read(request: CommandRequest) -> Result<Command, String> {
    sender(&request.actor, &request.key)?;
    Ok(Command {
        actor: request.actor,
        origin: Origin::CommandLine,
        key: request.key,
        expected_revision: request.expected_revision,
        action: action(request.action)?,
    })
}

fn action(request: ActionRequest) -> Result<Action, String> {
    Ok(match request {
        ActionRequest::Acknowledge { incident, note } => {
            at_most("note", note.as_deref().unwrap_or_default(), TEXT_LENGTH_MAX)?;
            Action::Acknowledge { incident, note }
        }
        ActionRequest::UpdateIncident { incident, phase, text } => {
            at_most("text", &text, TEXT_LENGTH_MAX)?;
            Action::UpdateIncident { incident, phase: phase.into(), text }
        }
        ActionRequest::ScheduleMaintenance { id, title, from, until, services, impact } => {
            at_most("title", &title, NAME_LENGTH_MAX)?;
            let (from, until) = (time(&from)?, time(&until)?);
            Action::ScheduleMaintenance(Maintenance { id, title, from, until, services, impact: impact.into() })
        }
        ActionRequest::EndMaintenance { id } => Action::EndMaintenance { maintenance: id },
        ActionRequest::TestReceivers {} => Action::TestReceivers,
    })
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| format!("{text:?} is no time such as 2026-11-20T22:00:00Z"))
}

pub(super) fn at_most(what: &str, text: &str, length_max: usize) -> Result<(), String> {
    let length = text.chars().count();
    if length > length_max {
        return Err(format!("the {what} has {length} characters, at most {length_max} are allowed"));
    }
    Ok(())
}
