//! Receivers that hang, break off, redirect, or are in trouble.

use crate::server::{Behaviour, Server, answer};
use crate::support::{FIRST, deliver, failure, notifier, opened, refusal, said};
use model::entry::Answer;
use model::receiver::Means;
use model::secret::Secret;
use std::time::{Duration, Instant};

/// Short, for receivers that never answer.
const IMPATIENT: Duration = Duration::from_millis(700);

async fn webhook_to(behaviour: Behaviour) -> (Answer, Server) {
    let server = Server::start(behaviour).await;
    let means = Means::Webhook { url: server.url("/hook"), secret: None };
    (deliver(&means, &opened()).await, server)
}

#[tokio::test]
async fn a_receiver_that_hangs_fails_at_the_time_limit() {
    let server = Server::start(Behaviour::Hang).await;
    let means = Means::Webhook { url: server.url("/hook"), secret: None };
    let started = Instant::now();
    let (reason, wait) = failure(notifier(IMPATIENT).deliver(&means, &opened(), FIRST).await);
    assert!(started.elapsed() < IMPATIENT + Duration::from_secs(1), "took {:?}", started.elapsed());
    assert!(reason.contains("no answer from 127.0.0.1:"), "{reason}");
    assert_eq!(wait, None);
}

#[tokio::test]
async fn nobody_listening_fails_and_names_the_host() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let means = Means::Webhook { url: format!("http://127.0.0.1:{port}/secret-path"), secret: None };
    let (reason, _) = failure(deliver(&means, &opened()).await);
    assert!(reason.starts_with(&format!("could not connect to 127.0.0.1:{port}")), "{reason}");
    assert!(!reason.contains("secret-path"), "{reason}");
}

#[tokio::test]
async fn too_many_requests_fail_with_the_wait_asked_for() {
    let (answer, _server) = webhook_to(answer("429 Too Many Requests", "Retry-After: 17\r\n", "slow down")).await;
    let (reason, wait) = failure(answer);
    assert_eq!(wait, Some(17));
    assert!(reason.ends_with("has had too many requests (HTTP 429: slow down)"), "{reason}");
}

#[tokio::test]
async fn a_date_to_retry_after_counts_from_the_answers_own_date() {
    let headers = "Date: Fri, 20 Nov 2015 21:23:00 GMT\r\nRetry-After: Fri, 20 Nov 2015 21:24:30 GMT\r\n";
    let (answer, _server) = webhook_to(answer("503 Service Unavailable", headers, "")).await;
    assert_eq!(failure(answer).1, Some(90));
}

#[tokio::test]
async fn a_server_error_fails_with_its_words() {
    let (answer, _server) = webhook_to(answer("500 Internal Server Error", "", "database is locked\nstack…")).await;
    let (reason, wait) = failure(answer);
    assert!(reason.ends_with("has a problem of its own (HTTP 500: database is locked)"), "{reason}");
    assert_eq!(wait, None);
}

#[tokio::test]
async fn a_receiver_that_dies_before_its_status_fails() {
    for behaviour in [Behaviour::HangUp, Behaviour::Answer("HTTP/1.1 2".into())] {
        let (answer, _server) = webhook_to(behaviour).await;
        let (reason, _) = failure(answer);
        assert!(reason.contains("did not answer the request"), "{reason}");
    }
}

#[tokio::test]
async fn a_receiver_that_dies_behind_a_good_status_has_taken_the_message() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"half\":";
    for behaviour in [Behaviour::Answer(head.into()), Behaviour::AnswerAndHang(head.into())] {
        let (answer, _server) = webhook_to(behaviour).await;
        assert_eq!(said(answer), "HTTP 200: {\"half\":");
    }
}

#[tokio::test]
async fn an_endless_body_is_read_up_to_the_limit_and_no_further() {
    let started = Instant::now();
    let (answer, _server) = webhook_to(Behaviour::Endless("HTTP/1.1 200 OK\r\n\r\n".into())).await;
    assert!(said(answer).chars().count() <= 300);
    assert!(started.elapsed() < Duration::from_secs(3), "took {:?}", started.elapsed());
}

#[tokio::test]
async fn an_endless_head_fails() {
    let (answer, _server) = webhook_to(Behaviour::Endless("HTTP/1.1 200 OK\r\nx: ".into())).await;
    failure(answer);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(answer("200 OK", "", "")).await;
    let location = format!("Location: {}\r\n", elsewhere.url("/secret-path"));
    for (status, is_final) in
        [("302 Found", false), ("307 Temporary Redirect", false), ("308 Permanent Redirect", true)]
    {
        let (answer, _server) = webhook_to(answer(status, &location, "")).await;
        let reason = if is_final { refusal(answer) } else { failure(answer).0 };
        assert!(reason.contains(&format!("to http://127.0.0.1:{}", elsewhere.port)), "{reason}");
        assert!(!reason.contains("secret-path"), "{reason}");
    }
    assert!(elsewhere.requests().is_empty(), "a message went elsewhere");
}

#[tokio::test]
async fn what_will_not_change_by_itself_is_refused_with_advice() {
    for (status, advice) in [
        ("400 Bad Request", "check that the address is of the right kind"),
        ("401 Unauthorized", "check the token, key or address"),
        ("403 Forbidden", "check the token, key or address"),
        ("410 Gone", "remove the receiver or change its address"),
    ] {
        let (answer, _server) = webhook_to(answer(status, "", "")).await;
        let reason = refusal(answer);
        assert!(reason.contains(advice), "{reason}");
    }
}

#[tokio::test]
async fn not_found_is_final_for_a_chat_and_passes_for_a_webhook() {
    let (first, server) = webhook_to(answer("404 Not Found", "", "no_team")).await;
    failure(first);
    let means = Means::Slack { url: Secret::Inline(server.url("/services/T0/B0/verysecretkey")) };
    let reason = refusal(deliver(&means, &opened()).await);
    assert!(reason.contains("HTTP 404: no_team"), "{reason}");
}

#[tokio::test]
async fn a_secret_that_the_other_side_repeats_is_not_reported() {
    let body = "no hook at /services/T0/B0/verysecretkey for you";
    let server = Server::start(answer("404 Not Found", "", body)).await;
    let means = Means::Slack { url: Secret::Inline(server.url("/services/T0/B0/verysecretkey")) };
    let reason = refusal(deliver(&means, &opened()).await);
    assert!(reason.contains("no hook at (hidden) for you"), "{reason}");

    let server = Server::start(answer("401 Unauthorized", "", "bad token tk_topsecret on acme-ops")).await;
    let token = Some(Secret::Inline("tk_topsecret".into()));
    let means = Means::Ntfy { url: server.url("/acme-ops"), token };
    let reason = refusal(deliver(&means, &opened()).await);
    assert!(reason.contains("bad token (hidden) on (hidden)"), "{reason}");
}

#[tokio::test]
async fn a_secret_comes_from_the_first_line_of_its_file_at_every_use() {
    let server = Server::start(answer("200 OK", "", "")).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let token = Some(Secret::File(path.to_str().unwrap().to_owned()));
    let means = Means::Ntfy { url: server.url("/acme-ops"), token };

    let (reason, _) = failure(deliver(&means, &opened()).await);
    assert!(reason.contains("could not read the secret in"), "{reason}");
    for token in ["tk_first", "tk_second"] {
        std::fs::write(&path, format!("{token}\nsecond line\n")).unwrap();
        said(deliver(&means, &opened()).await);
        let requests = server.requests();
        assert_eq!(requests.last().unwrap().header("authorization"), Some(&*format!("Bearer {token}")));
    }
}
