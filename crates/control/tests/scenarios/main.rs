//! Scenarios: what should happen, written so that an operator can read it.
//!
//! Each `cases/*.scenario` is a script of what locations see and people do, with
//! what is expected in between; beside it stands the transcript of every
//! decision the machine made (`*.transcript`). A changed transcript is a changed
//! behaviour: look at it, then accept it with `UPDATE=1 cargo test -p control`.

mod world;

use std::fs;
use std::path::{Path, PathBuf};
use world::World;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/cases");
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder of cases exists")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "scenario"))
        .collect();
    found.sort();
    found
}

#[test]
fn every_scenario_goes_as_written() {
    let cases = cases();
    assert!(cases.len() >= 15, "scenarios are missing: {}", cases.len());
    let mut wrong = Vec::new();
    for path in cases {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let script = fs::read_to_string(&path).expect("a readable scenario");
        let mut world = World::new();
        wrong.extend(world.play(&script).into_iter().map(|what| format!("{name}: {what}")));
        let golden = path.with_extension("transcript");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&golden, world.transcript()).expect("a writable transcript");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if expected != world.transcript() {
            wrong.push(format!(
                "{name}: the transcript differs from {}; it is now:\n{}",
                golden.display(),
                world.transcript()
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn judging_the_same_entries_twice_gives_the_same_state() {
    for path in cases() {
        let script = fs::read_to_string(&path).expect("a readable scenario");
        let (mut first, mut second) = (World::new(), World::new());
        first.play(&script);
        second.play(&script);
        assert_eq!(first.state(), second.state(), "{}", path.display());
        let stored = first.state().encode();
        assert_eq!(stored, second.state().encode(), "{}", path.display());
        let read = control::State::decode(&stored).expect("an own state");
        assert_eq!(&read, first.state(), "{}: the stored form loses nothing", path.display());
    }
}
