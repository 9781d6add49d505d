//! What can be done over the local socket, and only there.

use crate::client::{PATIENCE, Reply, serve, timeless};
use crate::made_up::{Fake, demo};
use model::entry::{Action, Origin, Phase};
use model::id::IncidentId;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use web::Web;
use web::api::command::CommandAnswer;

pub(crate) struct Local {
    pub(crate) path: PathBuf,
    pub(crate) fake: Arc<Fake>,
    _directory: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Local {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn local(fake: Fake) -> Local {
    let directory = tempfile::tempdir().expect("a place for the socket");
    let path = directory.path().join("mainstay.sock");
    let listener = UnixListener::bind(&path).expect("a new socket");
    let fake = Arc::new(fake);
    let web = Web::new(timeless(), Arc::clone(&fake) as Arc<dyn web::Commands>);
    web.publish(demo());
    let task = tokio::spawn(async move { web.serve_local(listener, std::future::pending()).await });
    Local { path, fake, _directory: directory, task }
}

pub(crate) async fn ask(socket: &Path, method: &str, path: &str, body: &str) -> Reply {
    let mut stream = UnixStream::connect(socket).await.expect("it listens");
    let request = format!("{method} {path} HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, reading).await.expect("in time").expect("a whole answer");
    Reply::parse(&answer)
}

#[tokio::test]
async fn a_command_is_passed_on_and_answered() {
    let local = local(Fake::default());
    let body = json!({
        "actor": "anna",
        "key": "k1",
        "expected_revision": 7,
        "action": { "update_incident": { "incident": 3, "phase": "identified", "text": "We know." } },
    });
    let reply = ask(&local.path, "POST", "/api/v1/commands", &body.to_string()).await;
    assert_eq!((reply.status, reply.json::<CommandAnswer>().is_accepted), (200, true));
    let command = local.fake.commands.lock().expect("not poisoned").remove(0);
    assert_eq!(
        (command.actor.as_str(), command.origin, command.expected_revision),
        ("anna", Origin::CommandLine, Some(7))
    );
    let wanted =
        Action::UpdateIncident { incident: IncidentId(3), phase: Phase::Identified, text: "We know.".to_owned() };
    assert_eq!(command.action, wanted);
}

#[tokio::test]
async fn every_action_can_be_written_as_json() {
    let local = local(Fake::default());
    for action in [
        json!({ "acknowledge": { "incident": 3 } }),
        json!({ "acknowledge": { "incident": 3, "note": "on it" } }),
        json!({ "schedule_maintenance": { "id": "w1", "title": "Work", "from": "2026-11-21T00:00:00Z",
            "until": "2026-11-21T01:00:00Z", "services": ["api"], "impact": "at-risk" } }),
        json!({ "end_maintenance": { "id": "w1" } }),
        json!({ "test_receivers": {} }),
    ] {
        let body = json!({ "actor": "anna", "key": "k", "action": action }).to_string();
        let reply = ask(&local.path, "POST", "/api/v1/commands", &body).await;
        assert_eq!(reply.status, 200, "{body}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_refusal_says_why() {
    let local = local(Fake::default());
    let body = json!({ "actor": "anna", "key": "k", "action": { "acknowledge": { "incident": 404 } } }).to_string();
    let reply = ask(&local.path, "POST", "/api/v1/commands", &body).await;
    let answer: CommandAnswer = reply.json();
    assert_eq!((reply.status, answer.is_accepted), (200, false));
    assert!(answer.refusal.is_some_and(|why| why.contains("there is no incident 404")));
}

#[tokio::test]
async fn a_command_that_cannot_be_read_is_refused_with_what_is_wrong() {
    let local = local(Fake::default());
    for (body, expected) in [
        ("{".to_owned(), "cannot be read"),
        (json!({ "actor": "a", "key": "", "action": { "test_receivers": {} } }).to_string(), "needs a key"),
        (json!({ "actor": "a", "key": "k", "action": { "explode": {} } }).to_string(), "explode"),
        (
            json!({ "actor": "a", "key": "k", "action": { "acknowledge": { "incident": 1, "why": "x" } } }).to_string(),
            "why",
        ),
        (
            json!({ "actor": "a".repeat(201), "key": "k", "action": { "test_receivers": {} } }).to_string(),
            "at most 200",
        ),
    ] {
        let reply = ask(&local.path, "POST", "/api/v1/commands", &body).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.text().contains(expected), "{}", reply.text());
    }
    let large = "x".repeat(100_000);
    assert_eq!(ask(&local.path, "POST", "/api/v1/commands", &large).await.status, 413);
    assert!(local.fake.commands.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn nothing_is_commanded_over_tcp() {
    let served = serve(demo()).await;
    let body = json!({ "actor": "anna", "key": "k", "action": { "test_receivers": {} } }).to_string();
    let reply = served.ask("POST", "/api/v1/commands", "content-type: application/json\r\n", &body).await;
    assert_eq!(reply.status, 404);
    assert!(served.fake.commands.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_command_that_was_not_committed_is_not_answered_with_success() {
    let local = local(Fake { is_down: true, ..Fake::default() });
    let body = json!({ "actor": "anna", "key": "k", "action": { "test_receivers": {} } }).to_string();
    let reply = ask(&local.path, "POST", "/api/v1/commands", &body).await;
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("no leader is known"));
}

#[tokio::test]
async fn everything_that_is_read_over_tcp_is_read_here_as_well() {
    let local = local(Fake::default());
    for path in ["/", "/api/v1/status", "/api/v2/summary.json", "/metrics", "/readyz"] {
        assert_eq!(ask(&local.path, "GET", path, "").await.status, 200, "{path}");
    }
}
