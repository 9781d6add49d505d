//! Backups of a server that works meanwhile, and what comes back from them.

use crate::stage::{
    TIMEOUT, ask, backup, backup_to, configuration, json, listed, live_through_an_outage, one_that_lives, path,
    refused, restore, restores, run, shown, text,
};
use it::mainstay::Mainstay;
use it::program::require;
use it::wait;
use it::webhook::{Mood, Receiver, Target};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

const PASSPHRASE: &str = "correct horse battery staple";

#[test]
fn a_backup_under_load_brings_everything_back() {
    let (target, receiver) = (Target::start(), Receiver::start(Mood::Takes));
    let yaml = configuration(&target, &receiver, "");
    let mainstay = Mainstay::start(&yaml);
    live_through_an_outage(&mainstay, &target);
    let over = AtomicBool::new(false);
    let (planned, made) = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&mainstay, &over));
        // Commands must be under way before, while and after it is made.
        wait::expect("commands under way", TIMEOUT, || (!plans(&mainstay).is_empty()).then_some(()));
        let before = plans(&mainstay);
        let made = backup(&mainstay, &[]);
        let after = plans(&mainstay).len();
        wait::expect("commands after it", TIMEOUT, || (plans(&mainstay).len() > after).then_some(()));
        over.store(true, Ordering::SeqCst);
        load.join().unwrap();
        (before, made)
    });
    let (index, stamp) = (made["index"].as_u64().unwrap(), text(&made["stamp"]));

    let restored = restore(&yaml, &text(&made["place"]), &[]);
    assert_ne!(cluster_of(&restored), cluster_of(&mainstay), "it is another cluster");
    assert!(planned.is_subset(&plans(&restored)), "what was acknowledged before the backup is in it");
    let decisions = |of: &Mainstay, upto| decisions(of, upto);
    let mut expected = decisions(&mainstay, index);
    let found = decisions(&restored, index);
    expected.push(found.last().unwrap().clone());
    assert!(found.last().unwrap().contains("restore the state"), "{:?}", found.last());
    assert_eq!(found, expected);
    for path in ["incidents?limit=1000", "services?limit=200"] {
        assert_eq!(facts(&restored, path), facts(&mainstay, path), "{path}");
    }
    for check in ["website", "load-0", "load-79"] {
        let (expected, found) = (results(&mainstay, check, &stamp), results(&restored, check, &stamp));
        assert!(found.len() > 2 && expected.starts_with(&found), "{check}: {found:?} instead of {expected:?}");
        // What was due just before the last entry may have been logged just behind it.
        assert!(expected.len() - found.len() <= 2, "{check}: {found:?} instead of {expected:?}");
    }
    let outage = |of: &Mainstay| ask(of, "/api/v1/services/website")["split"]["down_ms"].as_u64().unwrap();
    assert!(outage(&mainstay) > 0);
    assert_eq!(outage(&restored), outage(&mainstay), "uptime is as it was");
    // It lives: what it sees from here on is judged and kept like before.
    target.fail(true);
    shown(&restored, "down");
}

#[test]
fn a_dry_run_says_what_is_inside_and_changes_nothing() {
    let (mainstay, _target) = one_that_lives();
    let made = backup(&mainstay, &[]);
    let place = text(&made["place"]);
    let elsewhere = Mainstay::prepare("services: []\n");
    let said = run(&elsewhere, &["restore", &place, "--dry-run", "--data", &path(elsewhere.data())]);
    assert!(said.0, "{}", said.1);
    for words in
        ["Test, backed up", "2 with 81 checks", "not encrypted", "every part matches its checksum", "as a new cluster"]
    {
        assert!(said.1.contains(words), "{words:?} is not in:\n{}", said.1);
    }
    assert!(!elsewhere.data().exists(), "nothing was made");
    let json: Value = json(&run(&elsewhere, &["restore", &place, "--dry-run", "--json"]));
    assert_eq!((json["manifest"]["index"].as_u64(), json["obstacle"].as_str()), (made["index"].as_u64(), None));
    // A running server's directory is no place for it, and that is said too.
    let said = run(&elsewhere, &["restore", &place, "--dry-run", "--data", &path(mainstay.data())]);
    assert!(!said.0 && said.1.contains("It would not be restored") && said.1.contains("is not empty"), "{}", said.1);
}

#[test]
fn nothing_is_restored_over_anything() {
    let (mainstay, _target) = one_that_lives();
    let place = text(&backup(&mainstay, &[])["place"]);
    let elsewhere = Mainstay::prepare("services: []\n");
    let data = elsewhere.data();
    fs::create_dir(data).unwrap();
    fs::write(data.join("mine"), "precious").unwrap();
    refused(&elsewhere, &place, &[], &["is not empty", "\"mine\"", "name another directory"]);
    assert_eq!((listed(data), fs::read(data.join("mine")).unwrap()), (vec!["mine".to_owned()], b"precious".to_vec()));

    // What mkfs makes is nothing.
    fs::rename(data.join("mine"), data.join("lost+found")).unwrap();
    assert!(restores(&elsewhere, &place, &[]).0);
    assert_eq!(listed(data), ["history", "log", "lost+found"]);
    refused(&elsewhere, &place, &[], &["is not empty"]);
}

#[test]
fn a_restore_that_died_is_not_taken_for_a_data_directory() {
    let (mainstay, _target) = one_that_lives();
    let place = text(&backup(&mainstay, &[])["place"]);
    let mut elsewhere = Mainstay::prepare("services: []\n");
    fs::create_dir_all(elsewhere.data().join("restoring/log")).unwrap();
    let said = "did not come to its end: remove the directory and restore again";
    refused(&elsewhere, &place, &[], &[said]);
    assert_eq!(elsewhere.refuses_to_start().code(), Some(1));
    assert!(elsewhere.log().contains(said), "{}", elsewhere.log());
    fs::remove_dir_all(elsewhere.data()).unwrap();
    assert!(restores(&elsewhere, &place, &[]).0);
}

#[test]
fn an_encrypted_backup_is_read_with_the_right_key_only() {
    let (mainstay, _target) = one_that_lives();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        self::path(&path)
    };
    let (right, wrong) = (file("right", &format!("{PASSPHRASE}\n")), file("wrong", "something else\n"));
    let place = text(&backup(&mainstay, &["--passphrase-file", &right])["place"]);
    assert!(place.ends_with(".tar.zst.age"), "{place}");
    let elsewhere = Mainstay::prepare("services: []\n");
    refused(&elsewhere, &place, &[], &["encrypted with a passphrase", "--passphrase-file"]);
    refused(&elsewhere, &place, &["--passphrase-file", &wrong], &["the passphrase is not the one"]);
    assert!(restores(&elsewhere, &place, &["--passphrase-file", &right]).0);

    if require("age-keygen").is_none() || require("age").is_none() {
        return;
    }
    let keys = |name: &str| {
        let path = directory.path().join(name);
        let made = Command::new("age-keygen").arg("-o").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        let public = said.trim().rsplit(' ').next().unwrap().to_owned();
        (self::path(&path), public)
    };
    let ((ours, recipient), (others, _)) = (keys("ours"), keys("others"));
    let place = text(&backup(&mainstay, &["--recipient", &recipient])["place"]);
    let elsewhere = Mainstay::prepare("services: []\n");
    refused(&elsewhere, &place, &[], &["encrypted for a key", "--identity-file"]);
    refused(&elsewhere, &place, &["--identity-file", &others], &["none of the keys"]);
    // Other programs open it too, which is what a standard format is for.
    let pipe = format!("age --decrypt --identity {ours} {place} | zstd --decompress | tar --list");
    let listed = Command::new("sh").args(["-c", &pipe]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.starts_with("manifest.json\nstate\nhistory/"), "{listed}");
    assert!(restores(&elsewhere, &place, &["--identity-file", &ours]).0);

    let said = run(&mainstay, &["backup", "--to", &path(directory.path()), "--recipient", "age1wrong"]);
    assert!(!said.0 && said.1.contains("age1wrong is no public key of age"), "{}", said.1);
}

#[test]
fn messages_that_were_still_to_be_sent_are_given_up_unless_asked_for() {
    let (target, receiver) = (Target::start(), Receiver::start(Mood::HangsUp));
    let yaml = configuration(&target, &receiver, "");
    let mainstay = Mainstay::start(&yaml);
    shown(&mainstay, "up");
    target.fail(true);
    wait::expect("a message that waits", TIMEOUT, || {
        let open = ask(&mainstay, "/api/v1/deliveries?state=waiting");
        (!open["deliveries"].as_array()?.is_empty()).then_some(())
    });
    let directory = tempfile::tempdir().unwrap();
    let place = text(&backup_to(&mainstay, directory.path(), &[])["place"]);
    drop(mainstay);
    receiver.be(Mood::Takes);
    let before = receiver.arrived().len();

    let restored = restore(&yaml, &place, &[]);
    let dead = ask(&restored, "/api/v1/deliveries?state=dead");
    assert!(text(&dead["deliveries"][0]["said"]).contains("when the backup was made"), "{dead}");
    let opened = |arrived: &it::webhook::Arrived| arrived.id.contains("opened");
    assert!(!receiver.arrived()[before..].iter().any(opened), "nobody is woken for last week");
    drop(restored);

    let restored = restore(&yaml, &place, &["--send-unsent"]);
    let arrived =
        wait::expect("the message", TIMEOUT, || receiver.arrived()[before..].iter().find(|one| opened(one)).cloned());
    assert!(arrived.body.contains("\"possibly_double\":true"), "{}", arrived.body);
    drop(restored);
}

#[test]
fn what_is_asked_for_makes_sense_or_is_refused() {
    let (mainstay, _target) = one_that_lives();
    let directory = tempfile::tempdir().unwrap();
    let file = path(&directory.path().join("mine.tar.zst"));
    assert!(run(&mainstay, &["backup", "--to", &file]).0);
    for (arguments, wanted) in [
        (&["backup"][..], "name a place with --to"),
        (&["backup", "--to", &file], "exists already"),
        (&["backup", "--to", "ftp://host/path"], "backups do not go to ftp://"),
        (&["backup", "--to", "/nonexistent/backups/"], "cannot make the directory for backups"),
        (&["backup", "--to", &file, "--passphrase-file", "/nonexistent"], "cannot read the passphrase"),
    ] {
        let said = run(&mainstay, arguments);
        assert!(!said.0 && said.1.contains(wanted), "{arguments:?}: {}", said.1);
    }
    assert_eq!(listed(directory.path()), ["mine.tar.zst"]);
}

/// Plans work until it is over.
fn load(mainstay: &Mainstay, over: &AtomicBool) {
    let span = ["-s", "load", "--from", "2030-01-01T00:00:00Z", "--until", "2030-01-01T01:00:00Z"];
    let mut number = 0;
    while !over.load(Ordering::SeqCst) {
        let id = format!("plan-{number}");
        assert!(run(mainstay, &[&["maintenance", "add", "Work", "--id", &id][..], &span[..]].concat()).0);
        number += 1;
    }
}

fn plans(mainstay: &Mainstay) -> BTreeSet<String> {
    let status = ask(mainstay, "/api/v1/status");
    status["maintenance"].as_array().unwrap().iter().map(|work| text(&work["id"])).collect()
}

/// Every decision up to an entry, oldest first.
fn decisions(mainstay: &Mainstay, upto: u64) -> Vec<String> {
    let all = ask(mainstay, "/api/v1/decisions?limit=1000");
    let upto = |one: &&Value| one["index"].as_u64().is_some_and(|index| index <= upto);
    let mut found: Vec<String> =
        all["decisions"].as_array().unwrap().iter().filter(upto).map(Value::to_string).collect();
    found.reverse();
    found
}

/// What does not change while nothing happens.
fn facts(mainstay: &Mainstay, path: &str) -> Vec<String> {
    let all = ask(mainstay, &format!("/api/v1/{path}"));
    let list = all.get("incidents").or_else(|| all.get("services")).unwrap().as_array().unwrap();
    let names =
        ["id", "name", "title", "started", "opened", "resolved", "worst", "timeline", "checks", "status", "since"];
    list.iter().map(|one| names.iter().map(|name| one[name].to_string()).collect::<Vec<_>>().join(" ")).collect()
}

/// The stored results of a check that were due before a moment.
fn results(mainstay: &Mainstay, check: &str, before: &str) -> Vec<String> {
    let all = ask(mainstay, &format!("/api/v1/checks/{check}/results?from=1h&limit=10000"));
    let scheduled = |one: &&Value| text(&one["at"]).as_str() < before;
    all["results"].as_array().unwrap().iter().filter(scheduled).map(Value::to_string).collect()
}

fn cluster_of(mainstay: &Mainstay) -> String {
    let identity = fs::read_to_string(mainstay.data().join("log/identity")).unwrap();
    identity.lines().find(|line| line.starts_with("cluster ")).unwrap().to_owned()
}
