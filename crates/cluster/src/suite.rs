//! openraft's own test suite over our store: the contract between the two.

use crate::database::Database;
use crate::failure::FailureSlot;
use crate::identity::ClusterId;
use crate::machine::{Machine, Shared};
use crate::meta::Meta;
use crate::observer::Observer;
use crate::room::{Reserve, RoomGauge};
use crate::snapshot::Snapshots;
use crate::store::LogStore;
use crate::types::{StorageError, TypeConfig};
use crate::writer::Writer;
use control::{Applied, State};
use model::entry::Entry;
use openraft::testing::{StoreBuilder, Suite};
use std::collections::VecDeque;
use std::sync::Arc;

struct Nobody;

impl Observer for Nobody {
    fn applied(&mut self, _index: u64, _entry: &Arc<Entry>, _applied: &Applied, _state: &State) {}
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, Machine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, Machine), StorageError> {
        let directory = tempfile::tempdir().unwrap();
        let cluster = ClusterId::from_bytes([7; 16]);
        let meta = Meta::new(cluster, 1);
        let failure = FailureSlot::new();
        let reserve = Arc::new(Reserve::open(directory.path(), 0, Arc::new(RoomGauge::new())).unwrap());
        let database = Database::create(directory.path(), None, meta.clone()).unwrap();
        let writer = Writer::start(database, Arc::clone(&reserve), None, failure.clone()).unwrap();
        let store = LogStore::new(&meta, VecDeque::new(), writer, failure.clone());
        let (snapshots, _) = Snapshots::open(directory.path(), cluster, reserve).unwrap();
        let shared = Shared::new(snapshots, State::default(), failure);
        let (machine, _) = Machine::start(shared, Nobody).unwrap();
        Ok((directory, store, machine))
    }
}

#[test]
fn the_store_keeps_openrafts_contract() {
    Suite::test_all(Builder).unwrap();
}
