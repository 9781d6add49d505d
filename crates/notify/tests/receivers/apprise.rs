//! The documented way to a hundred more services: the example with Apprise.

use crate::python;
use crate::server::{Server, answer};
use crate::support::{deliver, failure, opened, refusal, said};
use model::receiver::Means;

fn means(program: &std::path::Path, url: &str) -> Means {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/apprise-receiver");
    let program = format!("APPRISE={}", program.join("apprise").display());
    Means::Exec { command: vec!["/usr/bin/env".into(), program, example.into(), url.into()] }
}

#[tokio::test]
async fn the_example_hands_a_message_to_apprise() {
    let Some(programs) = python::programs() else { return };
    let server = Server::start(answer("200 OK", "", "")).await;
    let url = format!("json://127.0.0.1:{}/notify", server.port);
    said(deliver(&means(programs, &url), &opened()).await);
    let event: serde_json::Value = serde_json::from_str(&server.requests()[0].body).unwrap();
    assert_eq!(event["title"], "[DOWN] Website is down");
    assert_eq!(event["type"], "failure");
    assert!(event["message"].as_str().unwrap().contains("london: connection refused"));
    assert!(event["message"].as_str().unwrap().contains("https://status.acme.example"));
}

#[tokio::test]
async fn the_example_reports_what_did_not_work() {
    let Some(programs) = python::programs() else { return };
    let server = Server::start(answer("500 Internal Server Error", "", "")).await;
    let url = format!("json://127.0.0.1:{}/notify", server.port);
    failure(deliver(&means(programs, &url), &opened()).await);
    refusal(deliver(&means(programs, "nonsense://acme.example"), &opened()).await);
}
