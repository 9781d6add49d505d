//! Look-ups derived from the configuration; never stored, always rebuilt.

use model::configuration::Configuration;
use model::id::{CheckId, CheckSlot, ServiceId};
use std::collections::BTreeMap;

/// Where things stand in the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// For each slot the position of its service and of its check within it.
    pub(crate) targets: Vec<Option<(u32, u32)>>,
    /// Position of each service.
    pub(crate) services: BTreeMap<ServiceId, u32>,
    /// For each service its checks' slots.
    pub(crate) slots: Vec<Box<[CheckSlot]>>,
    /// For each service those that need it.
    pub(crate) dependents: Vec<Vec<u32>>,
}

impl Index {
    pub(crate) fn new(configuration: &Configuration, slots: &BTreeMap<CheckId, CheckSlot>, slot_count: usize) -> Self {
        let mut index = Self { targets: vec![None; slot_count], ..Self::default() };
        for (at, service) in configuration.services.iter().enumerate() {
            let at = at as u32;
            index.services.insert(service.id.clone(), at);
            let of_service: Box<[CheckSlot]> =
                service.checks.iter().filter_map(|check| slots.get(&check.id).copied()).collect();
            for (position, slot) in of_service.iter().enumerate() {
                if let Some(target) = index.targets.get_mut(slot.0 as usize) {
                    *target = Some((at, position as u32));
                }
            }
            index.slots.push(of_service);
            index.dependents.push(Vec::new());
        }
        for (at, service) in configuration.services.iter().enumerate() {
            for need in &service.needs {
                if let Some(parent) = index.services.get(&need.service) {
                    index.dependents[*parent as usize].push(at as u32);
                }
            }
        }
        index
    }
}
