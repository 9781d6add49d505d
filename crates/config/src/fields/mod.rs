//! The one table of everything a configuration may hold.
//!
//! The parser takes its allowed keys, types and limits from here, and so do the
//! JSON schema and the reference page. **A key that is not in a table cannot be
//! read, and a default is written nowhere else than beside its key.**
//!
//! Reading order: [`top`], [`cluster`], [`backup`], [`check`], [`kinds`], [`expect`], [`receiver`].

pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod expect;
pub(crate) mod kinds;
pub(crate) mod receiver;
pub(crate) mod top;

use model::limits::NODE_NAME_LENGTH_MAX;
use std::fmt;

/// A map with known keys.
pub(crate) struct Part {
    /// With its article, for messages: "a service".
    pub(crate) name: &'static str,
    /// One or two sentences for the reference page.
    pub(crate) doc: &'static str,
    /// Its keys, in groups that parts share.
    pub(crate) groups: &'static [&'static [Field]],
}

impl Part {
    /// All keys in the order they are documented.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.groups.iter().flat_map(|group| group.iter())
    }

    /// The field a key belongs to; a secret also has the key of its file.
    pub(crate) fn field(&self, key: &str) -> Option<(&'static Field, Given)> {
        self.fields().find_map(|field| {
            if field.name == key {
                return Some((field, Given::Inline));
            }
            let is_file = matches!(field.form, Form::Secret) && key.strip_suffix("_file") == Some(field.name);
            is_file.then_some((field, Given::File))
        })
    }

    /// Every key that may be written.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for field in self.fields() {
            keys.push(field.name.to_owned());
            if matches!(field.form, Form::Secret) {
                keys.push(format!("{}_file", field.name));
            }
        }
        keys
    }
}

/// How a secret is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// As the value.
    Inline,
    /// As the path of a file.
    File,
}

/// A key with everything there is to know about it.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) presence: Presence,
    /// One sentence.
    pub(crate) doc: &'static str,
}

/// Whether a key must be there, and what holds when it is not.
pub(crate) enum Presence {
    Required,
    /// Nothing holds, or what the sentence says.
    Optional,
    /// This value holds, written as in a file.
    Default(&'static str),
}

/// What a value may be.
pub(crate) enum Form {
    /// Any text on one line that is not empty.
    Text,
    /// Any text, several lines included.
    LongText,
    /// A value that is never shown, or the path of a file with it.
    Secret,
    /// `true` or `false`.
    Boolean,
    Integer {
        low: u32,
        high: u32,
    },
    /// Limits in milliseconds.
    Duration {
        low_ms: u64,
        high_ms: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A new id of something.
    Id,
    /// What a node of the cluster is called.
    NodeName,
    /// A directory, or a place in a bucket.
    BackupTarget,
    /// Hour and minute.
    TimeOfDay,
    /// A public key of age.
    AgeRecipient,
    /// The id of something that is declared elsewhere: what it is.
    Name(&'static str),
    /// `http://` or `https://` with a host and without a password.
    Url,
    /// A host with a port, which may be left out if a default is given.
    HostPort(Option<u16>),
    Host,
    DomainName,
    MailAddress,
    /// A mail address, with or without a name before it.
    Mailbox,
    HeaderName,
    Regex,
    JsonPath,
    /// Any value, compared as JSON.
    Json,
    /// A number as JSON writes it.
    Number,
    /// RFC 3339.
    Time,
    TimeZone,
    Cron,
    /// `200` or `200-299`.
    Status,
    Method,
    Fingerprint,
    Token,
    /// A program with arguments: a line that is split like a shell does, or a list.
    Command,
    Path,
    /// Names with texts.
    TextMap,
    Part(&'static Part),
    List(&'static Form),
    /// One, or a list of them.
    OneOrList(&'static Form),
    /// The first for a scalar, the second for a map.
    Either(&'static Form, &'static Form),
    /// A check, whose keys depend on its kind.
    Check,
}

/// Writes milliseconds as in a file.
pub(crate) fn duration_text(ms: u64) -> String {
    model::time::format_duration(std::time::Duration::from_millis(ms))
}

impl fmt::Display for Form {
    /// What is allowed, as a sentence continues after "allowed: ".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a text on one line"),
            Self::LongText => f.write_str("a text"),
            Self::Secret => f.write_str("a text, or the path of a file in the key that ends in _file"),
            Self::Boolean => f.write_str("true or false"),
            Self::Integer { low, high } => write!(f, "a whole number from {low} to {high}"),
            Self::Duration { low_ms, high_ms } => {
                write!(f, "a time from {} to {}, such as 500ms, 30s, 5m or 1h30m", duration_text(*low_ms), duration_text(*high_ms))
            }
            Self::Choice(words) => f.write_str(&words.join(", ")),
            Self::Id => f.write_str("1 to 64 characters of a-z, 0-9, \"-\", \"_\" and \".\", the first a letter or digit"),
            Self::NodeName => {
                write!(f, "1 to {NODE_NAME_LENGTH_MAX} characters of a-z, A-Z, 0-9, \"-\", \"_\" and \".\"")
            }
            Self::Name(what) => write!(f, "the id of {what}"),
            Self::BackupTarget => f.write_str("a directory, or s3://bucket/prefix"),
            Self::TimeOfDay => f.write_str("hour and minute from 00:00 to 23:59, such as \"02:30\""),
            Self::AgeRecipient => f.write_str("a public key as `age-keygen` prints it: age1 and 58 small letters and digits"),
            Self::Url => f.write_str("an address that begins with http:// or https://"),
            Self::HostPort(None) => f.write_str("host:port, such as db.example:5432 or [2001:db8::1]:5432"),
            Self::HostPort(Some(port)) => write!(f, "host or host:port (port {port} when left out)"),
            Self::Host => f.write_str("a host name or an address"),
            Self::DomainName => f.write_str("a domain name"),
            Self::MailAddress => f.write_str("a mail address, such as ops@example.org"),
            Self::Mailbox => f.write_str("a mail address, such as ops@example.org or Ops <ops@example.org>"),
            Self::HeaderName => f.write_str("the name of a header"),
            Self::Regex => f.write_str("a regular expression (https://docs.rs/regex/latest/regex/#syntax)"),
            Self::JsonPath => f.write_str("a JSONPath by RFC 9535, such as $.status or $.items[0].id"),
            Self::Json => f.write_str("any value, compared as JSON"),
            Self::Number => f.write_str("a number"),
            Self::Time => f.write_str("a time by RFC 3339, such as 2026-11-20T22:00:00Z or 2026-11-20T23:00:00+01:00"),
            Self::TimeZone => f.write_str("a time zone of the IANA database, such as Europe/London or UTC"),
            Self::Cron => f.write_str("minute, hour, day of month, month and day of week, such as \"30 2 * * mon-fri\"; or @hourly, @daily, @weekly, @monthly"),
            Self::Status => f.write_str("a status code or a range, such as 200 or 200-299, from 100 to 599"),
            Self::Method => f.write_str("GET, HEAD, POST or another method in capital letters"),
            Self::Fingerprint => f.write_str("a fingerprint as `ssh-keygen -l` prints it: SHA256: and 43 characters"),
            Self::Token => f.write_str("16 to 128 characters of a-z, A-Z, 0-9, \"-\", \"_\", \".\" and \"~\""),
            Self::Command => f.write_str("a program with its arguments, as one line or as a list"),
            Self::Path => f.write_str("a path"),
            Self::TextMap => f.write_str("names with texts"),
            Self::Part(part) => write!(f, "a map with {}", part.keys().join(", ")),
            Self::List(item) => write!(f, "a list, each: {item}"),
            Self::OneOrList(item) => write!(f, "one, or a list of: {item}"),
            Self::Either(one, other) => write!(f, "{one}; or {other}"),
            Self::Check => f.write_str("a check"),
        }
    }
}

impl Form {
    /// What it is called in "… is not …".
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Text | Self::LongText => "a text",
            Self::Secret => "a text",
            Self::Boolean => "true or false",
            Self::Integer { .. } => "a whole number",
            Self::Duration { .. } => "a time with a unit",
            Self::Choice(_) => "one of the words allowed",
            Self::Id => "an id",
            Self::NodeName => "a node's name",
            Self::BackupTarget => "a place for backups",
            Self::TimeOfDay => "a time of day",
            Self::AgeRecipient => "a public key of age",
            Self::Name(_) => "the id of something declared",
            Self::Url => "a web address",
            Self::HostPort(_) => "a host with a port",
            Self::Host => "a host",
            Self::DomainName => "a domain name",
            Self::MailAddress | Self::Mailbox => "a mail address",
            Self::HeaderName => "a header name",
            Self::Regex => "a regular expression",
            Self::JsonPath => "a JSONPath",
            Self::Json => "a value",
            Self::Number => "a number",
            Self::Time => "a time by RFC 3339",
            Self::TimeZone => "a time zone",
            Self::Cron => "a cron expression",
            Self::Status => "a status code or range",
            Self::Method => "an HTTP method",
            Self::Fingerprint => "a host key fingerprint",
            Self::Token => "a token",
            Self::Command => "a command",
            Self::Path => "a path",
            Self::TextMap | Self::Part(_) | Self::Check => "a map",
            Self::List(_) => "a list",
            Self::OneOrList(item) | Self::Either(item, _) => item.noun(),
        }
    }
}

/// A key that must be there.
const fn required(name: &'static str, form: Form, doc: &'static str) -> Field {
    Field { name, form, presence: Presence::Required, doc }
}

/// A key that may be left out.
const fn optional(name: &'static str, form: Form, doc: &'static str) -> Field {
    Field { name, form, presence: Presence::Optional, doc }
}

/// A key with a default.
const fn default(name: &'static str, form: Form, value: &'static str, doc: &'static str) -> Field {
    Field { name, form, presence: Presence::Default(value), doc }
}
