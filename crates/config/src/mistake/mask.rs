//! Secrets in a shown line become `***`.
//!
//! A line is shown because something on it is wrong, perhaps so wrong that
//! nobody knows which field it is. So this looks at words, not at the tree: the
//! value behind every key that sounds like a secret is hidden, a misspelt one included.

use crate::yaml::Place;
use std::ops::Range;

/// What stands in place of a secret: always the same length, whatever the secret's.
const MASK: &str = "***";
/// Parts of keys whose values are never shown.
const SECRET_WORDS: [&str; 10] =
    ["pass", "pasw", "psw", "secret", "token", "bear", "auth", "cookie", "slack", "pagerduty"];
/// Longest key looked at.
const KEY_LENGTH_MAX: usize = 64;

/// A line that can be shown.
pub(super) struct Masked {
    pub(super) text: String,
    /// Of the caret in `text`, from 1.
    pub(super) column: u16,
    /// Of the caret.
    pub(super) length: u16,
}

/// Whether the value of a key is a secret, or looks like a misspelt one.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let lower: String = key.chars().take(KEY_LENGTH_MAX).collect::<String>().to_ascii_lowercase();
    if lower.ends_with("_file") {
        return false;
    }
    let is_key = lower.ends_with("api-key") || lower.ends_with("api_key") || lower.ends_with("apikey");
    is_key || SECRET_WORDS.iter().any(|word| lower.contains(word))
}

/// Masks the secrets of a line. `hidden` are places known to be secret, `is_unread`
/// hides everything from a secret key on.
pub(super) fn mask(line: &str, place: Place, hidden: &[Place], is_unread: bool) -> Masked {
    let letters: Vec<char> = line.chars().collect();
    let mut ranges = secret_ranges(&letters, is_unread);
    for secret in hidden.iter().filter(|secret| secret.file == place.file && secret.line == place.line) {
        let start = usize::from(secret.column) - 1;
        ranges.push(start..start + usize::from(secret.length));
    }
    ranges.extend(user_ranges(&letters));
    ranges.retain(|range| range.start < range.end && range.start < letters.len());
    ranges.sort_by_key(|range| (range.start, range.end));
    apply(&letters, &ranges, place)
}

fn apply(letters: &[char], ranges: &[Range<usize>], place: Place) -> Masked {
    let caret = usize::from(place.column) - 1;
    let caret_end = caret + usize::from(place.length);
    let (mut text, mut at, mut length) = (String::new(), 0, 0usize);
    let (mut column, mut column_end) = (None, None);
    let mut emit = |text: &mut String, from: usize, to: usize, shown: &str, width: usize| {
        // A caret that begins or ends inside a masked part moves to its edge.
        if caret < to && column.is_none() {
            column = Some(length + if shown == MASK { 0 } else { caret.saturating_sub(from) });
        }
        if caret_end <= to && column_end.is_none() {
            column_end = Some(length + if shown == MASK { width } else { caret_end - from.min(caret_end) });
        }
        text.push_str(shown);
        length += width;
    };
    for range in ranges {
        let end = range.end.min(letters.len());
        if end <= at {
            continue;
        }
        let start = range.start.max(at);
        let plain: String = letters[at..start].iter().collect();
        emit(&mut text, at, start, &plain, start - at);
        emit(&mut text, start, end, MASK, MASK.len());
        at = end;
    }
    let plain: String = letters[at..].iter().collect();
    emit(&mut text, at, letters.len(), &plain, letters.len() - at);
    let shown = |value: Option<usize>, over: usize| value.unwrap_or(length + over);
    let first = shown(column, caret.saturating_sub(letters.len()));
    let last = shown(column_end, (caret_end.saturating_sub(letters.len())).min(1)).max(first + 1);
    let narrow = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
    Masked { text, column: narrow(first + 1), length: narrow(last - first) }
}

/// The values behind keys that are secret.
fn secret_ranges(letters: &[char], is_unread: bool) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(offset) = letters[at..].iter().position(|c| *c == ':') {
        let colon = at + offset;
        at = colon + 1;
        let is_separator = letters.get(at).is_none_or(|c| c.is_whitespace()) || is_unread || was_quoted(letters, colon);
        if !is_separator || !is_secret_key(&key_before(letters, colon)) {
            continue;
        }
        let start = (at..letters.len()).find(|i| !letters[*i].is_whitespace()).unwrap_or(letters.len());
        // The keys inside a map speak for themselves.
        if letters.get(start) == Some(&'{') {
            continue;
        }
        let end = if is_unread { letters.len() } else { value_end(letters, start, colon) };
        if is_variable(&letters[start..end]) {
            continue;
        }
        let blanks = letters[start..end].iter().rev().take_while(|c| c.is_whitespace()).count();
        ranges.push(start..end - blanks);
        at = end.max(at);
    }
    ranges
}

fn was_quoted(letters: &[char], colon: usize) -> bool {
    colon > 0 && matches!(letters[colon - 1], '"' | '\'')
}

fn key_before(letters: &[char], colon: usize) -> String {
    let mut end = colon;
    while end > 0 && (letters[end - 1].is_whitespace() || matches!(letters[end - 1], '"' | '\'')) {
        end -= 1;
    }
    let is_key = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let mut start = end;
    while start > 0 && end - start < KEY_LENGTH_MAX && is_key(letters[start - 1]) {
        start -= 1;
    }
    letters[start..end].iter().collect()
}

/// Where a value that begins at `start` ends.
fn value_end(letters: &[char], start: usize, colon: usize) -> usize {
    let find = |wanted: &dyn Fn(char) -> bool| {
        (start + 1..letters.len()).find(|i| wanted(letters[*i])).unwrap_or(letters.len())
    };
    let opened = letters[..colon].iter().filter(|c| matches!(c, '{' | '[')).count();
    let closed = letters[..colon].iter().filter(|c| matches!(c, '}' | ']')).count();
    match letters.get(start) {
        Some('"') => closing_quote(letters, start),
        Some('\'') => (find(&|c| c == '\'') + 1).min(letters.len()),
        Some(_) if opened > closed => find(&|c| matches!(c, ',' | '}' | ']')),
        Some(_) | None => letters.len(),
    }
}

fn closing_quote(letters: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < letters.len() && letters[at] != '"' {
        at += if letters[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(letters.len())
}

/// A variable by its name alone says nothing secret, and hiding it would hide the mistake.
fn is_variable(value: &[char]) -> bool {
    let text: String = value.iter().collect();
    let bare = text.trim().trim_matches(['"', '\'']);
    let inner = bare.strip_prefix("${").map(|rest| rest.strip_suffix('}').unwrap_or(rest));
    inner.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// The text without the users and passwords of its addresses.
pub(super) fn without_users(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in user_ranges(&letters) {
        out.extend(&letters[at..range.start]);
        out.push_str(MASK);
        at = range.end;
    }
    out.extend(&letters[at..]);
    out
}

/// User and password in addresses: `https://user:password@host`.
fn user_ranges(letters: &[char]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(offset) = letters[at..].windows(3).position(|three| three == [':', '/', '/']) {
        let start = at + offset + 3;
        let is_end = |c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '?' | '#');
        let end = (start..letters.len()).find(|i| is_end(letters[*i])).unwrap_or(letters.len());
        if let Some(sign) = letters[start..end].iter().rposition(|c| *c == '@') {
            ranges.push(start..start + sign);
        }
        at = end.max(start);
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str, column: u16, length: u16, is_unread: bool) -> (String, u16, u16) {
        let masked = mask(line, Place { file: 0, line: 1, column, length }, &[], is_unread);
        (masked.text, masked.column, masked.length)
    }

    #[test]
    fn a_secret_is_masked_and_the_caret_follows() {
        let line = "{ password: hunter2, usr: a }";
        assert_eq!(shown(line, 22, 3, false), ("{ password: ***, usr: a }".into(), 18, 3));
        assert_eq!(shown(line, 13, 7, false), ("{ password: ***, usr: a }".into(), 13, 3));
        assert_eq!(shown(line, 3, 8, false), ("{ password: ***, usr: a }".into(), 3, 8));
    }

    #[test]
    fn misspelt_quoted_and_unread_secrets_are_masked() {
        let text = |line: &str, is_unread| shown(line, 1, 1, is_unread).0;
        assert_eq!(text("passwrd: hunter2, still # x", false), "passwrd: ***");
        assert_eq!(text("- { \"token\": \"a, \\\"b\", x: 1 }", false), "- { \"token\": ***, x: 1 }");
        assert_eq!(text("bearer: 'a'  # why", false), "bearer: ***  # why");
        assert_eq!(text("bearer:abc: def", true), "bearer:***");
        assert_eq!(text("http: https://user:pw@host/x", false), "http: https://***@host/x");
        assert_eq!(text("password_file: /run/pw", false), "password_file: /run/pw");
        assert_eq!(text("password: ${DB_PASSWORD}", false), "password: ${DB_PASSWORD}");
        assert_eq!(text("password: ${DB:-hunter2}", false), "password: ***");
    }

    #[test]
    fn a_caret_behind_the_line_stays_behind_it() {
        assert_eq!(shown("abc", 4, 1, false), ("abc".into(), 4, 1));
        assert_eq!(shown("", 1, 1, false), (String::new(), 1, 1));
    }
}
