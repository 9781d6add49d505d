//! The rules of the style guide that a program can check.
//!
//! One file per subject: [`rust`] for sources, [`manifests`], [`texts`] for
//! every text file, [`documents`] for Markdown, [`licences`], [`error_pages`]. Each rule has
//! a test that shows what it refuses; one more test applies them all to the
//! workspace. **A rule that needs an exception is a wrong rule**: change it
//! here rather than listing files.

mod documents;
mod error_pages;
mod licences;
mod manifests;
mod rust;
mod texts;

use crate::report::Report;
use crate::workspace::{self, text_files};
use anyhow::Result;
use std::path::Path;

/// Applies all rules, prints what is wrong.
///
/// # Errors
/// Something is.
pub(crate) fn run() -> Result<()> {
    let report = inspect(&workspace::root()?)?;
    report.conclude("tidy")?;
    println!("tidy, with {} remarks", report.remarks.len());
    Ok(())
}

fn inspect(root: &Path) -> Result<Report> {
    let files = text_files(root)?;
    let mut report = Report::default();
    for file in &files {
        texts::inspect(file, &mut report);
        if file.is_rust() {
            rust::inspect(file, &mut report);
        }
        if file.path.ends_with(".md") {
            documents::inspect(root, file, &mut report);
        }
    }
    manifests::inspect(&files, &mut report)?;
    licences::inspect(root, &mut report)?;
    error_pages::inspect(&files, &mut report);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let report = inspect(&workspace::root().unwrap()).unwrap();
        assert!(report.mistakes.is_empty(), "\n{}", report.mistakes.join("\n"));
    }
}
