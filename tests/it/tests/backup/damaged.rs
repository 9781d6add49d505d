//! Backups that are damaged, or of a newer version: refused as what they are.

use crate::stage::{backup, json, listed, one_that_lives, path, refused, restores, run, text};
use it::mainstay::Mainstay;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

#[test]
fn a_damaged_backup_is_refused_and_leaves_nothing_behind() {
    let (mainstay, _target) = one_that_lives();
    let place = PathBuf::from(text(&backup(&mainstay, &[])["place"]));
    let whole = fs::read(&place).unwrap();
    let elsewhere = Mainstay::prepare("services: []\n");
    let damaged = place.with_file_name("damaged");
    let is_refused = |bytes: &[u8], wanted: &[&str]| {
        fs::write(&damaged, bytes).unwrap();
        refused(&elsewhere, &path(&damaged), &[], wanted);
        assert_eq!(listed(elsewhere.data()), [""; 0], "what was read so far is gone");
    };
    for part in [1, 3, 5, 7, 9] {
        is_refused(&whole[..whole.len() * part / 10], &["its part", "the file ends in it", "restore another backup"]);
    }
    is_refused(&whole[..whole.len() - 1], &["is damaged"]);
    let dry_run = |of: &Path| run(&elsewhere, &["restore", &path(of), "--dry-run", "--json"]);
    let manifest = json(&dry_run(&place))["manifest"].clone();
    let mut unnoticed = 0;
    for at in (8..whole.len()).step_by(whole.len() / 32) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&damaged, &bytes).unwrap();
        let said = dry_run(&damaged);
        if said.0 {
            // The same bytes have more than one compressed form: zeros can be
            // copied from here or from there.
            assert_eq!(json(&said)["manifest"], manifest, "a changed content goes unnoticed at byte {at}");
            unnoticed += 1;
        } else {
            is_refused(&bytes, &["its part", "is damaged"]);
        }
    }
    assert!(unnoticed <= 4, "{unnoticed} of 32 flipped bits go unnoticed");
    is_refused(b"%PDF-1.7", &["it is not a backup of Mainstay"]);
    is_refused(b"", &["it is not a backup of Mainstay"]);
    refused(&elsewhere, "/nonexistent", &[], &["cannot open the backup /nonexistent"]);
    assert!(restores(&elsewhere, &path(&place), &[]).0, "the whole one is still good");
}

#[test]
fn a_backup_of_a_newer_version_is_refused_as_such() {
    let (mainstay, _target) = one_that_lives();
    let place = text(&backup(&mainstay, &[])["place"]);
    let elsewhere = Mainstay::prepare("services: []\n");
    let newer = rewritten(&place, |manifest, _| {
        let text = fs::read_to_string(manifest).unwrap();
        fs::write(manifest, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    });
    let wanted =
        ["written by a newer Mainstay", "format 2, this program reads up to 1", "restore it with that version"];
    refused(&elsewhere, &path(&newer.1), &[], &wanted);
    let newer = rewritten(&place, |manifest, state| {
        let before = sha256(state);
        let mut bytes = fs::read(state).unwrap();
        bytes[0] += 1;
        fs::write(state, bytes).unwrap();
        let text = fs::read_to_string(manifest).unwrap();
        fs::write(manifest, text.replace(&before, &sha256(state))).unwrap();
    });
    refused(&elsewhere, &path(&newer.1), &[], &["its state was written by a newer Mainstay", "version 2"]);
}

/// A copy of a backup whose unpacked files were changed, with system programs.
fn rewritten(place: &str, change: impl Fn(&Path, &Path)) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let shell = |line: &str| {
        let done = Command::new("sh").current_dir(directory.path()).args(["-ec", line]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let names = shell(&format!("zstd -q -d < {place} > all.tar; mkdir in; tar -C in -xf all.tar; tar -tf all.tar"));
    change(&directory.path().join("in/manifest.json"), &directory.path().join("in/state"));
    fs::write(directory.path().join("names"), names).unwrap();
    shell("tar -C in --no-recursion -cf new.tar -T names; zstd -q new.tar -o new.tar.zst");
    let new = directory.path().join("new.tar.zst");
    (directory, new)
}

fn sha256(file: &Path) -> String {
    let said = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(said.stdout).unwrap().split(' ').next().unwrap().to_owned()
}
