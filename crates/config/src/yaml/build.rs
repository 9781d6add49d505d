//! The events of the YAML parser become a tree.
//!
//! Aliases copy what they name, within a budget, so that a few lines cannot
//! grow into gigabytes. What YAML can say and a configuration has no use for
//! (several documents, tags of its own, keys that are lists) is refused by name.

use super::substitute::substitute;
use super::{Key, Node, Place, Scalar, Text, Value, syntax};
use crate::mistake::{Code, Draft, Notes, is_secret_key};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Deepest nesting; the language itself needs nine levels, and a stack of
/// this height is walked recursively without danger.
pub(crate) const DEPTH_MAX: usize = 64;
/// Nodes that all aliases of a file may copy together, about 50 MB.
const ALIAS_NODES_MAX: usize = 500_000;
/// Maps up to this size are searched one by one for a key given twice; larger ones keep a set.
const LINEAR_KEYS_MAX: usize = 16;

/// What a file held.
pub(crate) enum Built<'s> {
    /// A tree, perhaps with mistakes noted on the way.
    Tree(Node<'s>),
    /// Only comments and white space.
    Nothing,
    /// No YAML; the mistake is noted.
    Broken,
}

/// Builds the tree of one file.
pub(crate) fn build<'s>(
    file: u16,
    text: &'s str,
    environment: &dyn Fn(&str) -> Option<String>,
    notes: &mut Notes,
) -> Built<'s> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder {
        file,
        environment,
        notes,
        open: Vec::new(),
        items: Vec::new(),
        pairs: Vec::new(),
        root: None,
        documents: 0,
        anchors: BTreeMap::new(),
        copied: 0,
        is_broken: false,
    };
    match builder.run(&mut parser) {
        Ok(()) => {}
        Err(Stop::Syntax(error)) => {
            syntax::note(file, text, &error, builder.notes);
            return Built::Broken;
        }
        Err(Stop::Noted) => return Built::Broken,
    }
    match builder.root {
        _ if builder.is_broken => Built::Broken,
        Some(root) if root.is_null() => Built::Nothing,
        Some(root) => Built::Tree(root),
        None => Built::Nothing,
    }
}

/// Why building ended early.
enum Stop {
    Syntax(saphyr_parser::ScanError),
    Noted,
}

/// A list or map that is not complete yet.
struct Open<'s> {
    place: Place,
    anchor: usize,
    content: Content<'s>,
    /// Where its content begins in the builder's `items` or `pairs`.
    start: usize,
}

enum Content<'s> {
    List,
    Map {
        key: Option<Key<'s>>,
        names: Option<BTreeSet<String>>,
    },
    /// A list or map where a key should be, or the value of a key given twice: read and dropped.
    Dropped,
}

struct Builder<'s, 'c> {
    file: u16,
    environment: &'c dyn Fn(&str) -> Option<String>,
    notes: &'c mut Notes,
    open: Vec<Open<'s>>,
    /// The items of all open lists, one behind the other. Each list takes its
    /// own off the end when it is complete, in one allocation of the right
    /// size; lists that grow on their own would double the memory of the tree.
    items: Vec<Node<'s>>,
    /// The same for maps.
    pairs: Vec<(Key<'s>, Node<'s>)>,
    root: Option<Node<'s>>,
    documents: usize,
    anchors: BTreeMap<usize, Node<'s>>,
    copied: usize,
    is_broken: bool,
}

impl<'s> Builder<'s, '_> {
    fn run(&mut self, parser: &mut Parser<'s, StrInput<'s>>) -> Result<(), Stop> {
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(Stop::Syntax)?;
            self.take(event, span)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'s>, span: Span) -> Result<(), Stop> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => self.document(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                self.scalar(text, style, anchor, span)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                self.start(anchor, span, Content::List)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                self.start(anchor, span, Content::Map { key: None, names: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let draft = Draft::new(Code::Syntax, "a second document begins here, a configuration file has one")
            .help("remove the line `---`, or move what follows into a file of its own beside this one");
        Err(self.stop(span, draft))
    }

    fn stop(&mut self, span: Span, draft: Draft) -> Stop {
        self.notes.add(self.place(span), "", draft);
        Stop::Noted
    }

    fn refuse_tag(&mut self, tag: Option<&saphyr_parser::Tag>, span: Span) {
        if let Some(tag) = tag {
            self.is_broken = true;
            let draft = Draft::new(Code::Syntax, format!("the tag {} has no meaning here", tag_name(tag)))
                .help("remove it; the key alone says what its value is");
            self.notes.add(self.place(span), "", draft);
        }
    }

    fn start(&mut self, anchor: usize, span: Span, content: Content<'s>) -> Result<(), Stop> {
        if self.open.len() >= DEPTH_MAX {
            let draft = Draft::new(Code::Syntax, format!("nested deeper than {DEPTH_MAX} levels"))
                .help("look for a bracket that is never closed, or for indentation that keeps growing");
            return Err(self.stop(span, draft));
        }
        let place = self.place(span);
        let content = match self.open.last_mut().map(|open| &mut open.content) {
            // A list or map where a key should be.
            Some(Content::Map { key: None, .. }) => {
                self.is_broken = true;
                let draft = Draft::new(Code::Syntax, "a key must be a word, found a list or a map")
                    .help("put quotes around a key that holds { or [; `${VAR}` stands in values only");
                self.notes.add(place, "", draft);
                Content::Dropped
            }
            Some(Content::Dropped) => Content::Dropped,
            Some(Content::Map { .. } | Content::List) | None => content,
        };
        let start = match content {
            Content::List => self.items.len(),
            Content::Map { .. } | Content::Dropped => self.pairs.len(),
        };
        self.open.push(Open { place, anchor, content, start });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        let Some(Open { place, anchor, content, start }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List => Value::List(self.items.drain(start..).collect()),
            Content::Map { .. } => Value::Map(self.pairs.drain(start..).collect()),
            Content::Dropped => {
                // Stands for a key that was refused, or is a part of one; either way a key's place is filled.
                let key = Key { place, name: Text::Borrowed("") };
                if let Some(Open { content: Content::Map { key: slot @ None, .. }, .. }) = self.open.last_mut() {
                    *slot = Some(key);
                }
                return Ok(());
            }
        };
        self.place_node(anchor, Node { place, value })
    }

    fn scalar(&mut self, text: Cow<'s, str>, style: ScalarStyle, anchor: usize, span: Span) -> Result<(), Stop> {
        let place = self.place(span);
        let text = match text {
            Cow::Borrowed(text) => Text::Borrowed(text),
            Cow::Owned(text) => Text::Owned(text.into_boxed_str()),
        };
        if let Some(Open { content: Content::Map { key: slot @ None, .. }, .. }) = self.open.last_mut() {
            *slot = Some(Key { place, name: text });
            return Ok(());
        }
        let (text, missing) = substitute(text, self.environment);
        let is_known = missing.is_empty();
        for variable in missing {
            self.notes.add(place, "", variable);
        }
        let scalar = Scalar { text, is_plain: style == ScalarStyle::Plain };
        let value = if is_known { Value::Scalar(scalar) } else { Value::Unknown };
        self.place_node(anchor, Node { place, value })
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(named) = self.anchors.get(&anchor) else {
            let draft = Draft::new(Code::Syntax, "an alias inside the value that it names")
                .help("write the value out, or move the anchor (&name) to a part that does not hold the alias");
            return Err(self.stop(span, draft));
        };
        let (size, depth) = (node_count(named), node_depth(named) + self.open.len());
        self.count_copied(size, depth, self.place(span))?;
        let Some(named) = self.anchors.get(&anchor) else { return Ok(()) };
        let mut copy = named.clone();
        // A mistake is shown where the value is used; what is inside keeps its own place.
        copy.place = self.place(span);
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.open.last() {
            let draft = Draft::new(Code::Syntax, "an alias where a key should be").help("write the key out");
            return Err(self.stop(span, draft));
        }
        self.place_node(0, copy)
    }

    /// Counts copied nodes; anchors copy once, so that their aliases can copy again.
    fn count_copied(&mut self, size: usize, depth: usize, place: Place) -> Result<(), Stop> {
        self.copied = self.copied.saturating_add(size);
        if self.copied <= ALIAS_NODES_MAX && depth <= DEPTH_MAX {
            return Ok(());
        }
        let draft = Draft::new(Code::Syntax, "aliases copy more than a configuration may hold")
            .allowed(format!("{ALIAS_NODES_MAX} copied values in a file, {DEPTH_MAX} levels"))
            .help("write shared values under `defaults`");
        self.notes.add(place, "", draft);
        Err(Stop::Noted)
    }

    /// Puts a finished value where it belongs.
    fn place_node(&mut self, anchor: usize, node: Node<'s>) -> Result<(), Stop> {
        if anchor != 0 {
            self.count_copied(node_count(&node), 0, node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.content {
            Content::List => self.items.push(node),
            Content::Map { key, names } => {
                let entries = &self.pairs[open.start..];
                let Some(key) = key.take() else { return Ok(()) };
                if node.place.line != key.place.line && is_secret_key(key.name.as_str()) {
                    self.notes.hide(node.place);
                }
                if is_new(entries, names, key.name.as_str()) {
                    self.pairs.push((key, node));
                } else {
                    let first = entries.iter().find(|(other, _)| other.name.as_str() == key.name.as_str());
                    let line = first.map_or(0, |(other, _)| other.place.line);
                    self.notes.add(key.place, "", given_twice(key.name.as_str(), line));
                }
            }
            Content::Dropped => {}
        }
        Ok(())
    }

    fn place(&self, span: Span) -> Place {
        place_of(self.file, span.start, span.end)
    }
}

/// The place between two marks of the parser, cut at the end of the first line.
pub(crate) fn place_of(file: u16, start: Marker, end: Marker) -> Place {
    let length = if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { 1 };
    Place {
        file,
        line: u32::try_from(start.line().max(1)).unwrap_or(u32::MAX),
        column: u16::try_from(start.col().saturating_add(1)).unwrap_or(u16::MAX),
        length: u16::try_from(length.max(1)).unwrap_or(u16::MAX),
    }
}

fn given_twice(name: &str, first_line: u32) -> Draft {
    let message = format!("the key {} is given twice, first in line {first_line}", crate::mistake::quoted(name));
    Draft::new(Code::DuplicateKey, message).help("keep one of them; if both are lists, join them into one")
}

fn is_new<'s>(entries: &[(Key<'s>, Node<'s>)], names: &mut Option<BTreeSet<String>>, name: &str) -> bool {
    if entries.len() < LINEAR_KEYS_MAX {
        return !entries.iter().any(|(key, _)| key.name.as_str() == name);
    }
    let known = || entries.iter().map(|(key, _)| key.name.as_str().to_owned()).collect();
    names.get_or_insert_with(known).insert(name.to_owned())
}

fn tag_name(tag: &saphyr_parser::Tag) -> String {
    if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() }
}

fn node_count(node: &Node<'_>) -> usize {
    1 + match &node.value {
        Value::Scalar(_) | Value::Unknown => 0,
        Value::List(items) => items.iter().map(node_count).sum(),
        Value::Map(entries) => entries.iter().map(|(_, value)| node_count(value)).sum(),
    }
}

fn node_depth(node: &Node<'_>) -> usize {
    match &node.value {
        Value::Scalar(_) | Value::Unknown => 0,
        Value::List(items) => 1 + items.iter().map(node_depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|(_, value)| node_depth(value)).max().unwrap_or(0),
    }
}
