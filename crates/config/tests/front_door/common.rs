//! What the tests of this room share: loading a text, and comparing with a committed file.

use config::{Loaded, Mistakes, SourceFile, load};
use std::path::{Path, PathBuf};

/// The variables that fixtures see.
pub(crate) fn environment(name: &str) -> Option<String> {
    match name {
        "DB_HOST" => Some("db.example".to_owned()),
        "DB_PASSWORD" => Some("hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// Loads one text under the name `mainstay.yaml`.
pub(crate) fn load_text(text: &str) -> Result<Loaded, Mistakes> {
    load(&[SourceFile { name: "mainstay.yaml".to_owned(), text: text.to_owned() }], &environment)
}

/// A path inside this crate.
pub(crate) fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a text with a committed file; with `UPDATE=1` in the environment
/// the file is written instead. Returns what differs.
pub(crate) fn differs(path: &Path, text: &str) -> Option<String> {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, text).expect("the tree can be written");
        return None;
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    (committed != text).then(|| {
        format!("{} differs; UPDATE=1 writes it anew\n--- committed\n{committed}\n--- now\n{text}", path.display())
    })
}

/// The files of a directory of fixtures with this ending, by name.
pub(crate) fn fixtures(directory: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(here(directory)).expect("the fixtures are there");
    let paths = entries.map(|entry| entry.expect("a readable directory").path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    paths.sort();
    paths
}
