//! Opening: each thing that can be wrong has its own error, and it is quick.

use crate::common::{all, at, directory, exact, location, open, pass, put, settle};
use history::{FORMAT, OpenError, Options, Store};
use model::observation::Observation;
use std::fs;
use std::path::Path;

/// A store with some history in every stage.
fn filled(directory: &Path) {
    let store = open(directory);
    let results: Vec<Observation> = (0..3_000).map(|minute| pass(1, at(minute * 60), 9)).collect();
    put(&store, 9, &location("paris"), &results).unwrap();
    settle(&store, at(2 * 86_400));
    store.flush().unwrap();
}

fn refused(directory: &Path) -> OpenError {
    match Store::open(directory, exact()) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

/// Gives the state file another format number and a checksum that fits.
fn set_format(directory: &Path, format: u8) {
    let path = directory.join("state");
    let mut bytes = fs::read(&path).unwrap();
    bytes[4] = format;
    let covered = bytes.len() - 4;
    let checksum = crc32fast::hash(&bytes[..covered]);
    bytes[covered..].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
}

#[test]
fn what_was_flushed_is_there_after_opening_again() {
    let directory = directory();
    filled(directory.path());
    let store = open(directory.path());
    assert_eq!(store.watermark(), 9);
    assert_eq!(all(&store, 1).len(), 3_000);
}

#[test]
fn another_format_is_refused_whether_newer_or_older() {
    let directory = directory();
    filled(directory.path());
    for format in [FORMAT + 1, FORMAT - 1] {
        set_format(directory.path(), format);
        let error = refused(directory.path());
        assert!(matches!(error, OpenError::Format { found, .. } if found == format), "{error}");
        assert!(error.to_string().contains("start the version that wrote it"), "{error}");
    }
    set_format(directory.path(), FORMAT);
    assert_eq!(all(&open(directory.path()), 1).len(), 3_000);
}

#[test]
fn a_store_in_use_is_refused() {
    let directory = directory();
    let _store = open(directory.path());
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
}

#[test]
fn a_missing_or_garbled_state_is_refused_and_nothing_is_overwritten() {
    let directory = directory();
    filled(directory.path());
    let path = directory.path().join("state");
    let state = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(matches!(refused(directory.path()), OpenError::Damaged { .. }));
    fs::write(&path, b"something else").unwrap();
    assert!(matches!(refused(directory.path()), OpenError::Damaged { .. }));
    fs::write(&path, state).unwrap();
    assert_eq!(all(&open(directory.path()), 1).len(), 3_000);
}

#[test]
fn a_directory_that_cannot_be_made_is_reported() {
    let directory = directory();
    fs::write(directory.path().join("file"), b"").unwrap();
    let error = refused(&directory.path().join("file/below"));
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

#[test]
fn a_change_of_precision_keeps_what_is_there() {
    let directory = directory();
    filled(directory.path());
    let before = all(&open(directory.path()), 1);
    let store = Store::open(directory.path(), Options::default()).unwrap();
    assert_eq!(all(&store, 1), before);
}
