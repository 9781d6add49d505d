//! What may be read of a state.
//!
//! Nothing here changes it. What is not configured any more, or never was, is
//! not found, and nobody panics about it.

use super::{CheckState, State};
use crate::aside::Aside;
use crate::decision::Decision;
use crate::delivery::{self, Delivery, ReceiverHealth};
use crate::incident::Incident;
use crate::members::{InvitationState, MemberState};
use crate::standing::ServiceState;
use model::check::Check;
use model::configuration::Configuration;
use model::entry::ConditionKind;
use model::id::{CheckId, CheckSlot, IncidentId, LocationId, ReceiverId, ServiceId};
use model::member::{Authority, NodeId};
use model::observation::Outcome;
use model::service::{Maintenance, Service};
use model::time::Timestamp;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl State {
    /// Index of the last entry applied; 0 before the first.
    pub const fn applied_index(&self) -> u64 {
        self.applied
    }

    /// The stamp of the last entry applied.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The active configuration.
    pub const fn configuration(&self) -> &Arc<Configuration> {
        &self.configuration
    }

    /// The digest under which the active configuration was stored; empty before the first.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether something waits for time to pass, so that a tick should come soon.
    pub fn wants_ticks(&self) -> bool {
        !self.attention.is_empty()
    }

    /// The entry that made the active configuration active; 0 before the first.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The slot of a check that is or was configured.
    pub fn slot(&self, id: &CheckId) -> Option<CheckSlot> {
        self.slots.get(id).copied()
    }

    /// The service and the check of a slot, if it is configured now.
    pub fn target(&self, slot: CheckSlot) -> Option<(&Service, &Check)> {
        let (service, check) = self.index.targets.get(slot.0 as usize).copied().flatten()?;
        let service = self.configuration.services.get(service as usize)?;
        Some((service, service.checks.get(check as usize)?))
    }

    /// The slots of all configured checks, in the configuration's order.
    pub fn slots(&self) -> impl Iterator<Item = CheckSlot> {
        self.index.slots.iter().flat_map(|slots| slots.iter().copied())
    }

    /// The slots of a service's checks.
    pub fn slots_of(&self, service: &ServiceId) -> &[CheckSlot] {
        self.index.services.get(service).map_or(&[], |at| &self.index.slots[*at as usize])
    }

    /// What is known of a check.
    pub fn check(&self, slot: CheckSlot) -> Option<&CheckState> {
        self.checks.get(slot.0 as usize)
    }

    /// What is known of a service.
    pub fn service(&self, id: &ServiceId) -> Option<&ServiceState> {
        self.services.get(*self.index.services.get(id)? as usize)
    }

    /// All services with what is known of them, in the configuration's order.
    pub fn services(&self) -> impl Iterator<Item = (&Service, &ServiceState)> {
        self.configuration.services.iter().zip(self.services.iter())
    }

    /// Incidents, oldest first: all that are open and the most recent closed ones.
    pub fn incidents(&self) -> impl DoubleEndedIterator<Item = &Arc<Incident>> {
        self.incidents.values()
    }

    /// One incident.
    pub fn incident(&self, id: IncidentId) -> Option<&Arc<Incident>> {
        self.incidents.get(&id)
    }

    /// Deliveries that wait, run or are recently finished, by key.
    pub fn deliveries(&self) -> impl Iterator<Item = &Arc<Delivery>> {
        self.deliveries.values()
    }

    /// One delivery.
    pub fn delivery(&self, key: &str) -> Option<&Arc<Delivery>> {
        self.deliveries.get(key)
    }

    /// How many deliveries ended how, by means and outcome.
    pub const fn delivery_counts(&self) -> &BTreeMap<(String, String), u64> {
        &self.delivery_counts
    }

    /// How well receivers can be reached.
    pub const fn receivers(&self) -> &BTreeMap<ReceiverId, ReceiverHealth> {
        &self.receivers
    }

    /// Planned work, declared and by command, that was not ended early.
    pub fn maintenance(&self) -> impl Iterator<Item = &Maintenance> {
        let declared = self.configuration.maintenance.iter().filter(|m| !self.maintenance.contains_key(&m.id));
        declared.chain(self.maintenance.values()).filter(|m| !self.maintenance_ended.contains(&m.id))
    }

    /// Conditions of Mainstay itself that hold, with their begin and their facts.
    pub const fn conditions(&self) -> &BTreeMap<(ConditionKind, NodeId), (Timestamp, String)> {
        &self.conditions
    }

    /// Whether a condition of a node holds.
    pub fn condition_holds(&self, kind: ConditionKind, node: NodeId) -> bool {
        self.conditions.contains_key(&(kind, node))
    }

    /// Decisions, oldest first, as many as are kept.
    pub fn decisions(&self) -> impl DoubleEndedIterator<Item = &Arc<Decision>> {
        self.decisions.iter()
    }

    /// How many rounds ended how, by location, kind of check and outcome.
    pub const fn result_counts(&self) -> &BTreeMap<(LocationId, String, Outcome), u64> {
        &self.results
    }

    /// The locations that are silent for now, since when and why; none in good times.
    pub const fn locations_set_aside(&self) -> &BTreeMap<LocationId, Aside> {
        &self.asides
    }

    /// How many rounds of each location came too late to say anything about
    /// the state of their check; they are among [`State::result_counts`] as well.
    pub const fn late_counts(&self) -> &BTreeMap<LocationId, u64> {
        &self.late
    }

    /// The positions of the locations that are set aside.
    pub(crate) fn aside_numbers(&self) -> SmallVec<[u16; 4]> {
        self.asides.keys().filter_map(|id| self.location_number(id)).collect()
    }

    /// Whether an alarm about Mainstay itself is raised.
    pub(crate) fn is_raised(&self, subject: &str) -> bool {
        self.own_raised.contains_key(subject)
    }

    /// The receivers of whom it is raised that they cannot be reached.
    pub(crate) fn receivers_raised(&self) -> impl Iterator<Item = ReceiverId> {
        let prefix = delivery::UNREACHABLE_PREFIX;
        self.own_raised.keys().filter_map(move |subject| ReceiverId::new(subject.strip_prefix(prefix)?).ok())
    }

    /// The position of a location in the configuration.
    pub(crate) fn location_number(&self, id: &LocationId) -> Option<u16> {
        self.configuration.locations.iter().position(|known| known == id).and_then(|at| u16::try_from(at).ok())
    }

    /// The nodes that belong to the cluster, by id; none before the first was founded.
    pub fn members(&self) -> impl Iterator<Item = &MemberState> {
        self.membership.members.values()
    }

    /// One node of the cluster.
    pub fn member(&self, id: NodeId) -> Option<&MemberState> {
        self.membership.members.get(&id)
    }

    /// The node that people call so.
    pub fn member_named(&self, name: &str) -> Option<&MemberState> {
        self.members().find(|known| known.member.name == name)
    }

    /// The nodes that were taken out, none of which may ever come back.
    pub fn removed_nodes(&self) -> &BTreeSet<NodeId> {
        &self.membership.removed
    }

    /// The invitations that are good by the last stamp, those included that were
    /// redeemed and may be repeated by the same key; by node.
    pub fn invitations(&self) -> impl Iterator<Item = &InvitationState> {
        self.membership.invitations.values().filter(|known| known.invitation.expires > self.now)
    }

    /// The authorities that are trusted, oldest first; the last one signs. None before the first.
    pub fn authorities(&self) -> &[Authority] {
        &self.membership.authorities
    }

    /// The digest of the configuration that a node's file offered last, whether
    /// or not another one is active by now; `None` if it never offered one.
    pub fn offered_by(&self, node: NodeId) -> Option<&str> {
        self.membership.offers.get(&node).map(String::as_str)
    }
}
