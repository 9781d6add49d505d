//! Texts with a grammar of their own: why one is refused, or that it is not.
//!
//! Each function gets the text and returns the sentence that continues after
//! `"url" is not a web address: `.

use crate::fields::Form;
use model::limits::NODE_NAME_LENGTH_MAX;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Characters of a regular expression or JSON path; nobody reads longer ones.
const EXPRESSION_LENGTH_MAX: usize = 4096;
/// Memory a compiled regular expression may take: far below the default of
/// 10 MB, so that what is accepted here compiles wherever it is used.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Bytes of a domain name, RFC 1035 section 2.3.4.
const DOMAIN_LENGTH_MAX: usize = 253;
/// Bytes of a label of a domain name, from the same place.
const LABEL_LENGTH_MAX: usize = 63;

/// Letters of a key of 32 bytes and its checksum in Bech32.
const AGE_KEY_LENGTH: usize = 58;

/// Judges a text by its form. `Err` says what is wrong.
pub(crate) fn judge(form: &Form, text: &str) -> Result<(), String> {
    match form {
        Form::Text | Form::Path => line(text),
        Form::NodeName => node_name(text),
        Form::BackupTarget => backup_target(text),
        Form::TimeOfDay => time_of_day(text).map(|_| ()),
        Form::AgeRecipient => age_recipient(text),
        Form::Url => url(text),
        Form::Host => host(text),
        Form::DomainName => domain(text),
        Form::MailAddress => mail(text),
        Form::Mailbox => mailbox(text),
        Form::HeaderName => header_name(text),
        Form::Method => method(text),
        Form::Regex => regex(text),
        Form::JsonPath => json_path(text),
        Form::TimeZone => jiff::tz::db().get(text).map(|_| ()).map_err(|_| "there is no such time zone".to_owned()),
        Form::Cron => model::cron::Cron::parse(text).map(|_| ()).map_err(|error| error.to_string()),
        Form::Fingerprint => fingerprint(text),
        Form::Token => token(text),
        _ => Ok(()),
    }
}

/// Whether judging takes long enough to remember the result.
pub(super) fn is_dear(form: &Form) -> Option<&'static str> {
    match form {
        Form::Regex => Some("regex"),
        Form::JsonPath => Some("json-path"),
        Form::TimeZone => Some("time-zone"),
        _ => None,
    }
}

/// The same rule by which the cluster takes a name.
fn node_name(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > NODE_NAME_LENGTH_MAX {
        return Err(format!("it has more than {NODE_NAME_LENGTH_MAX} characters"));
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')) {
        Some(wrong) => Err(format!("it holds {wrong:?}")),
        None => Ok(()),
    }
}

/// A path, or a bucket with or without a prefix.
fn backup_target(text: &str) -> Result<(), String> {
    line(text)?;
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(()) };
    if scheme != "s3" {
        return Err(format!("backups do not go to {scheme}://"));
    }
    let bucket = rest.split('/').next().unwrap_or_default();
    // By the rules of S3 for the names of buckets.
    let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
    if bucket.is_empty() || !bucket.chars().all(is_legal) {
        return Err("it names no bucket".to_owned());
    }
    Ok(())
}

/// The time since midnight.
pub(super) fn time_of_day(text: &str) -> Result<Duration, String> {
    let number = |text: &str| (text.len() == 2).then(|| text.parse::<u64>().ok()).flatten();
    let (hour, minute) = text.split_once(':').ok_or("there is no colon")?;
    match (number(hour), number(minute)) {
        (Some(hour @ 0..=23), Some(minute @ 0..=59)) => Ok(Duration::from_secs((hour * 60 + minute) * 60)),
        _ => Err("hour or minute cannot be read".to_owned()),
    }
}

/// The form of a public key; whether it is one is known when it is used.
fn age_recipient(text: &str) -> Result<(), String> {
    if text.starts_with("AGE-SECRET-KEY-") {
        return Err("it is a secret key, which must not be here".to_owned());
    }
    let key = text.strip_prefix("age1").ok_or("it does not begin with age1")?;
    // The letters of Bech32 (BIP 173), without those that look alike.
    let is_legal = |c: char| matches!(c, '0' | '2'..='9' | 'a' | 'c'..='h' | 'j'..='n' | 'p'..='z');
    if key.len() != AGE_KEY_LENGTH || !key.chars().all(is_legal) {
        return Err(format!("behind age1 there are not {AGE_KEY_LENGTH} of its letters and digits"));
    }
    Ok(())
}

fn line(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    no_control(text)
}

fn no_control(text: &str) -> Result<(), String> {
    match text.chars().find(|c| c.is_control()) {
        Some('\n' | '\r') => Err("it has more than one line".to_owned()),
        Some(_) => Err("it holds a control character".to_owned()),
        None => Ok(()),
    }
}

fn url(text: &str) -> Result<(), String> {
    no_control(text)?;
    if text.contains(char::is_whitespace) {
        return Err("it holds a space; write %20 for one".to_owned());
    }
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") || !text[scheme.len()..].starts_with("://") {
        return Err("it does not begin with http:// or https://".to_owned());
    }
    let parsed = url::Url::parse(text).map_err(|error| error.to_string())?;
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err("it has no host".to_owned());
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("it holds a user or password, which would be shown wherever the address is".to_owned());
    }
    if parsed.port() == Some(0) {
        return Err("port 0 cannot be connected to".to_owned());
    }
    Ok(())
}

fn host(text: &str) -> Result<(), String> {
    // A link-local address names its interface: fe80::1%eth0.
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    if text.parse::<IpAddr>().is_ok() || address.parse::<Ipv6Addr>().is_ok() {
        return no_control(text);
    }
    if text.starts_with('[') {
        return Err("an IPv6 address stands without brackets here".to_owned());
    }
    if text.contains(':') {
        return Err("it holds a \":\"; no port stands here".to_owned());
    }
    if text.contains('*') {
        return Err("it holds '*'".to_owned());
    }
    domain(text)
}

fn domain(text: &str) -> Result<(), String> {
    if text == "." {
        return Ok(());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Err("it is empty".to_owned());
    }
    if name.len() > DOMAIN_LENGTH_MAX {
        return Err(format!("it has more than {DOMAIN_LENGTH_MAX} characters"));
    }
    if let Some(wrong) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '*')) {
        return Err(match wrong {
            c if c.is_ascii() => format!("it holds {c:?}"),
            c => format!("it holds {c:?}; write the name in its ASCII form, which begins with xn--"),
        });
    }
    if name.split('.').any(|label| label.is_empty() || label.len() > LABEL_LENGTH_MAX) {
        return Err(format!("a part between dots is empty or longer than {LABEL_LENGTH_MAX} characters"));
    }
    Ok(())
}

/// An address with or without a name before it: `Mainstay <mainstay@example.org>`.
fn mailbox(text: &str) -> Result<(), String> {
    no_control(text)?;
    match (text.split_once('<'), text.strip_suffix('>')) {
        (Some((_, address)), Some(_)) => mail(&address[..address.len() - 1]),
        (None, None) => mail(text),
        (Some(_), None) | (None, Some(_)) => Err("a < or > has no partner".to_owned()),
    }
}

fn mail(text: &str) -> Result<(), String> {
    no_control(text)?;
    let Some((user, domain_name)) = text.rsplit_once('@') else {
        return Err("it has no @".to_owned());
    };
    let is_legal = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c);
    if user.is_empty() || user.len() > 64 || !user.chars().all(is_legal) {
        return Err("the part before the @ is empty or holds a character that mail addresses do not".to_owned());
    }
    domain(domain_name)
}

/// RFC 9110 section 5.6.2.
fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

pub(super) fn header_name(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    match text.chars().find(|c| !is_token_character(*c)) {
        Some(wrong) => Err(format!("it holds {wrong:?}")),
        None => Ok(()),
    }
}

/// A value that cannot end its header and begin another one.
pub(super) fn header_value(text: &str) -> Result<(), String> {
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        Some('\r' | '\n') => Err("it holds a line break, which would begin another header".to_owned()),
        Some(_) => Err("it holds a control character".to_owned()),
        None => Ok(()),
    }
}

fn method(text: &str) -> Result<(), String> {
    if !text.is_empty() && text.len() <= 20 && text.chars().all(|c| c.is_ascii_uppercase() || c == '-') {
        return Ok(());
    }
    Err("a method is a word in capital letters".to_owned())
}

fn regex(text: &str) -> Result<(), String> {
    if text.len() > EXPRESSION_LENGTH_MAX {
        return Err(format!("it has more than {EXPRESSION_LENGTH_MAX} characters"));
    }
    match regex::RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build() {
        Ok(_) => Ok(()),
        Err(regex::Error::CompiledTooBig(_)) => Err("it is too large once it is expanded".to_owned()),
        // The library draws the expression with a caret of its own; its last line is the sentence.
        Err(error) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or("it cannot be read");
            Err(last.trim_start_matches("error: ").to_owned())
        }
    }
}

fn json_path(text: &str) -> Result<(), String> {
    if text.len() > EXPRESSION_LENGTH_MAX {
        return Err(format!("it has more than {EXPRESSION_LENGTH_MAX} characters"));
    }
    if !text.starts_with('$') {
        return Err("it does not begin with $".to_owned());
    }
    let depth = text.bytes().filter(|b| matches!(b, b'[' | b'(')).count();
    if depth > 64 {
        return Err("it holds more than 64 brackets".to_owned());
    }
    serde_json_path::JsonPath::parse(text).map(|_| ()).map_err(|error| error.to_string())
}

fn fingerprint(text: &str) -> Result<(), String> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    match text.strip_prefix("SHA256:") {
        Some(hash) if hash.len() == 43 && hash.chars().all(is_base64) => Ok(()),
        Some(_) => Err("behind SHA256: stand 43 characters of base64, without =".to_owned()),
        None => Err("it does not begin with SHA256:".to_owned()),
    }
}

fn token(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if !(16..=128).contains(&length) {
        return Err(format!("it has {length} characters"));
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    if text.chars().all(is_legal) { Ok(()) } else { Err("it holds a character that is not allowed".to_owned()) }
}
