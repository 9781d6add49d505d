//! What is wrong with a configuration, where, and what to do about it.
//!
//! Rooms inside note a [`Draft`] at a place; at the end each becomes a
//! [`Mistake`] with the line it stands in. **No secret appears in one**: values
//! of secret fields are masked in the line, and variables are quoted by name.
//!
//! Reading order: this file, [`mask`], [`render`].

mod mask;
mod render;

use crate::SourceFile;
use crate::yaml::Place;
use std::fmt;

pub(crate) use mask::is_secret_key;
pub use render::Colour;

/// Mistakes kept in full; who has more needs no longer list, and memory stays bounded.
const KEPT_MAX: usize = 1_000;
/// Characters of a value quoted in a message: it shall be recognised, not read.
const QUOTED_LENGTH_MAX: usize = 60;

/// What is wrong in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Whether the configuration is refused for it.
    pub severity: Severity,
    /// The kind of mistake, from a closed list.
    pub code: Code,
    /// Name of the file as the caller gave it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Characters it is about, from 1.
    pub length: u32,
    /// The way through keys and list positions, such as `services[2].checks[0].every`;
    /// empty where the text is no tree yet.
    pub path: String,
    /// What was found, one sentence without a final period.
    pub message: String,
    /// A few words that stand at the caret; may be empty.
    pub label: String,
    /// What is allowed there.
    pub allowed: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// The line of the file, with secrets masked.
    pub source: String,
    /// Where the caret stands in `source`, from 1; differs from `column` behind a masked secret.
    pub source_column: u32,
}

/// How much a mistake matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is taken, but probably not meant so.
    Warning,
}

/// The kinds of mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// The file is empty, or there is no file.
    Empty,
    /// The file is larger than its limit.
    TooLarge,
    /// The text is not YAML, or uses what has no meaning here.
    Syntax,
    /// A variable that is not set or not written as one.
    Variable,
    /// A key that does not exist there.
    UnknownKey,
    /// A key or value that is given twice.
    DuplicateKey,
    /// A key that is needed and not there.
    MissingKey,
    /// A value of another type, such as a list instead of a text.
    WrongType,
    /// A value that cannot be read.
    WrongValue,
    /// A value outside its limits.
    OutOfRange,
    /// Two values that exclude each other.
    Conflict,
    /// A name of something that does not exist.
    UnknownName,
    /// A name that two things share.
    DuplicateName,
    /// Services that need each other in a circle.
    Cycle,
    /// Legal, but probably not meant so.
    Doubtful,
}

impl Code {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too-large",
            Self::Syntax => "syntax",
            Self::Variable => "variable",
            Self::UnknownKey => "unknown-key",
            Self::DuplicateKey => "duplicate-key",
            Self::MissingKey => "missing-key",
            Self::WrongType => "wrong-type",
            Self::WrongValue => "wrong-value",
            Self::OutOfRange => "out-of-range",
            Self::Conflict => "conflict",
            Self::UnknownName => "unknown-name",
            Self::DuplicateName => "duplicate-name",
            Self::Cycle => "cycle",
            Self::Doubtful => "doubtful",
        }
    }
}

/// Everything for which a configuration is refused, sorted by file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    list: Vec<Mistake>,
    total: usize,
}

impl Mistakes {
    /// The mistakes, at most a thousand of them; never empty.
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }

    /// How many there are altogether.
    pub fn total(&self) -> usize {
        self.total
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Never))
    }
}

impl std::error::Error for Mistakes {}

/// The words of a mistake, before its place is known.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    code: Code,
    message: String,
    label: String,
    allowed: Option<String>,
    help: Option<String>,
}

impl Draft {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), label: String::new(), allowed: None, help: None }
    }

    /// A few words at the caret.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// How much of a line is masked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Masking {
    /// The values of secret keys.
    Values,
    /// From a secret key to the end of the line, because the text could not be read.
    Rest,
}

struct Note {
    place: Place,
    path: String,
    severity: Severity,
    masking: Masking,
    draft: Draft,
}

/// Collects mistakes while a configuration is read.
pub(crate) struct Notes {
    names: Vec<String>,
    notes: Vec<Note>,
    errors: usize,
    warnings: usize,
    hidden: Vec<Place>,
}

impl Notes {
    pub(crate) fn new(files: &[SourceFile]) -> Self {
        let names = files.iter().map(|file| file.name.clone()).collect();
        Self { names, notes: Vec::new(), errors: 0, warnings: 0, hidden: Vec::new() }
    }

    pub(crate) fn file_name(&self, file: u16) -> &str {
        self.names.get(usize::from(file)).map_or("", String::as_str)
    }

    /// Notes a mistake.
    pub(crate) fn add(&mut self, place: Place, path: impl fmt::Display, draft: Draft) {
        self.errors += 1;
        self.push(place, path, Severity::Error, Masking::Values, draft);
    }

    /// Notes a mistake in a line that could not be read.
    pub(crate) fn add_unread(&mut self, place: Place, draft: Draft) {
        self.errors += 1;
        self.push(place, "", Severity::Error, Masking::Rest, draft);
    }

    /// Notes what is legal but probably not meant.
    pub(crate) fn warn(&mut self, place: Place, path: impl fmt::Display, draft: Draft) {
        self.warnings += 1;
        self.push(place, path, Severity::Warning, Masking::Values, draft);
    }

    /// Remembers a secret that does not stand in the line of its key.
    pub(crate) fn hide(&mut self, place: Place) {
        self.hidden.push(place);
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.errors == 0
    }

    fn push(&mut self, place: Place, path: impl fmt::Display, severity: Severity, masking: Masking, draft: Draft) {
        let kept = if severity == Severity::Error { self.errors } else { self.warnings };
        if kept <= KEPT_MAX {
            self.notes.push(Note { place, path: path.to_string(), severity, masking, draft });
        }
    }

    /// Turns the notes into mistakes with their lines: the warnings, and what the configuration is refused for.
    pub(crate) fn finish(mut self, files: &[SourceFile]) -> (Vec<Mistake>, Option<Mistakes>) {
        self.notes.sort_by_key(|note| note.place);
        self.hidden.sort();
        let mut lines = Lines::new(files);
        let (mut warnings, mut errors) = (Vec::new(), Vec::new());
        for note in self.notes {
            let target = if note.severity == Severity::Error { &mut errors } else { &mut warnings };
            target.push(located(note, &mut lines, files, &self.hidden));
        }
        let total = self.errors;
        let mistakes = (total > 0).then_some(Mistakes { list: errors, total });
        (warnings, mistakes)
    }
}

fn located(note: Note, lines: &mut Lines<'_>, files: &[SourceFile], hidden: &[Place]) -> Mistake {
    let Note { place, path, severity, masking, draft } = note;
    let line = lines.line(place.file, place.line);
    let masked = mask::mask(line, place, hidden, masking == Masking::Rest);
    Mistake {
        severity,
        code: draft.code,
        file: files.get(usize::from(place.file)).map_or_else(String::new, |file| file.name.clone()),
        line: place.line,
        column: u32::from(place.column),
        length: u32::from(masked.length),
        path,
        message: draft.message,
        label: draft.label,
        allowed: draft.allowed,
        help: draft.help,
        source: masked.text,
        source_column: u32::from(masked.column),
    }
}

/// Walks through the lines of the files once, because notes come sorted.
struct Lines<'s> {
    files: &'s [SourceFile],
    file: u16,
    at: u32,
    rest: std::str::Lines<'s>,
    current: &'s str,
}

impl<'s> Lines<'s> {
    fn new(files: &'s [SourceFile]) -> Self {
        let mut lines = Self { files, file: 0, at: 0, rest: "".lines(), current: "" };
        lines.open(0);
        lines
    }

    fn open(&mut self, file: u16) {
        let text = self.files.get(usize::from(file)).map_or("", |file| file.text.as_str());
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        (self.file, self.at, self.rest, self.current) = (file, 0, text.lines(), "");
    }

    fn line(&mut self, file: u16, line: u32) -> &'s str {
        if file != self.file || line < self.at {
            self.open(file);
        }
        while self.at < line {
            self.at += 1;
            match self.rest.next() {
                Some(next) => self.current = next,
                None => {
                    self.current = "";
                    break;
                }
            }
        }
        self.current
    }
}

/// A value in quotes, short enough for a message, on one line.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for (at, c) in mask::without_users(text).chars().enumerate() {
        if at == QUOTED_LENGTH_MAX {
            out.push('…');
            break;
        }
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
