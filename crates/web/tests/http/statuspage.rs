//! The public JSON in Statuspage's shape.

use crate::client::serve;
use crate::made_up::demo;
use serde_json::Value;

#[tokio::test]
async fn every_document_has_its_shape() {
    let served = serve(demo()).await;
    for name in [
        "summary",
        "status",
        "components",
        "incidents/unresolved",
        "scheduled-maintenances",
        "scheduled-maintenances/upcoming",
        "scheduled-maintenances/active",
    ] {
        let reply = served.get(&format!("/api/v2/{name}.json")).await;
        assert_eq!(reply.status, 200, "{name}");
        insta::assert_snapshot!(name.replace('/', "_"), reply.pretty());
    }
}

#[tokio::test]
async fn incidents_are_newest_first_and_at_most_fifty() {
    let served = serve(demo()).await;
    let reply: Value = served.get("/api/v2/incidents.json").await.json();
    let started: Vec<&str> =
        reply["incidents"].as_array().expect("a list").iter().filter_map(|one| one["created_at"].as_str()).collect();
    assert!(started.len() > 5 && started.len() <= 50);
    assert!(started.is_sorted_by(|one, next| one >= next), "{started:?}");
}

#[tokio::test]
async fn every_field_that_clients_of_this_shape_read_is_there() {
    let served = serve(demo()).await;
    let summary: Value = served.get("/api/v2/summary.json").await.json();
    let has = |value: &Value, fields: &str| {
        for field in fields.split(' ') {
            assert!(value.get(field).is_some(), "{field} is missing in {value}");
        }
    };
    has(&summary, "page status components incidents scheduled_maintenances");
    has(&summary["page"], "id name url time_zone updated_at");
    has(&summary["status"], "indicator description");
    has(
        &summary["components"][1],
        "id name status created_at updated_at position description showcase start_date group_id page_id group only_show_if_degraded",
    );
    has(
        &summary["incidents"][0],
        "id name status impact shortlink started_at created_at updated_at monitoring_at resolved_at page_id incident_updates components",
    );
    has(
        &summary["incidents"][0]["incident_updates"][0],
        "id incident_id status body display_at created_at updated_at affected_components",
    );
    has(&summary["incidents"][0]["incident_updates"][0]["affected_components"][0], "code name old_status new_status");
    has(
        &summary["scheduled_maintenances"][0],
        "id name status impact scheduled_for scheduled_until incident_updates components",
    );
    assert!(
        summary["components"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|one| one["group"] == true && one["components"].is_array())
    );
}

#[tokio::test]
async fn pages_of_other_origins_may_read_it() {
    let served = serve(demo()).await;
    let reply = served.get("/api/v2/summary.json").await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let tag = reply.header("etag").expect("it has a tag").replace("w/", "W/");
    assert_eq!(served.ask("GET", "/api/v2/summary.json", &format!("if-none-match: {tag}\r\n"), "").await.status, 304);
    assert_eq!(served.ask("OPTIONS", "/api/v2/summary.json", "", "").await.status, 204);
}

#[tokio::test]
async fn what_is_not_public_is_not_in_it() {
    let served = serve(demo()).await;
    for name in ["summary", "components", "incidents"] {
        assert!(!served.get(&format!("/api/v2/{name}.json")).await.text().contains("illing"), "{name}");
    }
    assert!(!served.get("/").await.text().contains("illing"));
}
