//! What each means sends over HTTP, as snapshots.

use crate::server::{Request, Server, answer};
use crate::support::{FIRST, PATIENT, deliver, notifier, opened, own, resolved, said, test_message};
use model::message::{Message, Step};
use model::receiver::Means;
use model::secret::Secret;
use model::verdict::ServiceStatus;
use notify::Try;

const SHOWN_HEADERS: [&str; 5] = ["content-type", "authorization", "webhook-id", "x-actions", "accept-encoding"];

fn show(requests: &[Request]) -> String {
    let show_one = |request: &Request| {
        let mut out = format!("{}\n", request.head.lines().next().unwrap());
        for name in SHOWN_HEADERS {
            if let Some(value) = request.header(name) {
                out.push_str(&format!("{name}: {value}\n"));
            }
        }
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        format!("{out}\n{}\n", serde_json::to_string_pretty(&body).unwrap())
    };
    requests.iter().map(show_one).collect::<Vec<_>>().join("\n")
}

async fn slack(message: &Message, this: Try) -> String {
    let server = Server::start(answer("200 OK", "", "ok")).await;
    let means = Means::Slack { url: Secret::Inline(server.url("/services/T0/B0/verysecretkey")) };
    assert_eq!(said(notifier(PATIENT).deliver(&means, message, this).await), "HTTP 200: ok");
    show(&server.requests())
}

async fn ntfy(message: &Message) -> String {
    let server = Server::start(answer("200 OK", "", "{\"id\":\"sPs71M8A2T\"}")).await;
    let token = Some(Secret::Inline("tk_secret".into()));
    said(deliver(&Means::Ntfy { url: server.url("/push/acme-ops"), token }, message).await);
    show(&server.requests())
}

async fn pagerduty(message: &Message) -> String {
    let server = Server::start(answer("202 Accepted", "", "{\"status\":\"success\"}")).await;
    let routing_key = Secret::Inline("R0123456789abcdef".into());
    said(deliver(&Means::PagerDuty { routing_key, url: Some(server.url("")) }, message).await);
    show(&server.requests())
}

async fn webhook(message: &Message) -> String {
    let server = Server::start(answer("204 No Content", "", "")).await;
    assert_eq!(
        said(deliver(&Means::Webhook { url: server.url("/hook?a=b"), secret: None }, message).await),
        "HTTP 204"
    );
    show(&server.requests())
}

#[tokio::test]
async fn slack_gets_a_line_and_a_coloured_attachment() {
    insta::assert_snapshot!("slack_opened", slack(&opened(), FIRST).await);
    insta::assert_snapshot!("slack_resolved", slack(&resolved(), FIRST).await);
    insta::assert_snapshot!("slack_own", slack(&own(), FIRST).await);
}

#[tokio::test]
async fn a_possible_double_says_so() {
    insta::assert_snapshot!("slack_double", slack(&opened(), Try { attempt: 2, possibly_double: true }).await);
}

#[tokio::test]
async fn ntfy_gets_json_at_the_servers_root() {
    insta::assert_snapshot!("ntfy_opened", ntfy(&opened()).await);
    insta::assert_snapshot!("ntfy_resolved", ntfy(&resolved()).await);
}

#[tokio::test]
async fn pagerduty_gets_one_alert_for_an_incident() {
    insta::assert_snapshot!("pagerduty_opened", pagerduty(&opened()).await);
    insta::assert_snapshot!("pagerduty_resolved", pagerduty(&resolved()).await);
}

#[tokio::test]
async fn a_word_about_mainstay_is_an_alert_of_its_own_until_it_is_over() {
    insta::assert_snapshot!("pagerduty_own", pagerduty(&own()).await);
    let over = Message { step: Step::Resolved, status: ServiceStatus::Up, ..own() };
    let sent = pagerduty(&over).await;
    assert!(sent.contains("\"event_action\": \"resolve\"") && sent.contains("\"mainstay.resolved\""), "{sent}");
}

#[tokio::test]
async fn a_test_leaves_nothing_open_at_pagerduty() {
    insta::assert_snapshot!("pagerduty_test", pagerduty(&test_message()).await);
}

#[tokio::test]
async fn a_webhook_gets_the_documented_event() {
    insta::assert_snapshot!("webhook_opened", webhook(&opened()).await);
    insta::assert_snapshot!("webhook_test", webhook(&test_message()).await);
}

#[tokio::test]
async fn a_very_long_text_stays_below_every_limit() {
    let long = Message { text: "ä\"".repeat(100_000), step: Step::Worsened, ..opened() };
    let server = Server::start(answer("200 OK", "", "")).await;
    let webhook = Means::Webhook { url: server.url("/"), secret: None };
    let slack = Means::Slack { url: Secret::Inline(server.url("/")) };
    let ntfy = Means::Ntfy { url: server.url("/topic"), token: None };
    for means in [webhook, slack, ntfy] {
        said(deliver(&means, &long).await);
    }
    for request in server.requests() {
        assert!(request.body.len() < 20_000, "{} bytes", request.body.len());
    }
}
