//! A data directory that is damaged, incomplete, of a newer version or no data
//! directory at all: one clear error that says what to do, and nothing touched.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

use it::mainstay::{Mainstay, binary};
use it::process::Process;
use it::program::{require, require_root};
use it::wait;
use it::webhook::Target;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Much longer than a start takes.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const TOKEN: &str = "0123456789abcdef-data";
/// A word that stands in the log, since the configuration does.
const MARK: &[u8] = b"a-word-in-the-middle";
/// Entries enough that the log forgets the oldest when two snapshots hold them.
const ENTRIES: usize = 400;

#[test]
fn a_directory_of_a_newer_version_is_refused_and_left_alone() {
    let mut mainstay = one_that_has_lived();
    let identity = mainstay.data().join("log/identity");
    let before = fs::read_to_string(&identity).unwrap();
    fs::write(&identity, before.replace("format 1", "format 2")).unwrap();
    refused(&mut mainstay, &["written by a newer Mainstay", "start that version"]);
    fs::write(&identity, before).unwrap();
    mainstay.restart();
}

#[test]
fn a_history_of_a_newer_version_is_refused_and_left_alone() {
    let mut mainstay = one_that_has_lived();
    let state = mainstay.data().join("history/state");
    let before = fs::read(&state).unwrap();
    // Four letters, then the format.
    let mut newer = before.clone();
    newer[4] += 1;
    fs::write(&state, newer).unwrap();
    refused(&mut mainstay, &["history", "start the version that wrote it", "or move the directory away"]);
    fs::write(&state, before).unwrap();
    mainstay.restart();
}

#[test]
fn a_log_that_is_damaged_in_the_middle_is_refused_with_its_place() {
    let mut mainstay = one_that_has_lived();
    let log = mainstay.data().join("log/log.db");
    let before = fs::read(&log).unwrap();
    flip_mark(&log);
    refused(&mut mainstay, &["log.db is damaged", "the entry at position", "restore the directory from a backup"]);
    fs::write(&log, before).unwrap();
    mainstay.restart();
}

#[test]
fn damage_in_what_was_written_last_is_told_from_a_torn_end() {
    let mut mainstay = one_that_lives();
    mainstay.kill9();
    let log = mainstay.data().join("log/log.db-wal");
    let before = fs::read(&log).unwrap();
    flip_mark(&log);
    refused(&mut mainstay, &["log.db-wal is damaged", "whole transactions follow", "from a backup"]);
    // A torn end is what a power cut leaves; that is no damage.
    fs::write(&log, &before[..before.len() - 100]).unwrap();
    mainstay.restart();
}

#[test]
fn a_log_that_is_missing_beside_its_history_is_refused() {
    for (part, said) in [
        ("log", "entries that were acknowledged are gone; restore the directory from a backup"),
        ("log/log.db", "lacks \"log.db\", although it holds other data of a node; restore it from a backup"),
        ("log/identity", "lacks \"identity\", although it holds other data of a node; restore it from a backup"),
    ] {
        let mut mainstay = one_that_has_lived();
        let (place, aside) = (mainstay.data().join(part), mainstay.data().with_file_name("aside"));
        fs::rename(&place, &aside).unwrap();
        refused(&mut mainstay, &[said]);
        refused(&mut mainstay, &[said]);
        if place.is_dir() {
            fs::remove_dir_all(&place).unwrap();
        }
        fs::rename(&aside, &place).unwrap();
        mainstay.restart();
    }
}

#[test]
fn a_damaged_history_is_refused_and_can_be_moved_away() {
    let mut mainstay = one_that_has_lived();
    let history = mainstay.data().join("history");
    let aside = mainstay.data().with_file_name("history-aside");
    let advice = "restore it from a backup, or move the directory away to begin an empty history";

    let state = fs::read(history.join("state")).unwrap();
    let mut flipped = state.clone();
    flipped[8] ^= 1;
    fs::write(history.join("state"), flipped).unwrap();
    refused(&mut mainstay, &["the file \"state\" cannot be read", advice]);
    fs::remove_file(history.join("state")).unwrap();
    refused(&mut mainstay, &["the file \"state\" is missing", advice]);
    fs::write(history.join("state"), state).unwrap();
    fs::rename(history.join("tables"), &aside).unwrap();
    refused(&mut mainstay, &["the directory \"tables\" is missing", advice]);
    fs::rename(&aside, history.join("tables")).unwrap();

    fs::rename(&history, &aside).unwrap();
    fs::write(&history, "not a directory").unwrap();
    refused(&mut mainstay, &["it is a file", advice]);
    fs::remove_file(&history).unwrap();
    // The advice is good: the log starts without its history.
    mainstay.restart();
}

#[test]
fn a_removed_history_is_filled_from_the_log_and_what_it_lacks_is_said() {
    let target = Target::start();
    let mut mainstay = Mainstay::start(&configuration(&target));
    target.fail(true);
    shown(&mainstay, "down");
    for _ in 0..ENTRIES {
        assert_eq!(mainstay.get(&format!("/ping/{TOKEN}")).unwrap().status, 200);
    }
    // The log forgets what two snapshots hold; each end writes one.
    for _ in 0..2 {
        mainstay.stop();
        mainstay.restart();
        shown(&mainstay, "down");
        assert_eq!(mainstay.get(&format!("/ping/{TOKEN}")).unwrap().status, 200);
    }
    // At the start after next it has; a busy machine may need one more.
    wait::expect("the log to forget its beginning", START_TIMEOUT, || {
        mainstay.stop();
        fs::remove_dir_all(mainstay.data().join("history")).unwrap();
        mainstay.restart();
        mainstay.log().contains("the history lacks the results of the log's entries").then_some(())
    });
    shown(&mainstay, "down");
    let incidents = mainstay.command(&["incident", "list", "--json"]);
    let incidents: Value = serde_json::from_slice(&incidents.stdout).unwrap();
    assert_eq!(incidents["incidents"].as_array().unwrap().len(), 1, "{incidents}");
}

#[test]
fn a_path_that_can_be_no_data_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("file"), "text").unwrap();
    for (data, said) in [
        (path("file"), "is a file; name a directory"),
        (path("file/below"), "is a file; name a directory"),
        (path("missing/data"), "missing does not exist; make it, or name another directory"),
    ] {
        refused_at(&data, directory.path(), said);
    }
    assert!(!path("missing").exists());
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    if require("mount").is_none() || !require_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk");
    fs::create_dir(&disk).unwrap();
    // Root may write anywhere but on a file system that takes nothing.
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "ro,size=1m", "tmpfs"]).arg(&disk).status();
    assert!(mounted.unwrap().success());
    let unmount = Unmount(&disk);
    for data in [disk.clone(), disk.join("data")] {
        refused_at(&data, directory.path(), "give it to the user that runs Mainstay, or name another one");
    }
    drop(unmount);
}

/// Unmounts when dropped, also when the test fails.
struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

/// A server with results in its history and its configuration in the log.
fn one_that_lives() -> Mainstay {
    let target = Target::start();
    let mainstay = Mainstay::start(&configuration(&target));
    shown(&mainstay, "up");
    mainstay
}

/// One that has also ended cleanly.
fn one_that_has_lived() -> Mainstay {
    let mut mainstay = one_that_lives();
    assert_eq!(mainstay.stop().code(), Some(0));
    mainstay
}

fn configuration(target: &Target) -> String {
    let mark = String::from_utf8_lossy(MARK);
    format!(
        "page: {{ name: Test }}\ndefaults: {{ every: 1s, timeout: 400ms, retry: 1s }}\nservices:\n\
         - {{ name: Website, description: {mark}, checks: [ {{ http: \"http://{}/\" }} ] }}\n\
         - {{ name: Backup, checks: [ {{ heartbeat: {{ period: 1h, token: {TOKEN} }} }} ] }}\n",
        target.address()
    )
}

/// Flips a bit in the first mark of a file; entries stand behind it.
fn flip_mark(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.windows(MARK.len()).position(|window| window == MARK).expect("the configuration is in the log");
    bytes[at + 3] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// Starts it, and it ends with exit code 1 and one line that says all of these.
fn refused(mainstay: &mut Mainstay, wanted: &[&str]) {
    let before = mainstay.log().len();
    let code = mainstay.refuses_to_start().code();
    let said = mainstay.log().split_off(before);
    is_one_error(&said, code, wanted);
}

/// Starts one on this data directory, which it refuses.
fn refused_at(data: &Path, directory: &Path, wanted: &str) {
    let (configuration, log) = (directory.join("mainstay.yaml"), directory.join("log"));
    fs::write(&configuration, "services: []\n").unwrap();
    let _ = fs::remove_file(&log);
    let mut command = Command::new(binary());
    let listen = wait::free_address().to_string();
    command.arg("serve").arg("--config").arg(configuration).args(["--listen", &listen]);
    let mut process = Process::start(command.arg("--data").arg(data), &log);
    let code = wait::expect("a start that fails", START_TIMEOUT, || process.ended()).code();
    is_one_error(&process.log(), code, &[wanted, &data.display().to_string()]);
}

fn is_one_error(said: &str, code: Option<i32>, wanted: &[&str]) {
    assert_eq!(code, Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    let [error] = errors[..] else { panic!("not one error: {said}") };
    for words in wanted {
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }
}

/// Waits until the website is shown like this.
fn shown(mainstay: &Mainstay, state: &str) {
    wait::until(START_TIMEOUT, || {
        let page = mainstay.get("/api/v1/checks/website")?;
        let check: Value = serde_json::from_str(&page.body).ok()?;
        (check["check"]["verdict"] == state).then_some(())
    })
    .unwrap_or_else(|| panic!("the website is not shown as {state}; the log:\n{}", mainstay.log()));
}
