//! Joining: interrupted anywhere and repeated, and by whom it is refused.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

#[path = "common/together.rs"]
mod together;

use cluster::{DirectoryError, JoinError, OpenError};
use together::{Machine, Together, command, join};

#[test]
fn a_join_that_was_interrupted_is_repeated_with_the_same_ticket() {
    let mut together = Together::one();
    let ticket = together.invite(None);
    // Everything was done but the last step: the answer was lost, so to speak.
    let mut machine = Machine::new("b");
    let joined = join(&machine, &ticket).unwrap();
    assert!(!joined.was_joined);
    let identity = machine.path.join("identity");
    for lost in [vec!["log.db", "node.crt", "cluster.key", "peers"], vec!["log.db"], vec![]] {
        let text = std::fs::read_to_string(&identity).unwrap();
        let body = text.rsplit_once("checksum").unwrap().0.replace("stage founded", "stage joining");
        std::fs::write(&identity, format!("{body}checksum {:08x}\n", crc32fast::hash(body.as_bytes()))).unwrap();
        for name in lost {
            std::fs::remove_file(machine.path.join(name)).unwrap();
        }
        let error = machine.try_start().unwrap_err();
        assert!(matches!(error, OpenError::Directory(DirectoryError::JoinUnfinished { .. })), "{error}");
        assert_eq!(join(&machine, &ticket).unwrap(), joined);
    }
    assert!(join(&machine, &ticket).unwrap().was_joined, "then there is nothing left to do");
    machine.start();
    together.machines.push(machine);
    together.wait_for_voters(2);
    together.machines[1].propose(command("joined")).unwrap();
    together.check_equal();
    assert_eq!(together.machines[0].node().state().members().count(), 2);
}

#[test]
fn a_ticket_is_good_for_one_directory() {
    let together = Together::one();
    let ticket = together.invite(None);
    join(&Machine::new("b"), &ticket).unwrap();
    let error = join(&Machine::new("c"), &ticket).unwrap_err();
    assert!(matches!(&error, JoinError::Refused { why } if why.contains("used already")), "{error}");
}

#[test]
fn a_directory_of_another_node_is_refused() {
    let mut together = Together::one();
    let ticket = together.invite(None);
    let machine = Machine::new("b");
    join(&machine, &ticket).unwrap();
    let other = together.invite(None);
    let error = join(&machine, &other).unwrap_err();
    assert!(matches!(error, JoinError::Occupied { .. }), "{error}");
    let foreign = Machine::new("c");
    std::fs::create_dir_all(&foreign.path).unwrap();
    std::fs::write(foreign.path.join("mine"), "mine").unwrap();
    let error = join(&foreign, &other).unwrap_err();
    assert!(matches!(error, JoinError::Directory(DirectoryError::Foreign { .. })), "{error}");
    together.machines[0].kill();
}

#[test]
fn what_the_cluster_refuses_can_be_mended_and_tried_again() {
    let together = Together::one();
    let ticket = together.invite(None);
    let mut machine = Machine::new("a");
    let error = join(&machine, &ticket).unwrap_err();
    assert!(matches!(&error, JoinError::Refused { why } if why.contains("called a already")), "{error}");
    machine.name = "b".to_owned();
    join(&machine, &ticket).unwrap();
}

#[test]
fn a_follower_passes_a_join_on_to_the_leader() {
    let mut together = Together::of(2);
    let leader = together.leader();
    // The ticket's first address is that of the node that was asked for it.
    let follower = together.followers()[0];
    let host = &together.machines[follower];
    let node = host.node().clone();
    let options = cluster::InviteOptions {
        actor: "test".into(),
        role: model::member::Role::Witness,
        good_for: std::time::Duration::from_secs(60),
        replaces: None,
    };
    let ticket = host.run(async move { node.invite(options).await }).unwrap();
    assert_eq!(ticket.addresses[0], host.address());
    together.join_with(Machine::new("w"), &ticket.to_string());
    together.wait_for_voters(3);
    let state = together.machines[leader].node().state();
    assert_eq!(state.member_named("w").unwrap().member.role, model::member::Role::Witness);
}

#[test]
fn a_wrong_ticket_is_told_from_a_cluster_that_is_away() {
    let mut together = Together::one();
    let ticket = together.invite(None);
    let error = join(&Machine::new("b"), &ticket[..ticket.len() - 3]).unwrap_err();
    assert!(matches!(error, JoinError::Ticket(_)), "{error}");
    together.machines[0].kill();
    let machine = Machine::new("b");
    let options = cluster::JoinOptions {
        name: "b".into(),
        address: machine.address(),
        location: model::id::LocationId::new("local").unwrap(),
        facts: Machine::facts(),
        patience: std::time::Duration::from_millis(300),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(cluster::join(&machine.path, &ticket, options)).unwrap_err();
    assert!(matches!(error, JoinError::Unreachable { .. }), "{error}");
}
