//! A node that has lost the others: what it shows, refuses, says and keeps, and
//! what a stranger learns of those that have not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

use it::cluster::Cluster;
use it::door::{Said, work};
use it::node::Node;
use it::program::require;
use it::webhook::{Mood, Receiver, Target};
use it::world::{HERE, Place};
use it::{http, wait, wall};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Everything here takes a few seconds on an idle machine.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(60);
/// The owners are told after half a minute.
const TOLD_TIMEOUT: Duration = Duration::from_secs(75);
/// Long enough to be told a second time, if that were to happen.
const NOT_AGAIN: Duration = Duration::from_secs(6);
/// A page over the wire; the product's own target.
const PAGE_TIMEOUT: Duration = Duration::from_secs(1);
/// A command without a majority is refused at once, or not much later.
const REFUSED_WITHIN: Duration = Duration::from_secs(12);
/// A node that is alone gathers for five seconds before it writes to its disk;
/// what it gathered is lost when it is killed, and it needs a while to start.
const GAP_MAX: Duration = Duration::from_secs(8);

#[test]
fn a_node_that_is_cut_off_shows_what_it_knows_keeps_what_it_sees_and_tells_the_owners_once() {
    let Some((mut cluster, target, receiver)) = three() else { return };
    let begin = wall::now_ms();
    cluster.world.links().part(&[3], &[1, 2]);
    it_is_marked_and_takes_nothing(&cluster);
    told(&receiver, "Node n3 is cut off", 1);

    // Killed while it is alone: what it has seen is on its disk, and what it has said is not said again.
    cluster.node_mut("n3").kill9();
    cluster.node_mut("n3").start();
    it_is_marked_and_takes_nothing(&cluster);
    // An outage now is the others' to tell.
    target.fail(true);
    let opened = told(&receiver, "incident.opened", 1);
    assert!(opened[0].contains("Website"), "{opened:?}");
    std::thread::sleep(NOT_AGAIN);
    told(&receiver, "Node n3 is cut off", 1);
    target.fail(false);

    cluster.world.links().mend();
    cluster.settle();
    told(&receiver, "Node n3 is no longer cut off", 1);
    told(&receiver, "incident.resolved", 1);
    told(&receiver, "incident.opened", 1);
    wait::expect("a command to be accepted", NOTICE_TIMEOUT, || {
        cluster.node("n3").door.act("again", &work("again", "Work", "website")).is_accepted().then_some(())
    });
    history_is_complete_and_equal(&cluster, begin);
    nothing_came_twice(&receiver);
}

#[test]
fn the_last_node_of_three_keeps_its_page_and_says_what_is_missing() {
    let Some((mut cluster, _target, _receiver)) = three() else { return };
    cluster.node_mut("n1").kill9();
    cluster.node_mut("n2").kill9();
    it_is_marked_and_takes_nothing(&cluster);
    let said = cluster.node("n3").command(&["node", "list"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(text.contains("n1") && text.contains("n2") && text.contains("no contact with a majority"), "{text}");
    cluster.node_mut("n1").start();
    cluster.node_mut("n2").start();
    cluster.settle();
}

#[test]
fn a_stranger_on_the_port_learns_nothing_and_harms_nothing() {
    let Some((cluster, _target, _receiver)) = three() else { return };
    let port = cluster.node("n1").peer();
    let here = cluster.world.place(HERE).clone();
    for greeting in [&b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n"[..], b"\x00\x01\x02\x03", &[0xff; 4_000], b""] {
        let said = here.inside(|| talk(port, greeting));
        // A TLS alert is seven bytes that say that this was no TLS.
        assert!(said.len() <= 7, "{} bytes came back: {said:?}", said.len());
    }
    if let Some(shown) = certificate_shown(&here, port) {
        for secret in ["n1", "london", "acme", "10.77", "Mainstay", "mainstay", cluster_id(&cluster).as_str()] {
            assert!(!shown.contains(secret), "{secret:?} is in the certificate that strangers see:\n{shown}");
        }
    }
    // Many who hold the line open keep nobody out.
    let idle: Vec<TcpStream> = (0..200).filter_map(|_| here.inside(|| TcpStream::connect(port)).ok()).collect();
    wait::expect("a command to be accepted", NOTICE_TIMEOUT, || {
        cluster.follower().door.act("meanwhile", &work("meanwhile", "Work", "website")).is_accepted().then_some(())
    });
    drop(idle);
    cluster.settle();
}

fn it_is_marked_and_takes_nothing(cluster: &Cluster) {
    let node = cluster.node("n3");
    let status = wait::expect("the node to know that it is alone", NOTICE_TIMEOUT, || {
        let is_marked = |status: &Value| status["node"]["cut_off_since"].is_string() && status["is_stale"] == true;
        node.door.status().filter(is_marked)
    });
    assert_eq!(status["node"]["has_quorum"], false);
    let address = node.page();
    let page = cluster.world.here(|| http::get_within(address, "/", PAGE_TIMEOUT)).expect("the page stays");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Website"), "it shows what was known");
    assert!(page.body.contains("no contact with the others since"), "it is marked: {}", page.body);
    match node.door.act_within("alone", &work("alone", "Work", "website"), REFUSED_WITHIN) {
        Said::NotTaken(why) => {
            assert!(why.contains("majority") || why.contains("contact"), "the reason is said: {why}")
        }
        other => panic!("nothing may be taken that could be lost: {other:?}"),
    }
}

/// Every round of every location is there, on every node the same.
fn history_is_complete_and_equal(cluster: &Cluster, begin: u64) {
    let until = wall::now_ms();
    let mut last = BTreeMap::new();
    let equal = wait::until(NOTICE_TIMEOUT, || {
        last = cluster.nodes.iter().map(|node| (node.name(), results(node, begin, until))).collect();
        let mut all = last.values();
        let first = all.next()?;
        (all.all(|other| other == first)).then_some(())
    });
    let counts: Vec<usize> = last.values().map(BTreeSet::len).collect();
    assert!(equal.is_some(), "the nodes have different results: {counts:?}");
    for location in ["london", "paris", "rome"] {
        let all = last.values().next().unwrap();
        let at: Vec<u64> = all.iter().filter(|(_, place)| place == location).map(|(at, _)| *at).collect();
        let gap = at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(u64::MAX);
        assert!(gap <= GAP_MAX.as_millis() as u64, "{location} lacks {gap} ms of {} rounds", at.len());
    }
}

fn results(node: &Node, from_ms: u64, until_ms: u64) -> BTreeSet<(u64, String)> {
    let path = format!("/api/v1/checks/website/results?from={from_ms}&to={until_ms}&limit=10000");
    let found = node.door.ask(&path).unwrap_or_default();
    let all = found["results"].as_array().into_iter().flatten();
    let text = |result: &Value, key: &str| result[key].as_str().unwrap_or_default().to_owned();
    all.map(|result| (wall::read_ms(&text(result, "at")), text(result, "location"))).collect()
}

/// Waits for messages with these words; there must be exactly as many.
fn told(receiver: &Receiver, words: &str, count: usize) -> Vec<String> {
    let found = || -> Vec<String> {
        let arrived = receiver.arrived().into_iter();
        arrived.map(|message| message.body).filter(|body| body.contains(words)).collect()
    };
    let _ = wait::until(TOLD_TIMEOUT, || (found().len() >= count).then_some(()));
    let found = found();
    let all: Vec<String> = receiver.arrived().into_iter().map(|message| message.id).collect();
    assert_eq!(found.len(), count, "messages with {words:?} among {all:?}");
    found
}

fn nothing_came_twice(receiver: &Receiver) {
    let mut seen = BTreeSet::new();
    for message in receiver.arrived() {
        let is_double = message.body.contains("\"possibly_double\":true");
        assert!(seen.insert(message.id.clone()) || is_double, "{} came twice", message.id);
    }
}

/// Says something and returns what comes back until the other side hangs up, or nothing comes.
fn talk(address: SocketAddr, words: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect_timeout(&address, NOTICE_TIMEOUT).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(1_500))).unwrap();
    // The other side may hang up at the first byte.
    let _ = stream.write_all(words);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    said
}

/// What a stranger without a certificate sees of the other side's, as text.
fn certificate_shown(here: &Place, address: SocketAddr) -> Option<String> {
    let openssl = require("openssl")?;
    let mut shake = Command::new(&openssl);
    shake.args(["s_client", "-showcerts", "-connect", &address.to_string()]).stdin(Stdio::null());
    let shown = here.inside(|| shake.output().unwrap());
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let begin = shown.find("-----BEGIN CERTIFICATE-----")?;
    let mut read = Command::new(openssl);
    read.args(["x509", "-noout", "-text"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut read = read.spawn().unwrap();
    read.stdin.take().unwrap().write_all(&shown.as_bytes()[begin..]).unwrap();
    Some(String::from_utf8_lossy(&read.wait_with_output().unwrap().stdout).into_owned())
}

/// The cluster's id, as its files name it.
fn cluster_id(cluster: &Cluster) -> String {
    let identity = std::fs::read_to_string(cluster.node("n1").data().join("log/identity")).unwrap();
    let words: Vec<&str> = identity.split_whitespace().collect();
    let at = words.iter().position(|word| word.trim_end_matches(':') == "cluster").expect("the identity names it");
    words[at + 1].to_owned()
}

/// Three nodes, each in its own location; what they watch, and who is told.
fn three() -> Option<(Cluster, Target, Receiver)> {
    let (mut target, mut receiver) = (None, None);
    let mut cluster = Cluster::found(3, "london", |world| {
        let address = world.place(HERE).address();
        let target = target.insert(world.here(|| Target::start_at(address)));
        let receiver = receiver.insert(world.here(|| Receiver::start_at(address, Mood::Takes)));
        format!(
            "page: {{ name: Test }}\nlocations: [london, paris, rome]\n\
             defaults: {{ every: 1s, timeout: 900ms, retry: 1s, up_after: 1 }}\n\
             receivers: [ {{ id: ops, webhook: \"{}\" }} ]\nservices:\n\
             - {{ id: website, name: Website, checks: [ {{ id: website, http: \"http://{}/\" }} ] }}\n",
            receiver.url(),
            target.address()
        )
    })?;
    cluster.grow("n2", "paris", 2);
    cluster.grow("n3", "rome", 3);
    Some((cluster, target?, receiver?))
}
