//! `${VARIABLE}` in values.
//!
//! `$$` stands for one dollar, `${NAME:-text}` has a default for a variable
//! that is not set or empty, as in a shell. A dollar before anything else is a
//! dollar, because regular expressions and JSON paths are full of them.

use super::Text;
use crate::mistake::{Code, Draft};

/// Bytes a value may have after variables are put in; far more than any field takes.
const SUBSTITUTED_BYTES_MAX: usize = 1 << 20;

/// Returns the text with its variables put in, and what was wrong with them.
pub(super) fn substitute<'s>(text: Text<'s>, environment: &dyn Fn(&str) -> Option<String>) -> (Text<'s>, Vec<Draft>) {
    let written = text.as_str();
    if !written.contains("${") && !written.contains("$$") {
        return (text, Vec::new());
    }
    let mut mistakes = Vec::new();
    let mut out = String::with_capacity(written.len());
    let mut rest = written;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inside) = after.strip_prefix('{') {
            let Some(end) = inside.find('}') else {
                mistakes.push(not_closed());
                rest = "";
                continue;
            };
            match variable(&inside[..end], environment) {
                Ok(value) => out.push_str(&value),
                Err(draft) => mistakes.push(draft),
            }
            rest = &inside[end + 1..];
        } else {
            out.push('$');
            rest = after;
        }
        if out.len() > SUBSTITUTED_BYTES_MAX {
            mistakes.push(Draft::new(Code::Variable, "the value is larger than 1 MiB with its variables put in"));
            return (Text::Owned(Box::from("")), mistakes);
        }
    }
    out.push_str(rest);
    (Text::Substituted(Box::new((out, written.to_owned()))), mistakes)
}

fn variable(inside: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, Draft> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        let message = format!("{} is not the name of a variable", crate::mistake::quoted(name));
        return Err(Draft::new(Code::Variable, message)
            .allowed("letters, digits and _, as in ${NAME} or ${NAME:-default}")
            .help("write $${ for these two characters themselves"));
    }
    match (environment(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (Some(_) | None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Draft::new(Code::Variable, format!("the environment variable {name} is not set"))
            .label("not set")
            .help(format!("set {name}, or give a default: ${{{name}:-text}}"))),
    }
}

fn not_closed() -> Draft {
    Draft::new(Code::Variable, "a variable that begins with ${ is not closed")
        .allowed("${NAME} or ${NAME:-default}")
        .help("add the closing }, or write $${ for these two characters themselves")
}

fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (String, usize) {
        let environment = |name: &str| match name {
            "HOST" => Some("db.example".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let (text, mistakes) = substitute(Text::Borrowed(text), &environment);
        (text.as_str().to_owned(), mistakes.len())
    }

    #[test]
    fn variables_are_put_in_and_dollars_survive() {
        assert_eq!(of("${HOST}:5432"), ("db.example:5432".into(), 0));
        assert_eq!(of("${NONE:-a}${EMPTY:-b}${EMPTY}"), ("ab".into(), 0));
        assert_eq!(of("$$ $${HOST} $.ok ^a$"), ("$ ${HOST} $.ok ^a$".into(), 0));
    }

    #[test]
    fn a_wrong_variable_is_a_mistake() {
        for wrong in ["${NONE}", "${HOST", "${}", "${A B}", "${1}"] {
            assert_eq!(of(wrong).1, 1, "{wrong}");
        }
    }
}
