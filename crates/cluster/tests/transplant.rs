//! A cluster that is founded with a state from elsewhere goes on like any other.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod common;

use cluster::{Node, OpenError, Options, TransplantError, transplant};
use common::{Log, note};
use control::State;
use std::path::Path;

/// The state of a node that has applied some entries.
async fn some_state(path: &Path) -> State {
    let node = Node::open(path, Options::default(), Log::default()).await.unwrap();
    for number in 1..=10 {
        node.propose(note(number)).await.unwrap();
    }
    let state = node.state();
    node.close().await.unwrap();
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_goes_on_where_the_state_was() {
    let directory = tempfile::tempdir().unwrap();
    let state = some_state(&directory.path().join("old")).await;
    let path = directory.path().join("new");
    let founded = transplant(&path, &state).unwrap();

    let log = Log::default();
    let node = Node::open(&path, Options::default(), log.clone()).await.unwrap();
    assert_eq!((node.recovery().cluster, node.recovery().node), (founded.cluster, founded.node));
    assert!(!node.recovery().is_founded_now);
    assert_eq!((node.recovery().snapshot_index, node.recovery().log_index), (10, 10));
    assert_eq!(node.state(), state);
    assert_eq!(log.seen().applied, [], "what the state holds is not applied again");
    assert_eq!(node.propose(note(11)).await.unwrap().index, 11);
    node.close().await.unwrap();

    let node = Node::open(&path, Options::default(), Log::default()).await.unwrap();
    assert_eq!(node.state().applied_index(), 11);
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abrupt_end_after_it_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let state = some_state(&directory.path().join("old")).await;
    let path = directory.path().join("new");
    transplant(&path, &state).unwrap();
    let abrupt = path.clone();
    common::run_abruptly(move || async move {
        let node = Node::open(&abrupt, Options::default(), Log::default()).await.unwrap();
        for number in 11..=15 {
            node.propose(note(number)).await.unwrap();
        }
    });
    let log = Log::default();
    let node = common::open_patiently(&path, Options::default(), log.clone()).await;
    assert_eq!(log.seen().applied, (11..=15).map(|number| (number, number)).collect::<Vec<_>>());
    assert_eq!(node.state().applied_index(), 15);
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_a_cluster_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let state = some_state(&directory.path().join("old")).await;
    let old = Node::open(&directory.path().join("old"), Options::default(), Log::default()).await.unwrap();
    let one = transplant(&directory.path().join("one"), &state).unwrap();
    let two = transplant(&directory.path().join("two"), &state).unwrap();
    let ids = [(old.recovery().cluster, old.recovery().node), (one.cluster, one.node), (two.cluster, two.node)];
    for (at, (cluster, node)) in ids.iter().enumerate() {
        assert!(ids[at + 1..].iter().all(|(other, of_other)| other != cluster && of_other != node), "{ids:?}");
    }
    old.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_there_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old");
    let state = some_state(&path).await;
    let error = transplant(&path, &State::default()).unwrap_err();
    assert!(matches!(error, TransplantError::Taken { .. }), "{error}");
    let node = Node::open(&path, Options::default(), Log::default()).await.unwrap();
    assert_eq!(node.state(), state);
    let error = transplant(&path, &State::default()).unwrap_err();
    assert!(error.to_string().contains("in use by process"), "{error}");
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn history_from_beyond_the_state_is_refused_as_everywhere() {
    let directory = tempfile::tempdir().unwrap();
    let state = some_state(&directory.path().join("old")).await;
    let path = directory.path().join("new");
    transplant(&path, &state).unwrap();
    let options = |durable| Options { durable_history: Some(durable), ..Options::default() };
    let error = Node::open(&path, options(11), Log::default()).await.err().unwrap();
    assert!(matches!(error, OpenError::BehindHistory { log: 10, history: 11, .. }), "{error}");
    let node = Node::open(&path, options(10), Log::default()).await.unwrap();
    assert!(node.recovery().history_gap.is_empty());
    node.close().await.unwrap();
}
