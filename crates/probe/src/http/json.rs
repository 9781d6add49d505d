//! Tests of a body as JSON.

use crate::PrepareError;
use crate::round::Trouble;
use crate::text::{compile_pattern, quoted};
use model::check::{JsonCondition, JsonTest};
use model::observation::Cause;
use regex::Regex;
use serde_json::{Number, Value};
use serde_json_path::JsonPath;

/// Values of a document. A value can take six hundred times the bytes it was
/// written in, so the bound on the body alone would not bound the memory.
const VALUES_MAX: usize = 100_000;

/// A test of one place in a document, compiled.
pub(super) struct JsonExpectation {
    path: Box<JsonPath>,
    condition: Condition,
}

enum Condition {
    Equals(Box<Value>),
    Differs(Box<Value>),
    AtLeast(Number),
    AtMost(Number),
    Matches(Box<Regex>),
    Exists(bool),
}

impl JsonExpectation {
    /// Compiles a test.
    ///
    /// # Errors
    /// [`PrepareError`] for a path, value or expression that cannot be used.
    pub(super) fn compile(test: &JsonTest) -> Result<Self, PrepareError> {
        let path = JsonPath::parse(&test.path)
            .map_err(|source| PrepareError::JsonPath { path: test.path.clone(), source: Box::new(source) })?;
        let condition = match &test.test {
            JsonCondition::Equals(text) => Condition::Equals(Box::new(value(text)?)),
            JsonCondition::Differs(text) => Condition::Differs(Box::new(value(text)?)),
            JsonCondition::AtLeast(text) => Condition::AtLeast(number(text)?),
            JsonCondition::AtMost(text) => Condition::AtMost(number(text)?),
            JsonCondition::Matches(pattern) => Condition::Matches(Box::new(compile_pattern(pattern)?)),
            JsonCondition::Exists(wanted) => Condition::Exists(*wanted),
        };
        Ok(Self { path: Box::new(path), condition })
    }

    /// Judges a document by all tests.
    pub(super) fn judge(tests: &[Self], text: &str) -> Result<(), Trouble> {
        let structural = text.bytes().filter(|byte| matches!(byte, b'{' | b'[' | b',' | b':')).count();
        if structural > VALUES_MAX {
            let sentence = format!("the body has more than the {VALUES_MAX} JSON values that are tested");
            return Err(Trouble::fail(Cause::TooLarge, sentence));
        }
        let document: Value = serde_json::from_str(text)
            .map_err(|error| Trouble::fail(Cause::Body, format!("the body is not JSON: {error}")))?;
        match tests.iter().find_map(|test| test.complaint(&document)) {
            Some(complaint) => Err(Trouble::fail(Cause::Body, complaint)),
            None => Ok(()),
        }
    }

    fn complaint(&self, document: &Value) -> Option<String> {
        let path = &self.path;
        let nodes = self.path.query(document);
        let found = match (nodes.first(), &self.condition) {
            (None, Condition::Exists(false)) => return None,
            (None, _) => return Some(format!("{path} is not there")),
            (Some(found), _) => found,
        };
        let shown = || quoted_json(found);
        match &self.condition {
            Condition::Equals(wanted) if !equal(found, wanted) => {
                Some(format!("{path} is {}, expected {}", shown(), quoted_json(wanted)))
            }
            Condition::Differs(unwanted) if equal(found, unwanted) => {
                Some(format!("{path} is {}, which it must not be", shown()))
            }
            Condition::AtLeast(limit) => number_complaint(found, |is| is >= as_f64(limit))
                .map(|_| format!("{path} is {}, expected a number of at least {limit}", shown())),
            Condition::AtMost(limit) => number_complaint(found, |is| is <= as_f64(limit))
                .map(|_| format!("{path} is {}, expected a number of at most {limit}", shown())),
            Condition::Matches(pattern) if !pattern.is_match(&text_of(found)) => {
                Some(format!("{path} is {}, which does not match {}", shown(), quoted(pattern.as_str())))
            }
            Condition::Exists(false) => Some(format!("{path} is there: {}", shown())),
            Condition::Equals(_) | Condition::Differs(_) | Condition::Matches(_) | Condition::Exists(true) => None,
        }
    }
}

fn value(text: &str) -> Result<Value, PrepareError> {
    serde_json::from_str(text).map_err(|source| PrepareError::JsonValue { text: text.to_owned(), source })
}

fn number(text: &str) -> Result<Number, PrepareError> {
    match value(text)? {
        Value::Number(number) => Ok(number),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            Err(PrepareError::JsonNumber { text: text.to_owned() })
        }
    }
}

/// Whether two values are the same. Numbers are compared as numbers, so that
/// 1 equals 1.0; whole ones exactly.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || (a.is_f64() || b.is_f64()) && as_f64(a) == as_f64(b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

fn as_f64(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

/// Something if the value is no number or does not fit.
fn number_complaint(found: &Value, fits: impl FnOnce(f64) -> bool) -> Option<()> {
    let fits = found.as_f64().is_some_and(fits);
    (!fits).then_some(())
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn quoted_json(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) | Value::Object(_) => {
            let shown = quoted(&value.to_string());
            shown.trim_matches('"').to_owned()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"ok": true, "load": 1.0, "big": 9007199254740993, "name": "db", "list": [1, {"a": 2}]}"#;

    fn complaint(path: &str, test: JsonCondition) -> Option<String> {
        let test = JsonExpectation::compile(&JsonTest { path: path.into(), test }).expect("it compiles");
        JsonExpectation::judge(&[test], DOCUMENT).err().map(|trouble| trouble.failure.sentence)
    }

    #[test]
    fn conditions_that_hold_say_nothing() {
        for (path, test) in [
            ("$.ok", JsonCondition::Equals("true".into())),
            ("$.load", JsonCondition::Equals("1".into())),
            ("$.big", JsonCondition::Differs("9007199254740992".into())),
            ("$.list", JsonCondition::Equals("[1.0, {\"a\": 2}]".into())),
            ("$.load", JsonCondition::AtLeast("0.5".into())),
            ("$.load", JsonCondition::AtMost("1".into())),
            ("$.name", JsonCondition::Matches("^d".into())),
            ("$.list", JsonCondition::Matches("\\{".into())),
            ("$.nothing", JsonCondition::Exists(false)),
            ("$..a", JsonCondition::Exists(true)),
        ] {
            assert_eq!(complaint(path, test.clone()), None, "{path} {test:?}");
        }
    }

    #[test]
    fn conditions_that_do_not_hold_say_what_is_there() {
        let is = |path, test, expected: &str| assert_eq!(complaint(path, test).as_deref(), Some(expected));
        is("$.ok", JsonCondition::Equals("\"yes\"".into()), "$.ok is true, expected \"yes\"");
        is("$.name", JsonCondition::Differs("\"db\"".into()), "$.name is \"db\", which it must not be");
        is("$.load", JsonCondition::AtLeast("2".into()), "$.load is 1.0, expected a number of at least 2");
        is("$.name", JsonCondition::AtMost("2".into()), "$.name is \"db\", expected a number of at most 2");
        is("$.list", JsonCondition::Matches("z".into()), "$.list is [1,{\"a\":2}], which does not match \"z\"");
        is("$.x", JsonCondition::Equals("1".into()), "$.x is not there");
        is("$.x", JsonCondition::Exists(true), "$.x is not there");
        is("$.ok", JsonCondition::Exists(false), "$.ok is there: true");
    }

    #[test]
    fn a_document_cannot_take_more_memory_than_its_limit() {
        let many = format!("[{}]", vec!["{\"\":0}"; VALUES_MAX / 2].join(","));
        let cause = JsonExpectation::judge(&[], &many).err().map(|trouble| trouble.failure.cause);
        assert_eq!(cause, Some(Cause::TooLarge));
        let deep = "[".repeat(50_000);
        let cause = JsonExpectation::judge(&[], &deep).err().map(|trouble| trouble.failure.cause);
        assert_eq!(cause, Some(Cause::Body));
    }
}
