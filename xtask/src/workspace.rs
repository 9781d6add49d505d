//! The workspace as files: where it is, what lies in it.
//!
//! Knows nothing of rules. Walks the directories itself rather than asking git,
//! because a released archive has no repository and must pass the same tests.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Directories that hold nothing of ours: build results and version control.
const NOT_OURS: [&str; 3] = ["target", ".git", "mainstay-data"];

/// One text file of the workspace.
#[derive(Debug)]
pub(crate) struct TextFile {
    /// Path from the root, with forward slashes.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

impl TextFile {
    /// Whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Returns the root of the workspace this program was built in.
pub(crate) fn root() -> Result<PathBuf> {
    // Read when run and not when built: cargo sets it for `run` and `test`
    // alike, and a moved checkout then still finds itself.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").context("started without cargo; use `cargo xtask`")?;
    let root = Path::new(&own).parent().context("the crate `xtask` has no parent directory")?;
    Ok(root.to_owned())
}

/// Reads every text file, sorted by path. Files that are not UTF-8 are left out.
pub(crate) fn text_files(root: &Path) -> Result<Vec<TextFile>> {
    let mut paths = Vec::new();
    walk(root, &mut paths)?;
    let mut files = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let relative = path.strip_prefix(root).expect("walked from the root");
        files.push(TextFile { path: relative.to_string_lossy().replace('\\', "/"), text });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            walk(&entry.path(), found)?;
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(())
}
