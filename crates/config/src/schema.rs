//! The JSON schema of the configuration, for editors.
//!
//! Drawn from the same tables that the reader uses. It is as strict as a schema
//! can be without refusing what the reader takes: wherever a value stands, a
//! variable (`${NAME}`) may stand too.

use crate::fields::check::KINDS;
use crate::fields::top::TOP;
use crate::fields::{Field, Form, Part, Presence};
use serde_json::{Map, Value, json};

/// Where the schema says it is to be found; a name, nothing is fetched.
const SCHEMA_ID: &str = "urn:mainstay:configuration";

/// Returns the schema as JSON text, draft 2020-12, with a final newline.
pub fn schema() -> String {
    let mut schema = part(&TOP);
    let top = [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("$id", json!(SCHEMA_ID)),
        ("title", json!("Mainstay configuration")),
    ];
    if let Value::Object(map) = &mut schema {
        for (name, value) in top {
            map.insert(name.to_owned(), value);
        }
        let checks: Vec<Value> = KINDS.iter().map(|kind| part(kind.part)).collect();
        map.insert("$defs".to_owned(), json!({ "check": { "oneOf": checks } }));
    }
    let mut text = serde_json::to_string_pretty(&schema).expect("a tree of our own always encodes");
    text.push('\n');
    text
}

fn part(part: &Part) -> Value {
    let mut properties = Map::new();
    let (mut required, mut one_of) = (Vec::new(), Vec::new());
    for field in part.fields() {
        properties.insert(field.name.to_owned(), described(field));
        let is_secret = matches!(field.form, Form::Secret);
        let is_required = matches!(field.presence, Presence::Required);
        if is_secret {
            let name = format!("{}_file", field.name);
            let doc = format!("The path of a file whose first line is the value of `{}`.", field.name);
            one_of.push((field.name, name.clone(), is_required));
            properties.insert(name, json!({ "type": "string", "description": doc }));
        } else if is_required {
            required.push(field.name);
        }
    }
    let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    let Value::Object(map) = &mut schema else { return schema };
    map.insert("description".to_owned(), json!(part.doc));
    if !required.is_empty() {
        map.insert("required".to_owned(), json!(required));
    }
    let secrets: Vec<Value> =
        one_of.into_iter().map(|(name, file, is_needed)| secret_rule(name, &file, is_needed)).collect();
    if !secrets.is_empty() {
        map.insert("allOf".to_owned(), json!(secrets));
    }
    schema
}

/// Inline or by file, never both.
fn secret_rule(name: &str, file: &str, is_needed: bool) -> Value {
    if is_needed {
        return json!({ "oneOf": [{ "required": [name] }, { "required": [file] }] });
    }
    json!({ "not": { "required": [name, file] } })
}

fn described(field: &Field) -> Value {
    let mut schema = form(&field.form);
    if let Value::Object(map) = &mut schema {
        map.insert("description".to_owned(), json!(field.doc));
        if let Presence::Default(value) = &field.presence {
            map.insert("default".to_owned(), default_value(&field.form, value));
        }
    }
    schema
}

/// The default in the type of its field.
fn default_value(form: &Form, text: &str) -> Value {
    match form {
        Form::Boolean | Form::Integer { .. } => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        Form::List(_) => {
            let items = text.trim_matches(['[', ']']).split(", ");
            json!(items.collect::<Vec<_>>())
        }
        _ => json!(text),
    }
}

fn form(form_: &Form) -> Value {
    match form_ {
        Form::Number => or_variable(json!({ "type": "number" })),
        Form::Boolean => or_variable(json!({ "type": "boolean" })),
        Form::Integer { low, high } => or_variable(json!({ "type": "integer", "minimum": low, "maximum": high })),
        Form::Duration { .. } => json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w))+$|\\$\\{" }),
        Form::Choice(words) => or_variable(json!({ "enum": words })),
        Form::Id | Form::Name(_) => pattern("^[a-z0-9][a-z0-9._-]{0,63}$"),
        Form::NodeName => pattern("^[A-Za-z0-9._-]{1,64}$"),
        Form::TimeOfDay => pattern("^([01][0-9]|2[0-3]):[0-5][0-9]$"),
        Form::AgeRecipient => pattern("^age1[02-9ac-hj-np-z]{58}$"),
        Form::Url => pattern("^[hH][tT][tT][pP][sS]?://[^/?#\\s]"),
        Form::Fingerprint => pattern("^SHA256:[A-Za-z0-9+/]{43}$"),
        Form::Token => pattern("^[A-Za-z0-9._~-]{16,128}$"),
        Form::Method => pattern("^[A-Z-]{1,20}$"),
        Form::JsonPath => pattern("^\\$"),
        Form::MailAddress | Form::Mailbox => pattern("@"),
        Form::Status => json!({ "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^ *[1-5][0-9][0-9] *(- *[1-5][0-9][0-9] *)?$|\\$\\{" },
        ] }),
        // A number or `true` in place of a text is read as the text that is written there.
        Form::Text
        | Form::LongText
        | Form::Path
        | Form::BackupTarget
        | Form::Host
        | Form::HostPort(_)
        | Form::DomainName => scalar(),
        Form::Secret | Form::HeaderName | Form::Regex | Form::Time | Form::TimeZone | Form::Cron => scalar(),
        Form::Json => json!({}),
        Form::Command => json!({ "anyOf": [scalar(), { "type": "array", "items": scalar(), "minItems": 1 }] }),
        Form::TextMap => json!({ "type": ["object", "null"], "additionalProperties": scalar() }),
        Form::Part(inner) => or_nothing(part(inner)),
        Form::List(item) => json!({ "type": ["array", "null"], "items": form(item) }),
        Form::OneOrList(item) => {
            json!({ "anyOf": [form(item), { "type": ["array", "null"], "items": form(item) }] })
        }
        Form::Either(one, other) => json!({ "anyOf": [form(one), form(other)] }),
        Form::Check => json!({ "$ref": "#/$defs/check" }),
    }
}

fn scalar() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

fn pattern(pattern: &str) -> Value {
    json!({ "type": ["string", "integer"], "pattern": format!("{pattern}|\\$\\{{") })
}

fn or_variable(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "string", "pattern": "\\$\\{" }] })
}

/// A map without content may be written as nothing at all.
fn or_nothing(mut schema: Value) -> Value {
    if let Value::Object(map) = &mut schema {
        map.insert("type".to_owned(), json!(["object", "null"]));
    }
    schema
}
