//! The local socket of a node, through which it is asked and told.
//!
//! By itself it is only a path: it can be kept and shared while the node
//! behind it dies and comes back.

use crate::http::{self, Exchange, Response};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer than any answer takes, those included that say that no majority answered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// A node's local socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    node: String,
    socket: PathBuf,
}

/// How a command ended, as far as its sender can know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It was carried out; the answer to it.
    Accepted(Value),
    /// It was decided that it is not carried out, for this reason.
    Refused(String),
    /// It was said not to be in the log, for this reason; or nobody was there to take it.
    NotTaken(String),
    /// Nobody knows.
    Unknown,
}

impl Said {
    /// Whether it was carried out.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }
}

impl Door {
    /// The door of a node with this data directory.
    pub fn of(node: &str, data: &Path) -> Self {
        Self { node: node.to_owned(), socket: data.join("mainstay.sock") }
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The socket's file.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for a path; `None` while nobody answers.
    pub fn get(&self, path: &str) -> Option<Response> {
        self.get_within(path, ANSWER_TIMEOUT)
    }

    /// As [`Door::get`] with another bound.
    pub fn get_within(&self, path: &str, bound: Duration) -> Option<Response> {
        http::send_locally(&self.socket, "GET", path, "", bound).answer()
    }

    /// Asks for JSON; `None` if none is given.
    pub fn ask(&self, path: &str) -> Option<Value> {
        let answer = self.get(path).filter(|answer| answer.status == 200)?;
        serde_json::from_str(&answer.body).ok()
    }

    /// What the node says of itself and of everything; `None` while it does not answer.
    pub fn status(&self) -> Option<Value> {
        self.ask("/api/v1/status")
    }

    /// Whether the node does its whole work.
    pub fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|answer| answer.status == 200)
    }

    /// Sends a command.
    pub fn act(&self, key: &str, action: &Value) -> Said {
        self.act_within(key, action, ANSWER_TIMEOUT)
    }

    /// As [`Door::act`]; what is not answered within the bound is unknown.
    pub fn act_within(&self, key: &str, action: &Value, bound: Duration) -> Said {
        self.send("/api/v1/commands", &json!({ "actor": "test", "key": key, "action": action }), bound)
    }

    /// Sends a wish to a path that takes one.
    pub fn send(&self, path: &str, body: &Value, bound: Duration) -> Said {
        match http::send_locally(&self.socket, "POST", path, &body.to_string(), bound) {
            Exchange::Answered(answer) => said(&answer),
            Exchange::NotSent => Said::NotTaken("nobody listens".to_owned()),
            Exchange::Unanswered => Said::Unknown,
        }
    }
}

/// Plans work on a service, far in the future: a command that changes nothing
/// else, and can be looked up by its id.
pub fn work(id: &str, title: &str, service: &str) -> Value {
    json!({ "schedule_maintenance": {
        "id": id, "title": title, "from": "2090-01-01T00:00:00Z", "until": "2090-01-01T01:00:00Z",
        "services": [service], "impact": "at-risk",
    } })
}

/// Ends planned work; refused if there is none of this id.
pub fn end_work(id: &str) -> Value {
    json!({ "end_maintenance": { "id": id } })
}

fn said(answer: &Response) -> Said {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let text = |key: &str| body[key].as_str().unwrap_or(&answer.body).to_owned();
    match answer.status {
        200 if body["is_accepted"] == true => Said::Accepted(body),
        200 => Said::Refused(text("refusal")),
        // The one status that stands for both: the words say which.
        503 if text("error").contains("not known") => Said::Unknown,
        _ => Said::NotTaken(text("error")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_committed_is_told_from_what_nobody_knows() {
        let answer = |status, body: &str| said(&Response { status, headers: Vec::new(), body: body.to_owned() });
        assert!(answer(200, r#"{"is_accepted":true,"refusal":null}"#).is_accepted());
        assert_eq!(answer(200, r#"{"is_accepted":false,"refusal":"no"}"#), Said::Refused("no".to_owned()));
        assert_eq!(answer(503, r#"{"error":"it is not known whether the command was committed"}"#), Said::Unknown);
        let not_taken = answer(503, r#"{"error":"the command was not committed: no leader"}"#);
        assert_eq!(not_taken, Said::NotTaken("the command was not committed: no leader".to_owned()));
    }
}
