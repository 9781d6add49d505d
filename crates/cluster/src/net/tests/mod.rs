//! Hubs over real sockets: what two nodes, and others, see of each other.

mod faults;
mod join;
mod speed;
mod strangers;
mod talk;
mod trust;

use super::{
    BULK, Caller, ClusterKey, Handler, Hello, Hub, HubIdentity, JOIN, NodeKey, PrivateKey, Trust, found, sha256, sign,
};
use crate::identity::ClusterId;
use crate::types::NodeId;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use model::member::{Authority, Digest};
use model::time::Timestamp;
use rustls_pki_types::CertificateDer;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::{Semaphore, watch};

/// Gives the body back.
const ECHO: u16 = 2;
/// Answers with a sentence.
const FAIL: u16 = 3;
/// Answers when the test opens the gate.
const WAIT: u16 = 4;
/// Answers with as many bytes as the body says.
const GIVE: u16 = BULK | 5;
/// Panics.
const PANIC: u16 = 6;

/// Long enough for the slowest machine; no test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster's authority and whom its nodes trust.
struct Town {
    cluster: ClusterId,
    key: ClusterKey,
    authority: Authority,
    trust: watch::Sender<Arc<Trust>>,
}

/// A node of it.
struct Home {
    node: NodeId,
    key: PrivateKey,
    hub: Hub,
    at: SocketAddr,
    door: Arc<Door>,
}

/// What a node's handler says and has heard.
struct Door {
    hello: Hello,
    refusal: Mutex<Option<String>>,
    admitted: Mutex<Vec<Hello>>,
    refused: Mutex<Vec<(NodeId, String)>>,
    heard: AtomicUsize,
    begun: AtomicUsize,
    ended: AtomicUsize,
    gate: Arc<Semaphore>,
}

impl Town {
    fn new() -> Self {
        let key = ClusterKey::draw();
        let authority = found(&key, now());
        let trust = Trust { authorities: vec![certificate(&authority)], ..Trust::default() };
        Self { cluster: ClusterId::from_bytes([1; 16]), key, authority, trust: watch::Sender::new(Arc::new(trust)) }
    }

    fn change_trust(&self, change: impl FnOnce(&mut Trust)) {
        self.trust.send_modify(|trust| change(Arc::make_mut(trust)));
    }

    fn certify(&self, key: &PrivateKey, node: NodeId) -> NodeKey {
        self.certify_at(key, node, now())
    }

    fn certify_at(&self, key: &PrivateKey, node: NodeId, at: Timestamp) -> NodeKey {
        let signed = sign(&self.authority, &self.key, &key.signing_request(), node, at).unwrap();
        NodeKey::new(key, signed.chain).unwrap()
    }

    fn identity(&self, key: &PrivateKey, node: NodeId) -> HubIdentity {
        HubIdentity { cluster: self.cluster, node, key: self.certify(key, node) }
    }

    fn node(&self, node: NodeId) -> Home {
        let key = PrivateKey::draw();
        let identity = self.identity(&key, node);
        self.node_as(key, identity, &self.trust)
    }

    /// A node that shows what it is told to, and trusts as it is told to.
    fn node_as(&self, key: PrivateKey, identity: HubIdentity, trust: &watch::Sender<Arc<Trust>>) -> Home {
        let node = identity.node;
        let hello =
            Hello { cluster: self.cluster, node, incarnation: 1, nonce: 2, marks: b"marks".to_vec(), protocol: 1 };
        self.node_that_says(key, identity, trust, hello, listener())
    }

    fn node_that_says(
        &self,
        key: PrivateKey,
        identity: HubIdentity,
        trust: &watch::Sender<Arc<Trust>>,
        hello: Hello,
        listener: TcpListener,
    ) -> Home {
        let door = Arc::new(Door {
            hello,
            refusal: Mutex::default(),
            admitted: Mutex::default(),
            refused: Mutex::default(),
            heard: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            gate: Arc::new(Semaphore::new(0)),
        });
        let (node, at) = (identity.node, listener.local_addr().unwrap());
        let hub =
            Hub::start(identity, trust.subscribe(), Some(listener), Arc::clone(&door) as Arc<dyn Handler>).unwrap();
        Home { node, key, hub, at, door }
    }

    fn fingerprint(&self) -> Digest {
        sha256(&self.authority.certificate)
    }
}

impl Home {
    async fn call(&self, to: &Self, kind: u16, body: &[u8]) -> Result<Vec<u8>, super::CallError> {
        self.hub.call(to.node, &to.address(), kind, body.to_vec(), PATIENCE).await
    }

    fn address(&self) -> String {
        self.at.to_string()
    }
}

impl Handler for Door {
    fn hello(&self) -> Hello {
        self.hello.clone()
    }

    fn admit(&self, peer: &Hello) -> Result<(), String> {
        match &*self.refusal.lock().unwrap() {
            Some(why) => Err(why.clone()),
            None => {
                self.admitted.lock().unwrap().push(peer.clone());
                Ok(())
            }
        }
    }

    fn handle(&self, from: Caller, kind: u16, body: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&self.gate);
        match (from, kind) {
            (Caller::Stranger, JOIN) if body == b"wait" => waiting(gate).boxed(),
            (Caller::Stranger, JOIN) if body == b"bad token" => {
                async { Err("the token is unknown".to_owned()) }.boxed()
            }
            (Caller::Stranger, JOIN) => async move { Ok([b"welcome ", body.as_slice()].concat()) }.boxed(),
            (Caller::Stranger, other) => panic!("a stranger came through with {other}"),
            (Caller::Member(_), FAIL) => async { Err("it does not please me".to_owned()) }.boxed(),
            (Caller::Member(_), WAIT) => waiting(gate).boxed(),
            (Caller::Member(_), GIVE) => {
                let length = u32::from_le_bytes(body.try_into().unwrap()) as usize;
                async move { Ok(vec![7; length]) }.boxed()
            }
            (Caller::Member(_), PANIC) => async { panic!("as asked") }.boxed(),
            (Caller::Member(_), _) => {
                self.ended.fetch_add(1, Ordering::SeqCst);
                async move { Ok(body) }.boxed()
            }
        }
    }

    fn heard(&self, _from: NodeId) {
        self.heard.fetch_add(1, Ordering::SeqCst);
    }

    fn refused(&self, by: NodeId, why: &str) {
        self.refused.lock().unwrap().push((by, why.to_owned()));
    }
}

async fn waiting(gate: Arc<Semaphore>) -> Result<Vec<u8>, String> {
    gate.acquire().await.unwrap().forget();
    Ok(b"open".to_vec())
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn certificate(authority: &Authority) -> CertificateDer<'static> {
    CertificateDer::from(authority.certificate.clone())
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap())
}

/// Waits until something is so, within [`PATIENCE`].
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "it never came about that {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
