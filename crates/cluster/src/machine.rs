//! The state machine as openraft sees it: `control`'s state on a thread of its
//! own.
//!
//! Applying a large batch, or an observer that blocks, must not hold up the
//! tasks of the runtime, so committed entries go to a thread and come back as
//! answers. After each group of entries the new state is published; **an answer
//! is given only after the state that contains it is published**, so whoever
//! proposed something reads it.

use crate::failure::{Failure, FailureSlot};
use crate::observer::Observer;
use crate::snapshot::{SnapshotError, Snapshots};
use crate::types::{
    Answers, LogId, RaftEntry, SnapshotMeta, StorageError, StorageIOError, StoredMembership, TypeConfig,
};
use control::State;
use model::entry::{Body, Entry};
use model::time::Timestamp;
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, RwLock};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::{mpsc, oneshot, watch};

/// Work that may wait for the thread. openraft hands over committed entries in
/// batches, so a few are plenty; it waits when the queue is full.
const QUEUE_LENGTH: usize = 16;

/// The state after the last group of entries.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) state: State,
    pub(crate) last: Option<LogId>,
    members: StoredMembership,
    /// Observations applied since the node was opened; only differences count.
    pub(crate) observations: u64,
}

/// What a snapshot attempt came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SnapshotFacts {
    /// Attempts so far.
    pub(crate) attempts: u64,
    /// Whether the last one found no room.
    pub(crate) is_full: bool,
    /// [`Published::observations`] in the newest one.
    pub(crate) observations: u64,
}

/// What the node's parts share about the state.
#[derive(Debug)]
pub(crate) struct Shared {
    published: RwLock<Published>,
    applied: watch::Sender<u64>,
    /// Position of the last raft entry applied.
    position: watch::Sender<u64>,
    snapshots: Snapshots,
    facts: watch::Sender<SnapshotFacts>,
    failure: FailureSlot,
}

impl Shared {
    pub(crate) fn new(snapshots: Snapshots, state: State, failure: FailureSlot) -> Arc<Self> {
        let (last, members) =
            snapshots.newest().map(|kept| (kept.meta.last_log_id, kept.meta.last_membership)).unwrap_or_default();
        Arc::new(Self {
            applied: watch::Sender::new(state.applied_index()),
            position: watch::Sender::new(position_of(last)),
            published: RwLock::new(Published { state, last, members, observations: 0 }),
            snapshots,
            facts: watch::Sender::new(SnapshotFacts::default()),
            failure,
        })
    }

    pub(crate) fn published(&self) -> Published {
        self.published.read().expect("no panic while it is held").clone()
    }

    pub(crate) fn state(&self) -> State {
        self.published.read().expect("no panic while it is held").state.clone()
    }

    /// The stamp of the last entry applied.
    pub(crate) fn now(&self) -> Timestamp {
        self.published.read().expect("no panic while it is held").state.now()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    pub(crate) fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    pub(crate) fn snapshot_facts(&self) -> watch::Receiver<SnapshotFacts> {
        self.facts.subscribe()
    }

    fn publish(&self, published: Published) {
        let (index, position) = (published.state.applied_index(), position_of(published.last));
        *self.published.write().expect("no panic while it is held") = published;
        self.applied.send_replace(index);
        self.position.send_replace(position);
    }

    /// Waits until everything up to a position is applied.
    pub(crate) async fn reach(&self, position: u64) {
        let mut reached = self.position.subscribe();
        reached.wait_for(|reached| *reached >= position).await.expect("self keeps the sender");
    }
}

fn position_of(last: Option<LogId>) -> u64 {
    last.map_or(0, |id| id.index)
}

enum Work {
    Apply(Vec<RaftEntry>, oneshot::Sender<Vec<Answers>>),
    Install(Box<Published>, oneshot::Sender<()>),
}

/// The state machine as openraft sees it.
#[derive(Debug)]
pub(crate) struct Machine {
    shared: Arc<Shared>,
    work: mpsc::Sender<Work>,
}

impl Machine {
    /// Starts the thread; it ends when this is dropped. The receiver is told
    /// when it has ended and the observer is dropped.
    pub(crate) fn start(
        shared: Arc<Shared>,
        observer: impl Observer,
    ) -> std::io::Result<(Self, oneshot::Receiver<()>)> {
        let (end, ended) = oneshot::channel::<()>();
        let (work, queue) = mpsc::channel(QUEUE_LENGTH);
        let current = shared.published();
        let thread = Thread { shared: Arc::clone(&shared), current, observer };
        std::thread::Builder::new().name("machine".to_owned()).spawn(move || {
            thread.run(queue);
            drop(end);
        })?;
        Ok((Self { shared, work }, ended))
    }

    async fn ask<T>(&self, work: impl FnOnce(oneshot::Sender<T>) -> Work) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        // The thread ends early only after it has reported why.
        let gone = || StorageError::from(StorageIOError::write_state_machine(&SnapshotError::Stopped));
        self.work.send(work(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let published = self.shared.published();
        Ok((published.last, published.members))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answers>, StorageError>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().collect();
        self.ask(|reply| Work::Apply(entries, reply)).await
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { shared: Arc::clone(&self.shared), published: self.shared.published() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<tokio::fs::File>, StorageError> {
        let file = self.shared.snapshots.receive().map_err(|error| self.shared.fail(error))?;
        Ok(Box::new(tokio::fs::File::from_std(file)))
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta,
        mut snapshot: Box<tokio::fs::File>,
    ) -> Result<(), StorageError> {
        let mut bytes = Vec::new();
        let path = crate::snapshot::DIRECTORY.into();
        let read = match snapshot.rewind().await {
            Ok(_) => snapshot.read_to_end(&mut bytes).await,
            Err(error) => Err(error),
        };
        read.map_err(|source| self.shared.fail(SnapshotError::File { path, source }))?;
        let shared = Arc::clone(&self.shared);
        let installed = tokio::task::spawn_blocking(move || shared.snapshots.install(&bytes)).await;
        let installed = installed.unwrap_or(Err(SnapshotError::Stopped));
        let (kept, state) = installed.map_err(|error| self.shared.fail(error))?;
        let (last, members) = (kept.meta.last_log_id, kept.meta.last_membership);
        let published = Box::new(Published { state, last, members, observations: 0 });
        self.ask(|reply| Work::Install(published, reply)).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        let Some(kept) = self.shared.snapshots.newest() else { return Ok(None) };
        match tokio::fs::File::open(&kept.path).await {
            Ok(file) => Ok(Some(Snapshot { meta: kept.meta, snapshot: Box::new(file) })),
            Err(source) => Err(self.shared.fail(SnapshotError::File { path: kept.path, source })),
        }
    }
}

impl Shared {
    /// Passes an error on to openraft, having kept its typed form.
    fn fail(&self, error: SnapshotError) -> StorageError {
        let wrapped = StorageError::from(StorageIOError::write_snapshot(None, &error));
        self.failure.report(Failure::Snapshot(error));
        wrapped
    }
}

/// Writes one snapshot of the state as it was when this was made.
#[derive(Debug)]
pub(crate) struct Builder {
    shared: Arc<Shared>,
    published: Published,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    /// On a full disk there is no snapshot, which is no error: openraft is
    /// given the newest there is and goes on.
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let (shared, published) = (Arc::clone(&self.shared), self.published.clone());
        let saved = tokio::task::spawn_blocking(move || {
            let last = published.last.map(Into::into);
            shared.snapshots.save(&published.state, last, &published.members)
        });
        let (kept, is_full) = match saved.await.unwrap_or(Err(SnapshotError::Stopped)) {
            Ok(kept) => (Some(kept), false),
            Err(error @ SnapshotError::Full { .. }) => {
                tracing::warn!(%error, "no snapshot now; the log keeps what it would have held");
                (self.shared.snapshots.newest(), true)
            }
            Err(error) => return Err(self.shared.fail(error)),
        };
        self.shared.facts.send_modify(|facts| {
            facts.attempts += 1;
            facts.is_full = is_full;
            if !is_full {
                facts.observations = self.published.observations;
            }
        });
        let (path, meta) = match kept {
            Some(kept) => (kept.path, kept.meta),
            // openraft wants a file; nobody reads the one of no snapshot.
            None => ("/dev/null".into(), SnapshotMeta::default()),
        };
        match tokio::fs::File::open(&path).await {
            Ok(file) => Ok(Snapshot { meta, snapshot: Box::new(file) }),
            Err(source) => Err(self.shared.fail(SnapshotError::File { path, source })),
        }
    }
}

struct Thread<O> {
    shared: Arc<Shared>,
    current: Published,
    observer: O,
}

impl<O: Observer> Thread<O> {
    fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        while let Some(work) = queue.blocking_recv() {
            match work {
                Work::Apply(entries, reply) => {
                    let applied = catch_unwind(AssertUnwindSafe(|| {
                        let answers = self.apply(&entries);
                        self.shared.publish(self.current.clone());
                        self.observer.published();
                        answers
                    }));
                    match applied {
                        // openraft may have stopped meanwhile.
                        Ok(answers) => drop(reply.send(answers)),
                        Err(panic) => {
                            let index = self.current.state.applied_index();
                            let message = message_of(panic.as_ref());
                            self.shared.failure.report(Failure::Machine { index, message });
                            return;
                        }
                    }
                }
                Work::Install(published, reply) => {
                    // A snapshot says nothing about results; they count on.
                    self.current = Published { observations: self.current.observations, ..*published };
                    self.shared.publish(self.current.clone());
                    self.observer.replaced(&self.current.state);
                    let _ = reply.send(());
                }
            }
        }
    }

    fn apply(&mut self, entries: &[RaftEntry]) -> Vec<Answers> {
        entries.iter().map(|entry| self.apply_raft_entry(entry)).collect()
    }

    fn apply_raft_entry(&mut self, entry: &RaftEntry) -> Answers {
        let mut answers = Answers { first: self.current.state.applied_index() + 1, applied: Vec::new() };
        match &entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(membership) => {
                self.current.members = StoredMembership::new(Some(entry.log_id), membership.clone());
            }
            EntryPayload::Normal(group) => {
                answers.applied = group.entries().iter().map(|entry| self.apply_entry(entry)).collect();
            }
        }
        self.current.last = Some(entry.log_id);
        answers
    }

    fn apply_entry(&mut self, entry: &Arc<Entry>) -> control::Applied {
        if let Body::Results(batch) = &entry.body {
            self.current.observations += batch.observations.len() as u64;
        }
        let state = &mut self.current.state;
        let (entry, applied) = apply_to(state, entry);
        self.observer.applied(state.applied_index(), &entry, &applied, state);
        applied
    }
}

/// Applies the next entry, and returns it as it was applied.
pub(crate) fn apply_to(state: &mut State, entry: &Arc<Entry>) -> (Arc<Entry>, control::Applied) {
    // A leader that was deposed may have stamped ahead of its successor.
    // All nodes raise the stamp alike, because it depends on the log only.
    let entry = if entry.at < state.now() {
        Arc::new(Entry { at: state.now(), body: entry.body.clone() })
    } else {
        Arc::clone(entry)
    };
    let applied = state.apply(state.applied_index() + 1, &entry);
    (entry, applied)
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
