//! Backups are asked for over the local socket, and listed there.

use crate::client::serve;
use crate::local_socket::{ask, local};
use crate::made_up::{Fake, at, demo};
use model::secret::Secret;
use serde_json::{Value, json};
use web::commands::{BackupRequest, BackupRun, BackupStage};

const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

#[tokio::test]
async fn a_backup_that_is_asked_for_is_begun_and_answered_with_its_number() {
    let local = local(Fake::default());
    for (body, to, passphrase, recipients) in [
        (json!({}), None, None, vec![]),
        (json!({ "to": "/backup" }), Some("/backup"), None, vec![]),
        (json!({ "to": "s3://b/p", "recipients": [KEY] }), Some("s3://b/p"), None, vec![KEY.to_owned()]),
        (json!({ "passphrase": "open" }), None, Some(Secret::Inline("open".to_owned())), vec![]),
    ] {
        let reply = ask(&local.path, "POST", "/api/v1/backups", &body.to_string()).await;
        assert_eq!((reply.status, reply.json::<Value>()), (202, json!({ "number": 1 })), "{body}");
        let asked = local.fake.backup_requests.lock().expect("not poisoned").remove(0);
        assert_eq!(asked, BackupRequest { to: to.map(str::to_owned), passphrase, recipients });
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_meant_is_refused_with_what_is_wrong() {
    let local = local(Fake::default());
    for (body, expected) in [
        (json!({ "to": "backups/" }), "absolute path"),
        (json!({ "too": "/backup" }), "too"),
        (json!({ "passphrase": "" }), "passphrase is empty"),
        (json!({ "passphrase": "open", "recipients": [KEY] }), "not both"),
        (json!({ "recipients": vec![KEY; 65] }), "at most 64"),
    ] {
        let reply = ask(&local.path, "POST", "/api/v1/backups", &body.to_string()).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.text().contains(expected), "{}", reply.text());
    }
    assert!(local.fake.backup_requests.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_backup_that_is_not_begun_says_why() {
    let local = local(Fake { is_down: true, ..Fake::default() });
    let reply = ask(&local.path, "POST", "/api/v1/backups", "{}").await;
    assert_eq!((reply.status, reply.text().contains("another backup")), (409, true), "{}", reply.text());
}

#[tokio::test]
async fn backups_are_listed_with_how_far_they_are() {
    let started = at("2026-11-20T02:30:00Z");
    let run = |number, stage| BackupRun {
        number,
        is_scheduled: number != 3,
        started,
        to: "/backup".to_owned(),
        encryption: "none",
        stage,
    };
    let ended = at("2026-11-20T02:31:00Z");
    let runs = vec![
        run(3, BackupStage::Running { phase: "writing", done_bytes: 7, total_bytes: 9 }),
        run(2, BackupStage::Failed { ended, because: "no room".to_owned() }),
        run(1, BackupStage::Done { ended, place: "/backup/x".to_owned(), bytes: 5, index: 12, stamp: started }),
    ];
    let local = local(Fake { backups: runs, ..Fake::default() });
    insta::assert_snapshot!(ask(&local.path, "GET", "/api/v1/backups", "").await.pretty());
}

#[tokio::test]
async fn nothing_about_backups_is_asked_over_tcp() {
    let served = serve(demo()).await;
    assert_eq!(served.get("/api/v1/backups").await.status, 404);
    assert_eq!(served.ask("POST", "/api/v1/backups", "", "{}").await.status, 404);
}
