//! A backup of one of three nodes: the three are lost, and a new cluster goes
//! on where they were.

use it::cluster::{Cluster, fails, succeeds};
use it::door::work;
use it::node::Node;
use it::wait;
use it::webhook::Target;
use it::world::{HERE, World};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// Much longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn three_nodes_are_lost_and_a_new_cluster_goes_on() {
    let Some(mut cluster) = Cluster::found(4, "london", watching) else { return };
    cluster.grow("n2", "paris", 2);
    cluster.grow("n3", "rome", 3);
    up(cluster.node("n1"));
    for number in 0..5 {
        let id = format!("plan-{number}");
        assert!(cluster.follower().door.act(&id, &work(&id, "Work", "website")).is_accepted());
    }
    // Any node can be backed up; here one that does not lead.
    let place = format!("{}/backups/", cluster.directory().display());
    let made = succeeds(&cluster.follower().command(&["backup", "--json", "--to", &place]));
    let made: Value = serde_json::from_str(&made).unwrap();
    let before = cluster.node("n1").door.status().unwrap();
    for node in &mut cluster.nodes {
        node.kill9();
    }
    let lost = std::mem::take(&mut cluster.nodes);

    let mut first = cluster.prepare("m1", "london", 1);
    let backup = made["place"].as_str().unwrap();
    succeeds(&first.command(&["restore", backup, "--data", &first.data().display().to_string()]));
    // What is watched is in the backup; the file says only what concerns the node.
    first.configure(&cluster.keys, "");
    first.start();
    cluster.nodes.push(first);
    cluster.settle();
    cluster.grow("m2", "paris", 2);
    cluster.grow("m3", "rome", 3);
    for node in &cluster.nodes {
        let status = node.door.status().unwrap();
        assert_eq!(names(&status), ["m1", "m2", "m3"], "the old nodes are no members");
        let planned: BTreeSet<String> = ids(&status);
        assert!(planned.is_superset(&ids(&before)), "{planned:?}");
        up(node);
    }
    let results = |node: &Node| {
        let results = node.door.get("/api/v1/checks/website/results?from=1h&limit=1000")?.body;
        let results: Value = serde_json::from_str(&results).ok()?;
        Some(results["results"].as_array()?.iter().filter_map(|one| Some(one["at"].as_str()?.to_owned())).collect())
    };
    let first: BTreeSet<String> = results(cluster.node("m1")).unwrap();
    let old = first.iter().filter(|at| at.as_str() < made["stamp"].as_str().unwrap()).count();
    assert!(old > 3, "results from before are there: {first:?}");
    // Nodes that join get them too.
    wait::expect("the results on the node that joined last", TIMEOUT, || {
        let found: BTreeSet<String> = results(cluster.node("m3"))?;
        first.is_subset(&found).then_some(())
    });
    // The old nodes are strangers to it, and it to them.
    let ticket = cluster.ticket(&["invite"]);
    let said = fails(&lost[1].join(&ticket));
    assert!(said.contains("belongs to"), "{said}");
}

fn watching(world: &World) -> String {
    let target = world.here(|| Target::start_at(world.place(HERE).address())).address();
    format!(
        "page: {{ name: Test }}\nlocations: [london, paris, rome]\n\
         defaults: {{ every: 1s, timeout: 900ms, retry: 1s }}\nservices:\n\
         - {{ id: website, name: Website, checks: [ {{ id: website, http: \"http://{target}/\" }} ] }}\n"
    )
}

fn up(node: &Node) {
    wait::expect("the website is up", TIMEOUT, || {
        let check: Value = serde_json::from_str(&node.door.get("/api/v1/checks/website")?.body).ok()?;
        (check["check"]["verdict"] == "up").then_some(())
    });
}

fn names(status: &Value) -> Vec<String> {
    let mut names: Vec<String> =
        status["nodes"].as_array().unwrap().iter().filter_map(|node| Some(node["name"].as_str()?.to_owned())).collect();
    names.sort();
    names
}

fn ids(status: &Value) -> BTreeSet<String> {
    status["maintenance"].as_array().unwrap().iter().filter_map(|one| Some(one["id"].as_str()?.to_owned())).collect()
}
