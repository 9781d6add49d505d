//! Several files become one tree: lists are joined, maps are merged, and the
//! same value in two files is a mistake, because nobody could tell which counts.

use super::{Key, Node, Value};
use crate::mistake::{Code, Draft, Notes, quoted};
use std::collections::BTreeMap;

/// Merges the tree of a later file into that of an earlier one.
pub(crate) fn merge<'s>(into: &mut Node<'s>, from: Node<'s>, notes: &mut Notes) {
    merge_at(into, from, "", notes);
}

fn merge_at<'s>(into: &mut Node<'s>, from: Node<'s>, path: &str, notes: &mut Notes) {
    if from.is_null() {
        return;
    }
    if into.is_null() {
        *into = from;
        return;
    }
    match (&mut into.value, from.value) {
        (Value::List(items), Value::List(more)) => items.extend(more),
        (Value::Map(entries), Value::Map(more)) => merge_maps(entries, more, path, notes),
        (Value::Scalar(_) | Value::List(_) | Value::Map(_) | Value::Unknown, _) => {
            let first = into.place;
            let what = if path.is_empty() { "the whole file".to_owned() } else { quoted(path) };
            let message =
                format!("{what} is given in two files, first in {}:{}", notes.file_name(first.file), first.line);
            let draft = Draft::new(Code::DuplicateKey, message)
                .allowed("lists in several files are joined and maps are merged; any other value stands once")
                .help("keep one of them");
            notes.add(from.place, path, draft);
        }
    }
}

fn merge_maps<'s>(
    entries: &mut Vec<(Key<'s>, Node<'s>)>,
    more: Vec<(Key<'s>, Node<'s>)>,
    path: &str,
    notes: &mut Notes,
) {
    let at: BTreeMap<String, usize> =
        entries.iter().enumerate().map(|(at, (key, _))| (key.name.as_str().to_owned(), at)).collect();
    for (key, value) in more {
        match at.get(key.name.as_str()) {
            Some(&at) => {
                let name = key.name.as_str();
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                merge_at(&mut entries[at].1, value, &path, notes);
            }
            None => entries.push((key, value)),
        }
    }
}
