//! Votes over locations, of which any may be cut off, set aside and heard again.

use crate::world::{World, location, node, token};
use control::judge::{self, Reading};
use model::check::{Check, CheckKind, Family, IcmpCheck, LatencyLimits};
use model::configuration::Configuration;
use model::entry::{Action, Body};
use model::id::{CheckId, CheckSlot, LocationId, ServiceId};
use model::member::{Member, NodeId};
use model::observation::{Batch, Observation, Outcome};
use model::service::Service;
use model::verdict::Verdict;
use proptest::prelude::*;
use std::time::Duration;

const PLACES: [&str; 3] = ["london", "paris", "frankfurt"];
const CHECKS: u32 = 8;

/// What may happen next.
#[derive(Debug, Clone)]
enum Event {
    /// A place looks at a check.
    Look { place: usize, check: u32, works: bool },
    /// A place looks at all checks, most of which go as said.
    LookAtAll { place: usize, works: bool, but: u32 },
    /// A node's way out.
    WayOut { place: usize, works: bool },
    /// A node is heard or not.
    Presence { place: usize, is_present: bool },
    /// Time passes.
    Wait { seconds: u64 },
}

fn any_event() -> impl Strategy<Value = Event> {
    let place = 0..PLACES.len();
    prop_oneof![
        6 => (place.clone(), 0..CHECKS, any::<bool>()).prop_map(|(place, check, works)| Event::Look { place, check, works }),
        6 => (place.clone(), any::<bool>(), 0..CHECKS).prop_map(|(place, works, but)| Event::LookAtAll { place, works, but }),
        1 => (place.clone(), any::<bool>()).prop_map(|(place, works)| Event::WayOut { place, works }),
        1 => (place, any::<bool>()).prop_map(|(place, is_present)| Event::Presence { place, is_present }),
        3 => (1u64..90).prop_map(|seconds| Event::Wait { seconds }),
    ]
}

fn configuration() -> Configuration {
    let check = |number| Check {
        id: CheckId::new(&format!("check-{number}")).expect("a legal id"),
        kind: CheckKind::Icmp(IcmpCheck { host: "192.0.2.1".to_owned(), count: 1 }),
        every: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        retry: Duration::from_secs(5),
        down_after: 2,
        up_after: 2,
        from: PLACES.map(location).to_vec(),
        family: Family::Any,
        latency: LatencyLimits::default(),
    };
    let service = Service {
        id: ServiceId::new("service").expect("a legal id"),
        name: "service".to_owned(),
        description: None,
        group: None,
        needs: Vec::new(),
        checks: (0..CHECKS).map(check).collect(),
        receivers: None,
        is_public: true,
        announces: true,
    };
    Configuration { locations: PLACES.map(location).to_vec(), services: vec![service], ..Configuration::default() }
}

/// A cluster with a node in each place.
fn cluster() -> World {
    let mut world = World::new();
    world.activate(&configuration(), "votes", None);
    for (number, place) in (1..).zip(PLACES) {
        let member = Member { location: location(place), ..node(number) };
        if number == 1 {
            world.accepted(Action::Found(member));
        } else {
            world.accepted(Action::Invite(world.invitation(number)));
            world.accepted(Action::Join { token: token(number), member });
            world.apply(Body::Presence { node: NodeId(number), is_present: true });
        }
    }
    world
}

fn play(world: &mut World, event: Event, sequence: u64) {
    let node = |place: usize| NodeId(place as u64 + 1);
    let look = |place: usize, rounds: Vec<(u32, bool)>| {
        let seen = |(check, works)| Observation {
            slot: CheckSlot(check),
            scheduled: world.now,
            outcome: if works { Outcome::Pass } else { Outcome::Fail },
            latency_us: 1,
            detail: None,
        };
        let observations = rounds.into_iter().map(seen).collect();
        Body::Results(Batch {
            location: location(PLACES[place]),
            node: node(place),
            incarnation: 1,
            sequence,
            observations,
        })
    };
    let body = match event {
        Event::Look { place, check, works } => look(place, vec![(check, works)]),
        Event::LookAtAll { place, works, but } => {
            look(place, (0..CHECKS).map(|check| (check, works != (check == but))).collect())
        }
        Event::WayOut { place, works } => Body::Egress { node: node(place), works, text: "tried".to_owned() },
        Event::Presence { place, is_present } => Body::Presence { node: node(place), is_present },
        Event::Wait { seconds } => {
            world.now = world.now.plus(Duration::from_secs(seconds));
            Body::Tick
        }
    };
    world.apply(body);
    world.now = world.now.plus(Duration::from_millis(500));
    world.apply(Body::Tick);
}

/// The positions of the locations that are set aside.
fn aside(world: &World) -> Vec<u16> {
    let state = &world.state;
    let number = |id: &LocationId| state.configuration().locations.iter().position(|known| known == id);
    state.locations_set_aside().keys().map(|id| number(id).expect("it is configured") as u16).collect()
}

proptest! {
    /// Whatever is set aside and heard again: each verdict is that of a vote
    /// taken anew, and down needs its quorum of those that are heard.
    #[test]
    fn each_verdict_is_that_of_its_vote(events in prop::collection::vec(any_event(), 0..150)) {
        let mut world = cluster();
        for (sequence, event) in (1..).zip(events) {
            play(&mut world, event, sequence);
            let (state, aside) = (&world.state, aside(&world));
            for slot in state.slots() {
                let (check, known) = (state.target(slot).expect("it is configured").1, state.check(slot).expect("it is known"));
                let vote = judge::vote(&known.seens, check, &aside, state.now());
                let is_new = known.verdict == Verdict::Unknown && known.looked.is_none();
                let waits = vote.is_being_confirmed && known.verdict < vote.verdict;
                prop_assert!(vote.verdict == known.verdict || is_new || waits, "{}: {:?}, voted {:?}", check.id, known, vote);
                let fail = |seen: &&judge::Seen| seen.reading == Reading::Failing && !aside.contains(&seen.location);
                if known.verdict == Verdict::Down {
                    prop_assert!(known.seens.iter().filter(fail).count() >= 2, "{:?}", known);
                }
            }
        }
        let read = control::State::decode(&world.state.encode()).expect("an own state");
        prop_assert_eq!(&read, &world.state);
    }
}
