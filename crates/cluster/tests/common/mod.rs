//! An observer that remembers, entries that can be told apart, and ends that
//! are not clean.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use cluster::{DirectoryError, Node, Observer, OpenError, Options};
use control::{Applied, State};
use model::entry::{Body, Entry};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What an observer was told. Entries are pairs of index and number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) replay_until: Option<u64>,
    pub(crate) repeated: Vec<(u64, u64)>,
    pub(crate) applied: Vec<(u64, u64)>,
    pub(crate) stamps: Vec<i64>,
    pub(crate) panic_at: Option<u64>,
}

/// An observer that remembers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Seen>>);

impl Log {
    pub(crate) fn seen(&self) -> Seen {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn panic_at(&self, index: u64) {
        self.0.lock().unwrap().panic_at = Some(index);
    }
}

impl Observer for Log {
    fn applied(&mut self, index: u64, entry: &Arc<Entry>, _applied: &Applied, state: &State) {
        assert_eq!(state.applied_index(), index);
        assert_eq!(state.now(), entry.at);
        let mut seen = self.0.lock().unwrap();
        if seen.panic_at == Some(index) {
            drop(seen);
            panic!("asked to");
        }
        seen.stamps.push(entry.at.as_ms());
        seen.applied.push((index, number_in(&entry.body)));
    }

    fn replay_begins(&mut self, upto: u64) {
        self.0.lock().unwrap().replay_until = Some(upto);
    }

    fn repeated(&mut self, index: u64, entry: &Arc<Entry>) {
        self.0.lock().unwrap().repeated.push((index, number_in(&entry.body)));
    }
}

/// A small entry with a number in it.
pub(crate) fn note(number: u64) -> Body {
    Body::AttemptBegins { key: number.to_string(), attempt: 1, node: model::member::NodeId(1) }
}

/// The number in an entry made by [`note`]; 0 in others.
pub(crate) fn number_in(body: &Body) -> u64 {
    match body {
        Body::AttemptBegins { key, .. } => key.split(' ').next().unwrap().parse().unwrap(),
        _ => 0,
    }
}

/// Runs something on a runtime that is then thrown away with all its tasks,
/// so that nothing in it is closed.
pub(crate) fn run_abruptly<F: Future<Output = ()> + Send>(work: impl FnOnce() -> F + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(work());
            runtime.shutdown_background();
        });
    });
}

/// Opens a directory whose former user may still be ending.
pub(crate) async fn open_patiently(path: &Path, options: Options, log: Log) -> Node {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match Node::open(path, again(&options), log.clone()).await {
            Err(OpenError::Directory(DirectoryError::InUse { .. })) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            opened => return opened.unwrap(),
        }
    }
}

/// The same options once more, for a node without others.
pub(crate) fn again(options: &Options) -> Options {
    let Options { durable_history, reserve_bytes, snapshots, profile, may_found, .. } = *options;
    let (vfs, about) = (options.vfs.clone(), options.about.clone());
    Options { durable_history, reserve_bytes, snapshots, vfs, may_found, profile, about, ..Options::default() }
}
