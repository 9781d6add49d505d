//! Mistakes as people read them: sentence, place, line, caret, what is allowed, what to do.

use super::{Mistake, Mistakes, Severity};
use std::fmt;

/// Mistakes shown at once: more than anybody mends in one go.
const SHOWN_MAX: usize = 100;
/// Characters of a line shown around the caret, so that a line of megabytes stays one line.
const LINE_LENGTH_MAX: usize = 120;
/// Characters shown before the caret in a line that is cut.
const LINE_BEFORE: usize = 50;

/// Whether escape sequences for colours are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Never,
    /// ANSI colours, for a terminal.
    Always,
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BLUE: &str = "\x1b[1;34m";
const BOLD: &str = "\x1b[1m";
const END: &str = "\x1b[0m";

impl Colour {
    fn paint(self, style: &str, text: &str) -> String {
        match self {
            Self::Never => text.to_owned(),
            Self::Always => format!("{style}{text}{END}"),
        }
    }
}

impl Mistakes {
    /// All mistakes as text, the first hundred in full.
    pub fn render(&self, colour: Colour) -> String {
        let mut out = String::new();
        for mistake in self.list.iter().take(SHOWN_MAX) {
            out.push_str(&mistake.render(colour));
            out.push('\n');
        }
        let total = self.total;
        let count = if total == 1 { "1 mistake".to_owned() } else { format!("{total} mistakes") };
        out.push_str(&colour.paint(BOLD, &count));
        if total > SHOWN_MAX {
            out.push_str(&format!(", the first {SHOWN_MAX} are shown"));
        }
        out.push('\n');
        out
    }
}

impl Mistake {
    /// The mistake as text of several lines, with a final newline.
    pub fn render(&self, colour: Colour) -> String {
        let (word, style) = match self.severity {
            Severity::Error => ("error", RED),
            Severity::Warning => ("warning", YELLOW),
        };
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let bar = colour.paint(BLUE, "|");
        let mut out = format!("{}{}\n", colour.paint(style, word), colour.paint(BOLD, &format!(": {}", self.message)));
        let arrow = colour.paint(BLUE, "-->");
        if self.line == 0 {
            out.push_str(&format!("{margin}{arrow} {}\n", self.file));
        } else {
            out.push_str(&format!("{margin}{arrow} {}:{}:{}\n", self.file, self.line, self.column));
            let window = Window::around(&self.source, self.source_column, self.length);
            out.push_str(&format!("{} {bar} {}\n", colour.paint(BLUE, &number), window.text));
            let mut caret = "^".repeat(window.length);
            if !self.label.is_empty() {
                caret = format!("{caret} {}", self.label);
            }
            out.push_str(&format!("{margin} {bar} {}{}\n", " ".repeat(window.before), colour.paint(style, &caret)));
        }
        let sign = colour.paint(BLUE, "=");
        for (name, text) in [("allowed", &self.allowed), ("help", &self.help)] {
            if let Some(text) = text {
                out.push_str(&format!("{margin} {sign} {name}: {text}\n"));
            }
        }
        out
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Never))
    }
}

/// The part of a line around the caret.
struct Window {
    text: String,
    before: usize,
    length: usize,
}

impl Window {
    fn around(line: &str, column: u32, length: u32) -> Self {
        let letters: Vec<char> = line.trim_end().chars().map(printable).collect();
        let caret = (column as usize).saturating_sub(1);
        let start =
            if letters.len() <= LINE_LENGTH_MAX { 0 } else { caret.min(letters.len()).saturating_sub(LINE_BEFORE) };
        let end = (start + LINE_LENGTH_MAX).min(letters.len());
        let mut text = String::new();
        let mut before = caret - start;
        if start > 0 {
            text.push('…');
            before += 1;
        }
        text.extend(&letters[start..end]);
        let room = (end + 1).saturating_sub(caret).max(1);
        if end < letters.len() {
            text.push('…');
        }
        Self { text, before: before.min(LINE_LENGTH_MAX + 1), length: (length as usize).clamp(1, room) }
    }
}

/// One column for one character, and nothing that moves a terminal's cursor.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}
