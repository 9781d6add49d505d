//! The person who replaces what is lost and changes the members, while
//! everything goes wrong: each wish is repeated until it is carried out.

use super::machine::{Machine, Standing};
use super::stage::{Job, Stage};
use crate::door::{Door, Said};
use crate::process::Process;
use crate::random::Random;
use crate::wait;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(300);
/// How long one answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long one `mainstay join` may take.
const JOIN_WITHIN: Duration = Duration::from_secs(20);
/// How long a job may take once all faults are over.
const HEALED_WITHIN: Duration = Duration::from_secs(90);

/// The job cannot be finished; that was said.
struct GivenUp;

/// Does what is ordered until the clients go home.
pub(super) fn work(stage: &Stage, random: Random) {
    let operator = Operator { stage, random: RefCell::new(random), keys: Cell::new(0) };
    while !stage.is_over.load(Ordering::SeqCst) {
        match stage.next_job() {
            Some(job) => operator.carry_out(&job),
            None => std::thread::sleep(PAUSE),
        }
    }
}

struct Operator<'a> {
    stage: &'a Stage,
    random: RefCell<Random>,
    keys: Cell<u64>,
}

impl Operator<'_> {
    fn carry_out(&self, job: &Job) {
        self.stage.note(&format!("operator: {job:?}"));
        let done = match job {
            Job::Replace(name) => self.replace(name),
            Job::Churn => self.churn(),
            Job::Transfer => self.transfer(),
            Job::Authority => self.insist("rotate-authority", &|key| json!({ "actor": "test", "key": key })).map(drop),
        };
        self.stage.note(&format!("operator: {job:?} {}", if done.is_ok() { "is done" } else { "was given up" }));
    }

    /// Both ways that the documents name: take it out and invite another one,
    /// or invite the one that takes its place.
    fn replace(&self, name: &str) -> Result<(), GivenUp> {
        let Some(location) = self.stage.with(name, |machine| {
            // Its place is free for the next one at once if nothing runs there any more.
            (machine.node.location().to_owned(), machine.node.is_running())
        }) else {
            return Ok(());
        };
        let (location, is_running) = location;
        if !is_running {
            self.stage.retire(name);
        }
        let is_by_invitation = self.random.borrow_mut().chance(50);
        if is_by_invitation && self.join(&location, Some(name))? {
            self.until_gone(name)?;
            self.stage.retire(name);
            return Ok(());
        }
        self.remove(name)?;
        self.stage.retire(name);
        self.join(&location, None).map(drop)
    }

    /// The number of nodes stays what it was.
    fn churn(&self) -> Result<(), GivenUp> {
        self.join("b", None)?;
        let whole = self.stage.whole_doors();
        let Some(door) = whole.get(self.random.borrow_mut().below(whole.len() as u64) as usize) else { return Ok(()) };
        let name = door.node();
        self.stage.with(name, |machine| machine.standing = Standing::Leaving);
        self.remove(name)?;
        self.stage.retire(name);
        Ok(())
    }

    /// A wish that need not be fulfilled: the one who is asked to lead may be away.
    fn transfer(&self) -> Result<(), GivenUp> {
        let door = self.stage.any_door(&mut self.random.borrow_mut()).ok_or(GivenUp)?;
        let body = json!({ "actor": "test", "key": self.key() });
        let said = door.send("/api/v1/nodes/transfer-leadership", &body, ANSWER_WITHIN);
        self.stage.note(&format!("leadership handed over through {}: {said:?}", door.node()));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), GivenUp> {
        self.insist("remove", &|key| json!({ "actor": "test", "key": key, "node": name }))?;
        self.until_gone(name)
    }

    /// Returns whether a node joined. Not if another invitation stands in the
    /// way, of which nobody has heard because its answer was lost.
    fn join(&self, location: &str, replaces: Option<&str>) -> Result<bool, GivenUp> {
        let wish = |key: &str| json!({ "actor": "test", "key": key, "role": "full", "valid_for_seconds": 300, "replaces": replaces });
        let Some(mut machine) = self.stage.new_machine(location, "") else { return Err(GivenUp) };
        loop {
            let answer = self.insist("invite", &wish)?;
            if answer.is_null() {
                self.stage.put_away(machine);
                return Ok(false);
            }
            let Some(ticket) = answer["invitation"]["ticket"].as_str() else {
                self.stage.violation(format!("an invitation without a ticket: {answer}"));
                return Err(GivenUp);
            };
            if self.join_with(&mut machine, ticket)? {
                break;
            }
        }
        let name = machine.name().to_owned();
        machine.node.launch();
        self.stage.add(machine);
        self.until(&format!("{name} to vote"), |nodes| {
            nodes.iter().any(|node| node["name"] == name.as_str() && node["is_voter"] == true)
        })?;
        Ok(true)
    }

    /// Tries a ticket several times from the same directory, and kills the
    /// attempt now and then: both must be safe. Returns whether it joined.
    fn join_with(&self, machine: &mut Machine, ticket: &str) -> Result<bool, GivenUp> {
        let begin = Instant::now();
        // Shorter than the ticket is good.
        while begin.elapsed() < Duration::from_secs(200) {
            let mut joining = machine.node.spawn_join(ticket);
            let bound = if self.random.borrow_mut().chance(15) {
                Duration::from_millis(self.random.borrow_mut().between(5, 600))
            } else {
                JOIN_WITHIN
            };
            let ended = wait::until(bound, || joining.ended());
            joining.kill9();
            if ended.is_some_and(|status| status.success()) {
                return Ok(true);
            }
            self.stage.note(&format!("{} did not join ({ended:?}): {}", machine.name(), last_line(&joining)));
            self.give_up_late(&format!("{} to join; it said: {}", machine.name(), joining.log_tail()), begin)?;
            std::thread::sleep(PAUSE);
        }
        Ok(false)
    }

    fn until_gone(&self, name: &str) -> Result<(), GivenUp> {
        self.until(&format!("{name} to be gone"), |nodes| nodes.iter().all(|node| node["name"] != name))
    }

    /// Waits until some node that can be relied on shows the members so.
    fn until(&self, what: &str, look: impl Fn(&[Value]) -> bool) -> Result<(), GivenUp> {
        let begin = Instant::now();
        loop {
            let shows = |door: &Door| {
                let answer = door.get_within("/api/v1/status", ANSWER_WITHIN)?;
                let status: Value = serde_json::from_str(&answer.body).ok()?;
                (status["node"]["has_quorum"] == true && look(status["nodes"].as_array()?)).then_some(())
            };
            if self.stage.whole_doors().iter().any(|door| shows(door).is_some()) {
                return Ok(());
            }
            self.give_up_late(what, begin)?;
            std::thread::sleep(PAUSE);
        }
    }

    /// Sends a wish through one door after the other until it is carried out:
    /// with the same key while it is not known whether it was, and with a new
    /// one after a refusal, because what stood in its way may be over.
    fn insist(&self, wish: &str, body: &dyn Fn(&str) -> Value) -> Result<Value, GivenUp> {
        let (path, begin) = (format!("/api/v1/nodes/{wish}"), Instant::now());
        let mut key = self.key();
        loop {
            let doors = self.stage.whole_doors();
            let drawn = self.random.borrow_mut().below(doors.len() as u64) as usize;
            let Some(door) = doors.get(drawn) else { return Err(GivenUp) };
            let said = door.send(&path, &body(&key), ANSWER_WITHIN);
            match said {
                Said::Accepted(answer) => return Ok(answer),
                // What is wanted is so already, and its answer was lost.
                Said::Refused(why) if wish == "remove" && why.contains("no node") => return Ok(Value::Null),
                Said::Refused(why) if why.contains("is being replaced already") => return Ok(Value::Null),
                Said::Refused(ref why) => {
                    self.stage.note(&format!("{wish} refused by {}: {why}", door.node()));
                    key = self.key();
                }
                Said::NotTaken(_) | Said::Unknown => {}
            }
            self.give_up_late(&format!("{wish}; the last answer was {said:?}"), begin)?;
            std::thread::sleep(PAUSE);
        }
    }

    /// While faults rage anything may take for ever; afterwards it may not.
    fn give_up_late(&self, what: &str, begin: Instant) -> Result<(), GivenUp> {
        let is_late = begin.elapsed() > HEALED_WITHIN && self.stage.has_been_healed_for(HEALED_WITHIN);
        if is_late {
            self.stage.violation(format!("all faults are over, and the operator waits in vain for {what}"));
        }
        if is_late || self.stage.is_over.load(Ordering::SeqCst) { Err(GivenUp) } else { Ok(()) }
    }

    fn key(&self) -> String {
        self.keys.set(self.keys.get() + 1);
        format!("operator-{}", self.keys.get())
    }
}

fn last_line(process: &Process) -> String {
    process.log_tail().lines().last().unwrap_or_default().to_owned()
}
