//! The wall clock jumps back an hour while Mainstay runs: checks go on, nothing
//! becomes unverified, the operator is told, and a restart finds its way.

use it::clock::Clock;
use it::mainstay::Mainstay;
use it::program::require;
use it::webhook::Target;
use it::{wait, wall};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NOTICE_TIMEOUT: Duration = Duration::from_secs(60);
/// Rounds after which it is clear that checks go on.
const ROUNDS: u64 = 4;

#[test]
fn a_clock_that_jumps_back_stops_nothing() {
    if require("faketime").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::new(&directory.path().join("clock")).expect("the package has its library");
    let target = Target::start();
    let yaml = format!(
        "page: {{ name: Test }}\ndefaults: {{ every: 1s, timeout: 500ms, retry: 1s }}\nservices:\n\
         - {{ name: Website, checks: [ {{ http: \"http://{}/\" }} ] }}\n",
        target.address()
    );
    let variables = clock.variables();
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut mainstay = Mainstay::start_with(&yaml, &variables);
    becomes(&mainstay, "up");
    let incident = an_outage_begins(&mainstay, &target);

    clock.shift(-3600);
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
    clock.shift(0);
    rounds_go_on(&mainstay, &target, "up");
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
    let status = status(mainstay).expect("it answers");
    Duration::from_millis(wall::read_ms(status["now"].as_str().expect("a stamp")))
}

fn status(mainstay: &Mainstay) -> Option<Value> {
    serde_json::from_str(&mainstay.get("/api/v1/status")?.body).ok()
}
