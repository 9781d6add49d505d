//! Wishes about nodes, over the local socket.

use crate::client::serve;
use crate::local_socket::{ask, local};
use crate::made_up::{Fake, World, at, configuration, demo};
use model::entry::Action;
use model::id::LocationId;
use model::member::{Digest, Invitation, Member, NodeFacts, NodeId, Role};
use serde_json::{Value, json};
use std::time::Duration;
use web::api::Status;
use web::api::node::{NodeAnswer, Nodes};
use web::commands::{NodeRequest, Sender};

#[tokio::test]
async fn nodes_are_listed() {
    let local = local(Fake::default());
    let reply = ask(&local.path, "GET", "/api/v1/nodes", "").await;
    let nodes: Nodes = reply.json();
    assert_eq!((reply.status, nodes.has_quorum, nodes.nodes.len()), (200, true, 3));
    insta::assert_snapshot!(reply.pretty());
}

#[tokio::test]
async fn a_wish_is_passed_on_with_who_has_it() {
    let local = local(Fake::default());
    let witness =
        json!({ "actor": "anna", "key": "k", "role": "witness", "valid_for_seconds": 600, "replaces": "paris1" });
    for (path, body, expected) in [
        (
            "invite",
            json!({ "actor": "anna", "key": "k" }),
            NodeRequest::Invite { role: Role::Full, valid_for: Duration::from_secs(3_600), replaces: None },
        ),
        (
            "invite",
            witness,
            NodeRequest::Invite {
                role: Role::Witness,
                valid_for: Duration::from_secs(600),
                replaces: Some("paris1".to_owned()),
            },
        ),
        (
            "remove",
            json!({ "actor": "anna", "key": "k", "node": "4711" }),
            NodeRequest::Remove { node: "4711".to_owned() },
        ),
        ("transfer-leadership", json!({ "actor": "anna", "key": "k" }), NodeRequest::TransferLeadership { to: None }),
        (
            "transfer-leadership",
            json!({ "actor": "anna", "key": "k", "to": "paris1" }),
            NodeRequest::TransferLeadership { to: Some("paris1".to_owned()) },
        ),
        ("rotate-authority", json!({ "actor": "anna", "key": "k" }), NodeRequest::RotateAuthority),
    ] {
        let reply = ask(&local.path, "POST", &format!("/api/v1/nodes/{path}"), &body.to_string()).await;
        let answer: NodeAnswer = reply.json();
        assert_eq!((reply.status, answer.is_accepted, &answer.refusal), (200, true, &None), "{path}: {answer:?}");
        assert_eq!(answer.invitation.is_some(), path == "invite", "{path}");
        let (sender, request) = local.fake.node_requests.lock().expect("not poisoned").remove(0);
        assert_eq!((sender, request), (Sender { actor: "anna".to_owned(), key: "k".to_owned() }, expected));
    }
}

#[tokio::test]
async fn an_invitation_is_answered_with_its_ticket() {
    let local = local(Fake::default());
    let body = json!({ "actor": "anna", "key": "k" }).to_string();
    let reply = ask(&local.path, "POST", "/api/v1/nodes/invite", &body).await;
    let expected = json!({
        "is_accepted": true, "refusal": null, "said": null,
        "invitation": { "ticket": "mainstay-ticket-1", "node": 4711, "expires": "2026-11-20T22:59:15Z" },
    });
    assert_eq!(reply.json::<Value>(), expected);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_refused_wish_says_why() {
    let local = local(Fake::default());
    let body = json!({ "actor": "anna", "key": "k", "node": "none" }).to_string();
    let reply = ask(&local.path, "POST", "/api/v1/nodes/remove", &body).await;
    let answer: NodeAnswer = reply.json();
    assert_eq!((reply.status, answer.is_accepted), (200, false));
    assert_eq!(answer.refusal.as_deref(), Some("there is no node none; `mainstay node list` shows them"));
}

#[tokio::test]
async fn a_wish_that_cannot_be_read_is_refused_with_what_is_wrong() {
    let local = local(Fake::default());
    let long = "n".repeat(65);
    for (path, body, expected) in [
        ("invite", "{".to_owned(), "cannot be read"),
        ("invite", json!({ "actor": "a", "key": "k", "role": "leader" }).to_string(), "leader"),
        ("invite", json!({ "actor": "a", "key": "k", "valid_for_seconds": -1 }).to_string(), "-1"),
        ("invite", json!({ "actor": "a", "key": "k", "replaces": long }).to_string(), "at most 64"),
        ("remove", json!({ "actor": "a", "key": "k" }).to_string(), "node"),
        ("remove", json!({ "actor": "a", "key": "", "node": "n" }).to_string(), "needs a key"),
        ("transfer-leadership", json!({ "actor": "a", "key": "k", "node": "n" }).to_string(), "node"),
        ("rotate-authority", json!({ "actor": "a".repeat(201), "key": "k" }).to_string(), "at most 200"),
    ] {
        let reply = ask(&local.path, "POST", &format!("/api/v1/nodes/{path}"), &body).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.text().contains(expected), "{}", reply.text());
    }
    assert!(local.fake.node_requests.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_wish_whose_fate_is_not_success_is_not_answered_with_success() {
    let local = local(Fake { is_down: true, ..Fake::default() });
    let body = json!({ "actor": "anna", "key": "k", "node": "paris1" }).to_string();
    let reply = ask(&local.path, "POST", "/api/v1/nodes/remove", &body).await;
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("no leader is known"));
}

#[tokio::test]
async fn nothing_about_nodes_is_asked_over_tcp() {
    let served = serve(demo()).await;
    assert_eq!(served.get("/api/v1/nodes").await.status, 404);
    for path in ["invite", "remove", "transfer-leadership", "rotate-authority"] {
        let body = json!({ "actor": "anna", "key": "k", "node": "paris1" }).to_string();
        assert_eq!(served.ask("POST", &format!("/api/v1/nodes/{path}"), "", &body).await.status, 404, "{path}");
    }
    assert!(served.fake.node_requests.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn what_nodes_have_in_common_is_warned_of() {
    let mut world = World::new(&configuration(Vec::new()), at("2026-11-20T21:00:00Z"));
    let member = |id: u64, machine: &str| Member {
        id: NodeId(id),
        name: format!("london{id}"),
        address: format!("london{id}.acme.example:8481"),
        location: LocationId::new("london").expect("a legal id"),
        role: Role::Full,
        ordinal: 0,
        key: Digest([id as u8; 32]),
        facts: NodeFacts { machine: machine.to_owned(), ..NodeFacts::default() },
    };
    world.command(Action::Found(member(1, "m")));
    for (id, machine) in [(2, "m"), (3, "other")] {
        let token = Digest([100 + id as u8; 32]);
        let expires = at("2026-11-20T22:00:00Z");
        world.command(Action::Invite(Invitation {
            token,
            node: NodeId(id),
            role: Role::Full,
            expires,
            replaces: None,
        }));
        world.command(Action::Join { token, member: member(id, machine) });
    }
    let status: Status = serve(world.state).await.get("/api/v1/status").await.json();
    let found: Vec<(&str, &str)> = status.warnings.iter().map(|one| (one.kind.as_str(), one.text.as_str())).collect();
    assert_eq!(
        found,
        [
            (
                "machine",
                "Nodes london1 and london2 run on the same machine: if it stops, 2 of 3 nodes are gone and nothing can \
                 be changed any more"
            ),
            (
                "location",
                "Nodes london1, london2 and london3 stand in the same location, london: if it is lost, all 3 nodes are \
                 gone and nothing is watched any more"
            ),
        ]
    );
}
