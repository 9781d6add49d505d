//! A vector whose clones share what has not changed since.
//!
//! The state is cloned several times a second, for the page and for
//! snapshots, while every batch changes a part of it. Cutting the large
//! vectors into shards makes a clone a few hundred counter increments, and a
//! change copies one shard at most once for each clone.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Elements in one shard. A batch changes checks all over the place, so a shard
/// is copied for nearly every result: 64 keep that at 12 kB of check states,
/// and a clone of 100,000 checks at 1,600 counter increments.
const SHARD_LENGTH: usize = 64;

/// A growing vector in shared pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shards<T: Clone> {
    shards: Vec<Arc<Vec<T>>>,
    length: usize,
}

impl<T: Clone> Default for Shards<T> {
    fn default() -> Self {
        Self { shards: Vec::new(), length: 0 }
    }
}

impl<T: Clone> Shards<T> {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The element at a position.
    pub fn get(&self, at: usize) -> Option<&T> {
        self.shards.get(at / SHARD_LENGTH)?.get(at % SHARD_LENGTH)
    }

    /// The element at a position, to be changed; its shard stops being shared.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        Arc::make_mut(self.shards.get_mut(at / SHARD_LENGTH)?).get_mut(at % SHARD_LENGTH)
    }

    /// Adds an element at the end.
    pub fn push(&mut self, value: T) {
        if self.length.is_multiple_of(SHARD_LENGTH) {
            self.shards.push(Arc::new(Vec::new()));
        }
        let last = self.shards.last_mut().expect("a shard was just added");
        Arc::make_mut(last).push(value);
        self.length += 1;
    }

    /// All elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }
}

impl<T: Clone> FromIterator<T> for Shards<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut shards = Self::default();
        values.into_iter().for_each(|value| shards.push(value));
        for shard in &mut shards.shards {
            Arc::make_mut(shard).shrink_to_fit();
        }
        shards
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_not_seen_by_an_earlier_clone() {
        let mut shards: Shards<u32> = (0..1000).collect();
        let before = shards.clone();
        *shards.get_mut(999).expect("it is there") = 7;
        assert_eq!((before.get(999), shards.get(999), shards.len()), (Some(&999), Some(&7), 1000));
        assert!(Arc::ptr_eq(&before.shards[0], &shards.shards[0]));
        assert_eq!(shards.get(1000), None);
    }
}
