//! The thread that owns the log's database.
//!
//! Jobs come through a bounded queue and are carried out in order; changes
//! that wait together share one transaction and so one flush. **A job is
//! answered only after its transaction is on the disk.** A full disk is waited
//! out (first with the reserve, then without); any other error ends the log:
//! after a failed flush nobody knows what is on the disk, so nothing is tried
//! twice.

use crate::change::Change;
use crate::database::{Database, LogError, is_full};
use crate::failure::{Failure, FailureSlot};
use crate::meta::Meta;
use crate::room::Reserve;
use crate::row::Row;
use crate::stored::StoredLogId;
use crate::types::TypeConfig;
use openraft::storage::LogFlushed;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Jobs that may wait. openraft waits for each of its jobs, so few ever do;
/// whoever finds the queue full waits.
const QUEUE_LENGTH: usize = 64;
/// How often a full disk is looked at while something waits to be written.
const FULL_RETRY: Duration = Duration::from_millis(100);

/// Answers a job.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, LogError>>;

/// Something to be done with the log.
pub(crate) enum Job {
    /// Adds raft entries and tells openraft when they are durable.
    Append(Change, LogFlushed<TypeConfig>),
    /// Makes another change.
    Change(Change, Reply<()>),
    /// Remembers how far entries are committed; made durable along with the
    /// next change, or by the next housekeeping.
    Committed(Option<StoredLogId>),
    /// Remembers how far other nodes have been; made durable in the same way.
    Marks(Vec<u8>),
    /// Reads rows.
    Read { from: u64, to: u64, bytes_max: usize, reply: Reply<Vec<Row>> },
    /// Looks after the reserve, the write-ahead log and the commit index.
    Housekeep,
    /// Closes the files and ends the thread.
    Close(Reply<()>),
}

/// The way to the thread.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
    is_closing: Arc<AtomicBool>,
    durable: Arc<Mutex<Meta>>,
}

impl Writer {
    /// Starts the thread. It holds the directory's lock until the files are closed.
    pub(crate) fn start(
        database: Database,
        reserve: Arc<Reserve>,
        lock: Option<File>,
        failure: FailureSlot,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE_LENGTH);
        let is_closing = Arc::new(AtomicBool::new(false));
        let committed = database.meta().committed;
        let durable = Arc::new(Mutex::new(database.meta().clone()));
        let mut thread = Thread {
            queue,
            reserve,
            failure,
            is_closing: Arc::clone(&is_closing),
            committed,
            marks: None,
            durable: Arc::clone(&durable),
            has_written: false,
            next: None,
            lock,
        };
        std::thread::Builder::new().name("log".to_owned()).spawn(move || thread.run(database))?;
        Ok(Self { jobs, is_closing, durable })
    }

    pub(crate) async fn send(&self, job: Job) -> Result<(), LogError> {
        self.jobs.send(job).await.map_err(|_| LogError::Closed)
    }

    /// Sends a job that nobody waits for, unless the queue is full; says whether it was sent.
    pub(crate) fn try_send(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }

    /// Makes a change and waits until it is on the disk. Blocks.
    pub(crate) fn change_now(&self, change: Change) -> Result<(), LogError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.blocking_send(Job::Change(change, reply)).map_err(|_| LogError::Closed)?;
        answer.blocking_recv().unwrap_or(Err(LogError::Closed))
    }

    /// Sends a job made with a way to answer it, and waits for the answer.
    pub(crate) async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, LogError> {
        let (reply, answer) = oneshot::channel();
        self.send(job(reply)).await?;
        answer.await.unwrap_or(Err(LogError::Closed))
    }

    /// The record as it is on the disk: what may be told to others.
    pub(crate) fn durable(&self) -> Meta {
        self.durable.lock().expect("no panic while it is held").clone()
    }

    /// From here on a disk without any room is an error instead of a wait.
    pub(crate) fn stop_waiting_for_room(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    /// Closes the files.
    pub(crate) async fn close(&self) -> Result<(), LogError> {
        self.ask(Job::Close).await
    }
}

struct Thread {
    queue: mpsc::Receiver<Job>,
    reserve: Arc<Reserve>,
    failure: FailureSlot,
    is_closing: Arc<AtomicBool>,
    committed: Option<StoredLogId>,
    /// Marks that wait for a transaction.
    marks: Option<Change>,
    /// The record as it is on the disk.
    durable: Arc<Mutex<Meta>>,
    /// Whether something was written since the last housekeeping.
    has_written: bool,
    /// A job that was taken from the queue but must wait for the ones before.
    next: Option<Job>,
    /// The directory's lock, held as long as the files are open.
    lock: Option<File>,
}

impl Thread {
    fn run(&mut self, mut database: Database) {
        while let Some(job) = self.next.take().or_else(|| self.queue.blocking_recv()) {
            let done = match job {
                Job::Append(..) | Job::Change(..) => {
                    let group = self.gather(job);
                    self.write_group(&mut database, group)
                }
                Job::Committed(committed) => {
                    self.committed = committed;
                    Ok(())
                }
                Job::Marks(marks) => {
                    self.marks = Some(Change::Marks(marks));
                    Ok(())
                }
                Job::Read { from, to, bytes_max, reply } => {
                    // Whoever asked may have gone.
                    let _ = reply.send(database.read(from, to, bytes_max));
                    Ok(())
                }
                Job::Housekeep => self.housekeep(&mut database),
                Job::Close(reply) => {
                    self.queue.close();
                    let remembered = if self.marks.is_some() { self.write(&mut database, &[]) } else { Ok(()) };
                    let closed = remembered.and_then(|()| database.close(self.committed));
                    // Whoever is answered may open the directory at once.
                    self.lock = None;
                    let _ = reply.send(closed);
                    return;
                }
            };
            if let Err(error) = done {
                self.failure.report(Failure::Log(error));
                // Dropping the queue answers everybody who waits.
                return;
            }
        }
    }

    /// Takes the changes that wait behind one into the same transaction.
    fn gather(&mut self, first: Job) -> Vec<Job> {
        let mut group = vec![first];
        while let Ok(job) = self.queue.try_recv() {
            match job {
                Job::Append(..) | Job::Change(..) => group.push(job),
                Job::Committed(committed) => self.committed = committed,
                Job::Marks(marks) => self.marks = Some(Change::Marks(marks)),
                Job::Read { .. } | Job::Housekeep | Job::Close(_) => {
                    self.next = Some(job);
                    break;
                }
            }
        }
        group
    }

    fn write_group(&mut self, database: &mut Database, group: Vec<Job>) -> Result<(), LogError> {
        let changes: Vec<&Change> = group
            .iter()
            .filter_map(|job| match job {
                Job::Append(change, _) | Job::Change(change, _) => Some(change),
                Job::Committed(_) | Job::Marks(_) | Job::Read { .. } | Job::Housekeep | Job::Close(_) => None,
            })
            .collect();
        let written = self.write(database, &changes);
        self.has_written = true;
        let failed = written.is_err();
        for job in group {
            match job {
                Job::Append(_, flushed) if failed => {
                    flushed.log_io_completed(Err(std::io::Error::other("the log could not be written")));
                }
                Job::Append(_, flushed) => flushed.log_io_completed(Ok(())),
                Job::Change(_, reply) => {
                    let _ = reply.send(if failed { Err(LogError::Closed) } else { Ok(()) });
                }
                Job::Committed(_) | Job::Marks(_) | Job::Read { .. } | Job::Housekeep | Job::Close(_) => {}
            }
        }
        written?;
        self.checkpoint_if_long(database)
    }

    /// Writes until it is written, however long the disk stays full.
    fn write(&mut self, database: &mut Database, changes: &[&Change]) -> Result<(), LogError> {
        let marks = self.marks.take();
        let changes: Vec<&Change> = changes.iter().copied().chain(&marks).collect();
        loop {
            match database.write(&changes, self.committed) {
                Ok(()) => {
                    self.reserve.has_written();
                    *self.durable.lock().expect("no panic while it is held") = database.meta().clone();
                    return Ok(());
                }
                Err(error) if is_full(&error) => self.make_room(database)?,
                Err(error) => return database.check(Err(error), "write"),
            }
        }
    }

    /// Makes room in the order of what it costs: the write-ahead log takes
    /// several times the room of what is in it, so moving it into the database
    /// often is enough; then the reserve; then only waiting helps.
    fn make_room(&self, database: &mut Database) -> Result<(), LogError> {
        if self.has_moved(database)? || self.reserve.release() {
            return Ok(());
        }
        if self.is_closing.load(Ordering::Acquire) || self.queue.is_closed() {
            return Err(LogError::Full { path: database.path().to_owned() });
        }
        self.reserve.is_exhausted();
        std::thread::sleep(FULL_RETRY);
        self.reserve.heal();
        Ok(())
    }

    /// Moves the write-ahead log into the database; says whether it was there
    /// and could be moved.
    fn has_moved(&self, database: &mut Database) -> Result<bool, LogError> {
        match database.checkpoint_if_any() {
            Err(error) if error.is_full() => Ok(false),
            moved => moved,
        }
    }

    fn housekeep(&mut self, database: &mut Database) -> Result<(), LogError> {
        self.reserve.heal();
        // While entries come, the next one carries commit index and marks along.
        let is_behind = database.meta().committed != self.committed || self.marks.is_some();
        if is_behind && !std::mem::take(&mut self.has_written) {
            self.write(database, &[])?;
        }
        self.checkpoint_if_long(database)
    }

    /// Without room the write-ahead log just stays longer; the next write that
    /// needs room gives the reserve up.
    fn checkpoint_if_long(&self, database: &mut Database) -> Result<(), LogError> {
        match database.checkpoint_if_long() {
            Err(error) if error.is_full() => {
                self.reserve.release();
                Ok(())
            }
            done => done,
        }
    }
}
