//! Who may know whom, and that the pure rooms are pure.
//!
//! `arrows.toml` is a golden file: an arrow that is added or goes away must be
//! written there in the same change, where a reviewer sees it. The laws below
//! it (pure rooms know pure rooms only, hands know no hand) hold even if
//! somebody writes otherwise into the golden tables. [`purity`] proves the rest
//! by absence.

mod golden;
mod purity;

use crate::report::Report;
use crate::workspace;
use anyhow::{Context, Result};
use golden::{Arrows, Golden};
use std::path::Path;

/// Compares and proves, prints what is wrong.
///
/// # Errors
/// An arrow differs, or a pure room is not pure.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root()?;
    let report = inspect(&root)?;
    report.conclude("arrows")?;
    println!("the arrows are as arrows.toml says, the pure rooms are pure");
    Ok(())
}

fn inspect(root: &Path) -> Result<Report> {
    let golden = Golden::read(root)?;
    let real = Arrows::of_manifests(root).context("cannot read the manifests")?;
    let mut report = Report::default();
    golden.compare(&real, &mut report);
    golden.laws(&real, &mut report);
    purity::inspect(root, &golden, &mut report)?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arrows_are_as_arrows_toml_says_and_the_pure_rooms_are_pure() {
        let report = inspect(&workspace::root().unwrap()).unwrap();
        assert!(report.mistakes.is_empty(), "\n{}", report.mistakes.join("\n"));
    }
}
