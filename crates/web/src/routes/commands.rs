//! Commands: the one route that changes something, on the local socket only.

use crate::api::command::{ActionRequest, CommandAnswer, CommandRequest};
use crate::commands::CommandError;
use crate::error_page::{json, problem};
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

async fn command(State(shared): State<Arc<Shared>>, body: Body) -> Response<Body> {
    let bytes = match to_bytes(body, BODY_READ_MAX).await {
        Ok(bytes) if bytes.len() <= BODY_MAX => bytes,
        Ok(_) | Err(_) => {
            return problem(StatusCode::PAYLOAD_TOO_LARGE, format!("a command has at most {BODY_MAX} bytes"));
        }
    };
    let request: CommandRequest = match serde_json::from_slice(&bytes) {
        Ok(request) => request,
        Err(error) => return problem(StatusCode::BAD_REQUEST, format!("the command cannot be read: {error}")),
    };
    let command = match read(request) {
        Ok(command) => command,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why),
    };
    match shared.commands.command(command).await {
        Ok(CommandOutcome::Accepted) => json(StatusCode::OK, &CommandAnswer { is_accepted: true, refusal: None }),
        // The request was understood and decided: the refusal is its outcome, not an error of HTTP.
        Ok(CommandOutcome::Refused(why)) => {
            json(StatusCode::OK, &CommandAnswer { is_accepted: false, refusal: Some(why) })
        }
        Err(error @ (CommandError::NotCommitted { .. } | CommandError::Unknown)) => {
            problem(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
    }
}

/// Checks the form of a command; whether it is allowed is decided elsewhere.
fn read(request: CommandRequest) -> Result<Command, String> {
    if request.key.is_empty() {
        return Err("a command needs a key, new for each wish".to_owned());
    }
    for (what, text) in [("key", &request.key), ("actor", &request.actor)] {
        at_most(what, text, NAME_LENGTH_MAX)?;
    }
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

fn at_most(what: &str, text: &str, length_max: usize) -> Result<(), String> {
    let length = text.chars().count();
    if length > length_max {
        return Err(format!("the {what} has {length} characters, at most {length_max} are allowed"));
    }
    Ok(())
}
