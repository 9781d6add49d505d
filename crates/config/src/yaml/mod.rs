//! YAML text to a tree whose every part knows its place in the text.
//!
//! Values stay text until a field says what they are: a service named `no` or
//! `1.10` keeps its name, because nothing is guessed before its type is known.
//! **No text makes the tree larger than a fixed multiple of the text, or deeper
//! than [`build::DEPTH_MAX`].**
//!
//! Reading order: [`build`], [`syntax`], [`substitute`], [`merge`].

pub(crate) mod build;
pub(crate) mod merge;
pub(crate) mod substitute;
pub(crate) mod syntax;

/// Where something stands. Columns and lengths saturate: a caret that far to the right shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Index into the files given.
    pub(crate) file: u16,
    /// From 1.
    pub(crate) line: u32,
    /// From 1, in characters.
    pub(crate) column: u16,
    /// In characters, at least 1.
    pub(crate) length: u16,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node<'s> {
    pub(crate) place: Place,
    pub(crate) value: Value<'s>,
}

/// What stands at a place.
#[derive(Debug, Clone)]
pub(crate) enum Value<'s> {
    Scalar(Scalar<'s>),
    List(Vec<Node<'s>>),
    Map(Vec<(Key<'s>, Node<'s>)>),
    /// A scalar whose variables are not known; the mistake is noted, and nothing more is said about it.
    Unknown,
}

/// The key of a map with its place.
#[derive(Debug, Clone)]
pub(crate) struct Key<'s> {
    pub(crate) place: Place,
    pub(crate) name: Text<'s>,
}

/// Anything that is neither a list nor a map.
#[derive(Debug, Clone)]
pub(crate) struct Scalar<'s> {
    pub(crate) text: Text<'s>,
    /// Without quotes and not a block, so that `true`, `5` and `~` mean more than their letters.
    pub(crate) is_plain: bool,
}

/// Text, borrowed from the file wherever it stands there as it is meant.
#[derive(Debug, Clone)]
pub(crate) enum Text<'s> {
    Borrowed(&'s str),
    Owned(Box<str>),
    /// With variables put in. Messages quote what was written, because a variable may hold a secret.
    Substituted(Box<(String, String)>),
}

impl Text<'_> {
    /// What is meant.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
            Self::Substituted(pair) => &pair.0,
        }
    }

    /// What was written.
    pub(crate) fn written(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
            Self::Substituted(pair) => &pair.1,
        }
    }
}

impl Node<'_> {
    /// Whether nothing was given: an empty value, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => scalar.is_null(),
            Value::List(_) | Value::Map(_) | Value::Unknown => false,
        }
    }

    /// What it is, for a message: `a list`, `"abc"`.
    pub(crate) fn found(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => "nothing".to_owned(),
            Value::Scalar(scalar) => crate::mistake::quoted(scalar.text.written()),
            Value::List(items) if items.is_empty() => "an empty list".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Unknown => "an unknown variable".to_owned(),
        }
    }
}

impl Scalar<'_> {
    /// Whether it is the empty value of YAML's core schema.
    pub(crate) fn is_null(&self) -> bool {
        self.is_plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

// The tree of a large file is made of these; a hundred bytes more each is a hundred megabytes.
const _: () = assert!(size_of::<Node<'static>>() <= 48 && size_of::<Key<'static>>() <= 40);
