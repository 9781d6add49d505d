//! Two of three are lost for good: the last one goes on alone, if somebody
//! says which cluster he gives up.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

#[path = "common/together.rs"]
mod together;

use cluster::{RecoverError, identity_of, recover};
use std::collections::BTreeMap;
use together::{Machine, Together, command};

#[test]
fn the_last_node_goes_on_alone_with_everything_it_has() {
    let mut together = Together::of(3);
    let mut answered = BTreeMap::new();
    for number in 0..30 {
        let key = format!("before {number}");
        answered.insert(together.machines[number % 3].propose(command(&key)).unwrap().index, key);
    }
    together.check_equal();
    for machine in &mut together.machines {
        machine.kill();
    }
    let mut others: Vec<Machine> = together.machines.drain(1..).collect();
    let path = together.machines[0].path.clone();
    std::fs::File::open(path.join("lock")).unwrap().lock().unwrap();
    let old = identity_of(&path).unwrap().cluster;
    let error = recover(&path, "yes").unwrap_err();
    assert!(matches!(error, RecoverError::OtherCluster { .. }), "{error}");
    let recovered = recover(&path, &old.to_string()).unwrap();
    assert_eq!((recovered.from, recovered.forgotten.as_slice()), (old, &["b".to_owned(), "c".to_owned()][..]));
    assert_eq!(identity_of(&path).unwrap().cluster, recovered.cluster);
    assert!(recovered.aside.join("log.db").exists() && path.join("recovery.txt").exists());

    together.machines[0].start();
    let node = together.machines[0].node().clone();
    assert_eq!(node.state().applied_index(), recovered.index);
    together.machines[0].run(async { node.found_if_needed().await }).unwrap();
    together.check_answered(&answered);
    // An old command is still known by its key, and members are invited anew.
    let again = together.machines[0].propose(command("before 3")).unwrap();
    assert!(again.index > recovered.index);
    together.join(Machine::new("d"), None);
    together.wait_for_voters(2);
    // Those that were given up have nothing to do with it.
    others.iter_mut().for_each(Machine::start);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    together.machines[1].propose(command("undisturbed")).unwrap();
    assert_eq!(together.machines[0].node().state().members().count(), 2);
    together.check_equal();
}

#[test]
fn a_recovery_that_was_interrupted_is_finished() {
    let mut together = Together::of(2);
    together.machines[0].propose(command("one")).unwrap();
    together.check_equal();
    together.machines.iter_mut().for_each(Machine::kill);
    let path = together.machines[0].path.clone();
    std::fs::File::open(path.join("lock")).unwrap().lock().unwrap();
    let old = identity_of(&path).unwrap().cluster.to_string();
    let first = recover(&path, &old).unwrap();
    // As it is when the last step was not made: the mark is still there.
    let mark = format!("{}\n{}\n{}\n{}\n", first.from, first.cluster, first.index, first.forgotten.join(" "));
    std::fs::write(path.join("recovery.unfinished"), mark).unwrap();
    let error = together.machines[0].try_start().unwrap_err();
    assert!(error.to_string().contains("a recovery was interrupted"), "{error}");
    assert_eq!(recover(&path, &old).unwrap(), first);
    together.machines[0].start();
    assert_eq!(together.machines[0].node().cluster(), first.cluster);
}
