//! Checks: the kind, when and where it runs, and its id if one is written.

use super::Reader;
use super::section::{At, Section};
use crate::fields::check::KINDS;
use crate::mistake::{Code, Draft, quoted};
use crate::nearest::nearest;
use crate::yaml::{Place, Value};
use model::check::{Check, CheckKind, EVERY_DEFAULT, Family, HeartbeatSchedule, RETRY_DEFAULT, TIMEOUT_DEFAULT};
use model::id::{CheckId, LocationId};
use std::time::Duration;

/// Rounds that decide when nothing else is said: one bad answer is weather, two are a fact.
const AFTER_DEFAULT: u8 = 2;
/// How often it is looked whether a heartbeat is late.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(60);

/// When and where a check runs.
#[derive(Clone)]
pub(super) struct Defaults {
    every: Duration,
    timeout: Duration,
    retry: Duration,
    down_after: u8,
    up_after: u8,
    from: Vec<LocationId>,
    family: Option<Family>,
}

impl Defaults {
    pub(super) fn new(locations: &[LocationId]) -> Self {
        Self {
            every: EVERY_DEFAULT,
            timeout: TIMEOUT_DEFAULT,
            retry: RETRY_DEFAULT,
            down_after: AFTER_DEFAULT,
            up_after: AFTER_DEFAULT,
            from: locations.to_vec(),
            family: Some(Family::Any),
        }
    }
}

/// A check whose id may still have to be made.
pub(super) struct ReadCheck {
    pub(super) id: Option<String>,
    /// Holds a stand-in for the id.
    pub(super) check: Check,
    /// Whether it stands for two, one of each family.
    pub(super) is_both: bool,
    pub(super) place: Place,
    /// Its position in the list of checks.
    pub(super) index: usize,
}

impl Reader {
    /// Reads one check.
    pub(super) fn check(&mut self, at: At<'_, '_>, defaults: &Defaults) -> Option<ReadCheck> {
        let kind_name = self.kind(at)?;
        let kind = KINDS.iter().find(|kind| kind.name == kind_name).expect("a name from this list");
        let section = self.section(at.node, kind.part, at.path)?;
        let mut rounds = defaults.clone();
        let is_heartbeat = kind_name == "heartbeat";
        if is_heartbeat {
            (rounds.down_after, rounds.up_after) = (1, 1);
        } else {
            self.rounds(&section, &mut rounds);
        }
        let id = section.at("id").and_then(|at| self.id(at, CheckId::new)).map(String::from);
        let place = section.at("id").map_or(section.place, |at| at.node.place);
        let expect = if is_heartbeat { None } else { section.at("expect").and_then(|at| self.part(at)) };
        let latency = expect.as_ref().map(|expect| self.latency(expect, rounds.timeout)).unwrap_or_default();
        let kind = self.check_kind(kind_name, &section, expect.as_ref())?;
        if let CheckKind::Heartbeat(beat) = &kind {
            rounds.every = match &beat.expected {
                HeartbeatSchedule::Period(period) => HEARTBEAT_EVERY.min(*period),
                HeartbeatSchedule::Cron { .. } => HEARTBEAT_EVERY,
            };
            // A sign of life arrives at this cluster, wherever its probes stand.
            rounds.from.truncate(1);
        }
        let is_both = rounds.family.is_none() && !matches!(kind, CheckKind::Heartbeat(_) | CheckKind::Plugin(_));
        let check = Check {
            id: CheckId::new("unnamed").expect("a legal constant"),
            kind,
            every: rounds.every,
            timeout: rounds.timeout,
            retry: rounds.retry,
            down_after: rounds.down_after,
            up_after: rounds.up_after,
            from: rounds.from,
            family: rounds.family.unwrap_or(Family::Any),
            latency,
        };
        Some(ReadCheck { id, check, is_both, place, index: at.path.index() })
    }

    /// The kind of a check: the one key that names it. `tls` is an option of
    /// other kinds too, so it counts only if no other kind is there.
    fn kind(&mut self, at: At<'_, '_>) -> Option<&'static str> {
        let names = KINDS.iter().map(|kind| kind.name);
        let Value::Map(pairs) = &at.node.value else {
            let message = format!("a check must be a map, found {}", at.node.found());
            let draft = Draft::new(Code::WrongType, message)
                .allowed(names.collect::<Vec<_>>().join(", "))
                .help("write a kind and its target, such as `- http: https://www.example.org/`");
            self.notes.add(at.node.place, at.path, draft);
            return None;
        };
        let mut is_tls = false;
        for (key, _) in pairs {
            let kind = KINDS.iter().find(|kind| kind.name == key.name.as_str());
            match kind.map(|kind| kind.name) {
                Some("tls") => is_tls = true,
                Some(kind) => return Some(kind),
                None => {}
            }
        }
        if is_tls {
            return Some("tls");
        }
        self.no_kind(at);
        None
    }

    fn no_kind(&mut self, at: At<'_, '_>) {
        let Value::Map(pairs) = &at.node.value else { return };
        let names = || KINDS.iter().map(|kind| kind.name);
        let allowed = names().collect::<Vec<_>>().join(", ");
        for (key, _) in pairs {
            let written = key.name.as_str();
            let is_known = KINDS.iter().any(|kind| kind.part.field(written).is_some());
            if let Some(near) = nearest(written, names()).filter(|_| !is_known) {
                let draft = Draft::new(Code::UnknownKey, format!("unknown kind of check {}", quoted(written)))
                    .label(format!("did you mean {}?", quoted(near)))
                    .allowed(allowed);
                self.notes.add(key.place, at.path, draft);
                return;
            }
        }
        let place = pairs.first().map_or(at.node.place, |(key, _)| key.place);
        let draft = Draft::new(Code::MissingKey, "a check needs a kind, which says what is watched")
            .label("no kind")
            .allowed(allowed)
            .help("add one with its target, such as `http: https://www.example.org/`");
        self.notes.add(place, at.path, draft);
    }

    fn check_kind(
        &mut self,
        name: &str,
        section: &Section<'_, '_>,
        expect: Option<&Section<'_, '_>>,
    ) -> Option<CheckKind> {
        Some(match name {
            "http" => CheckKind::Http(Box::new(self.http(section, expect)?)),
            "tcp" => CheckKind::Tcp(Box::new(self.tcp(section, expect)?)),
            "icmp" => CheckKind::Icmp(self.icmp(section)?),
            "dns" => CheckKind::Dns(Box::new(self.dns(section, expect)?)),
            "tls" => CheckKind::Tls(Box::new(self.tls_check(section, expect)?)),
            "smtp" => CheckKind::Smtp(Box::new(self.smtp(section, expect)?)),
            "ssh" => CheckKind::Ssh(Box::new(self.ssh(section, expect)?)),
            "postgres" => CheckKind::Postgres(Box::new(self.postgres(section, expect)?)),
            "redis" => CheckKind::Redis(Box::new(self.redis(section, expect)?)),
            "heartbeat" => CheckKind::Heartbeat(Box::new(self.heartbeat(section)?)),
            "plugin" => CheckKind::Plugin(Box::new(self.plugin(section)?)),
            other => unreachable!("the kind {other} is in the table and has no reader"),
        })
    }

    /// Reads when and where, over what held before.
    pub(super) fn rounds(&mut self, section: &Section<'_, '_>, rounds: &mut Defaults) {
        if let Some(every) = section.at("every").and_then(|at| self.duration(at)) {
            rounds.every = every;
        }
        self.timeout(section, rounds);
        match section.at("retry").and_then(|at| self.duration(at)) {
            Some(retry) => rounds.retry = retry,
            None => rounds.retry = rounds.retry.min(rounds.every),
        }
        self.thresholds(section, rounds);
        self.from(section, rounds);
        // A plugin has no family; the key is not in its table.
        if section.knows("family")
            && let Some(family) = section.at("family").and_then(|at| self.choice(at))
        {
            rounds.family = match family {
                "ipv4" => Some(Family::V4),
                "ipv6" => Some(Family::V6),
                "both" => None,
                _ => Some(Family::Any),
            };
        }
    }

    fn timeout(&mut self, section: &Section<'_, '_>, rounds: &mut Defaults) {
        let Some(at) = section.at("timeout") else {
            // A default that does not fit gives way; a written one is a mistake.
            rounds.timeout = rounds.timeout.min(rounds.every);
            return;
        };
        let Some(timeout) = self.duration(at) else { return };
        rounds.timeout = timeout;
        let text = model::time::format_duration;
        let (short, every) = (text(timeout), text(rounds.every));
        if timeout > rounds.every {
            let message = format!("\"timeout\" is {short}, longer than \"every\" ({every})");
            let draft = Draft::new(Code::Conflict, message).help("a round must end before the next begins");
            self.notes.add(at.node.place, at.path, draft);
        } else if timeout > rounds.every / 2 && rounds.down_after > 1 {
            let message = format!(
                "\"timeout\" ({short}) is more than half of \"every\" ({every}), so a retry overlaps the next round"
            );
            let draft =
                Draft::new(Code::Doubtful, message).help("use a shorter timeout, or a longer time between rounds");
            self.notes.warn(at.node.place, at.path, draft);
        }
    }

    fn thresholds(&mut self, section: &Section<'_, '_>, rounds: &mut Defaults) {
        let mut count = |name, into: &mut u8| {
            if let Some(count) = section.at(name).and_then(|at| self.integer(at)) {
                *into = u8::try_from(count).expect("the table allows at most 100");
            }
        };
        count("down_after", &mut rounds.down_after);
        count("up_after", &mut rounds.up_after);
    }

    fn from(&mut self, section: &Section<'_, '_>, rounds: &mut Defaults) {
        let Some(at) = section.at("from") else { return };
        if matches!(&at.node.value, Value::List(items) if items.is_empty()) {
            self.wrong(at, Code::WrongValue, "\"from\" is an empty list, so nobody would look");
            return;
        }
        let mut from: Vec<LocationId> = Vec::new();
        for at in at.items(self) {
            let Some(location) = self.location(at) else { continue };
            if from.contains(&location) {
                let message = format!("the location {} is named twice", quoted(location.as_str()));
                self.notes.add(at.node.place, at.path, Draft::new(Code::DuplicateName, message).help("remove one"));
            } else {
                from.push(location);
            }
        }
        if !from.is_empty() {
            rounds.from = from;
        }
    }
}
