//! A set of virtual shards.

use crate::keys::SHARDS;
use serde::{Deserialize, Serialize};

const WORD_BITS: usize = u64::BITS as usize;

/// Some of the 256 shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Shards([u64; SHARDS / WORD_BITS]);

impl Shards {
    pub(crate) const NONE: Self = Self([0; SHARDS / WORD_BITS]);
    pub(crate) const ALL: Self = Self([u64::MAX; SHARDS / WORD_BITS]);

    pub(crate) fn insert(&mut self, shard: u8) {
        let index = usize::from(shard);
        self.0[index / WORD_BITS] |= 1 << (index % WORD_BITS);
    }

    pub(crate) fn contains(&self, shard: u8) -> bool {
        let index = usize::from(shard);
        self.0[index / WORD_BITS] & (1 << (index % WORD_BITS)) != 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// The least shard that is not below this one.
    pub(crate) fn next_from(&self, shard: u8) -> Option<u8> {
        (shard..=u8::MAX).find(|shard| self.contains(*shard))
    }

    pub(crate) fn with(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }
}

impl FromIterator<u8> for Shards {
    fn from_iter<I: IntoIterator<Item = u8>>(shards: I) -> Self {
        let mut set = Self::NONE;
        shards.into_iter().for_each(|shard| set.insert(shard));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_into_it(one in any::<BTreeSet<u8>>(), other in any::<BTreeSet<u8>>(), from in any::<u8>()) {
            let set: Shards = one.iter().copied().collect();
            let rest: Shards = other.iter().copied().collect();
            let members = |set: &Shards| (0..=u8::MAX).filter(|shard| set.contains(*shard)).collect::<BTreeSet<u8>>();
            prop_assert_eq!(&members(&set), &one);
            prop_assert_eq!(set.is_empty(), one.is_empty());
            prop_assert_eq!(set.next_from(from), one.range(from..).next().copied());
            prop_assert_eq!(members(&set.with(&rest)), &one | &other);
            prop_assert_eq!(members(&set.without(&rest)), &one - &other);
        }
    }
}
