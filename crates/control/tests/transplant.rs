//! What another cluster begins with when a backup is restored.

use control::State;
use control::delivery::{self, DeliveryState};
use control::state::{Transplant, Unsent};
use model::check::{Check, CheckKind, Family, IcmpCheck, LatencyLimits};
use model::configuration::{Configuration, LOCATION_DEFAULT};
use model::entry::{Action, Body, Command, Condition, ConditionKind, Entry, Origin};
use model::id::{CheckId, LocationId, ReceiverId, ServiceId};
use model::member::{Authority, Digest, Invitation, Member, NodeFacts, NodeId, Role};
use model::observation::{Batch, Observation, Outcome};
use model::receiver::{Means, Receiver};
use model::service::Service;
use model::time::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

const OLD: NodeId = NodeId(7);
const NEW: NodeId = NodeId(8);

#[test]
fn what_was_concluded_stays_and_what_belongs_to_the_old_nodes_goes() {
    let old = old_cluster();
    let new = transplanted(&old, Unsent::GivenUp);
    assert!(new.services().eq(old.services()) && new.incidents().eq(old.incidents()));
    assert_eq!((new.digest(), new.now(), new.applied_index()), (old.digest(), old.now(), old.applied_index()));
    assert_eq!((new.members().count(), new.invitations().count(), new.authorities().len()), (0, 0, 0));
    assert_eq!((new.conditions().len(), new.offered_by(OLD)), (0, None));
    assert!(new.decisions().rev().skip(1).eq(old.decisions().rev()), "what was decided is still known");
    let last = new.decisions().next_back().map(|decision| decision.reason.to_string());
    assert!(last.as_ref().is_some_and(|text| text.contains("from cluster old")), "{last:?}");
}

#[test]
fn nobody_is_told_about_last_week_unless_somebody_asks_for_it() {
    let old = old_cluster();
    let open = old.deliveries().filter(|known| !known.state.is_finished()).count();
    assert!(open > 0, "an incident that is open and a full disk");

    let new = transplanted(&old, Unsent::GivenUp);
    assert_eq!(due(&new), 0);
    let said = new.deliveries().filter_map(|known| match &known.state {
        DeliveryState::Dead { reason, .. } => Some(reason.contains("when the backup was made")),
        _ => None,
    });
    assert_eq!(said.filter(|says_why| *says_why).count(), open);

    let new = transplanted(&old, Unsent::Sent);
    assert_eq!(due(&new), due(&old));
    assert!(new.deliveries().filter(|known| !known.state.is_finished()).all(|known| known.is_possibly_double));
}

#[test]
fn a_transplanted_state_goes_on_like_any_other() {
    let stored = transplanted(&old_cluster(), Unsent::GivenUp).encode();
    let mut state = State::decode(&stored).expect("a state that can be stored");
    let at = state.now().plus(Duration::from_secs(7 * 86_400));
    let mut index = state.applied_index();
    let mut apply = |body| {
        index += 1;
        state.apply(index, &Entry { at, body }).outcome
    };
    assert_eq!(apply(command(Action::Found(member(NEW)))), control::CommandOutcome::Accepted);
    let slot = state.slots().next().expect("a check");
    index += 1;
    state.apply(index, &Entry { at, body: results(NEW, 1, slot, at, Outcome::Pass) });
    index += 1;
    state.apply(index, &Entry { at, body: results(NEW, 2, slot, at.plus(Duration::from_secs(1)), Outcome::Pass) });
    assert_eq!(state.incidents().filter(|incident| incident.resolved.is_none()).count(), 0, "it is over now");
}

fn transplanted(state: &State, unsent: Unsent) -> State {
    state.transplanted(&Transplant { from: "old", actor: "anna", unsent })
}

fn due(state: &State) -> usize {
    let later = state.now().plus(Duration::from_secs(3_600));
    delivery::due(state, later, NEW, &BTreeSet::new()).0.len()
}

/// A cluster with a member, an invitation, an authority, an open incident, a
/// full disk, and messages about both that nobody has taken yet.
fn old_cluster() -> State {
    let (mut state, mut index) = (State::default(), 0);
    let at = Timestamp::from_ms(1_795_000_000_000);
    let mut apply = |body| {
        index += 1;
        let outcome = state.apply(index, &Entry { at, body }).outcome;
        assert_eq!(outcome, control::CommandOutcome::Accepted);
    };
    let configuration = Configuration {
        services: vec![service()],
        receivers: vec![Receiver {
            id: ReceiverId::new("ops").expect("a legal id"),
            means: Means::Exec { command: vec!["true".to_owned()] },
            wants_degraded: false,
            wants_resolved: true,
        }],
        ..Configuration::default()
    };
    let digest = "digest".to_owned();
    apply(command(Action::Found(member(OLD))));
    let (part, parts, bytes) = (0, 1, configuration.encode());
    apply(command(Action::StoreConfiguration { digest: digest.clone(), part, parts, bytes }));
    apply(command(Action::ActivateConfiguration { digest, offered_by: Some(OLD) }));
    apply(command(Action::TrustAuthority(Authority { certificate: vec![1], sealed_key: vec![2] })));
    let (role, expires) = (Role::Full, at.plus(Duration::from_secs(3_600)));
    let token = Digest([3; 32]);
    apply(command(Action::Invite(Invitation { token, node: NodeId(9), role, expires, replaces: None })));
    let (kind, holds, text) = (ConditionKind::DiskFull, true, "The disk is full.".to_owned());
    apply(Body::Condition(Condition { kind, node: OLD, holds, text }));
    let slot = model::id::CheckSlot(0);
    apply(results(OLD, 1, slot, at, Outcome::Fail));
    assert_eq!(state.incidents().count(), 1);
    state
}

fn results(node: NodeId, sequence: u64, slot: model::id::CheckSlot, scheduled: Timestamp, outcome: Outcome) -> Body {
    let observations = vec![Observation { slot, scheduled, outcome, latency_us: 1, detail: None }];
    Body::Results(Batch { location: local(), node, incarnation: 1, sequence, observations })
}

fn command(action: Action) -> Body {
    let (actor, key) = ("test".to_owned(), String::new());
    Body::Command(Command { actor, origin: Origin::File, key, expected_revision: None, action })
}

fn member(id: NodeId) -> Member {
    Member {
        id,
        name: format!("node{id}"),
        address: format!("192.0.2.{id}:8481"),
        location: local(),
        role: Role::Full,
        ordinal: 0,
        key: Digest([id.0 as u8; 32]),
        facts: NodeFacts::default(),
    }
}

fn local() -> LocationId {
    LocationId::new(LOCATION_DEFAULT).expect("a legal constant")
}

fn service() -> Service {
    let check = Check {
        id: CheckId::new("check").expect("a legal id"),
        kind: CheckKind::Icmp(IcmpCheck { host: "192.0.2.1".to_owned(), count: 1 }),
        every: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        retry: Duration::from_secs(5),
        down_after: 1,
        up_after: 1,
        from: vec![local()],
        family: Family::Any,
        latency: LatencyLimits::default(),
    };
    Service {
        id: ServiceId::new("service").expect("a legal id"),
        name: "Service".to_owned(),
        description: None,
        group: None,
        needs: Vec::new(),
        checks: vec![check],
        receivers: None,
        is_public: true,
        announces: true,
    }
}
