//! Whoever is woken for an entry finds it in the node's state.

use cluster::{Node, Observer, Options};
use control::{Applied, State};
use model::entry::{Body, Entry};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Asks the node for its state whenever one is published.
#[derive(Clone, Default)]
struct Asker {
    node: Arc<OnceLock<Node>>,
    applied: Arc<AtomicU64>,
    found: Arc<AtomicU64>,
}

impl Observer for Asker {
    fn applied(&mut self, index: u64, _entry: &Arc<Entry>, _applied: &Applied, _state: &State) {
        self.applied.store(index, Ordering::SeqCst);
    }

    fn published(&mut self) {
        if let Some(node) = self.node.get() {
            assert_eq!(node.state().applied_index(), self.applied.load(Ordering::SeqCst));
            self.found.store(node.state().applied_index(), Ordering::SeqCst);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_published_before_anybody_is_woken_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let asker = Asker::default();
    let options = Options { reserve_bytes: 0, ..Options::default() };
    let node = Node::open(&directory.path().join("data"), options, asker.clone()).await.unwrap();
    asker.node.set(node.clone()).unwrap();
    for _ in 0..20 {
        let proposed = node.propose(Body::Tick).await.unwrap();
        assert_eq!(asker.found.load(Ordering::SeqCst), proposed.index);
    }
    node.close().await.unwrap();
}
