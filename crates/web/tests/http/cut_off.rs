//! A node without contact to the others: readable, marked, and never taken for the authority.

use crate::client::{PATIENCE, Served, serve, serve_with, timeless};
use crate::local_socket::{ask, local};
use crate::made_up::{Fake, NOW, TOKEN, World, at, configuration, cut_off, demo, http, service, well};
use crate::well_formed::assert_well_formed;
use model::entry::Body;
use model::observation::Outcome;
use model::time::Timestamp;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use web::api::{Readiness, Status};

/// Since when the made-up node is cut off: another day than that of the test.
const SINCE: &str = "2025-10-03T12:03:10Z";

async fn served() -> Served {
    let node = Some(cut_off(at(SINCE))).into();
    serve_with(timeless(), Some(demo()), Fake { node, ..Fake::default() }).await
}

#[tokio::test]
async fn the_page_says_so_above_everything_and_nothing_is_green() {
    let served = served().await;
    let page = served.get("/").await;
    assert_well_formed(page.text());
    assert!(page.text().contains("class=\"stale\""), "everything is grey");
    assert!(page.text().contains("<h2 id=\"overall\">Not verified</h2>") && page.text().contains("overall un"));
    assert!(page.text().contains("Last verified"), "which stays true");
    assert!(!page.text().contains("Not verified since"), "one reason is enough");
    let words = words(page.text());
    let banner =
        "This node has had no contact with the others since 3 Oct, 12:03 UTC. What follows is what was known then.";
    let (said, heading) =
        (words.find(banner).expect("it is said"), words.find("Acme Hosting Websites").expect("a head"));
    assert!(said < heading, "above everything");
    let open = demo().incidents().rfind(|one| one.is_open() && one.is_public).expect("there is one").id;
    let incident = served.get(&format!("/incidents/{open}")).await;
    assert_well_formed(incident.text());
    assert!(self::words(incident.text()).contains(banner));
}

#[tokio::test]
async fn what_was_up_is_not_green_either() {
    let mut world = World::new(&configuration(vec![service("a", "A", None, vec![http("a")])]), at(NOW));
    world.round(&["a"], Outcome::Pass, "");
    world.apply(Body::Tick);
    let fake = Fake { node: Some(cut_off(at(SINCE))).into(), ..Fake::default() };
    let served = serve_with(timeless(), Some(world.state.clone()), fake).await;
    assert!(served.get("/").await.text().contains("<title>Not verified"));
    assert_eq!(served.get("/api/v1/status").await.json::<Status>().overall, "unknown");
    *served.fake.node.lock().expect("not poisoned") = None;
    assert!(served.get("/").await.text().contains("<title>Our service is up"));
    assert_eq!(served.get("/api/v1/status").await.json::<Status>().overall, "up");
}

#[tokio::test]
async fn the_next_visitor_is_told_and_so_of_its_end() {
    let served = serve(demo()).await;
    for (node, expected) in [(None, false), (Some(cut_off(at(SINCE))), true), (Some(well()), false)] {
        *served.fake.node.lock().expect("not poisoned") = node;
        let is_told = served.get("/").await.text().contains("no contact with the others");
        assert_eq!(is_told, expected);
    }
}

#[tokio::test]
async fn programs_are_told_in_the_shape_they_know() {
    let served = served().await;
    let summary: Value = served.get("/api/v2/summary.json").await.json();
    assert_eq!(summary["status"]["indicator"], "minor");
    assert_eq!(
        summary["status"]["description"],
        "Not Verified: No Contact With the Other Nodes Since 2025-10-03T12:03:10.000Z"
    );
    let fine = serve(demo()).await.get("/api/v2/summary.json").await.json::<Value>();
    assert_eq!(keys(&summary), keys(&fine), "the shape stays");
    assert!(!served.get("/api/v2/components.json").await.text().contains("\"operational\""));
}

#[tokio::test]
async fn operators_see_since_when_and_who_is_missing() {
    let served = served().await;
    let status: Status = served.get("/api/v1/status").await.json();
    assert_eq!((status.is_stale, status.overall.as_str(), status.node.has_quorum), (true, "unknown", false));
    assert_eq!(status.node.cut_off_since.as_deref(), Some(SINCE));
    let present: Vec<bool> = status.nodes.iter().map(|node| node.is_present).collect();
    assert_eq!(present, [true, false, false]);
    let metrics = served.get("/metrics").await;
    for line in ["mainstay_has_quorum 0", "mainstay_is_leader 0", "mainstay_nodes{state=\"absent\"} 2"] {
        assert!(metrics.text().lines().any(|found| found == line), "{line}");
    }
}

#[tokio::test]
async fn it_stays_ready_so_that_people_can_read() {
    let mut node = cut_off(at(SINCE));
    node.log_refuses = Some("there is no majority".to_owned());
    let served = serve_with(timeless(), Some(demo()), Fake { node: Some(node).into(), ..Fake::default() }).await;
    let reply = served.get("/readyz").await;
    let readiness: Readiness = reply.json();
    assert_eq!((reply.status, readiness.is_ready, readiness.reasons), (200, true, Vec::new()));
    assert_eq!(
        readiness.attention[..2],
        [
            "this node has had no contact with the others since 2025-10-03T12:03:10Z: it shows what was known then, \
             goes on checking, and takes no commands",
            "the log takes no entries: there is no majority"
        ]
    );
    assert_eq!(served.get("/healthz").await.text(), "ok\n");
    let empty = Fake { node: Some(cut_off(at(SINCE))).into(), ..Fake::default() };
    let unready = serve_with(timeless(), None, empty).await.get("/readyz").await;
    assert_eq!(unready.status, 503, "there is nothing to read");
}

#[tokio::test]
async fn no_command_is_taken_and_what_to_do_is_said() {
    let local = local(Fake { node: Some(cut_off(at(SINCE))).into(), ..Fake::default() });
    for (path, body) in [
        ("commands", json!({ "actor": "a", "key": "k", "action": { "test_receivers": {} } })),
        ("nodes/invite", json!({ "actor": "a", "key": "k" })),
        ("nodes/remove", json!({ "actor": "a", "key": "k", "node": "paris1" })),
        ("nodes/transfer-leadership", json!({ "actor": "a", "key": "k" })),
        ("nodes/rotate-authority", json!({ "actor": "a", "key": "k" })),
    ] {
        let reply = ask(&local.path, "POST", &format!("/api/v1/{path}"), &body.to_string()).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("2")), "{path}");
        assert_eq!(
            reply.json::<Value>()["error"],
            "nothing was done: this node has had no contact with the others since 2025-10-03T12:03:10Z, and a command \
             counts only when a majority of the nodes has it on disk. Ask another node, or bring the connection back; \
             `mainstay status` shows the nodes",
            "{path}"
        );
    }
    assert!(local.fake.commands.lock().expect("not poisoned").is_empty());
    assert!(local.fake.node_requests.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_heartbeat_is_taken_only_if_it_is_not_lost() {
    let served = served().await;
    let reply = served.get(&format!("/ping/{TOKEN}")).await;
    assert_eq!((reply.status, reply.text()), (200, "OK"));
    assert_eq!(served.fake.heartbeats.lock().expect("not poisoned").len(), 1);
    let fake = Fake { is_down: true, node: Some(cut_off(at(SINCE))).into(), ..Fake::default() };
    let served = serve_with(timeless(), Some(demo()), fake).await;
    for path in [format!("/ping/{TOKEN}"), format!("/api/push/{TOKEN}")] {
        assert_eq!(served.get(&path).await.status, 503, "{path}");
    }
}

#[tokio::test]
async fn every_answer_names_the_node_and_the_time_it_knows() {
    let served = served().await;
    for path in ["/", "/incidents/1", "/api/v2/summary.json", "/api/v1/status", "/api/v1/checks", "/metrics", "/readyz"]
    {
        let reply = served.get(path).await;
        let signed = (reply.header("mainstay-as-of"), reply.header("mainstay-node"));
        assert_eq!(signed, (Some(NOW.to_lowercase().as_str()), Some("london1")), "{path}");
    }
    let exposed = served.get("/api/v2/summary.json").await;
    assert_eq!(exposed.header("access-control-expose-headers"), Some("mainstay-as-of, mainstay-node"));
    let tag = served.get("/").await.header("etag").expect("it has a tag").replace("w/", "W/");
    let known = served.ask("GET", "/", &format!("if-none-match: {tag}\r\n"), "").await;
    assert_eq!((known.status, known.header("mainstay-node")), (304, Some("london1")));
    assert!(known.header("mainstay-as-of").is_some());
}

#[tokio::test]
async fn a_page_that_was_made_before_tells_what_it_knew() {
    let mut world = crate::made_up::demo_world(at(NOW));
    let served = serve(world.state.clone()).await;
    let later = at(NOW).plus(Duration::from_secs(5));
    assert_eq!(stamp(&served).await, at(NOW));
    world.until(later).apply(Body::Tick);
    served.web.publish(world.state.clone());
    let begun = Instant::now();
    // The page before may be sent while its successor is made, and says so.
    while stamp(&served).await != later {
        assert!(begun.elapsed() < PATIENCE, "the new state is never shown");
    }
}

async fn stamp(served: &Served) -> Timestamp {
    let page = served.get("/").await;
    let text = page.header("mainstay-as-of").expect("a stamp").to_uppercase();
    let shown = page.text().split("data-now=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a stamp");
    assert_eq!(text, shown, "the header and the page tell the same");
    at(&text)
}

/// The text of a page without its marks.
fn words(page: &str) -> String {
    let body = page.split("<div id=\"cut\">").nth(1).expect("it has a place for it");
    let mut out = String::new();
    for part in body.split('<') {
        out.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn keys(value: &Value) -> Vec<&String> {
    value.as_object().expect("an object").keys().collect()
}
