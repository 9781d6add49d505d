//! What must hold when all faults are over: everybody is back by itself,
//! nothing acknowledged is lost, nobody was told anything that one register
//! could not have said, and all nodes have the same.

use super::clients::Records;
use super::machine::Standing;
use super::stage::Stage;
use super::weather::supervise;
use crate::door::Door;
use crate::linearizability::{Act, Call, Judgement, judge};
use crate::wait;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// From the last fault until all nodes vote, hear each other and lack nothing,
/// those included that the operator still has to replace.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);
/// How long the second half of a change of members takes without faults, with room.
const CHANGES_WITHIN: Duration = Duration::from_millis(1_500);
/// From then until all nodes have the same history: what a new node lacks it asks for while it works.
const HISTORY_WITHIN: Duration = Duration::from_secs(90);
/// Until nothing is told any more.
const TOLD_WITHIN: Duration = Duration::from_secs(60);
/// Until all nodes have applied the same entries.
const SAME_WITHIN: Duration = Duration::from_secs(30);
/// Results given at a time.
const RESULTS_MAX: usize = 10_000;

/// Waits until the cluster is well again without anybody's help; keeps what is missing if it is not.
/// Returns how long it took since the last fault.
pub(super) fn recovers(stage: &Stage) -> Duration {
    match settles(stage, SETTLES_WITHIN) {
        Ok(()) => {
            // Nobody else sets it.
            let _ = stage.well.set(());
        }
        Err(missing) => {
            let seconds = SETTLES_WITHIN.as_secs();
            stage.violation(format!("not well {seconds} s after the last fault: {missing}"));
        }
    }
    stage.healed.get().map(Instant::elapsed).unwrap_or_default()
}

/// Waits until all nodes vote, hear each other and lack nothing, and the
/// operator has nothing to do. What is missing after the bound is returned.
pub(super) fn settles(stage: &Stage, bound: Duration) -> Result<(), String> {
    let mut missing = String::new();
    let settled = wait::until(bound, || {
        supervise(stage);
        missing = what_is_missing(stage)?;
        missing.is_empty().then_some(())
    });
    if settled.is_some() {
        // That all vote is known while the old members are still needed for the
        // change; without faults it is over a moment later.
        std::thread::sleep(CHANGES_WITHIN);
        return Ok(());
    }
    let tails: Vec<String> = stage.with_machines(|machines| {
        machines.iter().map(|machine| format!("--- {}\n{}", machine.name(), machine.node.log_tail())).collect()
    });
    Err(format!("{missing}\n{}", tails.join("\n")))
}

/// In words; empty if nothing is.
fn what_is_missing(stage: &Stage) -> Option<String> {
    if !stage.is_idle() {
        return Some("the operator is still at work".to_owned());
    }
    let unfit: Vec<String> = stage.with_machines(|machines| {
        let unfit = machines.iter().filter(|machine| machine.standing != Standing::Whole || !machine.node.is_running());
        unfit.map(|machine| format!("{} is {:?}", machine.name(), machine.standing)).collect()
    });
    if !unfit.is_empty() {
        return Some(unfit.join(", "));
    }
    let doors = stage.doors();
    let names: BTreeSet<&str> = doors.iter().map(Door::node).collect();
    for door in &doors {
        let Some(status) = door.status() else { return Some(format!("{} does not answer", door.node())) };
        let members = status["nodes"].as_array().cloned().unwrap_or_default();
        let known: BTreeSet<&str> = members.iter().filter_map(|member| member["name"].as_str()).collect();
        let is_well = |member: &Value| {
            member["is_present"] == true
                && member["is_voter"] == true
                && member["lag_entries"].as_u64().unwrap_or(0) < 50
        };
        if known != names || !members.iter().all(is_well) || status["node"]["has_quorum"] != true {
            return Some(format!("{} shows {} of {names:?}", door.node(), status["nodes"]));
        }
    }
    Some(String::new())
}

/// Compares everything and keeps what must not be. Only of a cluster that is well:
/// one that answers nothing lacks everything, which has been said.
pub(super) fn judge_all(stage: &Stage, records: &Records) {
    everything_is_told_once(stage);
    let states = same_states(stage);
    if let Some((node, standing)) = states.first() {
        nothing_is_lost_or_made_up(stage, records, standing);
        for (other, its) in &states[1..] {
            if its != standing {
                let differing: Vec<_> =
                    standing.iter().filter(|(id, title)| its.get(*id) != Some(title)).take(5).collect();
                stage.violation(format!("{node} and {other} have different planned work, such as {differing:?}"));
            }
        }
    }
    for (revision, keys) in &records.revisions {
        if keys.len() > 1 {
            stage.violation(format!("several have changed revision {revision} of an incident: {keys:?}"));
        }
    }
    lists_are_equal(stage);
    histories_are_equal(stage);
}

type Standings = BTreeMap<String, String>;

/// The planned work on each node, read when all have applied the same entries
/// or more; nothing changes it any more.
fn same_states(stage: &Stage) -> Vec<(String, Standings)> {
    let doors = stage.doors();
    let index = |door: &Door| door.status().and_then(|status| status["node"]["applied_index"].as_u64());
    let furthest = doors.iter().filter_map(index).max().unwrap_or(0);
    let read = |door: &Door| {
        let status = wait::until(SAME_WITHIN, || {
            door.status()
                .filter(|status| status["node"]["applied_index"].as_u64().is_some_and(|index| index >= furthest))
        });
        let Some(status) = status else {
            stage.violation(format!("{} does not come to entry {furthest}", door.node()));
            return (door.node().to_owned(), Standings::new());
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = status["maintenance"].as_array().into_iter().flatten();
        (door.node().to_owned(), all.map(|work| (text(&work["id"]), text(&work["title"]))).collect())
    };
    doors.iter().map(read).collect()
}

/// Every register's calls, with what stands there at the end, have an order.
fn nothing_is_lost_or_made_up(stage: &Stage, records: &Records, standing: &Standings) {
    let now = stage.now();
    for (register, calls) in &records.calls {
        let held = standing.get(register).map(|title| title.trim_start_matches('v').parse().unwrap_or(0));
        let mut calls = calls.clone();
        calls.push(Call { act: Act::Read(held), sent: now, answered: Some(now) });
        match judge(&calls) {
            Judgement::Linearizable => {}
            Judgement::Impossible => {
                calls.sort_by_key(|call| call.sent);
                stage.violation(format!("{register} was not one register; at the end it holds {held:?}: {calls:?}"));
            }
            Judgement::Undecided => stage.note(&format!("the calls of {register} could not be judged")),
        }
    }
    for (id, title) in standing {
        if !records.calls.contains_key(id) {
            stage.violation(format!("nobody has planned {id} ({title})"));
        }
    }
}

/// What does not change any more, as every node lists it.
fn lists_are_equal(stage: &Stage) {
    let doors = stage.doors();
    for path in ["/api/v1/incidents?limit=1000", "/api/v1/decisions?limit=1000", "/api/v1/deliveries?limit=1000"] {
        let mut lists = Vec::new();
        let is_equal = wait::until(SAME_WITHIN, || {
            lists = doors.iter().map(|door| door.get(path).map(|answer| answer.body)).collect();
            lists.windows(2).all(|pair| pair[0] == pair[1] && pair[0].is_some()).then_some(())
        });
        if is_equal.is_none() {
            for (door, list) in doors.iter().zip(&lists) {
                let name = format!("{}-{}", door.node(), path.trim_start_matches("/api/v1/").replace(['?', '='], "-"));
                let _ = std::fs::write(stage.directory().join(name), list.as_deref().unwrap_or_default());
            }
            stage.violation(format!("the nodes list different things at {path}; they are kept"));
        }
    }
}

/// Each check has the same results on every node, however often a node died or was made anew.
fn histories_are_equal(stage: &Stage) {
    let doors = stage.doors();
    let Some(checks) = doors.first().and_then(|door| door.ask("/api/v1/checks?limit=1000")) else {
        stage.violation("no node lists the checks");
        return;
    };
    let ids: Vec<String> = checks["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|check| check["id"].as_str().map(str::to_owned))
        .collect();
    // Up to a moment that is long over, or each answer would have one more.
    let until = crate::wall::now_ms().saturating_sub(5_000);
    let end = Instant::now() + HISTORY_WITHIN;
    let mut differing = Vec::new();
    for id in &ids {
        let mut different = String::new();
        let is_equal = wait::until(end.saturating_duration_since(Instant::now()), || {
            different = difference(&doors, id, until)?;
            different.is_empty().then_some(())
        });
        if is_equal.is_none() {
            differing.push(format!("{id}: {different}"));
        }
    }
    if !differing.is_empty() {
        stage.violation(format!(
            "the nodes have different results of {} checks: {}",
            differing.len(),
            differing.join("\n")
        ));
    }
}

/// In words; empty if there is none, `None` while somebody does not answer.
fn difference(doors: &[Door], id: &str, until_ms: u64) -> Option<String> {
    let first = results(doors.first()?, id, until_ms)?;
    for door in &doors[1..] {
        let other = results(door, id, until_ms)?;
        let lacks: Vec<_> = first.difference(&other).take(3).collect();
        let has_more: Vec<_> = other.difference(&first).take(3).collect();
        if !lacks.is_empty() || !has_more.is_empty() {
            return Some(format!(
                "{} has {}, {} has {} and lacks {lacks:?}, has besides {has_more:?}",
                doors[0].node(),
                first.len(),
                door.node(),
                other.len()
            ));
        }
    }
    Some(String::new())
}

/// All results of a check: location, time, outcome and latency of each.
pub(super) fn results(door: &Door, id: &str, until_ms: u64) -> Option<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    let mut from = "0".to_owned();
    loop {
        let path = format!("/api/v1/checks/{id}/results?from={from}&to={until_ms}&limit={RESULTS_MAX}");
        let answer = door.ask(&path)?;
        for result in answer["results"].as_array()? {
            let part = |key: &str| result[key].to_string();
            all.insert(format!("{} {} {} {}", part("location"), part("at"), part("outcome"), part("latency_us")));
        }
        match answer["next"].as_str() {
            Some(next) => from = next.to_owned(),
            None => return Some(all),
        }
    }
}

/// Every delivery has arrived, and twice only if it says that it may have.
fn everything_is_told_once(stage: &Stage) {
    let Some(door) = stage.doors().into_iter().next() else { return };
    let finished = wait::until(TOLD_WITHIN, || (door.status()?["deliveries_open"] == 0).then_some(()));
    if finished.is_none() {
        stage.violation("some deliveries do not come to an end");
    }
    let mut arrived: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for message in stage.receiver.arrived() {
        let body: Value = serde_json::from_str(&message.body).unwrap_or_default();
        arrived.entry(message.id).or_default().push(body["data"]["delivery"]["possibly_double"] == true);
    }
    for (key, doubles) in &arrived {
        if doubles.iter().skip(1).any(|is_double| !is_double) {
            stage.violation(format!("{key} arrived {} times without saying that it may be double", doubles.len()));
        }
    }
    let listed = door.ask("/api/v1/deliveries?limit=1000").unwrap_or_default();
    for delivery in listed["deliveries"].as_array().into_iter().flatten() {
        let key = delivery["key"].as_str().unwrap_or_default();
        if delivery["state"] == "delivered" && !arrived.contains_key(key) {
            stage.violation(format!("{key} counts as delivered and never arrived"));
        }
    }
}

/// The logs of all nodes there ever were.
pub(super) fn nobody_panicked(stage: &Stage) {
    for entry in std::fs::read_dir(stage.directory()).into_iter().flatten().flatten() {
        let Ok(bytes) = std::fs::read(entry.path().join("log")) else { continue };
        let log = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = log.lines().collect();
        if let Some(at) = lines.iter().position(|line| line.contains("panicked at")) {
            let said = lines[at..].iter().take(6).copied().collect::<Vec<_>>().join("\n");
            stage.violation(format!("{} panicked: {said}", entry.file_name().display()));
        }
    }
}
