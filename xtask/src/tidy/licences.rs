//! Every library we build on has a licence that fits ours.
//!
//! `deny.toml` holds the list, for cargo-deny where it is installed and for
//! this rule where it is not. Only what is built for this platform counts:
//! libraries for others stand in the lock file and in nobody's binary.

use crate::report::Report;
use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use std::collections::BTreeSet;
use std::path::Path;

const RULES: &str = "deny.toml";
/// What the tests run on, and what most users run.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Compares all licences with the list.
pub(super) fn inspect(root: &Path, report: &mut Report) -> Result<()> {
    let allowed = allowed(root)?;
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(["--filter-platform".to_owned(), PLATFORM.to_owned()])
        .exec()
        .context("cannot list the libraries")?;
    for package in metadata.packages.iter().filter(|package| package.source.is_some()) {
        let fits = package.license.as_deref().is_some_and(|licence| fits(licence, &allowed));
        if !fits {
            let licence = package.license.as_deref().unwrap_or("no licence");
            report.mistake(RULES, 1, format!("`{}` comes under {licence}, which is not in the list", package.name));
        }
    }
    Ok(())
}

fn allowed(root: &Path) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(root.join(RULES)).with_context(|| format!("cannot read {RULES}"))?;
    let rules: toml::Table = text.parse().with_context(|| format!("{RULES} is not TOML"))?;
    let list = rules.get("licenses").and_then(|licences| licences.get("allow")).and_then(toml::Value::as_array);
    let list = list.with_context(|| format!("{RULES} has no list [licenses] allow"))?;
    Ok(list.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect())
}

/// Whether some choice that the expression (SPDX, or the older form with `/`
/// for `OR`) leaves consists of allowed licences only.
fn fits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    // `A WITH exception` is one licence, and more permissive than `A`.
    let joined = spaced.replace(" WITH ", "+");
    let words: Vec<&str> = joined.split_whitespace().collect();
    let mut reader = Reader { words: &words, at: 0, allowed };
    reader.either() && reader.at == words.len()
}

/// Reads an expression by descent: `OR` of `AND` of licences and brackets.
struct Reader<'a> {
    words: &'a [&'a str],
    at: usize,
    allowed: &'a BTreeSet<String>,
}

impl Reader<'_> {
    fn either(&mut self) -> bool {
        let mut fits = self.both();
        while self.takes("OR") {
            fits |= self.both();
        }
        fits
    }

    fn both(&mut self) -> bool {
        let mut fits = self.one();
        while self.takes("AND") {
            fits &= self.one();
        }
        fits
    }

    fn one(&mut self) -> bool {
        if self.takes("(") {
            let fits = self.either();
            return self.takes(")") && fits;
        }
        let Some(word) = self.words.get(self.at) else { return false };
        self.at += 1;
        let licence = word.split('+').next().unwrap_or(word);
        self.allowed.contains(licence)
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_here = self.words.get(self.at) == Some(&word);
        self.at += usize::from(is_here);
        is_here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_fits_if_one_of_its_licences_does_and_a_sum_if_all_do() {
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("MIT AND GPL-3.0-only", false),
            ("GPL-3.0-only/Apache-2.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("(MIT OR GPL-3.0-only) AND ISC", true),
            ("MIT AND (GPL-3.0-only OR LGPL-3.0-only)", false),
            ("(MIT", false),
            ("", false),
        ] {
            let allowed = ["MIT", "Apache-2.0", "ISC"].map(str::to_owned).into();
            assert_eq!(fits(expression, &allowed), expected, "{expression}");
        }
    }
}
