//! Evidence of a check, from its days and from memory.

use super::gather::Reader;
use super::{Damage, Evidence};
use crate::codec::column;
use crate::evidence::{self, Details};
use crate::keys::{self, EvidenceKey};
use crate::tables::TableId;
use model::id::CheckSlot;
use model::observation::{Detail, Outcome};
use model::time::Timestamp;
use std::collections::BTreeSet;

impl Reader<'_> {
    pub(super) fn evidence_days(&self, from: Timestamp, to: Timestamp) -> Vec<i64> {
        let in_tables = self.tables.ids().filter_map(|id| match id {
            TableId::Evidence(day) => Some(day),
            TableId::Head(_) | TableId::Raw(_) | TableId::Five(_) | TableId::Days(_) => None,
        });
        let in_memory = self.shared.buffers().flat_map(|buffer| buffer.evidence.keys().copied());
        let days: BTreeSet<i64> = in_tables.chain(in_memory).collect();
        days.into_iter().filter(|day| (from.day()..=to.day()).contains(day)).collect()
    }

    /// The sealed details of a shard in a day that are kept.
    pub(crate) fn details_of_shard(&self, day: i64, shard: u8, is_whole: &mut bool) -> Details {
        let mut details = Details::new();
        for guard in self.tables.get(TableId::Evidence(day)).into_iter().flat_map(|table| table.prefix([shard])) {
            let Ok((key, value)) = guard.into_inner() else {
                *is_whole = false;
                break;
            };
            if let Some(key) = EvidenceKey::read(&key) {
                evidence::keep(&mut details, key, value.to_vec());
            }
        }
        for in_memory in self.shared.buffers().filter_map(|buffer| buffer.evidence.get(&day)) {
            let of_shard = in_memory.iter().filter(|(key, _)| key.series.shard() == shard);
            of_shard.for_each(|(key, bytes)| evidence::keep(&mut details, *key, bytes.clone()));
        }
        details
    }

    pub(super) fn details_of_day(&self, slot: CheckSlot, day: i64, damage: &mut Vec<Damage>) -> Vec<Evidence> {
        let mut by_key = Details::new();
        if let Some(keyspace) = self.tables.get(TableId::Evidence(day)) {
            for guard in keyspace.prefix(keys::slot_prefix(slot)) {
                let Ok((key, value)) = guard.into_inner() else {
                    damage.push(Damage {
                        location: None,
                        from: Timestamp::of_day(day),
                        to: Timestamp::of_day(day + 1),
                    });
                    break;
                };
                if let Some(key) = EvidenceKey::read(&key) {
                    evidence::keep(&mut by_key, key, value.to_vec());
                }
            }
        }
        for details in self.shared.buffers().filter_map(|buffer| buffer.evidence.get(&day)) {
            let of_slot = details.iter().filter(|(key, _)| key.series.slot() == slot);
            of_slot.for_each(|(key, bytes)| evidence::keep(&mut by_key, *key, bytes.clone()));
        }
        let mut found = Vec::new();
        for (key, bytes) in by_key {
            let location = self.shared.locations.name(key.series.location()).cloned();
            let scheduled = key.scheduled(day);
            match (read_detail(&bytes, &key), location) {
                (Some((outcome, detail)), Some(location)) => {
                    found.push(Evidence { scheduled, location, outcome, detail });
                }
                (_, location) => {
                    let to = Timestamp::from_ms(scheduled.as_ms() + 1);
                    damage.push(Damage { location, from: scheduled, to });
                }
            }
        }
        found
    }
}

fn read_detail(bytes: &[u8], key: &EvidenceKey) -> Option<(Outcome, Detail)> {
    evidence::decode(column::unseal(bytes, &key.bytes())?)
}
