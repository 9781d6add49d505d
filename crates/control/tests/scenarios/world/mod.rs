//! The world of a scenario: reads its lines and turns them into entries.
//! `expect` compares what is expected, `nodes` plays the cluster's nodes,
//! `read` reads the parts of a line.

mod expect;
mod nodes;
mod read;

use control::delivery;
use control::state::CommandOutcome;
use control::{Effect, State};
use model::check::{Check, CheckKind, HeartbeatCheck, HeartbeatSchedule};
use model::configuration::Configuration;
use model::entry::{Action, Answer, Body, Command, Entry, Origin};
use model::id::{CheckSlot, IncidentId, MaintenanceId, ReceiverId, ServiceId};
use model::member::NodeId;
use model::observation::{Batch, Cause, Detail, Failure, Observation, Outcome};
use model::receiver::{Means, Receiver};
use model::service::{Need, NeedClass, Service};
use model::time::{Timestamp, parse_duration};
use nodes::Node;
use read::{MIDNIGHT, check, check_id, clock, location, maintenance, time, words};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

pub(crate) struct World {
    state: State,
    index: u64,
    configuration: Configuration,
    is_active: bool,
    sequence: u64,
    answers: BTreeMap<ReceiverId, Answer>,
    transcript: String,
    decided: u64,
    nodes: Vec<Node>,
    /// How often all were called to look at a check at once.
    calls: BTreeMap<CheckSlot, u32>,
}

type Played = Result<(), String>;

impl World {
    pub(crate) fn new() -> Self {
        Self {
            state: State::default(),
            index: 0,
            configuration: Configuration::default(),
            is_active: false,
            sequence: 0,
            answers: BTreeMap::new(),
            transcript: String::new(),
            decided: 0,
            nodes: Vec::new(),
            calls: BTreeMap::new(),
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Plays a script; returns what did not go as written.
    pub(crate) fn play(&mut self, script: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        for (at, line) in script.lines().enumerate() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Err(what) = self.line(&words(line)) {
                wrong.push(format!("line {}: `{line}`: {what}", at + 1));
            }
        }
        wrong
    }

    fn line(&mut self, words: &[String]) -> Played {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["locations", names @ ..] => {
                self.configuration.locations = names.iter().map(|name| location(name)).collect();
                Ok(())
            }
            ["node", name, "at", place, rest @ ..] => self.node(name, place, rest),
            ["service", id, rest @ ..] => self.service(id, rest),
            ["receiver", id, rest @ ..] => {
                self.configuration.receivers.retain(|known| known.id.as_str() != *id);
                self.configuration.receivers.push(Receiver {
                    id: ReceiverId::new(id).map_err(|e| e.to_string())?,
                    means: Means::Exec { command: vec!["true".to_owned()] },
                    wants_degraded: rest.contains(&"degraded"),
                    wants_resolved: !rest.contains(&"unresolved"),
                });
                Ok(())
            }
            ["maintenance", id, "on", service, "from", from, "until", until, impact] => {
                let work = maintenance(id, service, time(from)?, time(until)?, impact)?;
                self.configuration.maintenance.push(work);
                Ok(())
            }
            ["forget", "service", id] => {
                self.configuration.services.retain(|service| service.id.as_str() != *id);
                Ok(())
            }
            ["forget", "receiver", id] => {
                self.configuration.receivers.retain(|receiver| receiver.id.as_str() != *id);
                Ok(())
            }
            ["forget", "maintenance", id] => {
                self.configuration.maintenance.retain(|work| work.id.as_str() != *id);
                Ok(())
            }
            // The process is off: no entry until then.
            ["off", "until", when] => {
                self.apply_at(time(when)?, Body::Tick);
                self.deliver();
                Ok(())
            }
            ["at", when, "reload"] => {
                self.advance(time(when)?);
                self.reload()
            }
            ["at", when, rest @ ..] => {
                self.advance(time(when)?);
                self.act(rest)
            }
            ["every", step, "from", from, "until", until, rest @ ..] => {
                let (mut now, until) = (time(from)?, time(until)?);
                let step = parse_duration(step).map_err(|e| e.to_string())?;
                while now <= until {
                    self.advance(now);
                    self.act(rest)?;
                    now = now.plus(step);
                }
                Ok(())
            }
            ["expect", rest @ ..] => self.expect(rest),
            other => Err(format!("not a line of the language: {other:?}")),
        }
    }

    fn service(&mut self, id: &str, rest: &[&str]) -> Played {
        let mut service = Service {
            id: ServiceId::new(id).map_err(|e| e.to_string())?,
            name: id.to_owned(),
            description: None,
            group: None,
            needs: Vec::new(),
            checks: Vec::new(),
            receivers: None,
            is_public: true,
            announces: true,
        };
        let mut check = check(id, &self.configuration.locations);
        let mut check_count = 1;
        for word in rest {
            let (key, value) = word.split_once('=').ok_or("options are key=value")?;
            match key {
                "name" => service.name = value.to_owned(),
                "needs" | "likes" => {
                    let class = if key == "needs" { NeedClass::Hard } else { NeedClass::Soft };
                    service.needs.push(Need { service: ServiceId::new(value).map_err(|e| e.to_string())?, class });
                }
                "every" => check.every = parse_duration(value).map_err(|e| e.to_string())?,
                "down_after" => check.down_after = value.parse().map_err(|_| "a number")?,
                "up_after" => check.up_after = value.parse().map_err(|_| "a number")?,
                "from" => check.from = value.split(',').map(location).collect(),
                "checks" => check_count = value.parse().map_err(|_| "a number")?,
                "told" => {
                    let told = value.split(',').map(ReceiverId::new).collect::<Result<_, _>>();
                    service.receivers = Some(told.map_err(|e| e.to_string())?);
                }
                "heartbeat" => {
                    let (period, grace) = value.split_once('+').unwrap_or((value, "1m"));
                    let period = parse_duration(period).map_err(|e| e.to_string())?;
                    let expected = HeartbeatSchedule::Period(period);
                    let grace = parse_duration(grace).map_err(|e| e.to_string())?;
                    check.kind = CheckKind::Heartbeat(Box::new(HeartbeatCheck {
                        token: "0123456789abcdef".to_owned(),
                        expected,
                        grace,
                    }));
                }
                other => return Err(format!("no option {other}")),
            }
        }
        // Further checks are named `web-2`, `web-3` and so on.
        for number in 1..=check_count {
            let id = if number == 1 { check.id.clone() } else { check_id(&format!("{id}-{number}"))? };
            service.checks.push(Check { id, ..check.clone() });
        }
        // A service that is named again is changed, at its place.
        match self.configuration.services.iter_mut().find(|known| known.id == service.id) {
            Some(known) => *known = service,
            None => self.configuration.services.push(service),
        }
        Ok(())
    }

    /// The configuration as it was changed by the lines above becomes the active one.
    fn reload(&mut self) -> Played {
        let digest = format!("reload-{}", self.index);
        let bytes = self.configuration.encode();
        self.command("file", Action::StoreConfiguration { digest: digest.clone(), part: 0, parts: 1, bytes })?;
        self.command("file", Action::ActivateConfiguration { digest, offered_by: None })
    }

    fn act(&mut self, words: &[&str]) -> Played {
        match words {
            [place, "sees", id, how, rest @ ..] => self.see(place, id, how, rest, self.state.now()),
            [place, "saw", id, how, "at", when] => self.see(place, id, how, &[], time(when)?),
            [name, "joins", "at", place] => self.join(name, place, None),
            [name, "joins", "at", place, "for", other] => self.join(name, place, Some(other)),
            [actor, "removes", name] => {
                let node = self.number(name)?;
                self.command(actor, Action::RemoveMember { node })
            }
            [name, how @ ("is" | "loses" | "has"), rest @ ..] => self.fare(name, &[&[*how], rest].concat()),
            [receiver, "answers", how, rest @ ..] => {
                let reason = rest.first().map_or_else(|| "connection refused".to_owned(), |text| (*text).to_owned());
                let answer = match *how {
                    "ok" => Answer::Delivered { said: "ok".to_owned() },
                    "fails" => Answer::Failed { reason, retry_after_seconds: None },
                    "refuses" => Answer::Refused { reason },
                    other => return Err(format!("no answer {other}")),
                };
                self.answers.insert(ReceiverId::new(receiver).map_err(|e| e.to_string())?, answer);
                Ok(())
            }
            [actor, "acknowledges", incident] => {
                let incident = IncidentId(incident.parse().map_err(|_| "a number")?);
                self.command(actor, Action::Acknowledge { incident, note: None })
            }
            [actor, "plans", id, "on", service, "until", until, impact] => {
                let work = maintenance(id, service, self.state.now(), time(until)?, impact)?;
                self.command(actor, Action::ScheduleMaintenance(work))
            }
            [actor, "ends", id] => {
                let maintenance = MaintenanceId::new(id).map_err(|e| e.to_string())?;
                self.command(actor, Action::EndMaintenance { maintenance })
            }
            ["nothing"] => Ok(()),
            other => Err(format!("nobody does this: {other:?}")),
        }
    }

    /// Hands a round in; `web*` stands for every check whose name begins so.
    fn see(&mut self, place: &str, id: &str, how: &str, rest: &[&str], scheduled: Timestamp) -> Played {
        let seen = |slot| observation(slot, how, rest, scheduled);
        let observations = match id.strip_suffix('*') {
            Some(begin) => {
                let is_meant = |slot: &CheckSlot| {
                    self.state.target(*slot).is_some_and(|(_, check)| check.id.as_str().starts_with(begin))
                };
                self.state.slots().filter(is_meant).map(seen).collect::<Result<_, _>>()?
            }
            None => vec![seen(self.state.slot(&check_id(id)?).ok_or("no such check")?)?],
        };
        let (location, node) = self.looker(place);
        self.sequence += 1;
        let batch = Batch { location, node, incarnation: 1, sequence: self.sequence, observations };
        match self.apply(Body::Results(batch)) {
            CommandOutcome::Accepted => Ok(()),
            CommandOutcome::Refused(why) => Err(why),
        }
    }

    fn command(&mut self, actor: &str, action: Action) -> Played {
        let key = format!("key-{}", self.index);
        let command =
            Command { actor: actor.to_owned(), origin: Origin::CommandLine, key, expected_revision: None, action };
        match self.apply(Body::Command(command)) {
            CommandOutcome::Accepted => Ok(()),
            CommandOutcome::Refused(why) => Err(why),
        }
    }

    /// Makes the configuration active and lets the nodes found the cluster, at midnight.
    fn start(&mut self) -> Played {
        let bytes = self.configuration.encode();
        let digest = "scenario".to_owned();
        self.command("file", Action::StoreConfiguration { digest: digest.clone(), part: 0, parts: 1, bytes })?;
        self.command("file", Action::ActivateConfiguration { digest, offered_by: None })?;
        self.found()?;
        self.transcript.clear();
        Ok(())
    }

    fn advance(&mut self, to: Timestamp) {
        if !self.is_active {
            self.is_active = true;
            self.start().expect("a configuration and nodes that are accepted");
            self.decided = self.index;
        }
        while self.state.now() < to {
            self.apply_at(self.state.now().plus(Duration::from_secs(1)).min(to), Body::Tick);
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        let (due, _) = delivery::due(&self.state, self.state.now(), NodeId(1), &BTreeSet::new());
        for delivery in due {
            let (key, attempt) = (delivery.message.key.clone(), delivery.attempt + 1);
            self.apply(Body::AttemptBegins { key: key.clone(), attempt, node: NodeId(1) });
            let delivered = Answer::Delivered { said: "ok".to_owned() };
            let answer = self.answers.get(&delivery.receiver).cloned().unwrap_or(delivered);
            self.apply(Body::AttemptEnded { key, attempt, answer });
        }
    }

    fn apply(&mut self, body: Body) -> CommandOutcome {
        self.apply_at(self.state.now().max(Timestamp::from_ms(MIDNIGHT)), body)
    }

    fn apply_at(&mut self, at: Timestamp, body: Body) -> CommandOutcome {
        self.index += 1;
        let applied = self.state.apply(self.index, &Entry { at, body });
        for effect in &applied.effects {
            if let Effect::LookNow(slot) = effect {
                *self.calls.entry(*slot).or_default() += 1;
            }
        }
        for decision in self.state.decisions().filter(|decision| decision.index > self.decided) {
            let about = decision
                .check
                .as_ref()
                .map(ToString::to_string)
                .or_else(|| decision.service.as_ref().map(ToString::to_string));
            let text = decision.reason.to_string().replace("2026-01-01T", "");
            let _ = writeln!(
                self.transcript,
                "{} {:<9} {text}",
                clock(decision.at),
                about.unwrap_or_else(|| "mainstay".to_owned())
            );
        }
        self.decided = self.index;
        applied.outcome
    }
}

fn observation(slot: CheckSlot, how: &str, rest: &[&str], scheduled: Timestamp) -> Result<Observation, String> {
    let (outcome, cause) = match how {
        "up" => (Outcome::Pass, None),
        "slow" => (Outcome::Degraded, Some(Cause::Slow)),
        "down" => (Outcome::Fail, Some(Cause::Refused)),
        "expired" => (Outcome::Fail, Some(Cause::CertificateExpired)),
        "nothing" => (Outcome::Own, Some(Cause::Own)),
        other => return Err(format!("nobody sees {other}; up, slow, down, expired or nothing")),
    };
    let sentence = rest.first().map_or_else(|| format!("seen {how}"), |text| (*text).to_owned());
    let detail =
        cause.map(|cause| Box::new(Detail { failure: Some(Failure { cause, sentence }), ..Detail::default() }));
    Ok(Observation { slot, scheduled, outcome, latency_us: 1000, detail })
}
