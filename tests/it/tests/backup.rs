//! Backups of a server that works meanwhile, the way back from them, and what
//! is refused on that way.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

use it::mainstay::Mainstay;
use it::program::require;
use it::servers::{BUCKET, S3};
use it::wait;
use it::webhook::{Mood, Receiver, Target};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Much longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Checks that keep log and history busy.
const CHECKS: usize = 80;
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
fn a_damaged_backup_is_refused_and_leaves_nothing_behind() {
    let (mainstay, _target) = one_that_lives();
    let place = PathBuf::from(text(&backup(&mainstay, &[])["place"]));
    let whole = fs::read(&place).unwrap();
    let elsewhere = Mainstay::prepare("services: []\n");
    let damaged = place.with_file_name("damaged");
    let is_refused = |bytes: &[u8], wanted: &[&str]| {
        fs::write(&damaged, bytes).unwrap();
        refused(&elsewhere, &path(&damaged), &[], wanted);
        assert_eq!(listed(elsewhere.data()), [""; 0], "what was read so far is gone");
    };
    for part in [1, 3, 5, 7, 9] {
        is_refused(&whole[..whole.len() * part / 10], &["its part", "the file ends in it", "restore another backup"]);
    }
    is_refused(&whole[..whole.len() - 1], &["is damaged"]);
    let dry_run = |of: &Path| run(&elsewhere, &["restore", &path(of), "--dry-run", "--json"]);
    let manifest = json(&dry_run(&place))["manifest"].clone();
    let mut unnoticed = 0;
    for at in (8..whole.len()).step_by(whole.len() / 32) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&damaged, &bytes).unwrap();
        let said = dry_run(&damaged);
        if said.0 {
            // The same bytes have more than one compressed form: zeros can be
            // copied from here or from there.
            assert_eq!(json(&said)["manifest"], manifest, "a changed content goes unnoticed at byte {at}");
            unnoticed += 1;
        } else {
            is_refused(&bytes, &["its part", "is damaged"]);
        }
    }
    assert!(unnoticed <= 4, "{unnoticed} of 32 flipped bits go unnoticed");
    is_refused(b"%PDF-1.7", &["it is not a backup of Mainstay"]);
    is_refused(b"", &["it is not a backup of Mainstay"]);
    refused(&elsewhere, "/nonexistent", &[], &["cannot open the backup /nonexistent"]);
    assert!(restores(&elsewhere, &path(&place), &[]).0, "the whole one is still good");
}

#[test]
fn a_backup_of_a_newer_version_is_refused_as_such() {
    let (mainstay, _target) = one_that_lives();
    let place = text(&backup(&mainstay, &[])["place"]);
    let elsewhere = Mainstay::prepare("services: []\n");
    let newer = rewritten(&place, |manifest, _| {
        let text = fs::read_to_string(manifest).unwrap();
        fs::write(manifest, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    });
    let wanted =
        ["written by a newer Mainstay", "format 2, this program reads up to 1", "restore it with that version"];
    refused(&elsewhere, &path(&newer.1), &[], &wanted);
    let newer = rewritten(&place, |manifest, state| {
        let before = sha256(state);
        let mut bytes = fs::read(state).unwrap();
        bytes[0] += 1;
        fs::write(state, bytes).unwrap();
        let text = fs::read_to_string(manifest).unwrap();
        fs::write(manifest, text.replace(&before, &sha256(state))).unwrap();
    });
    refused(&elsewhere, &path(&newer.1), &[], &["its state was written by a newer Mainstay", "version 2"]);
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
fn backups_come_by_themselves_and_the_oldest_of_ours_go() {
    let (target, receiver) = (Target::start(), Receiver::start(Mood::Takes));
    let yaml = configuration(&target, &receiver, "backup: { to: backups, every: 10s, keep: 2 }\n");
    let mainstay = Mainstay::start(&yaml);
    let place = mainstay.configuration().with_file_name("backups");
    let ours = || -> Vec<String> {
        let names = if place.exists() { listed(&place) } else { Vec::new() };
        names.into_iter().filter(|name| name.starts_with("mainstay-") && name.ends_with(".tar.zst")).collect()
    };
    let first = wait::expect("the first backup, at once", TIMEOUT, || ours().first().cloned());
    let foreign = [first.replace("mainstay-", "mainstay-0"), format!("{first}.bak"), "notes.txt".to_owned()];
    for name in &foreign {
        fs::write(place.join(name), "not ours").unwrap();
    }
    // As configured, when nothing is said.
    for _ in 0..3 {
        // One at a time: the first may still be about its last steps.
        wait::expect("a turn", TIMEOUT, || run(&mainstay, &["backup"]).0.then_some(()));
    }
    let kept = wait::expect("the next one, and only two kept", TIMEOUT, || {
        let ours: Vec<String> = ours().into_iter().filter(|name| !foreign.contains(name)).collect();
        (ours.len() == 2 && !ours.contains(&first)).then_some(ours)
    });
    assert!(foreign.iter().all(|name| place.join(name).exists()), "what is not ours stays");
    let restored = restore(&configuration(&target, &receiver, ""), &path(&place.join(&kept[1])), &[]);
    shown(&restored, "up");
}

#[test]
fn owners_hear_of_a_backup_that_fails_and_of_the_next_that_works() {
    let (target, receiver) = (Target::start(), Receiver::start(Mood::Takes));
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("not-mounted/backups");
    let part = format!("backup: {{ to: {}, every: 10s }}\n", missing.display());
    let mainstay = Mainstay::start(&configuration(&target, &receiver, &part));
    let holds = |expected: bool| {
        wait::expect("the condition", TIMEOUT, || {
            let conditions = ask(&mainstay, "/api/v1/status")["conditions"].clone();
            let found = conditions.as_array()?.iter().find(|one| one["kind"] == "backup_failed").cloned();
            (found.is_some() == expected).then_some(found.unwrap_or_default())
        })
    };
    let said = text(&holds(true)["text"]);
    assert!(
        said.contains("cannot make the directory for backups") && said.contains("tried again every 10 s"),
        "{said}"
    );
    fs::create_dir(directory.path().join("not-mounted")).unwrap();
    holds(false);
    assert_eq!(listed(&missing).len(), 1);
    let told = wait::expect("both messages", TIMEOUT, || {
        let arrived = receiver.arrived();
        let own: Vec<_> = arrived.into_iter().filter(|one| one.id.starts_with("own-")).collect();
        (own.len() >= 2).then_some(own)
    });
    assert!(told[0].body.contains("cannot make the directory") && told[1].body.contains("work again"), "{told:?}");
    assert_eq!(told.len(), 2, "once each, however often it was tried");
}

#[test]
fn a_backup_goes_to_a_bucket_and_comes_back() {
    let Some(mut store) = S3::start() else { return };
    let (target, receiver) = (Target::start(), Receiver::start(Mood::Takes));
    let part = format!("backup: {{ to: \"s3://{BUCKET}/by-itself\", every: 10s, keep: 1 }}\n");
    let variables = store.variables();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mainstay = Mainstay::start_with(&configuration(&target, &receiver, &part), &variables);
    live_through_an_outage(&mainstay, &target);
    let made = json(&run(&mainstay, &["backup", "--json", "--to", &format!("s3://{BUCKET}/by/hand")]));
    let place = text(&made["place"]);
    assert!(place.starts_with(&format!("s3://{BUCKET}/by/hand/mainstay-")), "{place}");

    let data = tempfile::tempdir().unwrap();
    let data = path(&data.path().join("data"));
    let said = run(&mainstay, &["restore", &place, "--data", &data]);
    assert!(said.0, "{}", said.1);
    assert!(Path::new(&data).join("log/log.db").exists());
    let said = run(&mainstay, &["restore", &format!("{place}x"), "--data", &format!("{data}2")]);
    assert!(!said.0 && said.1.contains("the store answers NoSuchKey"), "{}", said.1);

    // By itself too, and the older one goes.
    let removed = || mainstay.log().contains("an old backup was removed").then_some(());
    wait::expect("an old one that was removed", TIMEOUT, removed);

    // A wrong key is told as what it is.
    let mut wrong: Vec<(&str, &str)> = variables.clone();
    wrong[3].1 = "wrong";
    let mainstay = Mainstay::start_with(&configuration(&target, &receiver, ""), &wrong);
    let said = run(&mainstay, &["backup", "--to", &format!("s3://{BUCKET}/x")]);
    assert!(!said.0 && said.1.contains("SignatureDoesNotMatch"), "{}", said.1);
    store.server().turn_off();
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

#[test]
fn what_a_dead_backup_left_is_cleared_away() {
    let (mut mainstay, _target) = one_that_lives();
    let directory = tempfile::tempdir().unwrap();
    let place = PathBuf::from(text(&backup_to(&mainstay, directory.path(), &[])["place"]));
    mainstay.kill9();
    let copy = mainstay.data().join(".backup-under-way/history");
    fs::create_dir_all(&copy).unwrap();
    fs::write(copy.join("state"), "left").unwrap();
    let unfinished = place.with_file_name(format!(".{}.part", place.file_name().unwrap().to_str().unwrap()));
    fs::write(&unfinished, "left").unwrap();
    mainstay.restart();
    assert!(!copy.exists());
    backup_to(&mainstay, directory.path(), &[]);
    assert!(!unfinished.exists() && place.exists());
    assert!(!mainstay.data().join(".backup-under-way").exists(), "nothing is left of one that was made either");
}

/// A server with results in its history and its configuration in the log.
fn one_that_lives() -> (Mainstay, Target) {
    let (target, receiver) = (Target::start(), Receiver::start(Mood::Takes));
    let mainstay = Mainstay::start(&configuration(&target, &receiver, ""));
    shown(&mainstay, "up");
    (mainstay, target)
}

/// One outage that is over.
fn live_through_an_outage(mainstay: &Mainstay, target: &Target) {
    shown(mainstay, "up");
    target.fail(true);
    shown(mainstay, "down");
    target.fail(false);
    shown(mainstay, "up");
    wait::expect("the end of the incident", TIMEOUT, || {
        ask(mainstay, "/api/v1/status")["incidents"].as_array()?.is_empty().then_some(())
    });
}

fn configuration(target: &Target, receiver: &Receiver, more: &str) -> String {
    use std::fmt::Write;
    let at = target.address();
    let mut yaml = format!(
        "page: {{ name: Test }}\ndefaults: {{ every: 1s, timeout: 1s, retry: 1s, up_after: 1 }}\n\
         receivers: [ {{ id: ops, webhook: \"{}\" }} ]\n{more}services:\n\
         - {{ name: Website, checks: [ {{ http: \"http://{at}/\" }} ] }}\n\
         - name: Load\n  announce: false\n  checks:\n",
        receiver.url()
    );
    for number in 0..CHECKS {
        let _ = writeln!(yaml, "  - {{ id: load-{number}, tcp: \"{at}\" }}");
    }
    yaml
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

/// Makes a backup beside the server's configuration and returns what was said of it.
fn backup(mainstay: &Mainstay, arguments: &[&str]) -> Value {
    let place = mainstay.configuration().with_file_name("by-hand");
    backup_to(mainstay, &place, arguments)
}

fn backup_to(mainstay: &Mainstay, place: &Path, arguments: &[&str]) -> Value {
    let place = format!("{}/", place.display());
    json(&run(mainstay, &[&["backup", "--json", "--to", &place], arguments].concat()))
}

/// A server on a directory that was restored.
fn restore(yaml: &str, place: &str, arguments: &[&str]) -> Mainstay {
    let mut restored = Mainstay::prepare(yaml);
    let said = restores(&restored, place, arguments);
    assert!(said.0, "{}", said.1);
    restored.restart();
    restored
}

fn restores(mainstay: &Mainstay, place: &str, arguments: &[&str]) -> (bool, String) {
    let data = path(mainstay.data());
    run(mainstay, &[&["restore", place, "--data", &data], arguments].concat())
}

/// It is not restored, and one line says all of these.
fn refused(mainstay: &Mainstay, place: &str, arguments: &[&str], wanted: &[&str]) {
    let (is_restored, said) = restores(mainstay, place, arguments);
    assert!(!is_restored && !said.contains("panicked"), "{said}");
    for words in wanted {
        assert!(said.contains(words), "{words:?} is not in {said:?}");
    }
}

fn run(mainstay: &Mainstay, arguments: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } = mainstay.command(arguments);
    let said = [stdout, stderr].concat();
    (status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn json((is_done, said): &(bool, String)) -> Value {
    assert!(is_done, "{said}");
    serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// A copy of a backup whose unpacked files were changed, with system programs.
fn rewritten(place: &str, change: impl Fn(&Path, &Path)) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let shell = |line: &str| {
        let done = Command::new("sh").current_dir(directory.path()).args(["-ec", line]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let names = shell(&format!("zstd -q -d < {place} > all.tar; mkdir in; tar -C in -xf all.tar; tar -tf all.tar"));
    change(&directory.path().join("in/manifest.json"), &directory.path().join("in/state"));
    fs::write(directory.path().join("names"), names).unwrap();
    shell("tar -C in --no-recursion -cf new.tar -T names; zstd -q new.tar -o new.tar.zst");
    let new = directory.path().join("new.tar.zst");
    (directory, new)
}

fn sha256(file: &Path) -> String {
    let said = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(said.stdout).unwrap().split(' ').next().unwrap().to_owned()
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

/// Waits until the website is shown like this.
fn shown(mainstay: &Mainstay, state: &str) {
    wait::until(TIMEOUT, || (ask(mainstay, "/api/v1/checks/website")["check"]["verdict"] == state).then_some(()))
        .unwrap_or_else(|| panic!("the website is not shown as {state}; the log:\n{}", mainstay.log()));
}

fn ask(mainstay: &Mainstay, path: &str) -> Value {
    let answer = mainstay.get(path).unwrap_or_else(|| panic!("{path} is not answered; the log:\n{}", mainstay.log()));
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body))
}

fn listed(directory: &Path) -> Vec<String> {
    if !directory.exists() {
        return Vec::new();
    }
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
