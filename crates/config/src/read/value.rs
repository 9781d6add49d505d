//! Scalars become values, by the form that their table gives them.

use super::section::{At, Section};
use super::{Reader, text};
use crate::fields::{Form, Given, duration_text};
use crate::mistake::{Code, Draft, quoted};
use crate::nearest::nearest;
use crate::yaml::{Node, Scalar, Value};
use model::check::HostPort;
use model::id::{IdError, LocationId};
use model::secret::Secret;
use model::time::{Timestamp, parse_duration};
use std::time::Duration;

impl Reader {
    /// Notes that a value is not what its form says.
    pub(super) fn wrong(&mut self, at: At<'_, '_>, code: Code, message: impl Into<String>) {
        let draft = Draft::new(code, message).allowed(at.form.to_string());
        self.notes.add(at.node.place, at.path, draft);
    }

    fn unreadable(&mut self, at: At<'_, '_>, why: &str) {
        let name = quoted(at.path.name());
        let found = if matches!(at.form, Form::Token | Form::AgeRecipient) {
            String::new()
        } else {
            format!(", found {}", at.node.found())
        };
        let message = format!("{name} is not {}: {why}{found}", at.form.noun());
        let mut draft = Draft::new(Code::WrongValue, message).allowed(at.form.to_string());
        if matches!(at.form, Form::Url) && why.contains("user or password") {
            draft = draft.help("a check has `basic_auth` for it");
        }
        self.notes.add(at.node.place, at.path, draft);
    }

    /// The scalar that a value must be.
    fn scalar<'t, 's>(&mut self, at: At<'t, 's>) -> Option<&'t Scalar<'s>> {
        match &at.node.value {
            Value::Scalar(scalar) if scalar.is_null() => {
                self.wrong(at, Code::WrongValue, format!("{} has no value", quoted(at.path.name())));
                None
            }
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) | Value::Unknown => {
                let message =
                    format!("{} must be {}, found {}", quoted(at.path.name()), at.form.noun(), at.node.found());
                self.wrong(at, Code::WrongType, message);
                None
            }
        }
    }

    /// A text, judged by its form.
    pub(super) fn text(&mut self, at: At<'_, '_>) -> Option<String> {
        let scalar = self.scalar(at)?;
        let value = scalar.text.as_str();
        let verdict = match text::is_dear(at.form) {
            None => text::judge(at.form, value).err(),
            Some(grammar) => {
                let key = (grammar, value.to_owned());
                self.judged.entry(key).or_insert_with(|| text::judge(at.form, value).err()).clone()
            }
        };
        match verdict {
            None => Some(value.to_owned()),
            Some(why) => {
                self.unreadable(at, &why);
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, at: At<'_, '_>) -> Option<bool> {
        match self.scalar(at)?.text.as_str() {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => {
                let message = format!("{} must be true or false, found {}", quoted(at.path.name()), at.node.found());
                self.wrong(at, Code::WrongValue, message);
                None
            }
        }
    }

    /// A whole number within the limits of its form.
    pub(super) fn integer(&mut self, at: At<'_, '_>) -> Option<u32> {
        let Form::Integer { low, high } = *at.form else { unreachable!("only numbers are read as numbers") };
        let name = quoted(at.path.name());
        let Ok(number) = self.scalar(at)?.text.as_str().parse::<i64>() else {
            let message = format!("{name} must be a whole number, found {}", at.node.found());
            self.wrong(at, Code::WrongValue, message);
            return None;
        };
        match u32::try_from(number) {
            Ok(number) if (low..=high).contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                let limit =
                    if number < i64::from(low) { format!("less than {low}") } else { format!("more than {high}") };
                self.wrong(at, Code::OutOfRange, format!("{name} is {number}, {limit}"));
                None
            }
        }
    }

    /// A duration within the limits of its form.
    pub(super) fn duration(&mut self, at: At<'_, '_>) -> Option<Duration> {
        let Form::Duration { low_ms, high_ms } = *at.form else { unreachable!("only times are read as times") };
        let name = quoted(at.path.name());
        let written = self.scalar(at)?.text.as_str();
        let Ok(duration) = parse_duration(written) else {
            let mut draft =
                Draft::new(Code::WrongValue, format!("{name} is not a time with a unit, found {}", at.node.found()))
                    .allowed(at.form.to_string());
            if written.parse::<u64>().is_ok() {
                draft = draft.label(format!("write {written}s for seconds"));
            }
            self.notes.add(at.node.place, at.path, draft);
            return None;
        };
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        if (low_ms..=high_ms).contains(&ms) {
            return Some(duration);
        }
        let limit = if ms < low_ms {
            format!("less than {}", duration_text(low_ms))
        } else {
            format!("more than {}", duration_text(high_ms))
        };
        self.wrong(at, Code::OutOfRange, format!("{name} is {}, {limit}", duration_text(ms)));
        None
    }

    /// One of the words that a form allows.
    pub(super) fn choice(&mut self, at: At<'_, '_>) -> Option<&'static str> {
        let Form::Choice(words) = *at.form else { unreachable!("only choices are read as choices") };
        let written = self.scalar(at)?.text.as_str();
        if let Some(word) = words.iter().find(|word| **word == written) {
            return Some(word);
        }
        let message = format!("{} cannot be {}", quoted(at.path.name()), at.node.found());
        let mut draft = Draft::new(Code::WrongValue, message).allowed(words.join(", "));
        if let Some(near) = nearest(written, words.iter().copied()) {
            draft = draft.label(format!("did you mean {}?", quoted(near)));
        }
        self.notes.add(at.node.place, at.path, draft);
        None
    }

    /// An id of any type.
    pub(super) fn id<T>(&mut self, at: At<'_, '_>, make: impl Fn(&str) -> Result<T, IdError>) -> Option<T> {
        let written = self.scalar(at)?.text.as_str();
        match make(written) {
            Ok(id) => Some(id),
            Err(error) => {
                let message = format!("{} cannot be {}: {error}", quoted(at.path.name()), at.node.found());
                let mut draft =
                    Draft::new(Code::WrongValue, message).help("letters in an id are small, words are joined with -");
                if let Some(near) = model::id::slug(written) {
                    draft = draft.label(format!("did you mean {}?", quoted(&near)));
                }
                self.notes.add(at.node.place, at.path, draft);
                None
            }
        }
    }

    /// A location that is declared.
    pub(super) fn location(&mut self, at: At<'_, '_>) -> Option<LocationId> {
        let written = self.scalar(at)?.text.as_str();
        if let Some(location) = self.locations.iter().find(|location| location.as_str() == written) {
            return Some(location.clone());
        }
        if self.are_locations_partial {
            return None;
        }
        let names: Vec<&str> = self.locations.iter().map(LocationId::as_str).collect();
        let mut draft = Draft::new(Code::UnknownName, format!("there is no location {}", at.node.found()))
            .allowed(names.join(", "))
            .help("declare it under `locations`");
        if let Some(near) = nearest(written, names.iter().copied()) {
            draft = draft.label(format!("did you mean {}?", quoted(near)));
        }
        self.notes.add(at.node.place, at.path, draft);
        None
    }

    /// A secret, inline or by file.
    pub(super) fn secret(&mut self, at: At<'_, '_>) -> Option<Secret> {
        let (value, name) = match &at.node.value {
            Value::Scalar(scalar) => (scalar.text.as_str(), at.path.name()),
            Value::List(_) | Value::Map(_) | Value::Unknown => {
                let message = format!("{} must be a text, found {}", quoted(at.path.name()), at.node.found());
                self.wrong(at, Code::WrongType, message);
                return None;
            }
        };
        if value.is_empty() || value.contains(['\r', '\n', '\0']) {
            let message = format!("{} is empty or has more than one line", quoted(name));
            self.wrong(at, Code::WrongValue, message);
            return None;
        }
        Some(match at.given {
            Given::Inline => Secret::Inline(value.to_owned()),
            Given::File => Secret::File(value.to_owned()),
        })
    }

    /// A host with a port. `port` replaces the default of the form.
    pub(super) fn host_port(&mut self, at: At<'_, '_>, port: Option<u16>) -> Option<HostPort> {
        let Form::HostPort(default) = *at.form else { unreachable!("only hosts with ports are read as such") };
        let written = self.scalar(at)?.text.as_str();
        if let Some(target) = HostPort::parse(written, port.or(default)) {
            return Some(target);
        }
        let why = if written.contains("://") {
            "it is a web address"
        } else if default.is_none() && HostPort::parse(written, Some(1)).is_some() {
            "the port is missing"
        } else {
            "host or port cannot be read"
        };
        self.unreadable(at, why);
        None
    }

    /// A moment.
    pub(super) fn time(&mut self, at: At<'_, '_>) -> Option<Timestamp> {
        let written = self.scalar(at)?.text.as_str();
        let time = Timestamp::parse_rfc3339(written);
        if time.is_none() {
            let why = if written.len() == "2026-11-20T22:00:00".len() {
                "the time zone is missing, such as Z or +01:00"
            } else {
                "it cannot be read"
            };
            self.unreadable(at, why);
        }
        time
    }

    /// A program with its arguments.
    pub(super) fn command(&mut self, at: At<'_, '_>) -> Option<Vec<String>> {
        let words = match &at.node.value {
            Value::List(nodes) => {
                let words: Option<Vec<String>> = nodes
                    .iter()
                    .enumerate()
                    .filter(|(_, node)| !matches!(node.value, Value::Unknown))
                    .map(|(index, node)| {
                        let item = At { node, form: &Form::LongText, given: at.given, path: at.path.item(index) };
                        self.text(item)
                    })
                    .collect();
                Ok(words?)
            }
            Value::Scalar(scalar) => crate::words::split(scalar.text.as_str()),
            Value::Map(_) | Value::Unknown => Err("it is a map"),
        };
        match words {
            Ok(words) if words.first().is_none_or(|program| program.trim().is_empty()) => {
                self.unreadable(at, "it names no program");
                None
            }
            Ok(words) if words.iter().any(|word| word.contains('\0')) => {
                self.unreadable(at, "it holds a NUL character");
                None
            }
            Ok(words) => Some(words),
            Err(why) => {
                self.unreadable(at, why);
                None
            }
        }
    }

    /// Names with texts, each judged by `judge`, which says what is wrong with it.
    pub(super) fn text_map(
        &mut self,
        at: At<'_, '_>,
        judge: impl Fn(&str, &str) -> Result<(), String>,
    ) -> Vec<(String, String)> {
        let Value::Map(pairs) = &at.node.value else {
            let message = format!("{} must be a map, found {}", quoted(at.path.name()), at.node.found());
            self.wrong(at, Code::WrongType, message);
            return Vec::new();
        };
        let mut out = Vec::new();
        for (key, node) in pairs {
            if matches!(node.value, Value::Unknown) {
                continue;
            }
            let name = key.name.as_str();
            let path = at.path.key(name);
            let item = At { node, form: &Form::LongText, given: at.given, path };
            let Some(value) = self.text(item) else { continue };
            match judge(name, &value) {
                Ok(()) => out.push((name.to_owned(), value)),
                Err(why) => {
                    let message = format!("{} cannot hold {}: {why}", quoted(at.path.name()), quoted(name));
                    let draft = Draft::new(Code::WrongValue, message).help("remove it, or mend its name or value");
                    self.notes.add(key.place, path, draft);
                }
            }
        }
        out
    }

    /// Notes keys that exclude each other, at the last of them.
    pub(super) fn exclude(&mut self, section: &Section<'_, '_>, names: &[&'static str], help: &str) {
        let present = section.present(names);
        if let [first, .., last] = present.as_slice()
            && let Some(at) = section.at(last)
        {
            let message = format!("{} and {} exclude each other", quoted(first), quoted(last));
            self.notes.add(at.node.place, at.path, Draft::new(Code::Conflict, message).help(help));
        }
    }
}

/// A value as JSON text, by the types of YAML's core schema.
pub(super) fn json(node: &Node<'_>) -> String {
    match &node.value {
        Value::Scalar(scalar) => json_scalar(scalar),
        Value::Unknown => "null".to_owned(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Map(pairs) => {
            let pairs: Vec<String> =
                pairs.iter().map(|(key, value)| format!("{}:{}", json_text(key.name.as_str()), json(value))).collect();
            format!("{{{}}}", pairs.join(","))
        }
    }
}

fn json_scalar(scalar: &Scalar<'_>) -> String {
    let text = scalar.text.as_str();
    match text {
        _ if !scalar.is_plain => json_text(text),
        _ if scalar.is_null() => "null".to_owned(),
        "true" | "True" | "TRUE" => "true".to_owned(),
        "false" | "False" | "FALSE" => "false".to_owned(),
        // What JSON takes as a number is one, in the form it was written in.
        _ if serde_json::from_str::<serde_json::Number>(text).is_ok() => text.to_owned(),
        _ => json_text(text),
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}
