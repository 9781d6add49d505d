//! The proof that a pure room is pure, twice over and both times by absence:
//! nothing that touches the world is in its dependency tree, and its own
//! sources name nothing of the standard library that does.
//!
//! The tree is cargo's own answer for that room alone. The workspace's joint
//! tree would not do: there, another room's switches are added to a shared
//! library's.

use super::golden::Golden;
use crate::process::{cargo, read};
use crate::report::Report;
use crate::workspace::text_files;
use anyhow::Result;
use std::path::Path;

/// Words of the standard library that a pure room never speaks, each with what it would let in.
const WORDS: [(&str, &str); 15] = [
    ("SystemTime", "a clock"),
    ("Instant", "a clock"),
    ("TcpStream", "a socket"),
    ("TcpListener", "a socket"),
    ("UdpSocket", "a socket"),
    ("UnixStream", "a socket"),
    ("UnixListener", "a socket"),
    ("ToSocketAddrs", "name resolution"),
    ("HashMap", "an order drawn by lot; take BTreeMap"),
    ("HashSet", "an order drawn by lot; take BTreeSet"),
    ("RandomState", "randomness"),
    ("stdin", "the terminal"),
    ("println", "the terminal"),
    ("eprintln", "the terminal"),
    ("thread_local", "state that is not in the state"),
];

/// Modules of `std` that a pure room never enters.
const MODULES: [(&str, &str); 5] = [
    ("fs", "files"),
    ("env", "the environment"),
    ("thread", "threads"),
    ("process", "processes"),
    ("os", "the operating system"),
];

/// Proves every pure room pure, or says what is in the way.
pub(super) fn inspect(root: &Path, golden: &Golden, report: &mut Report) -> Result<()> {
    for room in golden.pure_rooms() {
        let tree = read(&mut cargo(&[
            "tree",
            "--package",
            room,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}|{f}",
        ])?)?;
        inspect_tree(room, &tree, golden, report);
    }
    for file in text_files(root)?.iter().filter(|file| file.is_rust()) {
        let is_pure = golden.pure_rooms().any(|room| file.path.starts_with(&format!("crates/{room}/src/")));
        if is_pure && !file.path.ends_with("/tests.rs") && !file.path.contains("/tests/") {
            inspect_source(&file.path, &file.text, report);
        }
    }
    Ok(())
}

/// Each line is `name vVERSION (remarks)|feature,feature`.
fn inspect_tree(room: &str, tree: &str, golden: &Golden, report: &mut Report) {
    for line in tree.lines() {
        let (package, features) = line.split_once('|').unwrap_or((line, ""));
        let name = package.split(' ').next().unwrap_or(package);
        // The rooms themselves are in the tree too, and one is named `notify`
        // like a library that watches files; only ours have a path.
        if package.contains("(/") {
            continue;
        }
        if let Some(forbidden) = golden.purity.libraries.iter().find(|library| is_of(name, library)) {
            report
                .mistakes
                .push(format!("crates/{room}: `{name}` is in its tree, and a pure room is without `{forbidden}`"));
        }
        let Some(closed) = golden.purity.features.get(name) else { continue };
        for feature in features.trim_end_matches(" (*)").split(',').filter(|feature| closed.contains(*feature)) {
            report.mistakes.push(format!(
                "crates/{room}: `{name}` has its feature `{feature}` on, which opens a door to the world"
            ));
        }
    }
}

/// Whether a library is the forbidden one or of its family.
fn is_of(name: &str, forbidden: &str) -> bool {
    name.strip_prefix(forbidden).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

fn inspect_source(path: &str, text: &str, report: &mut Report) {
    let mut in_std_braces = false;
    for (index, line) in text.lines().enumerate() {
        // Tests stand last in a file and may do what they like.
        if line.trim() == "#[cfg(test)]" {
            return;
        }
        let code = line.split("//").next().unwrap_or("");
        in_std_braces |= code.contains("use std::{");
        for (word, what) in WORDS.iter().filter(|(word, _)| words(code).any(|found| found == *word)) {
            report.mistake(path, index + 1, format!("`{word}` would let {what} into a pure room"));
        }
        for (module, what) in MODULES {
            let is_named = code.contains(&format!("std::{module}"));
            if is_named || (in_std_braces && words(code).any(|found| found == module)) {
                report.mistake(path, index + 1, format!("`std::{module}` would let {what} into a pure room"));
            }
        }
        in_std_braces &= !code.contains("};");
    }
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_librarys_doors_are_seen() {
        for (code, expected) in [
            ("let now = std::time::Instant::now();", "Instant"),
            ("use std::collections::HashMap;", "HashMap"),
            ("use std::{collections::BTreeMap, fs};", "std::fs"),
            ("use std::{\n    collections::BTreeMap,\n    env,\n};", "std::env"),
            ("std::process::exit(1)", "std::process"),
            ("let s = std::net::TcpStream::connect(a);", "TcpStream"),
        ] {
            let found = source(code);
            assert!(found.len() == 1 && found[0].contains(expected), "{code}: {found:?}");
        }
    }

    #[test]
    fn comments_tests_and_addresses_are_not_doors() {
        for code in [
            "// SystemTime would not do here",
            "/// Like std::fs, but not",
            "use std::net::IpAddr;",
            "fn process(env: u8, thread: u8) {}",
            "#[cfg(test)]\nmod tests { use std::fs; }",
            "struct Instantaneous;",
        ] {
            assert_eq!(source(code), Vec::<String>::new(), "{code}");
        }
    }

    #[test]
    fn a_forbidden_library_and_a_forbidden_switch_are_seen_however_deep() {
        let tree = "control v0.1.0 (/somewhere/crates/control)|\nnotify v0.1.0 (/somewhere/crates/notify)|\n\
                    jiff v0.2.1|alloc,std\ntokio-util v0.7.0|\nrandom-name v1.0.0|\nserde v1.0.0|std (*)";
        let mut report = Report::default();
        inspect_tree("control", tree, &golden(), &mut report);
        let text = report.mistakes.join("\n");
        assert_eq!(report.mistakes.len(), 2, "{text}");
        assert!(text.contains("tokio-util") && text.contains("feature `std`"), "{text}");
    }

    fn source(code: &str) -> Vec<String> {
        let mut report = Report::default();
        inspect_source("crates/control/src/lib.rs", code, &mut report);
        report.mistakes
    }

    fn golden() -> Golden {
        toml::from_str(
            "[rooms]\n[kinds]\npure = [\"control\"]\nhands = []\nfront_door = []\ndevelopment = []\n\
             [purity]\nlibraries = [\"tokio\", \"rand\", \"notify\"]\n[purity.features]\njiff = [\"std\"]\n",
        )
        .unwrap()
    }
}
