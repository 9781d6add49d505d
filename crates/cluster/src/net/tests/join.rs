//! The one thing that a stranger may do.

use super::{ECHO, PATIENCE, Town, now, until};
use crate::net::limits::{STRANGER_BYTES_MAX, STRANGER_INTERVAL, STRANGERS_MAX};
use crate::net::{CallError, JOIN, PrivateKey, Ticket, Token, ask_stranger, is_same, sha256};
use model::time::Timestamp;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_a_ticket_finds_the_cluster_and_is_answered() {
    let town = Town::new();
    let one = town.node(1);
    let ticket = Ticket {
        cluster: town.cluster,
        node: 2,
        token: Token::draw(),
        authority: town.fingerprint(),
        addresses: vec![one.address()],
        expires: Timestamp::EPOCH,
    };
    let ticket: Ticket = ticket.to_string().parse().unwrap();
    let (answer, authority) =
        ask_stranger(&ticket.addresses[0], ticket.authority, JOIN, b"me".to_vec(), PATIENCE).await.unwrap();
    assert_eq!(answer, b"welcome me");
    assert_eq!(*authority, *town.authority.certificate);
    assert!(is_same(&sha256(&authority), &ticket.authority));
    // It did not greet, nor was it greeted.
    assert!(one.door.admitted.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_hears_why_a_join_was_refused() {
    let town = Town::new();
    let one = town.node(1);
    let error =
        ask_stranger(&one.address(), town.fingerprint(), JOIN, b"bad token".to_vec(), PATIENCE).await.unwrap_err();
    assert!(matches!(&error, CallError::Answered(why) if why == "the token is unknown"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_at_the_address_never_sees_the_token() {
    let (town, other) = (Town::new(), Town::new());
    let foreign = other.node(1);
    let error = ask_stranger(&foreign.address(), town.fingerprint(), JOIN, b"me".to_vec(), PATIENCE).await.unwrap_err();
    assert!(matches!(error, CallError::Refused { .. }) && !error.is_perhaps_done(), "{error:?}");
    assert_eq!(foreign.door.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_shows_the_authority_but_was_not_signed_by_it_is_refused() {
    let (town, other) = (Town::new(), Town::new());
    let key = PrivateKey::draw();
    let signed = super::sign(&other.authority, &other.key, &key.signing_request(), 1, now()).unwrap();
    let chain = vec![signed.chain[0].clone(), super::certificate(&town.authority)];
    let mut identity = town.identity(&key, 1);
    identity.key = crate::net::NodeKey::new(&key, chain).unwrap();
    let forger = town.node_as(key, identity, &town.trust);
    let error = ask_stranger(&forger.address(), town.fingerprint(), JOIN, b"me".to_vec(), PATIENCE).await.unwrap_err();
    assert!(matches!(error, CallError::Refused { .. }), "{error:?}");
    assert_eq!(forger.door.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_node_does_not_take_tokens() {
    let town = Town::new();
    let key = PrivateKey::draw();
    let mut identity = town.identity(&key, 1);
    identity.key = town.certify_at(&key, 1, now().minus(Duration::from_secs(2 * 365 * 86_400)));
    let old = town.node_as(key, identity, &town.trust);
    let error = ask_stranger(&old.address(), town.fingerprint(), JOIN, vec![], PATIENCE).await.unwrap_err();
    assert!(matches!(&error, CallError::Refused { why } if why.contains("clocks")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_too_large_is_not_sent() {
    let town = Town::new();
    let one = town.node(1);
    let body = vec![0; STRANGER_BYTES_MAX + 1];
    let error = ask_stranger(&one.address(), town.fingerprint(), JOIN, body, PATIENCE).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { .. }), "{error}");
    let body = vec![b'x'; STRANGER_BYTES_MAX];
    ask_stranger(&one.address(), town.fingerprint(), JOIN, body, PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_take_turns() {
    let town = Town::new();
    let one = town.node(1);
    let before = Instant::now();
    let mut strangers = JoinSet::new();
    for _ in 0..6 {
        let (address, authority) = (one.address(), town.fingerprint());
        strangers.spawn(async move { ask_stranger(&address, authority, JOIN, vec![], PATIENCE).await });
    }
    while let Some(answered) = strangers.join_next().await {
        answered.unwrap().unwrap();
    }
    assert!(before.elapsed() >= 5 * STRANGER_INTERVAL, "{:?}", before.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_have_a_number_of_seats_and_members_need_none() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let mut seated = JoinSet::new();
    for _ in 0..STRANGERS_MAX {
        let (address, authority) = (one.address(), town.fingerprint());
        seated.spawn(async move { ask_stranger(&address, authority, JOIN, b"wait".to_vec(), PATIENCE).await });
    }
    until("all are seated", || one.door.begun.load(Ordering::SeqCst) == STRANGERS_MAX).await;
    let error = ask_stranger(&one.address(), town.fingerprint(), JOIN, vec![], PATIENCE).await.unwrap_err();
    assert!(matches!(error, CallError::Broken { .. }), "{error:?}");
    two.call(&one, ECHO, b"").await.unwrap();
    one.door.gate.add_permits(STRANGERS_MAX);
    while let Some(answered) = seated.join_next().await {
        answered.unwrap().unwrap();
    }
    ask_stranger(&one.address(), town.fingerprint(), JOIN, vec![], PATIENCE).await.unwrap();
}
