//! Checks of databases, heartbeats, and plugins.

use super::Reader;
use super::section::Section;
use crate::mistake::{Code, Draft};
use model::check::{HeartbeatCheck, HeartbeatSchedule, PluginCheck, PostgresCheck, RedisCheck};
use model::cron::Cron;
use std::time::Duration;

/// How late a heartbeat may be when nothing else is said: a job that takes a little longer today.
const GRACE_DEFAULT: Duration = Duration::from_secs(300);

impl Reader {
    /// Reads the keys of a postgres check.
    pub(super) fn postgres(
        &mut self,
        section: &Section<'_, '_>,
        expect: Option<&Section<'_, '_>>,
    ) -> Option<PostgresCheck> {
        let target = section.at("postgres").and_then(|at| self.host_port(at, None));
        let tls = self.tls_option(section, expect);
        let check = PostgresCheck {
            target: target?,
            user: section.at("user").and_then(|at| self.text(at)),
            password: section.at("password").and_then(|at| self.secret(at)),
            database: section.at("database").and_then(|at| self.text(at)),
            query: section.at("query").and_then(|at| self.text(at)),
            test: expect.and_then(|expect| expect.at("value")).and_then(|at| self.text_test(at)),
            tls,
        };
        for name in ["password", "database", "query"] {
            self.needs_key(section, name, "user", "without a user only \"does it take connections?\" is asked");
        }
        if let (Some(at), false) = (expect.and_then(|expect| expect.at("value")), section.is_meant("query")) {
            let draft = Draft::new(Code::Conflict, "\"value\" needs \"query\": nothing is asked").help("add a query");
            self.notes.add(at.node.place, at.path, draft);
        }
        Some(check)
    }

    /// Notes a key that means nothing without another.
    pub(super) fn needs_key(&mut self, section: &Section<'_, '_>, name: &'static str, other: &'static str, why: &str) {
        if let (Some(at), false) = (section.at(name), section.is_meant(other)) {
            let draft = Draft::new(Code::Conflict, format!("\"{name}\" needs \"{other}\"")).help(why);
            self.notes.add(at.node.place, at.path, draft);
        }
    }

    /// Reads the keys of a redis check.
    pub(super) fn redis(&mut self, section: &Section<'_, '_>, expect: Option<&Section<'_, '_>>) -> Option<RedisCheck> {
        let target = section.at("redis").and_then(|at| self.host_port(at, None));
        let tls = self.tls_option(section, expect);
        self.needs_key(section, "user", "password", "a user of an access control list has a password");
        Some(RedisCheck {
            target: target?,
            user: section.at("user").and_then(|at| self.text(at)),
            password: section.at("password").and_then(|at| self.secret(at)),
            tls,
            command: section.at("command").and_then(|at| self.command(at)).unwrap_or_default(),
            test: expect.and_then(|expect| expect.at("answer")).and_then(|at| self.text_test(at)),
        })
    }

    /// Reads the keys of a heartbeat check.
    pub(super) fn heartbeat(&mut self, section: &Section<'_, '_>) -> Option<HeartbeatCheck> {
        let beat = section.at("heartbeat").and_then(|at| self.part(at))?;
        let token = beat.at("token").and_then(|at| self.text(at));
        if let (Some(token), Some(at)) = (&token, beat.at("token"))
            && let Some(first) = self.tokens.insert(token.clone(), at.node.place)
        {
            let message = format!("another heartbeat has the same token, in line {}", first.line);
            let draft = Draft::new(Code::DuplicateName, message).help("give each heartbeat a token of its own");
            self.notes.add(at.node.place, at.path, draft);
        }
        let grace = beat.at("grace").and_then(|at| self.duration(at)).unwrap_or(GRACE_DEFAULT);
        self.exclude(&beat, &["period", "cron"], "a heartbeat has one of them");
        self.needs_key(&beat, "time_zone", "cron", "a period is the same in every time zone");
        let expected = self.schedule(&beat)?;
        Some(HeartbeatCheck { token: token?, expected, grace })
    }

    fn schedule(&mut self, beat: &Section<'_, '_>) -> Option<HeartbeatSchedule> {
        if let Some(at) = beat.at("period") {
            return self.duration(at).map(HeartbeatSchedule::Period);
        }
        if beat.is_meant("period") || beat.is_meant("cron") && !beat.has("cron") {
            return None;
        }
        let Some(at) = beat.at("cron") else {
            let draft = Draft::new(Code::MissingKey, "a heartbeat needs \"period\" or \"cron\"")
                .allowed("a time such as 1h, or a cron expression such as \"30 2 * * *\"");
            self.notes.add(beat.place, beat.path, draft);
            return None;
        };
        let cron = self.text(at).and_then(|text| Cron::parse(&text).ok());
        let time_zone = match beat.at("time_zone") {
            Some(at) => self.text(at)?,
            None => "UTC".to_owned(),
        };
        Some(HeartbeatSchedule::Cron { cron: cron?, time_zone })
    }

    /// Reads the keys of a plugin check.
    pub(super) fn plugin(&mut self, section: &Section<'_, '_>) -> Option<PluginCheck> {
        let command = section.at("plugin").and_then(|at| self.command(at));
        let environment = section.at("environment").map(|at| self.text_map(at, variable)).unwrap_or_default();
        Some(PluginCheck { command: command?, environment })
    }
}

fn variable(name: &str, value: &str) -> Result<(), String> {
    let mut letters = name.bytes();
    let is_name = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name {
        return Err("a variable's name holds only letters, digits and _".to_owned());
    }
    if value.contains('\0') { Err("its value holds a NUL character".to_owned()) } else { Ok(()) }
}
