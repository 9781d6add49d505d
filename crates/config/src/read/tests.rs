//! Every key that may be written is read: a key that is taken and ignored would
//! let somebody believe in a check that is not made.

use super::Reader;
use crate::SourceFile;
use crate::fields::check::KINDS;
use crate::mistake::Notes;
use crate::yaml::build::{Built, build};
use crate::yaml::{Node, Place, Value};

/// Keys that take any value.
const ANY: [&str; 2] = ["equals", "differs"];

#[test]
fn a_wrong_value_of_any_key_is_noticed() {
    let files = [SourceFile { name: "full.yaml".into(), text: include_str!("../../../../examples/full.yaml").into() }];
    let mut notes = Notes::new(&files);
    let Built::Tree(tree) = build(0, &files[0].text, &|_| None, &mut notes) else { panic!("the example is broken") };
    let count = values(&mut tree.clone(), &mut |_, _| {});
    assert!(count > 150, "only {count} values in the example");
    for wanted in 0..count {
        let mut changed = tree.clone();
        let (mut at, mut path) = (0, String::new());
        values(&mut changed, &mut |key, node| {
            if at == wanted && !ANY.contains(&key) {
                path = format!("{key} in line {}", node.place.line);
                node.value = nonsense(node.place);
            }
            at += 1;
        });
        let mut reader = Reader::new(Notes::new(&files));
        reader.top(changed);
        assert!(path.is_empty() || !reader.notes.is_clean(), "nobody looks at {path}");
    }
}

#[test]
fn every_kind_has_its_own_key() {
    for kind in &KINDS {
        assert!(kind.part.field(kind.name).is_some(), "{}", kind.name);
    }
}

/// Calls for the value of every key, and returns how many there are.
fn values(node: &mut Node<'_>, call: &mut dyn FnMut(&str, &mut Node<'_>)) -> usize {
    match &mut node.value {
        Value::Scalar(_) | Value::Unknown => 0,
        Value::List(items) => items.iter_mut().map(|item| values(item, call)).sum(),
        Value::Map(pairs) => {
            let mut count = 0;
            for (key, value) in pairs {
                count += 1 + values(value, call);
                call(key.name.as_str(), value);
            }
            count
        }
    }
}

/// A list in a list, which no key takes.
fn nonsense<'s>(place: Place) -> Value<'s> {
    let list = |items| Node { place, value: Value::List(items) };
    Value::List(vec![list(vec![list(Vec::new())])])
}
