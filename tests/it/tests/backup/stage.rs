//! What all tests of backups do: a server that lives, a backup of it, a way back.

use it::mainstay::Mainstay;
use it::wait;
use it::webhook::{Mood, Receiver, Target};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

/// Much longer than anything here takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// Checks that keep log and history busy.
const CHECKS: usize = 80;

/// A server with results in its history and its configuration in the log.
pub(crate) fn one_that_lives() -> (Mainstay, Target) {
    let (target, receiver) = (Target::start(), Receiver::start(Mood::Takes));
    let mainstay = Mainstay::start(&configuration(&target, &receiver, ""));
    shown(&mainstay, "up");
    (mainstay, target)
}

/// One outage that is over.
pub(crate) fn live_through_an_outage(mainstay: &Mainstay, target: &Target) {
    shown(mainstay, "up");
    target.fail(true);
    shown(mainstay, "down");
    target.fail(false);
    shown(mainstay, "up");
    wait::expect("the end of the incident", TIMEOUT, || {
        ask(mainstay, "/api/v1/status")["incidents"].as_array()?.is_empty().then_some(())
    });
}

pub(crate) fn configuration(target: &Target, receiver: &Receiver, more: &str) -> String {
    use std::fmt::Write;
    let at = target.address();
    let mut yaml = format!(
        "page: {{ name: Test }}\ndefaults: {{ every: 1s, timeout: 1s, retry: 1s, up_after: 1 }}\n\
         receivers: [ {{ id: ops, webhook: \"{}\" }} ]\n{more}services:\n\
         - {{ name: Website, checks: [ {{ http: \"http://{at}/\" }} ] }}\n\
         - name: Load\n  announce: false\n  checks:\n",
        receiver.url()
    );
    for number in 0..CHECKS {
        let _ = writeln!(yaml, "  - {{ id: load-{number}, tcp: \"{at}\" }}");
    }
    yaml
}

/// Makes a backup beside the server's configuration and returns what was said of it.
pub(crate) fn backup(mainstay: &Mainstay, arguments: &[&str]) -> Value {
    let place = mainstay.configuration().with_file_name("by-hand");
    backup_to(mainstay, &place, arguments)
}

pub(crate) fn backup_to(mainstay: &Mainstay, place: &Path, arguments: &[&str]) -> Value {
    let place = format!("{}/", place.display());
    json(&run(mainstay, &[&["backup", "--json", "--to", &place], arguments].concat()))
}

/// A server on a directory that was restored.
pub(crate) fn restore(yaml: &str, place: &str, arguments: &[&str]) -> Mainstay {
    let mut restored = Mainstay::prepare(yaml);
    let said = restores(&restored, place, arguments);
    assert!(said.0, "{}", said.1);
    restored.restart();
    restored
}

pub(crate) fn restores(mainstay: &Mainstay, place: &str, arguments: &[&str]) -> (bool, String) {
    let data = path(mainstay.data());
    run(mainstay, &[&["restore", place, "--data", &data], arguments].concat())
}

/// It is not restored, and one line says all of these.
pub(crate) fn refused(mainstay: &Mainstay, place: &str, arguments: &[&str], wanted: &[&str]) {
    let (is_restored, said) = restores(mainstay, place, arguments);
    assert!(!is_restored && !said.contains("panicked"), "{said}");
    for words in wanted {
        assert!(said.contains(words), "{words:?} is not in {said:?}");
    }
}

pub(crate) fn run(mainstay: &Mainstay, arguments: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } = mainstay.command(arguments);
    let said = [stdout, stderr].concat();
    (status.success(), String::from_utf8_lossy(&said).into_owned())
}

pub(crate) fn json((is_done, said): &(bool, String)) -> Value {
    assert!(is_done, "{said}");
    serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Waits until the website is shown like this.
pub(crate) fn shown(mainstay: &Mainstay, state: &str) {
    wait::until(TIMEOUT, || (ask(mainstay, "/api/v1/checks/website")["check"]["verdict"] == state).then_some(()))
        .unwrap_or_else(|| panic!("the website is not shown as {state}; the log:\n{}", mainstay.log()));
}

pub(crate) fn ask(mainstay: &Mainstay, path: &str) -> Value {
    let answer = mainstay.get(path).unwrap_or_else(|| panic!("{path} is not answered; the log:\n{}", mainstay.log()));
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body))
}

pub(crate) fn listed(directory: &Path) -> Vec<String> {
    if !directory.exists() {
        return Vec::new();
    }
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(crate) fn path(path: &Path) -> String {
    path.display().to_string()
}
