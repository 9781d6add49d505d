//! The page as visitors get it.

use crate::client::{Served, serve, serve_with, timeless};
use crate::made_up::{Fake, NOW, World, at, configuration, demo, demo_world, http, many_world, service};
use crate::well_formed::assert_well_formed;
use control::State;
use flate2::read::GzDecoder;
use model::entry::{Action, Body, Phase};
use model::id::{MaintenanceId, ServiceId};
use model::observation::Outcome;
use model::service::{Impact, Maintenance};
use model::time::Timestamp;
use std::io::Read as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use web::Options;

/// Bytes that a page with twenty services may have.
const PAGE_BYTES_MAX: usize = 60_000;

#[tokio::test]
async fn the_page_of_a_busy_evening() {
    let served = serve(demo()).await;
    let page = served.get("/").await;
    assert_well_formed(page.text());
    insta::assert_snapshot!(without_inline(page.text()));
}

#[tokio::test]
async fn an_incident_has_a_page_of_its_own() {
    let state = demo();
    let open = state.incidents().rfind(|one| one.is_open() && one.is_public).expect("there is one").id;
    let hidden = state.incidents().find(|one| !one.is_public).expect("there is one").id;
    let served = serve(state).await;
    let page = served.get(&format!("/incidents/{open}")).await;
    assert_well_formed(page.text());
    insta::assert_snapshot!(without_inline(page.text()));
    for wrong in [hidden.to_string(), "999".to_owned(), "-1".to_owned(), "x".to_owned(), "..%2f..%2fetc".to_owned()] {
        assert_eq!(served.get(&format!("/incidents/{wrong}")).await.status, 404, "{wrong}");
    }
}

#[tokio::test]
async fn twenty_services_with_much_history_fit_sixty_kilobytes() {
    let ids: Vec<String> = (0..20).map(|n| format!("service-{n}")).collect();
    let services =
        ids.iter().map(|id| service(id, &format!("A service with a name: {id}"), Some("All"), vec![http(id)]));
    let start = Timestamp::from_ms(at(NOW).as_ms() - 95 * 86_400_000);
    let mut world = World::new(&configuration(services.collect()), start);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    world.round(&ids, Outcome::Pass, "");
    // A tenth of all days has an outage, far more than anybody would stand.
    for day in 1..90 {
        let when = Timestamp::from_ms(start.as_ms() + day * 86_400_000);
        let bad: Vec<&str> = ids.iter().copied().skip(day as usize % 10).step_by(10).collect();
        world.outage(&bad, when, 42, Outcome::Fail, "connection refused");
    }
    world.until(at(NOW)).round(&ids, Outcome::Pass, "");
    let served = serve(world.state).await;
    let page = served.get("/").await;
    assert_well_formed(page.text());
    assert!(page.bytes.len() < PAGE_BYTES_MAX, "{} bytes", page.bytes.len());
}

#[tokio::test]
async fn no_text_of_users_becomes_markup() {
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;";
    let mut services = vec![service("a", evil, Some(evil), vec![http("a")]), service("b", "b", None, vec![http("b")])];
    services[0].description = Some(evil.to_owned());
    let mut configuration = configuration(services);
    configuration.page.name = evil.to_owned();
    configuration.page.description = Some(evil.to_owned());
    let mut world = World::new(&configuration, at(NOW));
    world.round(&["a", "b"], Outcome::Fail, evil);
    let incident = world.state.incidents().next().expect("it opened one").id;
    world.command(Action::UpdateIncident { incident, phase: Phase::Identified, text: evil.to_owned() });
    world.command(Action::ScheduleMaintenance(Maintenance {
        id: MaintenanceId::new("work").expect("a legal id"),
        title: evil.to_owned(),
        from: at(NOW),
        until: at(NOW).plus(Duration::from_secs(60)),
        services: vec![ServiceId::new("a").expect("a legal id")],
        impact: Impact::AtRisk,
    }));
    let served = serve(world.state).await;
    for path in ["/", "/incidents/1", "/%3Cscript%3Ealert(3)%3C/script%3E"] {
        let page = served.ask("GET", path, "accept: text/html\r\n", "").await;
        assert_well_formed(page.text());
        assert!(!page.text().contains("<script>alert"), "{path}");
        assert!(!page.text().contains("<img"), "{path}");
    }
}

#[tokio::test]
async fn a_page_that_gets_no_more_news_says_so_and_greys_itself() {
    let mut world = demo_world(now());
    let options = Options { stale_after: Duration::from_millis(400), ..timeless() };
    let served = serve_with(options, Some(world.state.clone()), Fake::default()).await;
    let fresh = served.get("/").await;
    assert!(!is_grey(fresh.text()), "the state is the present");
    // Nothing is published: the page that lies in memory must not be sent any more.
    let grey = until(&served, is_grey).await;
    assert_well_formed(&grey);
    assert!(grey.contains("Not verified since"), "it says so");
    assert!(served.get("/api/v2/status.json").await.text().contains("Not Verified"), "for programs as well");
    assert!(!served.get("/api/v2/components.json").await.text().contains("\"operational\""), "nothing is green");
    assert_eq!(served.get("/readyz").await.status, 503);
    served.web.publish(world.state.clone());
    assert!(is_grey(served.get("/").await.text()), "the same entry again is no news");
    world.until(now()).apply(Body::Tick);
    served.web.publish(world.state.clone());
    assert!(!is_grey(served.get("/").await.text()), "news came");
}

#[tokio::test]
async fn a_state_from_before_a_long_stop_is_not_the_present() {
    let served = serve_with(
        Options { stale_after: Duration::from_secs(30), ..timeless() },
        Some(demo_world(at("2025-01-01T00:00:00Z")).state),
        Fake::default(),
    )
    .await;
    assert!(is_grey(served.get("/").await.text()));
}

#[tokio::test]
async fn a_change_is_seen_by_the_next_visitor() {
    let mut world = demo_world(at(NOW));
    let served = serve(world.state.clone()).await;
    let before = served.get("/").await;
    assert!(before.text().contains("1 of 12 services is down"));
    world.round(&["api"], Outcome::Fail, "connection refused");
    served.web.publish(world.state.clone());
    let after = served.get("/").await;
    assert!(after.text().contains("2 of 12 services are down"));
    assert_ne!(before.header("etag"), after.header("etag"));
}

#[tokio::test]
async fn what_a_browser_has_is_not_sent_again() {
    let served = serve(demo()).await;
    let first = served.get("/").await;
    let tag = first.header("etag").expect("it has a tag").replace("w/", "W/");
    let again = served.ask("GET", "/", &format!("if-none-match: {tag}\r\n"), "").await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    let small = served.ask("GET", "/", "accept-encoding: gzip\r\n", "").await;
    assert_eq!(small.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    GzDecoder::new(&small.bytes[..]).read_to_string(&mut text).expect("it is gzip");
    assert_eq!(text, first.text());
    let head = served.ask("HEAD", "/", "", "").await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    assert_eq!(head.header("content-length"), first.header("content-length"));
}

#[tokio::test]
async fn the_page_lets_no_foreign_code_in() {
    let served = serve(demo()).await;
    let page = served.get("/").await;
    let policy = page.header("content-security-policy").expect("it has one");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    assert!(!page.text().contains(" style=") && !page.text().contains(" onclick="), "nothing the policy would stop");
    assert_eq!(page.text().matches("<script").count(), 1);
}

#[tokio::test]
async fn an_empty_configuration_tells_what_to_do_next() {
    let served = serve(State::default()).await;
    let page = served.get("/").await;
    assert_well_formed(page.text());
    assert!(page.text().contains("Nothing is watched yet") && page.text().contains("mainstay init"));
}

#[tokio::test]
async fn before_the_first_state_visitors_are_asked_to_come_back() {
    let served = serve_with(timeless(), None, Fake::default()).await;
    for path in ["/", "/api/v2/summary.json", "/api/v1/status", "/metrics", "/readyz"] {
        assert_eq!(served.get(path).await.status, 503, "{path}");
    }
    let page = served.ask("GET", "/", "accept: text/html\r\n", "").await;
    assert_well_formed(page.text());
    assert_eq!((page.status, page.header("retry-after")), (503, Some("2")));
    assert_eq!(served.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_wrong_address_gets_a_page_or_json_as_asked() {
    let served = serve(demo()).await;
    let page = served.ask("GET", "/no/such/page", "accept: text/html\r\n", "").await;
    assert_eq!(page.status, 404);
    assert_well_formed(page.text());
    assert!(page.text().contains("Acme Hosting"));
    let json = served.get("/../../etc/passwd").await;
    assert_eq!((json.status, json.text()), (404, r#"{"error":"There is nothing at this address."}"#));
    assert_eq!(served.ask("DELETE", "/", "", "").await.status, 405);
}

#[tokio::test]
async fn very_many_services_are_counted_and_not_listed() {
    let served = serve(many_world(5_000).state).await;
    let page = served.get("/").await;
    assert_well_formed(page.text());
    assert!(page.text().contains("more, all of them up"));
    assert!(page.bytes.len() < 600_000, "{} bytes", page.bytes.len());
}

fn is_grey(page: &str) -> bool {
    page.contains("class=\"stale\"")
}

async fn until(served: &Served, holds: fn(&str) -> bool) -> String {
    for _ in 0..200 {
        let page = served.get("/").await;
        if holds(page.text()) {
            return page.text().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came about");
}

fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_ms(since_1970.as_millis() as i64)
}

/// The page without style and script, which change for other reasons.
fn without_inline(page: &str) -> String {
    let mut page = page.to_owned();
    for name in ["style", "script"] {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let (start, end) = (page.find(&open).expect("it is there"), page.find(&close).expect("it is closed"));
        page.replace_range(start + open.len()..end, "…");
    }
    page
}
