//! Heartbeats in the words of three other programs.

use crate::client::{Served, serve, serve_with, timeless};
use crate::made_up::{Fake, TOKEN, demo};
use model::limits::FAILURE_TEXT_LENGTH_MAX;
use model::observation::Outcome;
use std::time::Duration;
use web::commands::Heartbeat;

fn taken(served: &Served) -> Vec<Heartbeat> {
    std::mem::take(&mut *served.fake.heartbeats.lock().expect("not poisoned"))
}

#[tokio::test]
async fn healthchecks_pings_are_taken() {
    let served = serve(demo()).await;
    for (method, path, body, outcome, sentence) in [
        ("GET", "", "", Outcome::Pass, None),
        ("HEAD", "", "", Outcome::Pass, None),
        ("POST", "", "all files copied", Outcome::Pass, None),
        ("GET", "/0", "", Outcome::Pass, None),
        ("GET", "/fail", "", Outcome::Fail, Some("it reported a failure")),
        ("POST", "/fail", "\ndisk full\nmore", Outcome::Fail, Some("it reported: disk full")),
        ("GET", "/7", "", Outcome::Fail, Some("it ended with exit code 7")),
        ("POST", "/255", "killed", Outcome::Fail, Some("it ended with exit code 255: killed")),
    ] {
        let reply = served.ask(method, &format!("/ping/{TOKEN}{path}"), "", body).await;
        assert_eq!(reply.status, 200, "{method} {path}");
        if method != "HEAD" {
            assert_eq!(reply.text(), "OK");
        }
        let heartbeats = taken(&served);
        assert_eq!(heartbeats.len(), 1, "{method} {path}");
        assert_eq!((heartbeats[0].outcome, heartbeats[0].sentence.as_deref()), (outcome, sentence), "{method} {path}");
        assert_eq!(heartbeats[0].check.as_str(), "backup");
    }
}

#[tokio::test]
async fn a_start_is_no_success_and_the_end_knows_how_long_it_took() {
    let served = serve(demo()).await;
    assert_eq!(served.get(&format!("/ping/{TOKEN}/start?rid=a")).await.text(), "OK");
    assert_eq!(served.get(&format!("/ping/{TOKEN}/log")).await.text(), "OK");
    assert!(taken(&served).is_empty());
    served.get(&format!("/ping/{TOKEN}?rid=b")).await;
    served.get(&format!("/ping/{TOKEN}?rid=a")).await;
    let heartbeats = taken(&served);
    assert_eq!(heartbeats[0].took, None, "another run");
    assert!(heartbeats[1].took.is_some_and(|took| took < Duration::from_secs(20)));
}

#[tokio::test]
async fn uptime_kuma_pushes_are_taken() {
    let served = serve(demo()).await;
    let reply = served.get(&format!("/api/push/{TOKEN}?status=up&msg=OK&ping=12.5")).await;
    assert_eq!(reply.text(), r#"{"ok":true}"#);
    let heartbeat = taken(&served).remove(0);
    assert_eq!((heartbeat.outcome, heartbeat.took), (Outcome::Pass, Some(Duration::from_micros(12_500))));
    served.get(&format!("/api/push/{TOKEN}?status=down&msg=no%20space&ping=")).await;
    let heartbeat = taken(&served).remove(0);
    assert_eq!((heartbeat.outcome, heartbeat.sentence.as_deref()), (Outcome::Fail, Some("it reported: no space")));
    let wrong = served.get("/api/push/none?status=up").await;
    assert_eq!((wrong.status, wrong.text()), (404, r#"{"msg":"Monitor not found or not active.","ok":false}"#));
}

#[tokio::test]
async fn gatus_external_endpoints_are_taken() {
    let served = serve(demo()).await;
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    let path = "/api/v1/endpoints/core_backup/external";
    let reply = served.ask("POST", &format!("{path}?success=true&duration=10s"), &bearer, "").await;
    assert_eq!(reply.status, 200);
    let heartbeat = taken(&served).remove(0);
    assert_eq!((heartbeat.outcome, heartbeat.took), (Outcome::Pass, Some(Duration::from_secs(10))));
    served.ask("POST", &format!("{path}?success=false&error=broken"), &bearer, "").await;
    assert_eq!(taken(&served)[0].sentence.as_deref(), Some("it reported: broken"));
    assert_eq!(served.ask("POST", &format!("{path}?success=true"), "", "").await.status, 401);
    assert_eq!(
        served.ask("POST", &format!("{path}?success=true"), "authorization: Bearer none\r\n", "").await.status,
        404
    );
    assert_eq!(served.ask("POST", path, &bearer, "").await.status, 400, "success must be said");
    assert!(taken(&served).is_empty());
}

#[tokio::test]
async fn an_unknown_token_is_a_wrong_address() {
    let served = serve(demo()).await;
    for path in [
        "/ping/none",
        "/ping/none/fail",
        &format!("/ping/{TOKEN}x"),
        &format!("/ping/{TOKEN}/nonsense"),
        "/ping/",
        &format!("/ping/{}", "x".repeat(5_000)),
    ] {
        assert_eq!(served.get(path).await.status, 404, "{path}");
    }
    assert_eq!(served.ask("DELETE", &format!("/ping/{TOKEN}"), "", "").await.status, 405);
    assert!(taken(&served).is_empty());
}

#[tokio::test]
async fn a_heartbeat_that_is_not_committed_is_not_answered_with_ok() {
    let served = serve_with(timeless(), Some(demo()), Fake { is_down: true, ..Fake::default() }).await;
    let reply = served.get(&format!("/ping/{TOKEN}")).await;
    assert_eq!((reply.status, reply.text()), (503, "no leader is known"));
}

#[tokio::test]
async fn a_long_text_is_cut_and_the_heartbeat_counts() {
    let served = serve(demo()).await;
    let long = format!("{}\u{1b}[31m\u{0}\nsecond line", "é".repeat(100_000));
    let reply = served.ask("POST", &format!("/ping/{TOKEN}/fail"), "", &long).await;
    assert_eq!(reply.status, 200);
    let heartbeat = taken(&served).remove(0);
    assert!(heartbeat.sentence.is_some_and(|text| text.chars().count() <= FAILURE_TEXT_LENGTH_MAX));
    let excerpt = heartbeat.excerpt.expect("it is kept in part");
    assert!(excerpt.len() <= 1024 && !excerpt.contains(char::is_control));
}
