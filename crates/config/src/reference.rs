//! The reference page of the configuration, in Markdown.
//!
//! Drawn from the same tables that the reader uses, so that it cannot tell
//! anything else than what is read.

use crate::fields::check::KINDS;
use crate::fields::top::TOP;
use crate::fields::{Field, Form, Part, Presence};

const HEAD: &str = "# Configuration

<!-- Generated from the tables in crates/config/src/fields. Change those, then run:
     UPDATE=1 cargo test -p config golden -->

Mainstay reads YAML from one file, or from all `*.yaml` files of a directory in the order of their names.
Of several files lists are joined and maps are merged; any other value stands once.
`mainstay config check` reports every mistake at once, each with its place, what is allowed and what to do,
and exits with 0 if there are none and with 2 otherwise. `docs/mainstay.schema.json` lets editors complete and check while you type.

The shortest useful file:

```yaml
page: { name: Acme Hosting }
services:
  - name: Website
    checks: [ { http: \"https://www.acme.example/\" } ]
receivers:
  - { id: ops, mail: ops@acme.example }
```

## Values

- **Times** carry a unit: `500ms`, `30s`, `5m`, `1h30m`, `14d`, `2w`.
- **Ids** are 1 to 64 characters of a-z, 0-9, `-`, `_` and `.`, the first a letter or digit.
- **Variables**: `${NAME}` in a value is replaced from the environment, `${NAME:-text}` has a default, `$$` is one dollar.
  A variable that is not set is a mistake. Keys take no variables.
- **Secrets** are given inline (`password: …`) or by file (`password_file: /run/secrets/db`), never both.
  The first line of the file counts; it is read at every use. Secrets are never shown.
- **One or several**: where a list is taken, one value may stand without its brackets if the table says \"one or a list\".
- Texts need no quotes unless YAML wants them: `name: no` and `name: 1.10` keep what is written.
- Anchors and aliases (`&name`, `*name`) work for whole values; `<<`, tags and several documents do not.
- A map or list without content counts as left out.

## One file, several nodes

`page`, `locations`, `defaults`, `services`, `receivers`, `mail` and `maintenance` are replicated: what one node's file says
holds for all nodes. `location`, `listen`, `data`, `log`, `allow_plugins`, `cluster` and `backup` concern only the node that
has the file.
A file that says nothing of what is replicated is enough for a node that joins others, and never replaces what they have:

```yaml
location: paris
cluster: { listen: 0.0.0.0:8481, address: paris1.acme.example:8481 }
```
";

/// Returns the page, with a final newline.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    let mut parts: Vec<&'static Part> = Vec::new();
    collect(&TOP, &mut parts);
    page.push_str("\n## The file\n");
    let (mut kinds, mut others) = (String::new(), String::new());
    for part in &parts {
        let is_kind = KINDS.iter().any(|kind| std::ptr::eq(kind.part, *part));
        let target = if is_kind { &mut kinds } else { &mut others };
        if std::ptr::eq(*part, &TOP) {
            table(part, &mut page);
        } else {
            target.push_str(&format!("\n### {}\n", heading(part)));
            table(part, target);
        }
    }
    page.push_str("\n## Checks\n\nA check has exactly one kind, which is the key that names what is watched. Its other keys depend on the kind.\n");
    page.push_str(&kinds);
    page.push_str("\n## Parts\n");
    page.push_str(&others);
    page
}

/// Every part that can be reached, in the order of reading.
fn collect(part: &'static Part, parts: &mut Vec<&'static Part>) {
    if parts.iter().any(|known| std::ptr::eq(*known, part)) {
        return;
    }
    parts.push(part);
    for field in part.fields() {
        collect_form(&field.form, parts);
    }
}

fn collect_form(form: &'static Form, parts: &mut Vec<&'static Part>) {
    match form {
        Form::Part(part) => collect(part, parts),
        Form::List(item) | Form::OneOrList(item) => collect_form(item, parts),
        Form::Either(one, other) => {
            collect_form(one, parts);
            collect_form(other, parts);
        }
        Form::Check => KINDS.iter().for_each(|kind| collect(kind.part, parts)),
        _ => {}
    }
}

fn heading(part: &Part) -> &'static str {
    let name = part.name;
    ["a ", "an ", "the "].iter().find_map(|article| name.strip_prefix(article)).unwrap_or(name)
}

fn table(part: &Part, out: &mut String) {
    out.push_str(&format!("\n{}\n\n| key | value | default | meaning |\n|---|---|---|---|\n", cell(part.doc)));
    for field in part.fields() {
        let name = match field.form {
            Form::Secret => format!("`{0}` or `{0}_file`", field.name),
            _ => format!("`{}`", field.name),
        };
        out.push_str(&format!("| {name} | {} | {} | {} |\n", value(field), default(field), cell(field.doc)));
    }
}

fn default(field: &Field) -> String {
    match field.presence {
        Presence::Required => "**needed**".to_owned(),
        Presence::Optional => String::new(),
        Presence::Default(value) => format!("`{value}`"),
    }
}

fn value(field: &Field) -> String {
    cell(&form_text(&field.form))
}

fn form_text(form: &Form) -> String {
    match form {
        Form::Part(part) => link(part),
        Form::List(item) => format!("a list of: {}", form_text(item)),
        Form::OneOrList(item) => format!("one or a list of: {}", form_text(item)),
        Form::Either(one, other) => format!("{}; or {}", form_text(one), form_text(other)),
        Form::Check => "[check](#checks)".to_owned(),
        Form::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        _ => form.to_string(),
    }
}

fn link(part: &Part) -> String {
    let heading = heading(part);
    let anchor: String = heading
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' => Some(c),
            _ => None,
        })
        .collect();
    format!("[{heading}](#{anchor})")
}

/// Text that cannot end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
