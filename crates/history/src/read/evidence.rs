//! Evidence of a check, from its days and from memory.

use super::gather::Reader;
use super::{Damage, Evidence};
use crate::buffer::DETAIL_VERSION;
use crate::codec::chunk::outcome_from;
use crate::codec::column;
use crate::keys::{self, EvidenceKey};
use crate::tables::TableId;
use model::id::CheckSlot;
use model::observation::{Detail, Outcome};
use model::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

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

    pub(super) fn details_of_day(&self, slot: CheckSlot, day: i64, damage: &mut Vec<Damage>) -> Vec<Evidence> {
        let mut by_key: BTreeMap<EvidenceKey, Vec<u8>> = BTreeMap::new();
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
                by_key.extend(EvidenceKey::read(&key).map(|key| (key, value.to_vec())));
            }
        }
        for details in self.shared.buffers().filter_map(|buffer| buffer.evidence.get(&day)) {
            let of_slot = details.iter().filter(|(key, _)| key.series.slot() == slot);
            by_key.extend(of_slot.map(|(key, bytes)| (*key, bytes.clone())));
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
    let body = column::unseal(bytes, &key.bytes())?;
    let [DETAIL_VERSION, outcome, rest @ ..] = body else { return None };
    Some((outcome_from(u64::from(*outcome))?, postcard::from_bytes(rest).ok()?))
}
