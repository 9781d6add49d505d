//! What operators read.

use crate::client::{serve, serve_with, timeless};
use crate::made_up::{Fake, NOW, at, demo};
use model::id::LocationId;
use model::observation::{AddressTried, Cause, CertificateFacts, Detail, Evidence, Failure, Outcome, Phases};
use model::time::Timestamp;
use web::Options;
use web::api::{
    CheckDetail, Checks, Decisions, Deliveries, Incident, Incidents, Readiness, Results, Rollups, Services, Status,
};
use web::commands::{NodeStatus, StoredResult};
use web::options::OperatorReads;

#[tokio::test]
async fn everything_at_a_glance() {
    let served = serve(demo()).await;
    let reply = served.get("/api/v1/status").await;
    let status: Status = reply.json();
    assert_eq!((status.overall.as_str(), status.services.down, status.is_stale), ("down", 1, false));
    assert_eq!(
        status.services.up
            + status.services.down
            + status.services.degraded
            + status.services.maintenance
            + status.services.unknown,
        13
    );
    let said = status.node.state_digest.expect("a small state has one");
    assert_eq!((said.index, said.digest.len()), (status.node.applied_index, 64));
    // It changes with every form of the state, which is not what this is about.
    insta::assert_snapshot!(reply.pretty().replace(&said.digest, "(digest)"));
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let served = serve(demo()).await;
    let (mut seen, mut path) = (Vec::new(), "/api/v1/checks?limit=5".to_owned());
    for _ in 0..10 {
        let page: Checks = served.get(&path).await.json();
        assert!(page.checks.len() <= 5);
        seen.extend(page.checks.into_iter().map(|check| check.id));
        match page.next {
            Some(next) => path = format!("/api/v1/checks?limit=5&after={next}"),
            None => break,
        }
    }
    let all: Vec<String> = demo().configuration().checks().map(|(_, check)| check.id.to_string()).collect();
    assert_eq!(seen, all);
    let bad: Checks = served.get("/api/v1/checks?state=not-up").await.json();
    assert!(bad.checks.iter().all(|check| check.verdict != "up") && bad.checks.len() == 4, "{bad:?}");
    let services: Services = served.get("/api/v1/services?limit=3&after=shop").await.json();
    assert_eq!(services.services[0].id, "hosting");
    assert_eq!(services.next.as_deref(), Some("smtp-out"));
}

#[tokio::test]
async fn a_check_is_shown_with_the_evidence_of_its_last_failure() {
    let fake = Fake { results: vec![failed()], ..Fake::default() };
    let served = serve_with(timeless(), Some(demo()), fake).await;
    let reply = served.get("/api/v1/checks/smtp-out").await;
    let detail: CheckDetail = reply.json();
    let failure = detail.last_failure.expect("one is stored");
    assert_eq!(failure.evidence.expect("it has evidence").excerpt, None, "excerpts are for the local socket");
    insta::assert_snapshot!(reply.pretty());
}

#[tokio::test]
async fn results_are_read_by_time_and_tell_where_the_rest_begins() {
    let every = |n: i64| StoredResult { scheduled: Timestamp::from_ms(at(NOW).as_ms() - n * 60_000), ..failed() };
    let fake = Fake { results: (1..=10).rev().map(every).collect(), ..Fake::default() };
    let served = serve_with(timeless(), Some(demo()), fake).await;
    let first: Results = served.get("/api/v1/checks/api/results?from=1h&limit=4").await.json();
    assert_eq!(first.results.len(), 4);
    let next = first.next.expect("there are more");
    let rest: Results = served.get(&format!("/api/v1/checks/api/results?from={next}")).await.json();
    assert_eq!((rest.results.len(), rest.next), (6, None));
    let rollups: Rollups = served.get("/api/v1/checks/api/rollups?step=1d").await.json();
    assert_eq!(rollups.rollups[0].pass, 1_438);
    for wrong in ["results?from=yesterday", "rollups?step=1h"] {
        assert_eq!(served.get(&format!("/api/v1/checks/api/{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn why_is_answered_with_decisions() {
    let served = serve(demo()).await;
    let reply = served.get("/api/v1/decisions?check=smtp-out&limit=6").await;
    let found: Decisions = reply.json();
    assert!(found.decisions.iter().any(|one| one.kind == "opened" && one.incident.is_some()));
    assert!(found.decisions.is_sorted_by(|one, next| one.index >= next.index));
    insta::assert_snapshot!(reply.pretty());
    let of_service: Decisions = served.get("/api/v1/decisions?service=api&limit=1000").await.json();
    assert!(of_service.decisions.iter().all(|one| one.service.as_deref() == Some("api")));
}

#[tokio::test]
async fn incidents_and_deliveries_are_listed() {
    let served = serve(demo()).await;
    let open: Incidents = served.get("/api/v1/incidents?state=open").await.json();
    assert!(open.incidents.iter().all(|one| one.resolved.is_none()) && !open.incidents.is_empty());
    let one: Incident = served.get(&format!("/api/v1/incidents/{}", open.incidents[0].id)).await.json();
    assert_eq!(one, open.incidents[0]);
    let deliveries: Deliveries = served.get("/api/v1/deliveries?state=waiting&limit=2").await.json();
    assert_eq!(deliveries.deliveries.len(), 2);
    assert_eq!(deliveries.deliveries[0].receiver, "ops");
}

#[tokio::test]
async fn what_does_not_exist_is_said_to_be_missing() {
    let served = serve(demo()).await;
    for path in [
        "checks/none",
        "checks/none/results",
        "services/none",
        "incidents/999",
        "decisions?check=none",
        "decisions?service=none",
        "none",
    ] {
        let reply = served.get(&format!("/api/v1/{path}")).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.text().contains("error"), "{path}");
    }
    for path in ["checks?state=fine", "deliveries?state=lost", "incidents?state=closed", "checks?limit=many"] {
        assert_eq!(served.get(&format!("/api/v1/{path}")).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn no_secret_of_a_target_is_shown() {
    let served = serve(demo()).await;
    for path in [
        "/api/v1/checks?limit=1000",
        "/api/v1/checks/api",
        "/api/v1/status",
        "/api/v1/decisions",
        "/metrics",
        "/",
        "/api/v2/summary.json",
    ] {
        let reply = served.get(path).await;
        for secret in ["hunter2", "s3cret", crate::made_up::TOKEN] {
            assert!(!reply.text().contains(secret), "{path} shows {secret}");
        }
    }
}

#[tokio::test]
async fn a_strangers_name_that_points_here_reads_nothing_meant_for_operators() {
    let served = serve(demo()).await;
    let ask =
        async |path: &str, host: &str| served.raw(&format!("GET {path} HTTP/1.0\r\nhost: {host}\r\n\r\n")).await.status;
    for path in ["/api/v1/status", "/metrics", "/api/v1/events"] {
        assert_eq!(ask(path, "evil.example").await, 421, "{path}");
    }
    assert_eq!(ask("/", "evil.example").await, 200, "the page is for everybody");
    assert_eq!(ask("/api/v1/status", "status.acme.example").await, 200, "the page's own name");
}

#[tokio::test]
async fn operators_can_keep_their_view_to_the_local_socket() {
    let options = Options { operator_reads: OperatorReads::LocalSocketOnly, ..timeless() };
    let served = serve_with(options, Some(demo()), Fake::default()).await;
    for path in ["/api/v1/status", "/metrics", "/api/v1/events"] {
        assert_eq!(served.get(path).await.status, 404, "{path}");
    }
    assert_eq!(served.get("/").await.status, 200);
}

#[tokio::test]
async fn a_node_is_ready_when_it_does_its_work() {
    let served = serve(demo()).await;
    let reply = served.get("/readyz").await;
    assert_eq!((reply.status, reply.json::<Readiness>().reasons), (200, Vec::new()));
    let node = NodeStatus { log_refuses: Some("the disk is full".to_owned()), ..NodeStatus::default() };
    let served = serve_with(timeless(), Some(demo()), Fake { node: Some(node).into(), ..Fake::default() }).await;
    let reply = served.get("/readyz").await;
    let readiness: Readiness = reply.json();
    assert_eq!(reply.status, 503);
    assert_eq!(readiness.reasons, ["no leader is known", "the log takes no entries: the disk is full"]);
}

fn failed() -> StoredResult {
    let certificate = CertificateFacts {
        subject: "CN=relay.acme.example".to_owned(),
        issuer: "CN=Acme CA".to_owned(),
        names: vec!["relay.acme.example".to_owned()],
        not_before: at("2026-11-20T00:00:00Z"),
        not_after: at("2027-02-20T00:00:00Z"),
        fingerprint: "ab12".to_owned(),
    };
    let evidence = Evidence {
        addresses: vec![AddressTried { address: "192.0.2.7".parse().expect("an address"), took_us: 800, error: None }],
        status: Some("454 4.7.0".to_owned()),
        excerpt: Some("454 4.7.0 TLS not available".to_owned()),
        certificate: Some(certificate),
        redirects: vec!["https://relay.acme.example/?token=s3cret".to_owned()],
        performance: None,
    };
    let failure = Failure { cause: Cause::Tls, sentence: "454 4.7.0 TLS not available".to_owned() };
    let phases = Phases { connect_us: Some(800), ..Phases::default() };
    StoredResult {
        location: LocationId::new("london").expect("a legal id"),
        scheduled: Timestamp::from_ms(at(NOW).as_ms() - 12_000),
        outcome: Outcome::Fail,
        latency_us: 1_900,
        detail: Some(Box::new(Detail { failure: Some(failure), phases, evidence })),
    }
}
