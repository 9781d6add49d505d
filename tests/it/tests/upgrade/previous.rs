//! A data directory and a backup of the previous version, as they came from it:
//! opened by this one, they show the same.
//!
//! They lie in `tests/it/data`, each with what it showed then. `UPDATE=1` makes
//! them anew with the binary of today: whenever a stored form changes while a
//! version is in the making, and **never again once it is released**, when the
//! next one gets a directory of its own. The clock of the server is set back to
//! that day, because much of what is kept is kept for a time.

use it::clock::Clock;
use it::mainstay::Mainstay;
use it::program::require;
use it::{wait, wall};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Much longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The version whose files are kept.
const VERSION: &str = "0.1.0";
const DAY_SECONDS: i64 = 86_400;
/// Days that the server lives through, so that results are sealed and rolled up.
const DAYS: i64 = 3;
const TOKEN: &str = "0123456789abcdef-previous";
/// Nobody listens there, so the website is down and stays so.
const CONFIGURATION: &str = r#"
page: { name: Previous }
locations: [london]
defaults: { every: 1s, timeout: 1s, retry: 1s, up_after: 1 }
services:
- { name: Website, checks: [ { http: "http://127.0.0.1:1/" } ] }
- { name: Batch, checks: [ { plugin: "/bin/true" } ] }
- { name: Backup, checks: [ { heartbeat: { period: 30d, token: 0123456789abcdef-previous } } ] }
"#;

#[test]
fn a_data_directory_of_the_previous_version_shows_the_same() {
    let Some(clock) = Set::clock() else { return };
    if is_to_be_made() {
        make(&clock);
    }
    let mut mainstay = prepare(&clock);
    fs::create_dir(mainstay.data()).unwrap();
    let archive = data("directory.tar.zst");
    sh(&format!("zstd -q -d < {} | tar -x -C {}", archive.display(), mainstay.data().display()));
    mainstay.restart();
    shows_the_same(&mainstay);
    goes_on(&mainstay);
    // And once more with what this version wrote behind it.
    mainstay.stop();
    mainstay.restart();
    shows_the_same(&mainstay);
}

#[test]
fn a_backup_of_the_previous_version_can_be_restored() {
    let Some(clock) = Set::clock() else { return };
    if is_to_be_made() {
        return;
    }
    let mut mainstay = prepare(&clock);
    let (backup, into) = (data("backup.tar.zst"), mainstay.data().display().to_string());
    let said = mainstay.command(&["restore", &backup.display().to_string(), "--data", &into]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    mainstay.restart();
    shows_the_same(&mainstay);
    goes_on(&mainstay);
}

/// A clock set to the day on which the files were made.
struct Set {
    clock: Clock,
    made: i64,
    _directory: TempDir,
}

impl Set {
    /// The clock, or `None` after saying that the test is skipped.
    fn clock() -> Option<Self> {
        require("faketime")?;
        require("zstd")?;
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::new(&directory.path().join("clock"))?;
        let made = if is_to_be_made() { now() } else { facts()["made"].as_i64().unwrap() };
        clock.shift(made - now());
        Some(Self { clock, made, _directory: directory })
    }
}

fn make(set: &Set) {
    let mut mainstay = prepare(set);
    for day in 0..=DAYS {
        set.clock.shift(set.made - now() - (DAYS - day) * DAY_SECONDS);
        mainstay.restart();
        live(&mainstay, day);
        if day < DAYS {
            mainstay.stop();
        }
    }
    fs::create_dir_all(data("")).unwrap();
    let backup = data("backup.tar.zst");
    let _ = fs::remove_file(&backup);
    let said = mainstay.command(&["backup", "--to", &backup.display().to_string()]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let mut facts = facts_of(&mainstay, None);
    facts["made"] = json!(set.made);
    assert_eq!(mainstay.stop().code(), Some(0));
    // The reserve holds nothing, and the lock and the socket are of a process.
    let left_out = "--exclude=./log/reserve --exclude=./log/lock --exclude=./mainstay.sock";
    let (from, to) = (mainstay.data().display().to_string(), data("directory.tar.zst"));
    sh(&format!("tar -c --sparse {left_out} -C {from} . | zstd -q -19 > {}", to.display()));
    fs::write(data("facts.json"), serde_json::to_string_pretty(&facts).unwrap()).unwrap();
}

/// One day: results, and on the first an outage that ends, one that stays,
/// somebody who takes care of it, and planned work.
fn live(mainstay: &Mainstay, day: i64) {
    wait::expect("rounds of this day", TIMEOUT, || {
        let batch = ask(mainstay, "/api/v1/checks/batch/results?from=1h&limit=1000");
        (batch["results"].as_array()?.len() >= 8).then_some(())
    });
    if day > 0 {
        return;
    }
    let ping = |end: &str| assert_eq!(mainstay.get(&format!("/ping/{TOKEN}{end}")).unwrap().status, 200);
    ping("/fail");
    wait::expect("both outages", TIMEOUT, || {
        (ask(mainstay, "/api/v1/status")["incidents"].as_array()?.len() == 2).then_some(())
    });
    ping("");
    let open = wait::expect("the end of one of them", TIMEOUT, || {
        let incidents = ask(mainstay, "/api/v1/status")["incidents"].clone();
        let [incident] = &incidents.as_array()?[..] else { return None };
        Some(incident["id"].to_string())
    });
    for command in [
        &["ack", &open, "--note", "looking at it"][..],
        &["incident", "update", &open, "A cable was cut.", "--phase", "identified"],
        &["maintenance", "add", "Move", "-s", "batch", "--from", "2040-01-01T00:00:00Z", "--duration", "2h"],
    ] {
        let said = mainstay.command(command);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
}

fn shows_the_same(mainstay: &Mainstay) {
    let expected = facts();
    let found = facts_of(mainstay, expected["index"].as_u64());
    for (name, value) in expected.as_object().unwrap().iter().filter(|(name, _)| *name != "made") {
        assert_eq!(&found[name], value, "{name}");
    }
}

/// It checks and takes commands.
fn goes_on(mainstay: &Mainstay) {
    let before = ask(mainstay, "/api/v1/status")["node"]["applied_index"].as_u64().unwrap();
    let said = mainstay.command(&["maintenance", "add", "Later", "-s", "website", "--duration", "1h"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    wait::expect("results of today", TIMEOUT, || {
        let now = ask(mainstay, "/api/v1/status")["node"]["applied_index"].as_u64()?;
        (now > before + 3).then_some(())
    });
    let said = mainstay.command(&["maintenance", "end", "later"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// What is shown and does not change any more, up to an entry.
fn facts_of(mainstay: &Mainstay, upto: Option<u64>) -> Value {
    let status = ask(mainstay, "/api/v1/status");
    let index = upto.or_else(|| status["node"]["applied_index"].as_u64()).unwrap();
    let decisions = ask(mainstay, "/api/v1/decisions?limit=1000");
    let decisions: Vec<&Value> = list(&decisions["decisions"])
        .filter(|one| one["index"].as_u64().unwrap() <= index && !one["text"].as_str().unwrap().contains("restore"))
        .collect();
    let incidents = ask(mainstay, "/api/v1/incidents?limit=1000");
    let incidents: Vec<Value> = list(&incidents["incidents"])
        .map(|one| {
            let names = ["id", "service", "title", "started", "opened", "resolved", "acknowledged_by", "timeline"];
            names.iter().map(|name| one[name].clone()).collect()
        })
        .collect();
    let rollups = |check: &str| {
        let all = ask(mainstay, &format!("/api/v1/checks/{check}/rollups?step=1d"));
        list(&all["rollups"]).take(DAYS as usize).cloned().collect::<Vec<_>>()
    };
    let results = |check: &str| {
        let all = ask(mainstay, &format!("/api/v1/checks/{check}/results?from=30d&limit=10000"));
        // Those of the last day go on.
        let days = list(&all["results"]).filter(|one| day_of(one) < day_of(list(&all["results"]).last().unwrap()));
        days.cloned().collect::<Vec<_>>()
    };
    let members: Vec<Value> = list(&status["nodes"])
        .map(|one| ["name", "location", "role", "is_voter"].iter().map(|name| one[name].clone()).collect())
        .collect();
    let work: Vec<&str> = list(&status["maintenance"]).filter_map(|one| one["id"].as_str()).collect();
    let outage = ask(mainstay, "/api/v1/services/backup")["split"]["down_ms"].clone();
    json!({
        "index": index, "members": members, "decisions": decisions, "incidents": incidents, "work": work, "outage_ms": outage,
        "batch": { "days": rollups("batch"), "results": results("batch") },
        "website": { "days": rollups("website"), "results": results("website") },
    })
}

fn day_of(result: &Value) -> String {
    result["at"].as_str().unwrap()[..10].to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

fn prepare(set: &Set) -> Mainstay {
    // With others in mind, so that it has keys, an authority and a place among the members.
    let at = wait::free_address();
    let cluster = format!("cluster: {{ name: london1, listen: \"{at}\", address: \"{at}\" }}\n");
    let mut mainstay = Mainstay::prepare(&(cluster + CONFIGURATION));
    for (name, value) in set.clock.variables() {
        mainstay.set(name, &value);
    }
    mainstay
}

fn facts() -> Value {
    serde_json::from_str(&fs::read_to_string(data("facts.json")).unwrap()).unwrap()
}

/// A file of that version.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(VERSION).join(name)
}

fn is_to_be_made() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| value == "1")
}

/// Seconds since 1970.
fn now() -> i64 {
    i64::try_from(wall::now_ms() / 1000).unwrap()
}

fn ask(mainstay: &Mainstay, path: &str) -> Value {
    let answer = mainstay.get(path).unwrap_or_else(|| panic!("{path} is not answered; the log:\n{}", mainstay.log()));
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body))
}

fn sh(line: &str) {
    let done = Command::new("sh").args(["-ec", line]).output().unwrap();
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
}
