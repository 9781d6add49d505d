//! Who may talk to whom, and for how long.

use super::{ECHO, Home, PATIENCE, Town, WAIT, certificate, listener, now, until};
use crate::identity::ClusterId;
use crate::net::{CallError, Hello, HubIdentity, PrivateKey, Trust, found};
use crate::types::NodeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_authority_is_refused_by_both_sides() {
    let (town, other) = (Town::new(), Town::new());
    let two = town.node(2);
    let stranger = other.node(1);
    refused(&stranger, &two, "no authority that is trusted here signed its certificate").await;

    // One that trusts us, and whom we do not trust.
    let key = PrivateKey::draw();
    let identity = other.identity(&key, 1);
    let spy = other.node_as(key, identity, &town.trust);
    refused(&spy, &two, "does not trust the authority of this node's certificate").await;
    assert!(two.door.admitted.lock().unwrap().is_empty());
    assert_eq!(spy.door.refused.lock().unwrap()[0].0, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_is_refused_and_its_connections_end() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    // Node 1 has not heard of its removal; it trusts as before.
    let old_trust = watch::Sender::new(Arc::clone(&town.trust.borrow()));
    let key = PrivateKey::draw();
    let identity = town.identity(&key, 3);
    let three = town.node_as(key, identity, &old_trust);
    let to_two = three.call(&two, WAIT, b"");
    let removal = async {
        until("the request is there", || two.door.begun.load(Ordering::SeqCst) == 1).await;
        two.call(&three, ECHO, b"").await.unwrap();
        town.change_trust(|trust| {
            trust.removed.insert(3);
        });
    };
    let (broken, ()) = tokio::join!(to_two, removal);
    assert!(matches!(broken, Err(CallError::Broken { is_sent: true })), "{broken:?}");

    refused(&three, &two, "this node was removed from the cluster").await;
    assert!(!three.door.refused.lock().unwrap().is_empty());
    refused(&two, &three, "node 3 was removed from the cluster").await;
    one.call(&two, ECHO, b"the others go on").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_known_by_its_key() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let impostor = town.node(2);
    one.call(&impostor, ECHO, b"").await.unwrap();
    town.change_trust(|trust| {
        trust.keys.insert(2, two.key.digest());
    });
    refused(&one, &impostor, "the cluster knows node 2 by another key").await;
    refused(&impostor, &one, "it knows this node by another key").await;
    one.call(&two, ECHO, b"").await.unwrap();
    two.call(&one, ECHO, b"").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_at_the_address_is_not_taken_for_the_one_that_is_meant() {
    let town = Town::new();
    let (one, three) = (town.node(1), town.node(3));
    let error = one.hub.call(2, &three.address(), ECHO, vec![], PATIENCE).await.unwrap_err();
    let expected = "its certificate is that of node 3, not of node 2";
    assert!(matches!(&error, CallError::Refused { why } if why.contains(expected)), "{error}");
    assert_eq!(three.door.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_greeting_must_say_what_the_certificate_and_the_cluster_say() {
    let town = Town::new();
    let two = town.node(2);
    let hello = Hello { node: 7, ..two.door.hello.clone() };
    let liar = says(&town, 3, hello);
    refused(&liar, &two, "the certificate is that of node 3, the greeting that of node 7").await;
    refused(&two, &liar, "the certificate is that of node 3, the greeting that of node 7").await;

    let hello = Hello { node: 3, cluster: ClusterId::from_bytes([9; 16]), ..two.door.hello.clone() };
    let stray = says(&town, 3, hello);
    refused(&stray, &two, "it belongs to cluster 0909").await;
    assert!(two.door.admitted.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_may_refuse_and_the_other_hears_why() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    *two.door.refusal.lock().unwrap() = Some("it has forgotten what it promised".to_owned());
    refused(&one, &two, "it has forgotten what it promised").await;
    let (by, why) = one.door.refused.lock().unwrap()[0].clone();
    assert_eq!((by, why.as_str()), (2, "it has forgotten what it promised"));
    // Node 2 is not admitting, so it refuses also what it dials itself; node 1 is told.
    refused(&two, &one, "this node does not admit").await;
    until("node 1 hears it", || one.door.refused.lock().unwrap().len() == 2).await;
    assert_eq!(one.door.begun.load(Ordering::SeqCst) + two.door.begun.load(Ordering::SeqCst), 0);

    *two.door.refusal.lock().unwrap() = None;
    until_answered(&one, &two).await;
    until_answered(&two, &one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dates_count_for_keys_that_are_not_known_and_for_no_others() {
    let town = Town::new();
    let two = town.node(2);
    for at in [now().minus(Duration::from_secs(3 * 365 * 86_400)), now().plus(Duration::from_secs(30 * 86_400))] {
        let key = PrivateKey::draw();
        let identity = HubIdentity { cluster: town.cluster, node: 1, key: town.certify_at(&key, 1, at) };
        let one = town.node_as(key, identity, &town.trust);
        refused(&two, &one, "compare the clocks of both machines").await;
        refused(&one, &two, "compare the clocks of both machines").await;
        town.change_trust(|trust| {
            trust.keys.insert(1, one.key.digest());
        });
        until_answered(&two, &one).await;
        until_answered(&one, &two).await;
        town.change_trust(|trust| {
            trust.keys.remove(&1);
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_interrupts_nobody() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let chatter = Chatter::between(&one, &two);
    for _ in 0..5 {
        let greetings = two.door.admitted.lock().unwrap().len();
        one.hub.renew(&town.certify(&one.key, 1));
        two.hub.renew(&town.certify(&two.key, 2));
        until("they greet anew", || two.door.admitted.lock().unwrap().len() > greetings).await;
    }
    chatter.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_replaced_without_interrupting_anybody() {
    let mut town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let chatter = Chatter::between(&one, &two);
    chatter.has_spoken().await;
    let older = town.authority.clone();
    town.authority = found(&town.key, now());
    town.change_trust(|trust| trust.authorities.push(certificate(&town.authority)));
    one.hub.renew(&town.certify(&one.key, 1));
    chatter.has_spoken().await;
    two.hub.renew(&town.certify(&two.key, 2));
    chatter.has_spoken().await;
    town.change_trust(|trust| trust.authorities.retain(|der| *der != certificate(&older)));
    chatter.has_spoken().await;
    chatter.assert_undisturbed().await;

    // Whoever slept through it is out until it has asked for another.
    town.authority = older;
    let sleeper = town.node(3);
    refused(&sleeper, &two, "does not trust the authority").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_authority_ends_what_it_had_let_in() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    one.call(&two, ECHO, b"").await.unwrap();
    town.change_trust(|trust| trust.authorities.clear());
    refused(&one, &two, "no authority that is trusted here").await;
}

/// Calls until it is refused: a connection that was open may still have to end.
async fn refused(from: &Home, to: &Home, expected: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = from.call(to, ECHO, b"").await;
        match &answer {
            Err(CallError::Refused { why }) if why.contains(expected) => return,
            _ => assert!(tokio::time::Instant::now() < deadline, "{answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_answered(from: &Home, to: &Home) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Err(error) = from.call(to, ECHO, b"").await {
        assert!(tokio::time::Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn says(town: &Town, node: NodeId, hello: Hello) -> Home {
    let key = PrivateKey::draw();
    let identity = town.identity(&key, node);
    let trust: watch::Sender<Arc<Trust>> = watch::Sender::new(Arc::clone(&town.trust.borrow()));
    town.node_that_says(key, identity, &trust, hello, listener())
}

/// Calls both ways without a break, none of which may fail.
struct Chatter {
    stop: Arc<AtomicBool>,
    spoken: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<Result<(), CallError>>>,
}

impl Chatter {
    fn between(one: &Home, two: &Home) -> Self {
        let (stop, spoken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let talk = |from: &Home, to: &Home| {
            let (hub, node, address) = (from.hub.clone(), to.node, to.address());
            let (stop, spoken) = (Arc::clone(&stop), Arc::clone(&spoken));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    hub.call(node, &address, ECHO, b"hello".to_vec(), PATIENCE).await?;
                    spoken.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            })
        };
        let tasks = vec![talk(one, two), talk(two, one), talk(one, two), talk(two, one)];
        Self { stop, spoken, tasks }
    }

    /// Waits until more has been said, by everyone.
    async fn has_spoken(&self) {
        let before = self.spoken.load(Ordering::SeqCst);
        until("more is said", || {
            self.spoken.load(Ordering::SeqCst) > before + 100 || self.tasks.iter().any(|task| task.is_finished())
        })
        .await;
    }

    async fn assert_undisturbed(self) {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap().unwrap();
        }
    }
}
