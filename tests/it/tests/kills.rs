//! Nothing that was acknowledged is lost when the process is killed, whenever
//! that is: commands, heartbeats, deliveries, and outages that had begun.
//!
//! `MAINSTAY_KILLS` raises the number of kills for a long soak.

use it::mainstay::Mainstay;
use it::wall;
use it::webhook::{Mood, Receiver, Target};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Kills in an ordinary run; about a second each.
const KILLS_DEFAULT: u64 = 60;
/// Checks that keep the log busy besides the one that matters.
const CHECKS: usize = 150;
const TOKEN: &str = "0123456789abcdef-kill";

#[test]
fn kills_at_any_instant_lose_nothing_that_was_acknowledged() {
    let (target, receiver) = (Target::start(), Receiver::start(Mood::Takes));
    let mut mainstay = Mainstay::start(&configuration(&target, &receiver));
    let kills = std::env::var("MAINSTAY_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS_DEFAULT);
    let mut known = Known::default();
    for round in 0..kills {
        target.fail(round % 4 >= 2);
        live(&mainstay, &mut known, round);
        known.incident = open_incident(&mainstay);
        mainstay.kill9();
        mainstay.restart();
        known.compare(&mainstay, round);
    }
    target.fail(false);
    finish(&mainstay, &receiver);
}

/// What was acknowledged so far.
#[derive(Default)]
struct Known {
    plans: BTreeSet<String>,
    beat_ms: u64,
    index: u64,
    incident: Option<(u64, String)>,
}

impl Known {
    fn compare(&mut self, mainstay: &Mainstay, round: u64) {
        let status = ask(mainstay, "/api/v1/status");
        let index = status["node"]["applied_index"].as_u64().expect("an index");
        assert!(index >= self.index, "round {round}: the index went back from {} to {index}", self.index);
        self.index = index;
        let found: BTreeSet<String> =
            status["maintenance"].as_array().expect("a list").iter().map(|work| text(&work["id"])).collect();
        let lost: Vec<_> = self.plans.difference(&found).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged commands are lost: {lost:?}");
        if self.beat_ms > 0 {
            let looked = text(&ask(mainstay, "/api/v1/checks/backup")["check"]["looked"]);
            let looked_ms = wall::read_ms(&looked);
            assert!(looked_ms >= self.beat_ms, "round {round}: a heartbeat is lost: {looked_ms} < {}", self.beat_ms);
        }
        if let Some((id, started)) = &self.incident {
            let again = ask(mainstay, &format!("/api/v1/incidents/{id}"));
            assert_eq!(text(&again["started"]), *started, "round {round}: an outage that had begun is forgotten");
        }
    }
}

/// Lets it work for a random while, with people and heartbeats at it.
fn live(mainstay: &Mainstay, known: &mut Known, round: u64) {
    let over = AtomicBool::new(false);
    let until = Instant::now() + Duration::from_millis(30 + random() % 900);
    std::thread::scope(|scope| {
        let plans = scope.spawn(|| plan(mainstay, &over, round));
        let beats = scope.spawn(|| beat(mainstay, &over));
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        over.store(true, Ordering::SeqCst);
        known.plans.extend(plans.join().expect("no panic"));
        known.beat_ms = known.beat_ms.max(beats.join().expect("no panic"));
    });
}

/// Plans work until it is over; returns what was acknowledged.
fn plan(mainstay: &Mainstay, over: &AtomicBool, round: u64) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        // The list shows as many as are kept; a few of each round are enough.
        if over.load(Ordering::SeqCst) || number >= 3 {
            break;
        }
        let id = format!("r{round}-{number}");
        let span = ["--from", "2030-01-01T00:00:00Z", "--until", "2030-01-01T01:00:00Z"];
        let said =
            mainstay.command(&[&["maintenance", "add", "Work", "--id", &id, "-s", "website"][..], &span[..]].concat());
        if said.status.success() {
            acknowledged.push(id);
        }
    }
    acknowledged
}

/// Sends heartbeats until it is over; returns when the last acknowledged one was sent.
fn beat(mainstay: &Mainstay, over: &AtomicBool) -> u64 {
    let mut last = 0;
    while !over.load(Ordering::SeqCst) {
        let sent = wall::now_ms();
        if mainstay.get(&format!("/ping/{TOKEN}")).is_some_and(|answer| answer.status == 200) {
            last = sent;
        }
    }
    last
}

/// Waits until all is told, and compares what arrived with what was decided.
fn finish(mainstay: &Mainstay, receiver: &Receiver) {
    let all = it::wait::expect("every delivery to be finished", Duration::from_secs(90), || {
        let status = ask(mainstay, "/api/v1/status");
        let is_over = status["deliveries_open"] == 0 && status["incidents"].as_array().is_some_and(Vec::is_empty);
        is_over.then(|| ask(mainstay, "/api/v1/deliveries?limit=1000"))
    });
    let mut arrived: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for message in receiver.arrived() {
        let body: Value = serde_json::from_str(&message.body).expect("JSON");
        let double = body["data"]["delivery"]["possibly_double"] == true || body["delivery"]["possibly_double"] == true;
        arrived.entry(message.id).or_default().push(double);
    }
    let deliveries = all["deliveries"].as_array().expect("a list");
    assert!(!deliveries.is_empty(), "the outages of this test tell somebody");
    for delivery in deliveries {
        assert_eq!(delivery["state"], "delivered", "{delivery}");
        assert!(arrived.contains_key(&text(&delivery["key"])), "{delivery} never arrived");
    }
    for (id, doubles) in &arrived {
        assert!(
            doubles.iter().skip(1).all(|double| *double),
            "{id} arrived twice without saying that it may be double"
        );
    }
}

fn configuration(target: &Target, receiver: &Receiver) -> String {
    use std::fmt::Write;
    let at = target.address();
    let mut yaml = format!(
        "page: {{ name: Test }}\ndefaults: {{ every: 1s, timeout: 1s, retry: 1s, up_after: 1 }}\n\
         receivers: [ {{ id: ops, webhook: \"{}\" }} ]\nservices:\n\
         - {{ name: Website, checks: [ {{ http: \"http://{at}/\" }} ] }}\n\
         - {{ name: Backup, checks: [ {{ heartbeat: {{ period: 1h, token: {TOKEN} }} }} ] }}\n\
         - name: Load\n  announce: false\n  checks:\n",
        receiver.url()
    );
    for number in 0..CHECKS {
        let _ = writeln!(yaml, "  - {{ id: load-{number}, tcp: \"{at}\" }}");
    }
    yaml
}

fn open_incident(mainstay: &Mainstay) -> Option<(u64, String)> {
    let incident = ask(mainstay, "/api/v1/status")["incidents"].as_array()?.first()?.clone();
    Some((incident["id"].as_u64()?, text(&incident["started"])))
}

fn ask(mainstay: &Mainstay, path: &str) -> Value {
    let answer = mainstay.get(path).unwrap_or_else(|| panic!("{path} is not answered; the log:\n{}", mainstay.log()));
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A number nobody can predict: where a kill falls must not follow a pattern.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Instant::now())
}
