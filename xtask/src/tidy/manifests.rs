//! Rules for manifests: every crate is under the same lints, none is published
//! by accident, no library has two versions by choice, none is there unused.

use crate::report::Report;
use crate::workspace::TextFile;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use toml::Table;

const ROOT: &str = "Cargo.toml";

/// Applies all rules to all manifests.
pub(super) fn inspect(files: &[TextFile], report: &mut Report) -> Result<()> {
    let mut used = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        let manifest: Table = file.text.parse().with_context(|| format!("{} is not TOML", file.path))?;
        inherits(file, &manifest, report);
        let directory = file.path.trim_end_matches(ROOT);
        let sources: Vec<&TextFile> =
            files.iter().filter(|source| source.is_rust() && source.path.starts_with(directory)).collect();
        for (library, wish) in dependencies(&manifest) {
            used.insert(library.clone());
            if wish.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                report.mistake(&file.path, 1, format!("`{library}` has a version of its own; take `workspace = true`"));
            }
            if !is_named(&library, &sources) && !is_explained(&file.text, &library) {
                report.mistake(&file.path, 1, format!("nothing names `{library}`; take it out or say why it is there"));
            }
        }
    }
    let root = files.iter().find(|file| file.path == ROOT).context("the workspace has no Cargo.toml")?;
    let manifest: Table = root.text.parse().context("Cargo.toml is not TOML")?;
    let offered = manifest.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    for (library, source) in offered.and_then(toml::Value::as_table).into_iter().flatten() {
        // Rooms are offered whether or not another room uses them yet.
        let is_room = source.get("path").is_some();
        if !is_room && !used.contains(library) {
            report.mistake(ROOT, 1, format!("no crate uses `{library}` of [workspace.dependencies]"));
        }
    }
    Ok(())
}

fn inherits(file: &TextFile, manifest: &Table, report: &mut Report) {
    let is_inherited = |table: Option<&toml::Value>| {
        table.and_then(|table| table.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
    };
    if !is_inherited(manifest.get("lints")) {
        report.mistake(&file.path, 1, "lacks `[lints] workspace = true`");
    }
    let package = manifest.get("package");
    for key in ["version", "edition", "rust-version", "license", "publish"] {
        if !is_inherited(package.and_then(|package| package.get(key))) {
            report.mistake(&file.path, 1, format!("lacks `{key}.workspace = true`"));
        }
    }
    if package.and_then(|package| package.get("description")).is_none() {
        report.mistake(&file.path, 1, "lacks a `description`: the room in one sentence");
    }
}

fn dependencies(manifest: &Table) -> impl Iterator<Item = (String, toml::Value)> {
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|kind| manifest.get(kind).and_then(toml::Value::as_table))
        .flat_map(|table| table.iter().map(|(name, wish)| (name.clone(), wish.clone())))
}

/// Whether some source names the library, as a whole word.
fn is_named(library: &str, sources: &[&TextFile]) -> bool {
    let name = library.replace('-', "_");
    let is_word_end = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    sources.iter().any(|source| {
        source.text.match_indices(&name).any(|(at, _)| {
            let (before, after) = (&source.text[..at], &source.text[at + name.len()..]);
            is_word_end(before.chars().next_back()) && is_word_end(after.chars().next())
        })
    })
}

/// A library may be there for its switches only; then its line says so.
fn is_explained(manifest: &str, library: &str) -> bool {
    manifest.lines().any(|line| line.starts_with(&format!("{library} ")) && line.contains('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[package]\nname = \"web\"\ndescription = \"Page\"\nversion.workspace = true\nedition.workspace = true\n\
                        rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n";
    const LINTS: &str = "[lints]\nworkspace = true\n";

    #[test]
    fn a_crate_without_the_common_lints_is_a_mistake() {
        check(HEAD, "", &["lacks `[lints]"]);
    }

    #[test]
    fn a_crate_that_could_be_published_is_a_mistake() {
        check(&format!("{}{LINTS}", HEAD.replace("publish.workspace = true\n", "")), "", &["lacks `publish.workspace"]);
    }

    #[test]
    fn a_version_of_ones_own_is_a_mistake() {
        check(
            &format!("{HEAD}{LINTS}[dependencies]\nserde = \"1\"\n"),
            "use serde::Serialize;",
            &["`serde` has a version"],
        );
    }

    #[test]
    fn an_unused_library_is_a_mistake_unless_its_line_says_why() {
        let manifest = format!("{HEAD}{LINTS}[dependencies]\nserde = {{ workspace = true }}");
        check(&manifest, "use serde_json::Value;", &["nothing names `serde`"]);
        check(&format!("{manifest} # switches `rc` on"), "", &[]);
        check(&manifest, "use serde::Serialize;", &[]);
    }

    #[test]
    fn a_library_that_no_crate_uses_is_a_mistake() {
        check(&format!("{HEAD}{LINTS}"), "", &["no crate uses `serde`"]);
    }

    /// The workspace offers `serde`; whether it is used is only compared when expected.
    fn check(manifest: &str, source: &str, expected: &[&str]) {
        let file = |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
        let files = [
            file(ROOT, "[workspace.dependencies]\nserde = \"1\"\n"),
            file("crates/web/Cargo.toml", manifest),
            file("crates/web/src/lib.rs", source),
        ];
        let mut report = Report::default();
        inspect(&files, &mut report).unwrap();
        let is_about_use = expected.iter().any(|text| text.starts_with("no crate uses"));
        let mistakes: Vec<&String> =
            report.mistakes.iter().filter(|mistake| is_about_use || !mistake.contains("no crate uses")).collect();
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:?}");
        assert!(mistakes.iter().zip(expected).all(|(mistake, text)| mistake.contains(text)), "{mistakes:?}");
    }
}
