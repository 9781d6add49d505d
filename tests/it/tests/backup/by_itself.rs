//! Backups that a server makes by itself: when, where to, which are kept, and
//! who hears of those that fail.

use crate::stage::{
    TIMEOUT, ask, backup_to, configuration, json, listed, live_through_an_outage, one_that_lives, path, restore, run,
    shown, text,
};
use it::mainstay::Mainstay;
use it::servers::{BUCKET, S3};
use it::wait;
use it::webhook::{Mood, Receiver, Target};
use std::fs;
use std::path::{Path, PathBuf};

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
