//! The disk of the data directory is full: checks go on, outages are told, the
//! operator is told, and it heals by itself when there is room.
//!
//! The disk is a small one in memory, which only root can mount.

use it::disk::SmallDisk;
use it::mainstay::Mainstay;
use it::wait;
use it::webhook::{Mood, Receiver, Target};
use serde_json::Value;
use std::time::Duration;

/// Holds the log's reserve (64 MiB) and the history's first files (64 MiB), and
/// leaves the room that history wants before it writes again (160 MiB).
const DISK_SIZE: &str = "352m";
/// Everything here takes a few seconds on an idle machine.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(60);
/// Commands that use up what an almost full disk has left, and some more.
const COMMANDS_MAX: usize = 400;

#[test]
fn a_full_disk_stops_neither_checks_nor_alerts_and_heals() {
    let (target, receiver) = (Target::start(), Receiver::start(Mood::Takes));
    let Some((mut mainstay, disk)) = on_a_small_disk(&target, &receiver) else { return };
    is_shown(&mainstay, "up");

    disk.fill();
    wait::expect("the full disk to be shown", NOTICE_TIMEOUT, || disk_is_said_to_be_full(&mainstay).then_some(()));
    assert_eq!(status(&mainstay).unwrap()["node"]["is_tight"], true, "no results are kept");
    is_told(&receiver, "mainstay.opened", "full");
    let answered = target.answered();
    wait::expect("more rounds", NOTICE_TIMEOUT, || (target.answered() > answered + 2).then_some(()));

    target.fail(true);
    is_shown(&mainstay, "down");
    is_told(&receiver, "incident.opened", "Website");
    assert_eq!(mainstay.command(&["status"]).status.code(), Some(1), "something is down");
    commands_are_refused_in_the_end(&mainstay);
    target.fail(false);
    is_shown(&mainstay, "up");
    is_told(&receiver, "incident.resolved", "Website");

    disk.make_room();
    wait::expect("the room to be noticed", NOTICE_TIMEOUT, || (!disk_is_said_to_be_full(&mainstay)).then_some(()));
    wait::expect("all to be kept again", NOTICE_TIMEOUT, || {
        (status(&mainstay)?["node"]["is_tight"] == false).then_some(())
    });
    is_told(&receiver, "mainstay.resolved", "room");
    wait::expect("commands to be taken again", NOTICE_TIMEOUT, || plan(&mainstay, "afterwards").ok());
    assert_eq!(mainstay.stop().code(), Some(0));
    mainstay.restart();
    is_shown(&mainstay, "up");
    assert!(planned(&mainstay).contains(&"afterwards".to_owned()), "what was acknowledged is there");
    let told = receiver.arrived().iter().filter(|message| message.body.contains("\"mainstay.opened\"")).count();
    assert_eq!(told, 1, "one full disk is told once");
}

#[test]
fn a_disk_without_any_room_is_waited_for() {
    let (target, receiver) = (Target::start(), Receiver::start(Mood::Takes));
    let Some((mut mainstay, disk)) = on_a_small_disk(&target, &receiver) else { return };
    is_shown(&mainstay, "up");
    disk.fill();
    wait::expect("the full disk to be shown", NOTICE_TIMEOUT, || disk_is_said_to_be_full(&mainstay).then_some(()));
    commands_are_refused_in_the_end(&mainstay);

    // Somebody takes the room of the reserve too, so that nothing can be logged.
    disk.fill();
    target.fail(true);
    let stuck = "its reserve used up; waiting";
    wait::expect("the last room to be used up", NOTICE_TIMEOUT, || mainstay.log().contains(stuck).then_some(()));
    assert_eq!(mainstay.get("/healthz").map(|answer| answer.status), Some(200), "it lives and answers");

    disk.make_room();
    is_shown(&mainstay, "down");
    is_told(&receiver, "incident.opened", "Website");
    target.fail(false);
    is_shown(&mainstay, "up");
    mainstay.kill9();
    mainstay.restart();
    is_shown(&mainstay, "up");
}

#[test]
fn a_node_starts_on_a_full_disk_and_a_new_one_says_what_it_needs() {
    let (target, receiver) = (Target::start(), Receiver::start(Mood::Takes));
    let Some((mut mainstay, disk)) = on_a_small_disk(&target, &receiver) else { return };
    is_shown(&mainstay, "up");
    disk.fill();
    mainstay.kill9();
    mainstay.restart();
    is_shown(&mainstay, "up");
    target.fail(true);
    is_shown(&mainstay, "down");
    mainstay.kill9();

    disk.make_room();
    for part in ["log", "history"] {
        std::fs::remove_dir_all(mainstay.data().join(part)).expect("it was there");
    }
    disk.fill();
    let before = mainstay.log().len();
    assert_eq!(mainstay.refuses_to_start().code(), Some(1));
    let said = mainstay.log().split_off(before);
    assert!(said.contains("no room on the disk") && said.contains("make room and start again"), "{said}");
    disk.make_room();
    mainstay.restart();
}

fn on_a_small_disk(target: &Target, receiver: &Receiver) -> Option<(Mainstay, SmallDisk)> {
    let yaml = format!(
        "page: {{ name: Test }}\ndefaults: {{ every: 1s, timeout: 900ms, retry: 1s }}\n\
         receivers: [ {{ id: ops, webhook: \"{}\" }} ]\n\
         services: [ {{ id: website, name: Website, checks: [ {{ http: \"http://{}/\" }} ] }} ]\n",
        receiver.url(),
        target.address()
    );
    let mut mainstay = Mainstay::prepare(&yaml);
    let disk = SmallDisk::mount(mainstay.data(), DISK_SIZE)?;
    mainstay.restart();
    Some((mainstay, disk))
}

fn is_shown(mainstay: &Mainstay, state: &str) {
    wait::until(NOTICE_TIMEOUT, || (status(mainstay)?["services"][state] == 1).then_some(()))
        .unwrap_or_else(|| panic!("the service is not shown as {state}; the log:\n{}", mainstay.log()));
}

fn disk_is_said_to_be_full(mainstay: &Mainstay) -> bool {
    let status = status(mainstay).unwrap_or_default();
    status["conditions"].as_array().is_some_and(|all| all.iter().any(|condition| condition["kind"] == "disk_full"))
}

/// What `mainstay status --json` prints; `None` while it does not answer.
fn status(mainstay: &Mainstay) -> Option<Value> {
    serde_json::from_slice(&mainstay.command(&["status", "--json"]).stdout).ok()
}

fn is_told(receiver: &Receiver, kind: &str, word: &str) {
    let kind_field = format!("\"type\":\"{kind}\"");
    wait::expect(&format!("the message {kind}"), NOTICE_TIMEOUT, || {
        let all = receiver.arrived();
        all.iter().any(|message| message.body.contains(&kind_field) && message.body.contains(word)).then_some(())
    });
}

/// Commands use up what is left until the reserve must be given up; from then
/// on they are refused with the reason.
fn commands_are_refused_in_the_end(mainstay: &Mainstay) {
    let refused = (0..COMMANDS_MAX).find_map(|number| plan(mainstay, &format!("work-{number}")).err());
    let said = refused.expect("a disk holds no end of commands");
    assert!(said.contains("the disk of the data directory is full"), "{said}");
}

fn plan(mainstay: &Mainstay, id: &str) -> Result<(), String> {
    let span = ["--from", "2030-01-01T00:00:00Z", "--until", "2030-01-01T01:00:00Z"];
    let said =
        mainstay.command(&[&["maintenance", "add", "Work", "--id", id, "-s", "website"][..], &span[..]].concat());
    if said.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned()) }
}

fn planned(mainstay: &Mainstay) -> Vec<String> {
    let status = status(mainstay).unwrap_or_default();
    let all = status["maintenance"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|work| work["id"].as_str().map(str::to_owned)).collect()
}
