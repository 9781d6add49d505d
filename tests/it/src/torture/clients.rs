//! People who send commands without end, through any node, and write down what
//! they were told; and one who looks whether what a node shows goes back.

use super::stage::Stage;
use crate::door::{Door, Said, end_work, work};
use crate::linearizability::{Act, Call};
use crate::random::Random;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long one answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
/// How long a command whose fate is not known is sent again. All clients send
/// far fewer commands in this time than the number of keys the cluster
/// remembers (2,000), so it must be recognised.
const REPEATED_FOR: Duration = Duration::from_secs(10);
/// Rest between two commands of one client.
const REST_MS: (u64, u64) = (20, 120);
/// Registers that clients fight over at a time.
const REGISTERS: u64 = 5;
/// How long; then others take their place, so that none has a long history.
const GENERATION: Duration = Duration::from_secs(6);
/// Planned work that is left standing; the cluster keeps 1,000.
const KEPT: usize = 200;
/// The most of one answer that is looked at.
const STATUS_WITHIN: Duration = Duration::from_millis(700);

/// What was written down.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The calls of each register.
    pub(super) calls: BTreeMap<String, Vec<Call>>,
    /// Revisions of the incident that somebody changed, each with the keys of those who were told that they did.
    pub(super) revisions: BTreeMap<u64, Vec<String>>,
    /// How many commands ended how.
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// When commands were accepted, in microseconds.
    pub(super) accepted_at: Vec<u64>,
}

/// What all clients share.
pub(super) struct Clients<'a> {
    stage: &'a Stage,
    records: Mutex<Records>,
    values: AtomicU64,
}

/// How a command ended after all repetitions.
enum Ended {
    Accepted,
    Refused(String),
    NotTaken,
    Unknown,
}

impl<'a> Clients<'a> {
    pub(super) fn new(stage: &'a Stage) -> Self {
        Self { stage, records: Mutex::default(), values: AtomicU64::new(0) }
    }

    pub(super) fn into_records(self) -> Records {
        self.records.into_inner().expect("no client panics")
    }

    /// Writes and clears registers that the others write and clear too.
    pub(super) fn fight(&self, mut random: Random) {
        let begin = Instant::now();
        let mut before = 0;
        while !self.is_over() {
            let generation = begin.elapsed().as_secs() / GENERATION.as_secs();
            if generation > before {
                // Nothing is left standing, or the list would become full.
                for register in 0..REGISTERS {
                    self.clear_surely(&mut random, &format!("g{before}-{register}"));
                }
                before = generation;
            }
            let register = format!("g{generation}-{}", random.below(REGISTERS));
            if random.chance(60) {
                self.write(&mut random, &register);
            } else {
                self.clear(&mut random, &register);
            }
            self.rest(&mut random);
        }
    }

    /// Plans work that nobody else touches, and ends it much later.
    pub(super) fn plan(&self, mut random: Random) {
        let mut standing = VecDeque::new();
        for number in 0.. {
            if self.is_over() {
                return;
            }
            let register = format!("m-{number}");
            self.write(&mut random, &register);
            standing.push_back(register);
            if standing.len() > KEPT
                && let Some(oldest) = standing.pop_front()
            {
                self.clear_surely(&mut random, &oldest);
            }
            self.rest(&mut random);
        }
    }

    /// Changes the incident that never ends, each time only if nobody else has
    /// since: of all who have seen the same revision one at most may succeed.
    pub(super) fn guard(&self, mut random: Random, name: &str) {
        for number in 0.. {
            if self.is_over() {
                return;
            }
            self.rest(&mut random);
            let seen = self.stage.any_door(&mut random).and_then(|door| incident(&door));
            let Some((incident, revision)) = seen else { continue };
            let key = format!("{name}-{number}");
            let body = json!({ "actor": name, "key": key, "expected_revision": revision, "action": {
                "update_incident": { "incident": incident, "phase": "identified", "text": key } } });
            if matches!(self.send(&mut random, &body), Ended::Accepted) {
                self.records(|records| records.revisions.entry(revision).or_default().push(key));
            }
        }
    }

    /// Watches what each node says of itself: while its process lives the last
    /// entry it has applied never goes back, and two nodes that have applied
    /// the same entries have the same state.
    pub(super) fn watch(&self) {
        let mut last: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut digests: BTreeMap<u64, (String, String)> = BTreeMap::new();
        while !self.is_over() {
            for door in self.stage.doors() {
                let Some(status) = look(&door) else { continue };
                let node = &status["node"];
                let (Some(index), Some(uptime)) = (node["applied_index"].as_u64(), node["uptime_seconds"].as_u64())
                else {
                    continue;
                };
                let before = last.insert(door.node().to_owned(), (index, uptime));
                if let Some((index_before, uptime_before)) = before
                    && uptime >= uptime_before
                    && uptime > 1
                    && index < index_before
                {
                    self.stage.violation(format!("{} went back from entry {index_before} to {index}", door.node()));
                }
                self.compare(&door, &node["state_digest"], &mut digests);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn compare(&self, door: &Door, said: &Value, digests: &mut BTreeMap<u64, (String, String)>) {
        let (Some(index), Some(digest)) = (said["index"].as_u64(), said["digest"].as_str()) else { return };
        let known = digests.entry(index).or_insert_with(|| (door.node().to_owned(), digest.to_owned()));
        if known.1 != digest {
            let (other, node) = (&known.0, door.node());
            self.stage.violation(format!("{other} and {node} differ after entry {index}: {} and {digest}", known.1));
        }
    }

    fn write(&self, random: &mut Random, register: &str) {
        let value = self.values.fetch_add(1, Ordering::Relaxed) + 1;
        let action = work(register, &format!("v{value}"), "website");
        let (sent, ended) = self.command(random, &format!("w{value}"), &action);
        match ended {
            Ended::Accepted => self.record(register, Act::Write(value), sent, Some(self.stage.now())),
            Ended::Unknown => self.record(register, Act::Write(value), sent, None),
            Ended::NotTaken => {}
            Ended::Refused(why) => self.stage.violation(format!("a piece of work was refused: {why}")),
        }
    }

    fn clear_surely(&self, random: &mut Random, register: &str) {
        while !self.clear(random, register) && !self.is_over() {
            self.rest(random);
        }
    }

    /// Whether it is known that nothing stands there any more.
    fn clear(&self, random: &mut Random, register: &str) -> bool {
        let key = format!("c{}", self.values.fetch_add(1, Ordering::Relaxed) + 1);
        let (sent, ended) = self.command(random, &key, &end_work(register));
        let found = match ended {
            Ended::Accepted => Some(true),
            Ended::Refused(why) if why.contains("there is no planned work") => Some(false),
            Ended::Refused(why) => {
                self.stage.violation(format!("the end of work was refused: {why}"));
                return false;
            }
            Ended::NotTaken => return false,
            Ended::Unknown => {
                self.record(register, Act::Clear(None), sent, None);
                return false;
            }
        };
        self.record(register, Act::Clear(found), sent, Some(self.stage.now()));
        true
    }

    fn command(&self, random: &mut Random, key: &str, action: &Value) -> (u64, Ended) {
        let body = json!({ "actor": "client", "key": key, "action": action });
        let sent = self.stage.now();
        (sent, self.send(random, &body))
    }

    /// Sends a command, and again with the same key while nobody knows what became of it.
    fn send(&self, random: &mut Random, body: &Value) -> Ended {
        let begin = Instant::now();
        let mut may_be_taken = false;
        let ended = loop {
            let Some(door) = self.stage.any_door(random) else { break Ended::NotTaken };
            match door.send("/api/v1/commands", body, ANSWER_WITHIN) {
                Said::Accepted(_) => break Ended::Accepted,
                Said::Refused(why) => break Ended::Refused(why),
                Said::NotTaken(_) if !may_be_taken => break Ended::NotTaken,
                Said::NotTaken(_) => {}
                Said::Unknown => may_be_taken = true,
            }
            if begin.elapsed() > REPEATED_FOR {
                break Ended::Unknown;
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        let kind = match &ended {
            Ended::Accepted => "accepted",
            Ended::Refused(_) => "refused",
            Ended::NotTaken => "not taken",
            Ended::Unknown => "unknown",
        };
        let now = self.stage.now();
        self.records(|records| {
            *records.counts.entry(kind).or_default() += 1;
            if matches!(ended, Ended::Accepted) {
                records.accepted_at.push(now);
            }
        });
        ended
    }

    fn record(&self, register: &str, act: Act, sent: u64, answered: Option<u64>) {
        self.records(|records| {
            records.calls.entry(register.to_owned()).or_default().push(Call { act, sent, answered })
        });
    }

    fn records<T>(&self, act: impl FnOnce(&mut Records) -> T) -> T {
        act(&mut self.records.lock().expect("no client panics"))
    }

    fn is_over(&self) -> bool {
        self.stage.is_over.load(Ordering::SeqCst)
    }

    fn rest(&self, random: &mut Random) {
        std::thread::sleep(Duration::from_millis(random.between(REST_MS.0, REST_MS.1)));
    }
}

/// The incident that never ends, and its revision.
fn incident(door: &Door) -> Option<(u64, u64)> {
    let status = look(door)?;
    let open = status["incidents"].as_array()?.iter().find(|incident| incident["service"] == "broken")?;
    Some((open["id"].as_u64()?, open["revision"].as_u64()?))
}

fn look(door: &Door) -> Option<Value> {
    let answer = door.get_within("/api/v1/status", STATUS_WITHIN).filter(|answer| answer.status == 200)?;
    serde_json::from_str(&answer.body).ok()
}
