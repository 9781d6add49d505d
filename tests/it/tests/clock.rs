//! The wall clock jumps back an hour while Mainstay runs: checks go on, nothing
//! becomes unverified, the operator is told, and a restart finds its way.
//!
//! The clock is put in place by Debian's `faketime`, which sits between the
//! program and the C library.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

use it::mainstay::Mainstay;
use it::program::require;
use it::wait;
use it::webhook::Target;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NOTICE_TIMEOUT: Duration = Duration::from_secs(60);
/// Rounds after which it is clear that checks go on.
const ROUNDS: u64 = 4;
/// Where Debian puts the library, below the directory of each architecture.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

#[test]
fn a_clock_that_jumps_back_stops_nothing() {
    let Some(library) = library() else { return };
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock(directory.path().join("clock"));
    clock.show("+0");
    let target = Target::start();
    let yaml = format!(
        "page: {{ name: Test }}\ndefaults: {{ every: 1s, timeout: 500ms, retry: 1s }}\nservices:\n\
         - {{ name: Website, checks: [ {{ http: \"http://{}/\" }} ] }}\n",
        target.address()
    );
    let variables = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", clock.0.to_str().unwrap()),
        // Only the wall clock; the file is read once a second, since to read it
        // at each question keeps the program busy with nothing else.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_CACHE_DURATION", "1"),
    ];
    let mut mainstay = Mainstay::start_with(&yaml, &variables);
    becomes(&mainstay, "up");
    let incident = an_outage_begins(&mainstay, &target);

    clock.show("-3600");
    wait::until(NOTICE_TIMEOUT, || {
        condition(&mainstay)?["text"].as_str()?.contains("the clock jumped back by").then_some(())
    })
    .unwrap_or_else(|| panic!("the jump is not said; the log:\n{}", mainstay.log()));
    rounds_go_on(&mainstay, &target, "down");
    assert_eq!(open_incident(&mainstay), Some(incident.clone()), "an outage does not begin anew");
    target.fail(false);
    becomes(&mainstay, "up");
    rounds_go_on(&mainstay, &target, "up");

    mainstay.stop();
    mainstay.restart();
    becomes(&mainstay, "up");
    rounds_go_on(&mainstay, &target, "up");
    wait::expect("the start behind the log to be said", NOTICE_TIMEOUT, || {
        condition(&mainstay)?["text"].as_str()?.contains("behind the last entry").then_some(())
    });
    // Back in time, but never back in the log.
    assert!(stamp(&mainstay) > SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - Duration::from_secs(1800));

    // Right again, which is a jump too.
    clock.show("+0");
    rounds_go_on(&mainstay, &target, "up");
}

/// A file that says what the clock shows.
struct Clock(PathBuf);

impl Clock {
    /// Shifts the clock, at once and as a whole.
    fn show(&self, shift: &str) {
        let next = self.0.with_extension("next");
        fs::write(&next, format!("{shift}\n")).unwrap();
        fs::rename(next, &self.0).unwrap();
    }
}

fn library() -> Option<String> {
    require("faketime")?;
    let directories = fs::read_dir("/usr/lib").ok()?.flatten();
    let found = directories.map(|entry| entry.path().join(LIBRARY)).find(|file| Path::exists(file));
    Some(found.expect("the package has it").display().to_string())
}

fn an_outage_begins(mainstay: &Mainstay, target: &Target) -> (u64, String) {
    target.fail(true);
    becomes(mainstay, "down");
    wait::expect("an incident", NOTICE_TIMEOUT, || open_incident(mainstay))
}

/// More rounds are made, and meanwhile the service is never shown otherwise.
fn rounds_go_on(mainstay: &Mainstay, target: &Target, state: &str) {
    let before = target.answered();
    wait::expect("more rounds", NOTICE_TIMEOUT, || {
        let status = status(mainstay)?;
        assert_eq!(status["services"][state], 1, "{status:#}");
        (target.answered() >= before + ROUNDS).then_some(())
    });
}

fn becomes(mainstay: &Mainstay, state: &str) {
    wait::until(NOTICE_TIMEOUT, || (status(mainstay)?["services"][state] == 1).then_some(()))
        .unwrap_or_else(|| panic!("the service does not become {state}; the log:\n{}", mainstay.log()));
}

fn open_incident(mainstay: &Mainstay) -> Option<(u64, String)> {
    let incident = status(mainstay)?["incidents"].as_array()?.first()?.clone();
    Some((incident["id"].as_u64()?, incident["started"].as_str()?.to_owned()))
}

/// What is said about the clock.
fn condition(mainstay: &Mainstay) -> Option<Value> {
    let status = status(mainstay)?;
    status["conditions"].as_array()?.iter().find(|condition| condition["kind"] == "clock_jumped").cloned()
}

/// The time of the newest entry.
fn stamp(mainstay: &Mainstay) -> Duration {
    let now = status(mainstay).expect("it answers")["now"].as_str().expect("a stamp").to_owned();
    let said = std::process::Command::new("date").args(["--date", &now, "+%s"]).output().expect("date is everywhere");
    Duration::from_secs(String::from_utf8_lossy(&said.stdout).trim().parse().expect("seconds"))
}

fn status(mainstay: &Mainstay) -> Option<Value> {
    serde_json::from_str(&mainstay.get("/api/v1/status")?.body).ok()
}
