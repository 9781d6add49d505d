//! A map of the tree held against its table: unknown keys, missing keys, and
//! access to the rest by name.

use super::Reader;
use super::path::Path;
use crate::fields::check::KINDS;
use crate::fields::{Field, Form, Given, Part, Presence};
use crate::mistake::{Code, Draft, is_secret_key, quoted};
use crate::nearest::nearest;
use crate::yaml::{Key, Node, Place, Value};

/// A map with known keys.
pub(crate) struct Section<'t, 's> {
    part: &'static Part,
    pub(super) place: Place,
    pub(super) path: Path<'t>,
    entries: Vec<Entry<'t, 's>>,
    /// Keys that are probably meant by something written here, about which a
    /// mistake is noted already: misspelt, without a value, with an unknown variable.
    excused: Vec<&'static str>,
}

struct Entry<'t, 's> {
    field: &'static Field,
    given: Given,
    node: &'t Node<'s>,
}

/// A value with its place, its path and what it may be.
#[derive(Clone, Copy)]
pub(crate) struct At<'t, 's> {
    pub(super) node: &'t Node<'s>,
    pub(super) form: &'static Form,
    pub(super) given: Given,
    pub(super) path: Path<'t>,
}

impl<'t, 's> Section<'t, 's> {
    /// The value of a key; `None` if it is not there.
    pub(super) fn at<'a>(&'a self, name: &'static str) -> Option<At<'a, 's>> {
        debug_assert!(self.part.field(name).is_some(), "the key {name} of {} is not in its table", self.part.name);
        let entry = self.entries.iter().find(|entry| entry.field.name == name)?;
        let path = self.path.key(name);
        Some(At { node: entry.node, form: &entry.field.form, given: entry.given, path })
    }

    /// The values of a key that takes a list, or one value in place of a list.
    pub(super) fn items<'a>(&'a self, name: &'static str, reader: &mut Reader) -> Vec<At<'a, 's>> {
        self.at(name).map(|at| at.items(reader)).unwrap_or_default()
    }

    pub(super) fn has(&self, name: &'static str) -> bool {
        self.at(name).is_some()
    }

    /// Whether a key may stand here at all.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.part.field(name).is_some()
    }

    /// Whether nothing is written in it.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.excused.is_empty()
    }

    /// Whether a key is there, or was meant to be.
    pub(super) fn is_meant(&self, name: &'static str) -> bool {
        self.has(name) || self.excused.contains(&name)
    }

    /// Which of some keys are there.
    pub(super) fn present(&self, names: &[&'static str]) -> Vec<&'static str> {
        names.iter().copied().filter(|name| self.has(name)).collect()
    }
}

impl<'t, 's> At<'t, 's> {
    /// The items of a list, or the value itself where one may stand for a list.
    pub(super) fn items(self, reader: &mut Reader) -> Vec<At<'t, 's>> {
        let (item, is_list_needed) = match self.form {
            Form::List(item) => (*item, true),
            Form::OneOrList(item) => (*item, false),
            _ => (self.form, false),
        };
        match &self.node.value {
            Value::List(nodes) => nodes
                .iter()
                .enumerate()
                .filter(|(_, node)| !matches!(node.value, Value::Unknown))
                .map(|(index, node)| At { node, form: item, given: self.given, path: self.path.item(index) })
                .collect(),
            Value::Scalar(_) | Value::Map(_) | Value::Unknown if is_list_needed => {
                let draft = Draft::new(
                    Code::WrongType,
                    format!("{} must be a list, found {}", quoted(self.path.name()), self.node.found()),
                );
                let draft = draft.help("begin each item with \"- \" on a line of its own, or write [one, two]");
                reader.notes.add(self.node.place, self.path, draft);
                Vec::new()
            }
            Value::Scalar(_) | Value::Map(_) | Value::Unknown => vec![At { form: item, ..self }],
        }
    }

    /// The form that holds for a value that may be a scalar or a map.
    pub(super) fn chosen(self) -> Self {
        match (self.form, &self.node.value) {
            (Form::Either(one, _), Value::Scalar(_) | Value::List(_)) => At { form: one, ..self },
            (Form::Either(_, other), Value::Map(_)) => At { form: other, ..self },
            _ => self,
        }
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }
}

impl Reader {
    /// Opens the part that a value's form names.
    pub(super) fn part<'t, 's>(&mut self, at: At<'t, 's>) -> Option<Section<'t, 's>> {
        let at = at.chosen();
        match at.form {
            Form::Part(part) => self.section(at.node, part, at.path),
            _ => unreachable!("only keys with a part are opened as one"),
        }
    }

    /// Holds a map against a table. `None`, with a mistake noted, if it is no map.
    pub(super) fn section<'t, 's>(
        &mut self,
        node: &'t Node<'s>,
        part: &'static Part,
        path: Path<'t>,
    ) -> Option<Section<'t, 's>> {
        let Value::Map(pairs) = &node.value else {
            let is_secret = is_secret_key(path.name()) && !node.is_null();
            let found = if is_secret { "something else".to_owned() } else { node.found() };
            let message = format!("{} must be a map, found {found}", part.name);
            let draft = Draft::new(Code::WrongType, message).allowed(part.keys().join(", "));
            self.notes.add(node.place, path, draft);
            return None;
        };
        let place = pairs.first().map_or(node.place, |(key, _)| key.place);
        let mut section = Section { part, place, path, entries: Vec::with_capacity(pairs.len()), excused: Vec::new() };
        for (key, value) in pairs {
            let Some((field, given)) = part.field(key.name.as_str()) else {
                section.excused.extend(self.unknown_key(key, part, path));
                continue;
            };
            if self.is_given(field, key, value, path) {
                section.entries.push(Entry { field, given, node: value });
            } else {
                section.excused.push(field.name);
            }
        }
        self.given_twice(&section);
        self.missing(&section);
        Some(section)
    }

    /// Whether a value is there. A list or map without content counts as left
    /// out, because that is what remains when its lines are commented out.
    fn is_given(&mut self, field: &'static Field, key: &Key<'_>, value: &Node<'_>, path: Path<'_>) -> bool {
        if matches!(value.value, Value::Unknown) {
            return false;
        }
        if !value.is_null() || matches!(field.form, Form::Json) {
            return true;
        }
        let is_container = matches!(field.form, Form::Part(_) | Form::List(_) | Form::OneOrList(_) | Form::TextMap);
        if !is_container {
            let message = format!("{} has no value", quoted(field.name));
            let help = "write a value behind it, or remove the key; \"\" is an empty text";
            let draft = Draft::new(Code::WrongValue, message).allowed(field.form.to_string()).help(help);
            self.notes.add(key.place, path.key(field.name), draft);
        }
        false
    }

    fn given_twice(&mut self, section: &Section<'_, '_>) {
        for (index, entry) in section.entries.iter().enumerate() {
            if section.entries[..index].iter().any(|other| std::ptr::eq(other.field, entry.field)) {
                let name = entry.field.name;
                let message = format!("{} and {} exclude each other", quoted(name), quoted(&format!("{name}_file")));
                let draft = Draft::new(Code::Conflict, message)
                    .help("a secret is given inline or by file, never both; remove one");
                self.notes.add(entry.node.place, section.path.key(name), draft);
            }
        }
    }

    fn missing(&mut self, section: &Section<'_, '_>) {
        for field in section.part.fields().filter(|field| matches!(field.presence, Presence::Required)) {
            if !section.is_meant(field.name) {
                let message = format!("{} needs {}", section.part.name, quoted(field.name));
                let draft = Draft::new(Code::MissingKey, message)
                    .label(format!("{} is missing", quoted(field.name)))
                    .allowed(field.form.to_string());
                self.notes.add(section.place, section.path, draft);
            }
        }
    }

    /// Notes a key that does not exist, and returns the one that was probably meant.
    fn unknown_key(&mut self, key: &Key<'_>, part: &'static Part, path: Path<'_>) -> Option<&'static str> {
        let name = key.name.as_str();
        let near = nearest(name, part.fields().map(|field| field.name));
        let draft = if name == "<<" {
            Draft::new(Code::UnknownKey, "the merge key << is not part of YAML 1.2")
                .help("use an alias for a whole value, or `defaults` for what all checks share")
        } else if let Some(draft) = other_kind(name, part) {
            draft
        } else {
            let message = format!("unknown key {} in {}", quoted(name), part.name);
            let draft = Draft::new(Code::UnknownKey, message).allowed(part.keys().join(", "));
            let keys = part.keys();
            match nearest(name, keys.iter().map(String::as_str)) {
                _ if is_expected(name, part) => draft.label("belongs under \"expect\""),
                Some(near) => draft.label(format!("did you mean {}?", quoted(near))),
                None => draft,
            }
        };
        self.notes.add(key.place, path, draft);
        near
    }
}

/// A key that checks of another kind have.
fn other_kind(name: &str, part: &'static Part) -> Option<Draft> {
    if !KINDS.iter().any(|kind| std::ptr::eq(kind.part, part)) {
        return None;
    }
    if KINDS.iter().any(|kind| kind.name == name) {
        let message = format!("{} cannot be {} as well", part.name, quoted(name));
        return Some(Draft::new(Code::Conflict, message).help("a check has one kind; make two checks of it"));
    }
    let owners: Vec<&str> =
        KINDS.iter().filter(|kind| kind.part.field(name).is_some()).map(|kind| kind.part.name).collect();
    if owners.is_empty() || is_expected(name, part) {
        return None;
    }
    let message = format!("{} does not belong to {}", quoted(name), part.name);
    let draft = Draft::new(Code::UnknownKey, message).label(format!("belongs to {}", owners.join(", ")));
    Some(draft.allowed(part.keys().join(", ")))
}

/// Whether a key stands in a check that belongs under its `expect`.
fn is_expected(name: &str, part: &'static Part) -> bool {
    match part.field("expect") {
        Some((Field { form: Form::Part(expect), .. }, _)) => expect.field(name).is_some(),
        Some(_) | None => false,
    }
}
