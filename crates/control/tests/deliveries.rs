//! Deliveries when there are very many, or when a receiver does not answer.

use control::State;
use control::delivery::{self, DeliveryState};
use model::check::{Check, CheckKind, Family, IcmpCheck, LatencyLimits};
use model::configuration::{Configuration, LOCATION_DEFAULT};
use model::entry::{Action, Answer, Body, Command, Entry, Origin};
use model::id::{CheckId, LocationId, ReceiverId, ServiceId};
use model::limits::DELIVERIES_OPEN_MAX;
use model::member::NodeId;
use model::message::Step;
use model::observation::{Batch, Observation, Outcome};
use model::receiver::{Means, Receiver};
use model::service::Service;
use model::time::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn beyond_the_most_deliveries_it_is_told_that_nobody_is_told() {
    let mut world = World::new(DELIVERIES_OPEN_MAX / 2 + 10, &["a", "b"]);
    world.all_see(Outcome::Fail);
    let is_own = |delivery: &&std::sync::Arc<delivery::Delivery>| delivery.message.incident.is_none();
    let own: Vec<_> = world.state.deliveries().filter(is_own).map(|own| own.message.title.clone()).collect();
    assert_eq!(own, ["Incidents are not told any more"; 2], "each receiver hears of it once");
    world.all_see(Outcome::Pass);
    let told = |step| world.state.deliveries().filter(|known| known.message.step == step).count();
    assert_eq!((told(Step::Opened), told(Step::Resolved)), (DELIVERIES_OPEN_MAX, DELIVERIES_OPEN_MAX));
    while !world.deliver(|_| Answer::Delivered { said: "ok".to_owned() }).is_empty() {}
    assert!(world.state.deliveries().all(|known| matches!(known.state, DeliveryState::Delivered { .. })));
    let over = |known: &&std::sync::Arc<delivery::Delivery>| known.message.title == "Incidents are told again";
    assert_eq!(world.state.deliveries().filter(over).count(), 2);
}

#[test]
fn receivers_that_answer_come_before_those_that_do_not() {
    let mut world = World::new(3, &["a-hangs", "b-answers"]);
    world.all_see(Outcome::Fail);
    let fails = Answer::Failed { reason: "timed out".to_owned(), retry_after_seconds: None };
    world.deliver(|receiver| {
        if receiver.as_str() == "a-hangs" { fails.clone() } else { Answer::Delivered { said: "ok".to_owned() } }
    });
    world.all_see(Outcome::Pass);
    world.now = world.now.plus(Duration::from_secs(60));
    let order: Vec<String> = world.due().iter().map(|due| due.receiver.to_string()).collect();
    assert_eq!(order, ["b-answers", "b-answers", "b-answers", "a-hangs", "a-hangs", "a-hangs"]);
}

struct World {
    state: State,
    now: Timestamp,
    index: u64,
    sequence: u64,
}

impl World {
    fn new(services: usize, receivers: &[&str]) -> Self {
        let configuration = Configuration {
            services: (0..services).map(service).collect(),
            receivers: receivers.iter().map(|id| receiver(id)).collect(),
            ..Configuration::default()
        };
        let now = Timestamp::from_ms(1_795_000_000_000);
        let mut world = Self { state: State::default(), now, index: 0, sequence: 0 };
        let (digest, bytes) = ("test".to_owned(), configuration.encode());
        world.command(Action::StoreConfiguration { digest: digest.clone(), part: 0, parts: 1, bytes });
        world.command(Action::ActivateConfiguration { digest, offered_by: None });
        world
    }

    fn all_see(&mut self, outcome: Outcome) {
        self.now = self.now.plus(Duration::from_secs(1));
        self.sequence += 1;
        let see = |slot| Observation { slot, scheduled: self.now, outcome, latency_us: 1, detail: None };
        let observations = self.state.slots().map(see).collect();
        self.apply(Body::Results(Batch {
            location: local(),
            node: NodeId(1),
            incarnation: 1,
            sequence: self.sequence,
            observations,
        }));
    }

    fn due(&self) -> Vec<std::sync::Arc<delivery::Delivery>> {
        delivery::due(&self.state, self.now, NodeId(1), &BTreeSet::new()).0
    }

    /// Makes an attempt at everything that is due; returns what was.
    fn deliver(&mut self, answer: impl Fn(&ReceiverId) -> Answer) -> Vec<std::sync::Arc<delivery::Delivery>> {
        let due = self.due();
        for delivery in &due {
            let (key, attempt) = (delivery.message.key.clone(), delivery.attempt + 1);
            self.apply(Body::AttemptBegins { key: key.clone(), attempt, node: NodeId(1) });
            self.apply(Body::AttemptEnded { key, attempt, answer: answer(&delivery.receiver) });
        }
        due
    }

    fn command(&mut self, action: Action) {
        let actor = "test".to_owned();
        let key = String::new();
        self.apply(Body::Command(Command { actor, origin: Origin::File, key, expected_revision: None, action }));
    }

    fn apply(&mut self, body: Body) {
        self.index += 1;
        self.state.apply(self.index, &Entry { at: self.now, body });
    }
}

fn local() -> LocationId {
    LocationId::new(LOCATION_DEFAULT).expect("a legal constant")
}

fn receiver(id: &str) -> Receiver {
    Receiver {
        id: ReceiverId::new(id).expect("a legal id"),
        means: Means::Exec { command: vec!["true".to_owned()] },
        wants_degraded: false,
        wants_resolved: true,
    }
}

fn service(number: usize) -> Service {
    let check = Check {
        id: CheckId::new(&format!("check-{number}")).expect("a legal id"),
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
        id: ServiceId::new(&format!("service-{number}")).expect("a legal id"),
        name: format!("Service {number}"),
        description: None,
        group: None,
        needs: Vec::new(),
        checks: vec![check],
        receivers: None,
        is_public: true,
        announces: true,
    }
}
