//! One node's connections: the listener, and the ways to the others.

use super::failure::CallError;
use super::key::NodeKey;
use super::limits::{CONNECTIONS_FOR_EACH_LANE_MAX, FRAME_BYTES_MAX, STRANGERS_MAX};
use super::link::{Link, LinkError};
use super::serve::Incoming;
use super::verify::Trust;
use super::way::{Look, Way};
use super::{Handler, Lane, dial, door, tls};
use crate::identity::ClusterId;
use crate::types::NodeId;
use rustls::{ClientConfig, ServerConfig};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often a call looks for another connection when the one it found had just ended.
const LOOKS_MAX: usize = 2;

/// One node's connections: the listener and the ways to the others. Clones are
/// the same. It has to be closed; dropping it leaves its tasks running.
#[derive(Clone)]
pub(crate) struct Hub {
    shared: Arc<Shared>,
}

/// Who this node is to the others.
#[derive(Debug, Clone)]
pub(crate) struct HubIdentity {
    /// Its cluster.
    pub(crate) cluster: ClusterId,
    /// Itself.
    pub(crate) node: NodeId,
    /// What it shows.
    pub(crate) key: NodeKey,
}

/// What all tasks of a hub share.
pub(super) struct Shared {
    pub(super) cluster: ClusterId,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) closing: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) hall: door::Hall,
    /// Seats for strangers.
    pub(super) strangers: Semaphore,
    /// When the next stranger may be served.
    pub(super) next_stranger: Mutex<Instant>,
    trust: watch::Receiver<Arc<Trust>>,
    credentials: RwLock<Arc<Credentials>>,
    /// One for each member and lane that was ever called; those of removed nodes go.
    ways: Mutex<BTreeMap<(NodeId, Lane), Arc<Way>>>,
    /// Connections of members to us, by the order in which they came.
    incoming: Mutex<Incomings>,
}

/// What this node shows on either side of a connection.
pub(super) struct Credentials {
    pub(super) dialer: Arc<ClientConfig>,
    pub(super) acceptor: Arc<ServerConfig>,
}

#[derive(Default)]
struct Incomings {
    last: u64,
    open: BTreeMap<u64, Arc<Incoming>>,
}

impl Hub {
    /// Starts listening, if there is a listener, and watching whom to trust.
    /// Called inside a runtime; a listener is made non-blocking here.
    ///
    /// # Errors
    /// The certificate names another node, or the system does not take the listener.
    pub(crate) fn start(
        identity: HubIdentity,
        trust: watch::Receiver<Arc<Trust>>,
        listener: Option<std::net::TcpListener>,
        handler: Arc<dyn Handler>,
    ) -> io::Result<Self> {
        if identity.key.node() != identity.node {
            let text =
                format!("the certificate is that of node {}, this is node {}", identity.key.node(), identity.node);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let listener = match listener {
            Some(listener) => {
                listener.set_nonblocking(true)?;
                Some(TcpListener::from_std(listener)?)
            }
            None => None,
        };
        let credentials = Arc::new(Credentials::new(&identity.key, &trust));
        let shared = Arc::new(Shared {
            cluster: identity.cluster,
            handler,
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            hall: door::Hall::default(),
            strangers: Semaphore::new(STRANGERS_MAX),
            next_stranger: Mutex::new(Instant::now()),
            trust,
            credentials: RwLock::new(credentials),
            ways: Mutex::default(),
            incoming: Mutex::default(),
        });
        shared.tasks.spawn(follow_trust(Arc::clone(&shared)));
        if let Some(listener) = listener {
            shared.tasks.spawn(door::keep(Arc::clone(&shared), listener));
        }
        Ok(Self { shared })
    }

    /// Makes a request to a member and waits for its answer. The connection is
    /// made if there is none; `address` is where, as host and port.
    ///
    /// The lane follows from `kind` ([`super::URGENT`], [`super::BULK`]) and from
    /// the body: more than 64 kB goes with the bulk. A call that is dropped
    /// before it is sent is not sent.
    ///
    /// # Errors
    /// [`CallError::is_perhaps_done`] says whether the member may have received it.
    pub(crate) async fn call(
        &self,
        to: NodeId,
        address: &str,
        kind: u16,
        mut body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        if body.len() > FRAME_BYTES_MAX {
            return Err(CallError::TooLarge { bytes: body.len() });
        }
        let deadline = Instant::now() + timeout;
        let way = self.shared.way(to, Lane::of(kind, body.len()));
        for _ in 0..LOOKS_MAX {
            let link = self.link(&way, to, Lane::of(kind, body.len()), address, deadline).await?;
            match link.call(kind, body, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(LinkError::Call(error)) => return Err(error),
                Err(LinkError::Ended(unsent)) => body = unsent,
            }
        }
        Err(CallError::Broken { is_sent: false })
    }

    /// Shows another certificate from now on. Connections made by this node are
    /// replaced as they are used; calls on the old ones come to their end.
    pub(crate) fn renew(&self, key: &NodeKey) {
        let credentials = Arc::new(Credentials::new(key, &self.shared.trust));
        *self.shared.credentials.write().unwrap_or_else(PoisonError::into_inner) = credentials;
        for way in self.shared.ways() {
            way.retire();
        }
    }

    /// Closes the listener and all connections, and waits until nothing runs any
    /// more. Calls in flight fail; requests being handled are dropped half-way.
    pub(crate) async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    async fn link(
        &self,
        way: &Arc<Way>,
        to: NodeId,
        lane: Lane,
        address: &str,
        deadline: Instant,
    ) -> Result<Arc<Link>, CallError> {
        if self.shared.closing.is_cancelled() {
            return Err(CallError::Closed);
        }
        let mut outcome = match way.look(address, Instant::now()) {
            Look::Open(link) => return Ok(link),
            Look::Paused(error) => return Err(error.into()),
            Look::Wait(outcome) => outcome,
            Look::Dial(tell, outcome) => {
                let shared = Arc::clone(&self.shared);
                let attempt = dial::attempt(shared, Arc::clone(way), to, lane, address.to_owned(), tell);
                self.shared.tasks.spawn(attempt);
                outcome
            }
        };
        match timeout_at(deadline, outcome.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => match outcome.as_ref().expect("it was waited for") {
                Ok(link) => Ok(Arc::clone(link)),
                Err(error) => Err(Arc::clone(error).into()),
            },
            // The attempt was dropped: the hub closes.
            Ok(Err(_)) => Err(CallError::Closed),
            Err(_) => Err(CallError::TimedOut { is_sent: false }),
        }
    }
}

impl Credentials {
    fn new(key: &NodeKey, trust: &watch::Receiver<Arc<Trust>>) -> Self {
        Self { dialer: tls::dialer(key, trust.clone()), acceptor: tls::acceptor(key, trust.clone()) }
    }
}

impl Shared {
    pub(super) fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust.borrow())
    }

    pub(super) fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a member's connection to us, and closes the oldest of its lane if
    /// there are too many. Judged by what is trusted now, since that may have
    /// changed after its handshake.
    pub(super) fn enter(&self, incoming: Arc<Incoming>) -> u64 {
        let number = {
            let mut incomings = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
            let same = |other: &&Arc<Incoming>| (other.node, other.lane) == (incoming.node, incoming.lane);
            if incomings.open.values().filter(same).count() >= CONNECTIONS_FOR_EACH_LANE_MAX {
                incomings.open.values().find(same).inspect(|oldest| oldest.cut.cancel());
            }
            incomings.last += 1;
            let number = incomings.last;
            incomings.open.insert(number, Arc::clone(&incoming));
            number
        };
        incoming.verify(&self.trust());
        for lane in [Lane::Urgent, Lane::Ordinary, Lane::Bulk] {
            let ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(way) = ways.get(&(incoming.node, lane)) {
                way.hearten();
            }
        }
        number
    }

    pub(super) fn leave(&self, number: u64) {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&number);
    }

    fn way(&self, to: NodeId, lane: Lane) -> Arc<Way> {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(ways.entry((to, lane)).or_default())
    }

    fn ways(&self) -> Vec<Arc<Way>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn apply(&self, trust: &Trust) {
        for way in self.ways() {
            way.verify(trust);
        }
        self.ways.lock().unwrap_or_else(PoisonError::into_inner).retain(|(node, _), _| !trust.removed.contains(node));
        let incomings: Vec<_> =
            self.incoming.lock().unwrap_or_else(PoisonError::into_inner).open.values().cloned().collect();
        for incoming in incomings {
            incoming.verify(trust);
        }
    }
}

/// Ends connections that would not be made any more.
async fn follow_trust(shared: Arc<Shared>) {
    let mut trust = shared.trust.clone();
    loop {
        let is_over = tokio::select! {
            changed = trust.changed() => changed.is_err(),
            () = shared.closing.cancelled() => true,
        };
        if is_over {
            return;
        }
        let current = Arc::clone(&trust.borrow_and_update());
        shared.apply(&current);
    }
}
