//! What the YAML parser complains about, in words that say what to do.
//!
//! The parser names the rule of its grammar; an operator has forgotten a quote
//! or pressed the tab key. Where the line shows which, that is said instead.

use crate::mistake::{Code, Draft, Notes};
use saphyr_parser::ScanError;

/// What the parser's sentence holds, what it means, and what to do. The first that fits counts.
const MEANINGS: [(&str, &str, &str); 19] = [
    (
        "mapping values are not allowed",
        "a second \": \" in one line",
        "put quotes around a value that holds \": \", or mend the indentation of this line",
    ),
    ("simple key expect", "a key without \":\"", "write `key: value`, with a space after the colon"),
    ("found unexpected end of stream", "a quote that is never closed", "add the closing quote"),
    (
        "invalid indentation in quoted scalar",
        "a quote that is never closed",
        "add the closing quote; a text in quotes over several lines is indented more than its key",
    ),
    (
        "found unknown escape character",
        "an unknown \\ in double quotes",
        "use 'single quotes', in which \\ is a character like any other, as regular expressions need",
    ),
    (
        "did not find expected hexadecimal",
        "an unfinished \\x or \\u in double quotes",
        "use 'single quotes', in which \\ is a character like any other",
    ),
    (
        "did not find expected ',' or '}'",
        "a { that is not closed, or a comma that is missing",
        "add the } or the comma",
    ),
    ("expected ',' or ']'", "a [ that is not closed, or a comma that is missing", "add the ] or the comma"),
    (
        "illegal placement of ':'",
        "a [ above that is not closed, or a \":\" out of place",
        "add the ], or put quotes around a value that holds \":\"",
    ),
    (
        "invalid indentation in flow construct",
        "a { or [ above that is not closed",
        "close it with } or ], or indent this line more than the line where it begins",
    ),
    (
        "did not find expected '-' indicator",
        "this line does not belong to the list above it",
        "begin it with `- `, or indent it like the lines of the item it belongs to",
    ),
    (
        "did not find expected key",
        "this line fits neither the map above it nor its own indentation",
        "indent all keys of a map alike",
    ),
    (
        "invalid trailing content after double-quoted",
        "text after a closing quote",
        "put the whole value into one pair of quotes",
    ),
    (
        "unknown anchor",
        "an alias (*name) whose anchor (&name) does not stand before it",
        "put quotes around a value that begins with *, or write &name before the value meant",
    ),
    ("did not find expected alphabetic or numeric", "a value that begins with & or *", "put quotes around it"),
    ("duplicated anchor", "an anchor that is named twice", "give each anchor a name of its own"),
    ("unprintable character", "a character that cannot be printed", "remove it"),
    ("invalid indentation", "this line is not indented far enough", "indent it more than the key it belongs to"),
    ("unexpected character", "a value that begins with a character of YAML's own", "put quotes around it"),
];

/// Notes what the parser found wrong with a file.
pub(super) fn note(file: u16, text: &str, error: &ScanError, notes: &mut Notes) {
    let marker = error.marker();
    let lines = text.lines().count().max(1);
    let line = marker.line().clamp(1, lines);
    let mut place = super::build::place_of(file, *marker, *marker);
    place.line = u32::try_from(line).unwrap_or(u32::MAX);
    // The parser may stand at the end of the text, one line below the last.
    let content = text.lines().nth(line - 1).unwrap_or("");
    if marker.line() > lines {
        place.column = column_after(content);
    }
    if let Some(tab) = tab_in_indentation(content) {
        place.column = tab;
        notes.add_unread(place, tab_draft());
        return;
    }
    notes.add_unread(place, meaning(error.info(), content));
}

fn meaning(info: &str, content: &str) -> Draft {
    if info.contains("tab") {
        return tab_draft();
    }
    if content.trim_start().starts_with('%') {
        return Draft::new(Code::Syntax, "a line that begins with %")
            .help("put quotes around the value, or begin a comment with #");
    }
    for (start, message, help) in MEANINGS {
        if info.contains(start) {
            return Draft::new(Code::Syntax, format!("cannot read the file: {message}")).help(help);
        }
    }
    Draft::new(Code::Syntax, format!("cannot read the file: {info}"))
        .help("look at this line and the one above it: indentation, quotes, brackets")
}

fn tab_draft() -> Draft {
    Draft::new(Code::Syntax, "a tab is used for indentation")
        .label("a tab")
        .allowed("spaces")
        .help("replace each tab by two spaces; most editors have a setting for it")
}

fn tab_in_indentation(content: &str) -> Option<u16> {
    let at = content.find(|c: char| c != ' ')?;
    content[at..].starts_with('\t').then(|| u16::try_from(at + 1).unwrap_or(u16::MAX))
}

fn column_after(content: &str) -> u16 {
    u16::try_from(content.chars().count() + 1).unwrap_or(u16::MAX)
}
