//! Words, colours and bounds that the means share.
//!
//! What is said was decided before; here it only gets a tag, a colour and a
//! length. **A title from here is one line**: whoever writes a service's name
//! or a failure's text cannot add a header to a mail.

use crate::Try;
use model::message::{Message, Step};
use model::time::Timestamp;
use model::verdict::ServiceStatus;

/// Characters of a title: what a lock screen and a mail list show, twice over.
pub(crate) const TITLE_LENGTH_MAX: usize = 200;

/// Added to a message that may arrive twice.
pub(crate) const DOUBLE_NOTE: &str =
    "You may have this twice: Mainstay stopped while it was sending it, and sends it again.";

/// The word that says at a glance what a message is about.
pub(crate) fn tag(message: &Message) -> &'static str {
    match message.step {
        Step::Opened | Step::Worsened => match message.status {
            ServiceStatus::Up => "UP",
            ServiceStatus::Unknown => "UNKNOWN",
            ServiceStatus::Maintenance => "MAINTENANCE",
            ServiceStatus::Degraded => "DEGRADED",
            ServiceStatus::Down => "DOWN",
        },
        Step::Flapping => "FLAPPING",
        Step::Resolved => "RESOLVED",
        Step::Own => "MAINSTAY",
        Step::Test => "TEST",
    }
}

/// The tag and the title: one line for people.
pub(crate) fn headline(message: &Message) -> String {
    format!("[{}] {}", tag(message), title(message))
}

/// The title, one line.
pub(crate) fn title(message: &Message) -> String {
    shorten(&single_line(&message.title), TITLE_LENGTH_MAX)
}

/// The colour of a message, dark enough for white letters on it.
pub(crate) fn colour(message: &Message) -> &'static str {
    match message.step {
        Step::Opened | Step::Worsened => match message.status {
            ServiceStatus::Up => "#2e7d32",
            ServiceStatus::Unknown => "#616161",
            ServiceStatus::Maintenance => "#1565c0",
            ServiceStatus::Degraded => "#b45309",
            ServiceStatus::Down => "#c62828",
        },
        Step::Flapping => "#b45309",
        Step::Resolved => "#2e7d32",
        Step::Own => "#455a64",
        Step::Test => "#1565c0",
    }
}

/// The text, with the note that it may be a double where that is so.
pub(crate) fn text_with_note(message: &Message, this: Try) -> String {
    let text = message.text.trim_end();
    match (this.possibly_double, text.is_empty()) {
        (false, _) => text.to_owned(),
        (true, true) => DOUBLE_NOTE.to_owned(),
        (true, false) => format!("{text}\n\n{DOUBLE_NOTE}"),
    }
}

/// A time for people, in UTC.
pub(crate) fn humane_time(at: Timestamp) -> String {
    let (year, month, day, hour, minute, second, _) = at.civil();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The text on one line: every control character and line separator a space.
pub(crate) fn single_line(text: &str) -> String {
    text.split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// At most `length_max` characters, the last one an ellipsis if any are missing.
pub(crate) fn shorten(text: &str, length_max: usize) -> String {
    match text.char_indices().nth(length_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(length_max.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// At most `bytes_max` bytes, the last ones an ellipsis if any are missing.
pub(crate) fn shorten_bytes(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..end])
}

/// A name for headers: visible ASCII, everything else as `%XX`.
pub(crate) fn header_token(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'!'..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_title_becomes_a_space() {
        assert_eq!(single_line("a\r\nBcc: x\u{2028}b\0c"), "a Bcc: x b c");
    }

    #[test]
    fn a_shortened_text_says_so_and_keeps_whole_characters() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äö…");
        assert_eq!(shorten_bytes("äöü", 6), "äöü");
        assert_eq!(shorten_bytes("äöüß", 7), "äö…");
    }

    #[test]
    fn a_key_with_foreign_characters_is_still_a_header_value() {
        assert_eq!(header_token("inc-1:ops:opened"), "inc-1:ops:opened");
        assert_eq!(header_token("a b\r\nc%ä"), "a%20b%0D%0Ac%25%C3%A4");
    }
}
