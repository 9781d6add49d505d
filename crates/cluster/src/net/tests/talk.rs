//! What two nodes that trust each other can rely on.

use super::{ECHO, FAIL, GIVE, PANIC, PATIENCE, Town, WAIT, until};
use crate::net::limits::{FRAME_BYTES_MAX, IN_FLIGHT_MAX, SMALL_BYTES_MAX};
use crate::net::{BULK, CallError, URGENT};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_talk_both_ways() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    assert_eq!(one.call(&two, ECHO, b"to two").await.unwrap(), b"to two");
    assert_eq!(two.call(&one, ECHO, b"to one").await.unwrap(), b"to one");
    let admitted = two.door.admitted.lock().unwrap().clone();
    assert!(admitted.iter().all(|hello| *hello == one.door.hello) && !admitted.is_empty());
    // The greeting and the answer of each direction.
    assert_eq!(one.door.heard.load(Ordering::SeqCst), 2);
    assert_eq!(two.door.heard.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_calls_at_once_gets_its_own_answer() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let mut calls = JoinSet::new();
    for number in 0..2_000_u32 {
        let (hub, address, body) = (one.hub.clone(), two.address(), number.to_le_bytes().to_vec());
        calls.spawn(async move { (body.clone(), hub.call(2, &address, ECHO, body, PATIENCE).await) });
    }
    while let Some(call) = calls.join_next().await {
        let (body, answer) = call.unwrap();
        assert_eq!(answer.unwrap(), body);
    }
    // They shared one connection.
    assert_eq!(two.door.admitted.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentence_instead_of_a_result_is_an_answer() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let error = one.call(&two, FAIL, b"").await.unwrap_err();
    assert!(matches!(&error, CallError::Answered(why) if why == "it does not please me"), "{error}");
    assert!(error.is_perhaps_done());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_does_not_hold_the_others() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let slow = one.call(&two, WAIT, b"");
    tokio::pin!(slow);
    tokio::select! {
        _ = &mut slow => panic!("the gate is shut"),
        answer = one.call(&two, ECHO, b"quick") => assert_eq!(answer.unwrap(), b"quick"),
    }
    two.door.gate.add_permits(1);
    assert_eq!(slow.await.unwrap(), b"open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_time_is_over_says_that_it_was_sent() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    one.call(&two, ECHO, b"").await.unwrap();
    let error = one.hub.call(2, &two.address(), WAIT, vec![], Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { is_sent: true }), "{error}");
    // The late answer disturbs nobody.
    two.door.gate.add_permits(1);
    assert_eq!(one.call(&two, ECHO, b"next").await.unwrap(), b"next");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_hold_up_their_own_kind_only() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let mut waiting = JoinSet::new();
    for _ in 0..IN_FLIGHT_MAX + 50 {
        let (hub, address) = (one.hub.clone(), two.address());
        waiting.spawn(async move { hub.call(2, &address, WAIT, vec![], PATIENCE).await });
    }
    let begun = || two.door.begun.load(Ordering::SeqCst);
    until("all places are taken", || begun() == IN_FLIGHT_MAX).await;

    let error = one.hub.call(2, &two.address(), ECHO, vec![], Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error}");
    assert_eq!(begun(), IN_FLIGHT_MAX);
    one.call(&two, URGENT | ECHO, b"vote").await.unwrap();
    one.call(&two, BULK | ECHO, b"chunk").await.unwrap();

    two.door.gate.add_permits(IN_FLIGHT_MAX + 50);
    while let Some(call) = waiting.join_next().await {
        call.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_whole_up_to_the_largest() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    for length in [0, 1, SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1, FRAME_BYTES_MAX] {
        let body: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        assert!(one.call(&two, ECHO, &body).await.unwrap() == body, "{length}");
    }
    let error = one.call(&two, ECHO, &vec![0; FRAME_BYTES_MAX + 1]).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { .. }) && !error.is_perhaps_done(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_too_large_becomes_a_sentence() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let give = |length: usize| u32::try_from(length).unwrap().to_le_bytes();
    assert_eq!(one.call(&two, GIVE, &give(FRAME_BYTES_MAX)).await.unwrap().len(), FRAME_BYTES_MAX);
    let error = one.call(&two, GIVE, &give(FRAME_BYTES_MAX + 1)).await.unwrap_err();
    assert!(matches!(&error, CallError::Answered(why) if why.contains("too large")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_takes_nothing_with_it() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let error = one.hub.call(2, &two.address(), PANIC, vec![], Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { is_sent: true }), "{error}");
    one.call(&two, ECHO, b"still there").await.unwrap();
    assert_eq!(two.door.admitted.lock().unwrap().len(), 1);
}
