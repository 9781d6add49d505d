//! From one node to three and five, and what can happen to them: each node is
//! the real binary in a network of its own, and all are joined by a wire.

use it::cluster::{Cluster, fails, own, succeeds};
use it::door::{Door, Said, work};
use it::node::Node;
use it::webhook::Target;
use it::world::{HERE, World};
use it::{http, wait, wall};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Everything here takes a few seconds on an idle machine.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(60);
/// A page over the wire; the product's own target.
const PAGE_TIMEOUT: Duration = Duration::from_secs(1);
/// What a cluster may be without a leader that takes commands, in the `lan` profile.
const LEADERLESS_MAX: Duration = Duration::from_secs(2);
/// How often the leader is killed.
const KILLS: usize = 5;

#[test]
fn one_node_becomes_three_while_commands_and_checks_go_on() {
    let Some(mut cluster) = Cluster::found(3, "london", watching) else { return };
    let (door, page, here) =
        (cluster.nodes[0].door.clone(), cluster.nodes[0].page(), cluster.world.place(HERE).clone());
    let is_over = AtomicBool::new(false);
    let begin = wall::now_ms();
    let planned = std::thread::scope(|scope| {
        let busy = scope.spawn(|| here.inside(|| keep_busy(&door, page, &is_over)));
        cluster.grow("n2", "paris", 2);
        cluster.grow("n3", "rome", 3);
        // On a quiet machine the nodes have joined before a few rounds are made.
        wait::expect("rounds of checks", NOTICE_TIMEOUT, || {
            let made = results(cluster.node("n1"), "website", begin);
            (made.iter().filter(|(place, _)| place == "london").count() > 5).then_some(())
        });
        is_over.store(true, Ordering::SeqCst);
        busy.join().unwrap()
    });
    assert!(planned.len() > 20, "{}", planned.len());
    for node in &cluster.nodes {
        let found = planned_on(node);
        let lost: Vec<_> = planned.iter().filter(|id| !found.contains(*id)).collect();
        assert!(lost.is_empty(), "{} lacks {lost:?}", node.name());
    }
    let gap = longest_gap(cluster.node("n1"), "website", "london", begin);
    assert!(gap <= Duration::from_secs(3), "checks stood still for {gap:?}");
    for location in ["paris", "rome"] {
        let looked = || results(cluster.node("n1"), "website", begin).iter().any(|(place, _)| place == location);
        wait::expect(&format!("rounds from {location}"), NOTICE_TIMEOUT, || looked().then_some(()));
    }
}

#[test]
fn a_command_on_any_node_is_read_back_on_that_node() {
    let Some(cluster) = three() else { return };
    std::thread::scope(|scope| {
        for node in &cluster.nodes {
            let (door, page, here) = (node.door.clone(), node.page(), cluster.world.place(HERE));
            scope.spawn(move || {
                for number in 0..15 {
                    let id = format!("{}-{number}", door.node());
                    plan(&door, &id);
                    let status = door.status().unwrap();
                    assert!(ids(&status).contains(&id), "{id} is not there when it was acknowledged");
                    let over_tcp = here.inside(|| http::get(page, "/api/v1/status")).unwrap();
                    assert!(over_tcp.body.contains(&format!("\"{id}\"")), "{id} is not shown over TCP");
                }
            });
        }
    });
    for node in &cluster.nodes {
        wait::expect("all commands on every node", NOTICE_TIMEOUT, || (planned_on(node).len() == 45).then_some(()));
    }
}

#[test]
fn a_killed_leader_is_followed_by_another_within_two_seconds() {
    let Some(mut cluster) = three() else { return };
    let mut acknowledged = BTreeSet::new();
    let mut took = Vec::new();
    for round in 0..KILLS {
        let leader = cluster.leader().expect("a settled cluster has one");
        cluster.node_mut(&leader).kill9();
        let begin = Instant::now();
        let survivors: Vec<Door> = cluster.running().map(|node| node.door.clone()).collect();
        let id = first_accepted(&survivors, &format!("after-{round}"));
        took.push(begin.elapsed());
        acknowledged.insert(id);
        cluster.node_mut(&leader).start();
        cluster.settle();
    }
    println!("leader killed, commands accepted again after {took:?}");
    assert!(took.iter().all(|took| *took <= LEADERLESS_MAX), "{took:?}");
    for node in &cluster.nodes {
        assert!(planned_on(node).is_superset(&acknowledged), "{} lacks some of {acknowledged:?}", node.name());
    }
}

#[test]
fn all_nodes_are_killed_at_once_and_come_back_with_everything() {
    let Some(mut cluster) = three() else { return };
    let ids: BTreeSet<String> = (0..20).map(|number| format!("before-{number}")).collect();
    for (id, node) in ids.iter().zip(cluster.nodes.iter().cycle()) {
        plan(&node.door, id);
    }
    cluster.nodes.iter_mut().for_each(Node::kill9);
    cluster.nodes.iter_mut().for_each(Node::start);
    cluster.settle();
    for node in &cluster.nodes {
        // A follower hears of what is committed a moment after it serves.
        let has_all = || planned_on(node).is_superset(&ids).then_some(());
        wait::expect(&format!("{} to have everything", node.name()), NOTICE_TIMEOUT, has_all);
    }
}

#[test]
fn another_node_leads_when_it_is_asked_to() {
    let Some(cluster) = three() else { return };
    let next = cluster.follower().name().to_owned();
    let asked = cluster.nodes.iter().find(|node| node.name() != next).unwrap();
    succeeds(&asked.command(&["node", "transfer-leadership", &next]));
    wait::expect("the other one to lead", NOTICE_TIMEOUT, || (cluster.leader()? == next).then_some(()));
    plan(&asked.door, "afterwards");
}

#[test]
fn a_node_is_replaced_on_new_hardware() {
    let Some(mut cluster) = three() else { return };
    let before = acknowledged(&cluster, "before");
    cluster.node_mut("n3").kill9();
    let new = cluster.prepare("n4", "rome", 4);
    cluster.admit(new, &["replace", "n3"]);
    cluster.settle();
    let names = succeeds(&cluster.node("n1").command(&["node", "list", "--json"]));
    assert!(names.contains("\"n4\"") && !names.contains("\"n3\""), "{names}");
    wait::expect("the new node to have everything", NOTICE_TIMEOUT, || {
        planned_on(cluster.node("n4")).is_superset(&before).then_some(())
    });

    // The old one comes back from the drawer.
    let status = cluster.node_mut("n3").start_or_end();
    let old = cluster.node_mut("n3");
    let ended = status.or_else(|| wait::until(NOTICE_TIMEOUT, || old.ended()));
    assert!(ended.is_some_and(|status| !status.success()), "it goes on; its log ends:\n{}", old.log_tail());
    assert!(old.log().contains("removed"), "{}", old.log_tail());
    cluster.settle();
}

#[test]
fn a_directory_that_was_rolled_back_is_refused() {
    let Some(mut cluster) = three() else { return };
    let copy = cluster.directory().join("copy");
    let node = cluster.node_mut("n2");
    node.kill9();
    it::disk::copy(&node.data(), &copy);
    node.start();
    cluster.settle();
    acknowledged(&cluster, "since");
    let node = cluster.node_mut("n2");
    node.kill9();
    std::fs::remove_dir_all(node.data()).unwrap();
    it::disk::copy(&copy, &node.data());
    node.launch();
    let ended = wait::until(NOTICE_TIMEOUT, || node.ended());
    assert!(ended.is_some_and(|status| !status.success()), "it goes on; its log ends:\n{}", node.log_tail());
    let said = node.log_tail();
    assert!(said.contains("rolled back or copied") && said.contains("join again"), "{said}");
    plan(&cluster.node("n1").door, "on");
}

#[test]
fn a_wiped_directory_is_refused() {
    let Some(mut cluster) = three() else { return };
    let node = cluster.node_mut("n3");
    node.kill9();
    std::fs::remove_dir_all(node.data()).unwrap();
    let ended = node.start_or_end();
    assert!(ended.is_some_and(|status| !status.success()), "it goes on; its log ends:\n{}", node.log_tail());
    let said = node.log_tail();
    assert!(said.contains("mainstay join"), "{said}");
}

#[test]
fn nodes_leave_and_those_who_could_decide_nothing_then_are_kept() {
    let Some(mut cluster) = three() else { return };
    cluster.node_mut("n2").kill9();
    wait::expect("the absence to be known", NOTICE_TIMEOUT, || (!is_present(cluster.node("n1"), "n2")).then_some(()));
    let said = fails(&cluster.node("n1").command(&["node", "remove", "n3"]));
    assert!(said.contains("n2"), "who is missing is said: {said}");

    succeeds(&cluster.node("n1").command(&["node", "remove", "n2"]));
    cluster.settle();
    let warned = cluster.node("n1").door.status().unwrap();
    let warned: Vec<&str> = warned["warnings"].as_array().unwrap().iter().filter_map(|w| w["kind"].as_str()).collect();
    assert!(warned.contains(&"two_voters"), "{warned:?}");

    succeeds(&cluster.node("n1").command(&["node", "remove", "n3"]));
    wait::expect("one node to be alone", NOTICE_TIMEOUT, || (members(cluster.node("n1")) == ["n1"]).then_some(()));
    plan(&cluster.node("n1").door, "alone");
    let last = fails(&cluster.node("n1").command(&["node", "remove", "n1"]));
    assert!(last.contains("the only one"), "{last}");
}

#[test]
fn a_witness_is_enough_as_the_third() {
    let Some(mut cluster) = Cluster::found(3, "london", watching) else { return };
    cluster.grow("n2", "paris", 2);
    let witness = cluster.prepare("n3", "rome", 3);
    cluster.admit(witness, &["invite", "--role", "witness"]);
    cluster.settle();
    let status = cluster.node("n3").door.status().unwrap();
    assert_eq!(own(&status)["role"], "witness");
    let before = acknowledged(&cluster, "before");

    cluster.node_mut("n1").kill9();
    let survivors: Vec<Door> = cluster.running().map(|node| node.door.clone()).collect();
    first_accepted(&survivors, "without-n1");
    assert!(planned_on(cluster.node("n2")).is_superset(&before));
    let page = cluster.node("n3").page();
    let page = cluster.world.here(|| http::get_within(page, "/", PAGE_TIMEOUT)).expect("a witness shows the page");
    assert!(page.status == 200 && page.body.contains("Website"), "{}", page.status);
    let since = wall::now_ms();
    wait::expect("rounds from the node that is left", NOTICE_TIMEOUT, || {
        results(cluster.node("n2"), "website", since).iter().any(|(place, _)| place == "paris").then_some(())
    });
    assert!(results(cluster.node("n2"), "website", 0).iter().all(|(place, _)| place != "rome"), "it makes no checks");
}

#[test]
fn five_nodes_survive_two() {
    let Some(mut cluster) = Cluster::found(5, "london", watching) else { return };
    for (name, location, place) in [("n2", "paris", 2), ("n3", "rome", 3), ("n4", "london", 4), ("n5", "paris", 5)] {
        cluster.grow(name, location, place);
    }
    let before = acknowledged(&cluster, "before");
    let leader = cluster.leader().expect("a settled cluster has one");
    let follower = cluster.follower().name().to_owned();
    cluster.node_mut(&leader).kill9();
    cluster.node_mut(&follower).kill9();
    let survivors: Vec<Door> = cluster.running().map(|node| node.door.clone()).collect();
    first_accepted(&survivors, "without-two");
    for node in cluster.running() {
        assert!(planned_on(node).is_superset(&before), "{} lacks some", node.name());
    }
    cluster.node_mut(&leader).start();
    cluster.node_mut(&follower).start();
    cluster.settle();
}

#[test]
fn a_node_moves_to_another_address() {
    let Some(mut cluster) = three() else { return };
    let new = cluster.world.place(4).clone();
    let keys = cluster.keys.clone();
    let node = cluster.node_mut("n2");
    node.stop();
    node.moves_to(&new);
    node.configure(&keys, "");
    node.start();
    cluster.settle();
    let at = cluster.node("n2").peer().to_string();
    for node in &cluster.nodes {
        let status = node.door.status().unwrap();
        let known = status["nodes"].as_array().unwrap().iter().find(|member| member["name"] == "n2").cloned().unwrap();
        assert_eq!(known["address"], at.as_str(), "on {}", node.name());
    }
}

/// What is watched from three places, every second.
fn watching(world: &World) -> String {
    let target = world.here(|| Target::start_at(world.place(HERE).address())).address();
    format!(
        "page: {{ name: Test }}\nlocations: [london, paris, rome]\n\
         defaults: {{ every: 1s, timeout: 900ms, retry: 1s }}\nservices:\n\
         - {{ id: website, name: Website, checks: [ {{ id: website, http: \"http://{target}/\" }} ] }}\n"
    )
}

/// Three nodes, in three locations, and one place that is free.
fn three() -> Option<Cluster> {
    let mut cluster = Cluster::found(4, "london", watching)?;
    cluster.grow("n2", "paris", 2);
    cluster.grow("n3", "rome", 3);
    Some(cluster)
}

/// Plans work and looks at the page without end; nothing may fail or take long.
fn keep_busy(door: &Door, page: SocketAddr, is_over: &AtomicBool) -> Vec<String> {
    let mut planned = Vec::new();
    let mut longest = Duration::ZERO;
    while !is_over.load(Ordering::SeqCst) {
        let id = format!("busy-{}", planned.len());
        let begin = Instant::now();
        plan(door, &id);
        longest = longest.max(begin.elapsed());
        planned.push(id);
        let page = http::get_within(page, "/", PAGE_TIMEOUT);
        assert!(page.is_some_and(|answer| answer.status == 200), "the page is not served within {PAGE_TIMEOUT:?}");
        std::thread::sleep(Duration::from_millis(40));
    }
    println!("{} commands while two nodes joined, the slowest took {} ms", planned.len(), longest.as_millis());
    planned
}

/// Sends commands until one is accepted; returns its id.
fn first_accepted(doors: &[Door], id: &str) -> String {
    let mut tries = 0;
    wait::expect("a command to be accepted", NOTICE_TIMEOUT, || {
        let door = &doors[tries % doors.len()];
        tries += 1;
        let id = format!("{id}-{tries}");
        let said = door.act_within(&id, &work(&id, "Work", "website"), Duration::from_secs(5));
        matches!(said, Said::Accepted(_)).then_some(id)
    })
}

/// Sends a few commands through every node; returns their ids.
fn acknowledged(cluster: &Cluster, word: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for (number, node) in cluster.running().chain(cluster.running()).enumerate() {
        let id = format!("{word}-{number}");
        plan(&node.door, &id);
        ids.insert(id);
    }
    ids
}

/// Plans work. On a busy machine the lead may change in the middle of it; then
/// it is said again, with the same key.
fn plan(door: &Door, id: &str) {
    let accepted = || door.act(id, &work(id, "Work", "website")).is_accepted().then_some(());
    wait::expect(&format!("{id} to be accepted"), NOTICE_TIMEOUT, accepted);
}

fn planned_on(node: &Node) -> BTreeSet<String> {
    node.door.status().map(|status| ids(&status)).unwrap_or_default()
}

fn ids(status: &Value) -> BTreeSet<String> {
    let all = status["maintenance"].as_array().into_iter().flatten();
    all.filter_map(|work| work["id"].as_str().map(str::to_owned)).collect()
}

fn members(node: &Node) -> Vec<String> {
    let status = node.door.status().unwrap_or_default();
    let all = status["nodes"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|member| member["name"].as_str().map(str::to_owned)).collect()
}

fn is_present(node: &Node, name: &str) -> bool {
    let status = node.door.status().unwrap_or_default();
    let mut all = status["nodes"].as_array().into_iter().flatten();
    all.any(|member| member["name"] == name && member["is_present"] == true)
}

/// Location and time of each result of a check, in milliseconds since 1970.
fn results(node: &Node, check: &str, from_ms: u64) -> Vec<(String, u64)> {
    let found =
        node.door.ask(&format!("/api/v1/checks/{check}/results?from={from_ms}&limit=10000")).unwrap_or_default();
    let all = found["results"].as_array().into_iter().flatten();
    let text = |result: &Value, key: &str| result[key].as_str().unwrap_or_default().to_owned();
    all.map(|result| (text(result, "location"), wall::read_ms(&text(result, "at")))).collect()
}

fn longest_gap(node: &Node, check: &str, location: &str, from_ms: u64) -> Duration {
    let at: Vec<u64> =
        results(node, check, from_ms).into_iter().filter(|(place, _)| place == location).map(|(_, at)| at).collect();
    assert!(at.len() > 3, "rounds were made: {at:?}");
    Duration::from_millis(at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0))
}
