//! Peers that are away, die, fall silent, or never were peers.

use super::{ECHO, Home, PATIENCE, Town, WAIT, listener, until};
use crate::net::dial::targets;
use crate::net::failure::DialError;
use crate::net::limits::{CONNECT_TIME_MAX, GREETING_TIME_MAX, PAUSE_MAX, UNCONFIRMED_TIME_MAX};
use crate::net::{CallError, Handler, Hub, HubIdentity, socket};
use socket2::SockRef;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::sync::watch;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_away_fails_at_once_and_is_found_when_it_comes() {
    let town = Town::new();
    let one = town.node(1);
    let place = listener();
    let at = place.local_addr().unwrap();
    drop(place);
    let error = one.hub.call(2, &at.to_string(), ECHO, vec![], PATIENCE).await.unwrap_err();
    assert!(is_connect(&error) && !error.is_perhaps_done(), "{error:?}");
    // In the pause the last failure is the answer; nobody waits.
    let before = Instant::now();
    let error = one.hub.call(2, &at.to_string(), ECHO, vec![], PATIENCE).await.unwrap_err();
    assert!(is_connect(&error), "{error:?}");
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());

    let two = node_at(&town, 2, at);
    let came = Instant::now();
    while one.call(&two, ECHO, b"").await.is_err() {
        assert!(came.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_was_heard_is_tried_without_a_pause() {
    let town = Town::new();
    let one = town.node(1);
    let place = listener();
    let at = place.local_addr().unwrap();
    drop(place);
    let address = at.to_string();
    let began = Instant::now();
    // Attempts until the pause is at its longest.
    while began.elapsed() < 3 * PAUSE_MAX {
        one.hub.call(2, &address, ECHO, vec![], PATIENCE).await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    one.hub.call(2, &address, ECHO, vec![], PATIENCE).await.unwrap_err();
    let two = node_at(&town, 2, at);
    two.call(&one, ECHO, b"I am back").await.unwrap();
    one.call(&two, ECHO, b"so you are").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_dies_fails_its_calls_at_once_and_is_met_again() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let at = two.at;
    let call = one.call(&two, WAIT, b"");
    let dies = async {
        until("the request is there", || two.door.begun.load(Ordering::SeqCst) == 1).await;
        two.hub.close().await;
    };
    let (answer, ()) = tokio::join!(call, dies);
    let error = answer.unwrap_err();
    assert!(matches!(error, CallError::Broken { is_sent: true }) && error.is_perhaps_done(), "{error}");

    let two = node_at(&town, 2, at);
    let back = Instant::now();
    while one.call(&two, ECHO, b"").await.is_err() {
        assert!(back.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_takes_connections_and_says_nothing_holds_only_its_own_calls() {
    let town = Town::new();
    let (one, three) = (town.node(1), town.node(3));
    let mute = listener();
    let address = mute.local_addr().unwrap().to_string();
    let error = one.hub.call(2, &address, ECHO, vec![], Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { is_sent: false }) && !error.is_perhaps_done(), "{error}");
    one.call(&three, ECHO, b"").await.unwrap();
    // Somebody who has the patience hears what is wrong.
    let before = Instant::now();
    let error = one.hub.call(2, &address, ECHO, vec![], PATIENCE).await.unwrap_err();
    let CallError::Unreachable { source } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, DialError::Silent { .. }), "{source}");
    assert!(before.elapsed() < CONNECT_TIME_MAX + GREETING_TIME_MAX + Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_a_way_that_falls_silent_run_out_and_a_break_frees_them() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let wire = Wire::to(two.at).await;
    let address = wire.at.to_string();
    one.hub.call(2, &address, ECHO, vec![], PATIENCE).await.unwrap();
    wire.fall_silent().await;
    let error = one.hub.call(2, &address, ECHO, vec![], Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { is_sent: true }), "{error}");

    let waits = one.hub.call(2, &address, ECHO, vec![], PATIENCE);
    let breaks = async {
        // The call is on its way when the break comes; if it is not yet, it is not sent.
        tokio::time::sleep(Duration::from_millis(20)).await;
        wire.hold.send(Hold::Broken).unwrap();
    };
    let (answer, ()) = tokio::join!(waits, breaks);
    assert!(matches!(answer, Err(CallError::Broken { .. })), "{answer:?}");

    wire.hold.send(Hold::No).unwrap();
    one.hub.call(2, &address, ECHO, b"again".to_vec(), PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_connections_are_replaced_and_bounded() {
    let town = Town::new();
    let two = town.node(2);
    // The same node comes again and again; what it left behind is never closed by it.
    let mut left = Vec::new();
    for _ in 0..8 {
        let one = town.node(1);
        one.call(&two, ECHO, b"").await.unwrap();
        left.push(one);
    }
    let last = left.pop().unwrap();
    last.call(&two, ECHO, b"").await.unwrap();
    // The oldest were closed: a call on them needs another connection.
    let greetings = || two.door.admitted.lock().unwrap().len();
    let before = greetings();
    left[0].call(&two, ECHO, b"").await.unwrap();
    assert_eq!(greetings(), before + 1);
    let before = greetings();
    last.call(&two, ECHO, b"").await.unwrap();
    assert_eq!(greetings(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_hub_frees_its_port_and_says_that_it_is_closed() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    one.call(&two, ECHO, b"").await.unwrap();
    let waiting = tokio::spawn({
        let (hub, address) = (one.hub.clone(), two.address());
        async move { hub.call(2, &address, WAIT, vec![], PATIENCE).await }
    });
    until("the request is there", || two.door.begun.load(Ordering::SeqCst) == 2).await;
    tokio::time::timeout(PATIENCE, one.hub.close()).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(CallError::Broken { is_sent: true })));
    let error = one.call(&two, ECHO, b"").await.unwrap_err();
    assert!(matches!(error, CallError::Closed) && !error.is_perhaps_done(), "{error}");
    TcpListener::bind(one.at).unwrap();
    // A request that is being handled does not hold up the end.
    tokio::time::timeout(PATIENCE, two.hub.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_does_not_start_with_another_nodes_certificate() {
    let town = Town::new();
    let one = town.node(1);
    let identity = HubIdentity { node: 2, ..town.identity(&one.key, 1) };
    let handler = Arc::clone(&one.door) as Arc<dyn Handler>;
    let Err(error) = Hub::start(identity, town.trust.subscribe(), None, handler) else { panic!("it started") };
    assert_eq!(error.to_string(), "the certificate is that of node 1, this is node 2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_notice_a_dead_peer() {
    let place = listener();
    let stream = socket::connect(place.local_addr().unwrap()).await.unwrap();
    let socket = SockRef::from(&stream);
    assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNCONFIRMED_TIME_MAX));
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(5));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_was_reached_is_tried_without_its_name() {
    // Without a port no name server is asked.
    let known = SocketAddr::from(([127, 0, 0, 1], 9));
    assert_eq!(targets("nonsense", Some(known)).await.unwrap(), [known]);
    assert!(matches!(targets("nonsense", None).await, Err(DialError::Resolve { .. })));
    let addresses = targets("127.0.0.1:9", None).await.unwrap();
    assert_eq!(addresses, [known]);
}

fn is_connect(error: &CallError) -> bool {
    matches!(error, CallError::Unreachable { source } if matches!(**source, DialError::Connect { .. }))
}

fn node_at(town: &Town, node: u64, at: SocketAddr) -> Home {
    let key = crate::net::PrivateKey::draw();
    let identity = town.identity(&key, node);
    let hello = crate::net::Hello { cluster: town.cluster, node, incarnation: 2, nonce: 3, marks: vec![], protocol: 1 };
    town.node_that_says(key, identity, &town.trust, hello, TcpListener::bind(at).unwrap())
}

/// What a [`Wire`] does with the bytes it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    No,
    Silent,
    Broken,
}

/// Carries connections to a place, and can stop to.
struct Wire {
    at: SocketAddr,
    hold: watch::Sender<Hold>,
    /// Connections whose bytes are held.
    held: Arc<AtomicUsize>,
}

impl Wire {
    async fn to(target: SocketAddr) -> Self {
        let (hold, held) = (watch::Sender::new(Hold::No), Arc::new(AtomicUsize::new(0)));
        let entrance = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = entrance.local_addr().unwrap();
        let (told, counted) = (hold.subscribe(), Arc::clone(&held));
        tokio::spawn(async move {
            while let Ok((near, _)) = entrance.accept().await {
                tokio::spawn(carry(near, target, told.clone(), Arc::clone(&counted)));
            }
        });
        Self { at, hold, held }
    }

    /// Holds the one connection there is.
    async fn fall_silent(&self) {
        self.hold.send(Hold::Silent).unwrap();
        until("the connection is held", || self.held.load(Ordering::SeqCst) == 1).await;
    }
}

async fn carry(
    mut near: tokio::net::TcpStream,
    target: SocketAddr,
    mut hold: watch::Receiver<Hold>,
    held: Arc<AtomicUsize>,
) {
    let Ok(mut far) = tokio::net::TcpStream::connect(target).await else { return };
    let is_held = tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => false,
        told = hold.wait_for(|hold| *hold != Hold::No) => told.is_ok(),
    };
    if is_held {
        held.fetch_add(1, Ordering::SeqCst);
        let _ = hold.wait_for(|hold| *hold == Hold::Broken).await;
    }
}
