//! A directory that comes back as it was earlier is found out, and what was
//! acknowledged stays.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

#[path = "common/together.rs"]
mod together;

use cluster::{DirectoryError, Failure, OpenError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use together::{Machine, Together, command};

#[test]
fn a_directory_from_before_is_refused_and_nothing_is_lost() {
    for while_running in [true, false] {
        let mut together = Together::of(3);
        let mut answered = BTreeMap::new();
        write(&together, "before", &mut answered);
        let follower = together.followers()[0];
        let copy = tempfile::tempdir().unwrap();
        if !while_running {
            together.machines[follower].stop();
        }
        copy_all(&together.machines[follower].path, copy.path());
        if !while_running {
            together.machines[follower].start();
        }
        write(&together, "after", &mut answered);
        together.check_equal();
        // Pulses have told everybody how far it is.
        std::thread::sleep(Duration::from_millis(1_500));
        together.machines[follower].kill();
        restore(copy.path(), &mut together.machines[follower]);
        together.machines[follower].start();
        let failure = failure_of(&together.machines[follower]);
        assert!(matches!(*failure, Failure::RolledBack { .. }), "{failure}");
        assert!(failure.to_string().contains("rolled back or copied"), "{failure}");
        write(&together, "without it", &mut answered);
        together.machines[follower].kill();
        together.check_equal();
        together.check_answered(&answered);
    }
}

#[test]
fn with_the_leader_gone_a_node_from_before_does_not_undo_anything() {
    let mut together = Together::of(3);
    let mut answered = BTreeMap::new();
    write(&together, "before", &mut answered);
    let (leader, followers) = (together.leader(), together.followers());
    let copy = tempfile::tempdir().unwrap();
    together.machines[followers[0]].stop();
    copy_all(&together.machines[followers[0]].path, copy.path());
    together.machines[followers[0]].start();
    together.wait(|machine| machine.node().status().has_quorum, "all are back");
    // The third lags: it lacks what the first two acknowledge.
    together.machines[followers[1]].kill();
    write(&together, "of two", &mut answered);
    together.machines[leader].kill();
    together.machines[followers[0]].kill();
    // The one that lags and the one from before are a majority in number.
    restore(copy.path(), &mut together.machines[followers[0]]);
    together.machines[followers[0]].start();
    together.machines[followers[1]].start();
    std::thread::sleep(Duration::from_secs(2));
    // The one that lags had seen that start of it before it was killed.
    let failure = failure_of(&together.machines[followers[0]]);
    assert!(matches!(*failure, Failure::RolledBack { .. }), "{failure}");
    together.machines[followers[0]].kill();
    together.machines[leader].start();
    write(&together, "healed", &mut answered);
    together.check_equal();
    together.check_answered(&answered);
}

#[test]
fn a_leader_from_before_never_leads_on() {
    let mut together = Together::of(3);
    let mut answered = BTreeMap::new();
    write(&together, "before", &mut answered);
    let leader = together.leader();
    let copy = tempfile::tempdir().unwrap();
    copy_all(&together.machines[leader].path, copy.path());
    write(&together, "after", &mut answered);
    std::thread::sleep(Duration::from_millis(1_500));
    together.machines[leader].kill();
    restore(copy.path(), &mut together.machines[leader]);
    together.machines[leader].start();
    let failure = failure_of(&together.machines[leader]);
    assert!(matches!(*failure, Failure::RolledBack { .. }), "{failure}");
    together.machines[leader].kill();
    write(&together, "on", &mut answered);
    together.check_equal();
    together.check_answered(&answered);
}

#[test]
fn a_wiped_directory_does_not_come_back() {
    let mut together = Together::of(3);
    let wiped = together.followers()[0];
    together.machines[wiped].kill();
    wait_for_lock(&together.machines[wiped].path);
    std::fs::remove_dir_all(&together.machines[wiped].path).unwrap();
    let machine = &mut together.machines[wiped];
    // The first one's name may found a cluster in these tests.
    machine.name = "wiped".to_owned();
    let error = machine.try_start().unwrap_err();
    assert!(matches!(error, OpenError::Directory(DirectoryError::MustJoin { .. })), "{error}");
}

fn write(together: &Together, what: &str, answered: &mut BTreeMap<u64, String>) {
    for number in 0..20 {
        let key = format!("{what} {number}");
        let leader = together.leader();
        answered.insert(together.machines[leader].propose(command(&key)).unwrap().index, key);
    }
}

fn failure_of(machine: &Machine) -> Arc<Failure> {
    let node = machine.node().clone();
    machine.run(async move { tokio::time::timeout(together::PATIENCE, node.failed()).await }).unwrap()
}

/// Waits until the process that had a directory has let go of it.
fn wait_for_lock(path: &Path) {
    std::fs::File::open(path.join("lock")).unwrap().lock().unwrap();
}

fn restore(copy: &Path, machine: &mut Machine) {
    wait_for_lock(&machine.path);
    std::fs::remove_dir_all(&machine.path).unwrap();
    copy_all(copy, &machine.path);
    machine.digests.lock().unwrap().clear();
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
