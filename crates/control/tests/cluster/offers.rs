//! What nodes hand in: results, and the configurations in their files.

use crate::world::{World, location};
use control::state::CommandOutcome;
use model::configuration::{Configuration, Page};
use model::entry::{Action, Body};
use model::member::NodeId;
use model::observation::Batch;

fn configuration(name: &str) -> Configuration {
    let page = Page { name: name.to_owned(), ..Configuration::default().page };
    Configuration { page, ..Configuration::default() }
}

#[test]
fn what_a_nodes_file_offered_last_is_known_although_another_is_active() {
    let mut world = World::of(2);
    let (first, second) = (NodeId(1), NodeId(2));
    world.activate(&configuration("old"), "old", Some(first));
    world.activate(&configuration("new"), "new", Some(second));
    assert_eq!((world.state.offered_by(first), world.state.offered_by(second)), (Some("old"), Some("new")));
    assert_eq!((world.state.digest(), world.state.configuration().page.name.as_str()), ("new", "new"));
    // It is active already: nothing of it needs to be stored again.
    let revision = world.state.revision();
    world.accepted(Action::ActivateConfiguration { digest: "new".to_owned(), offered_by: Some(first) });
    assert_eq!((world.state.offered_by(first), world.state.revision()), (Some("new"), revision));
    world.refused(
        Action::ActivateConfiguration { digest: "lost".to_owned(), offered_by: Some(first) },
        "configuration lost was not stored",
    );
    assert_eq!(world.state.offered_by(first), Some("new"));
    world.accepted(Action::RemoveMember { node: second });
    assert_eq!(world.state.offered_by(second), None);
    world.refused(
        Action::ActivateConfiguration { digest: "new".to_owned(), offered_by: Some(second) },
        "node 2 was removed and cannot come back; invite a new one",
    );
}

#[test]
fn only_members_hand_results_in() {
    let mut world = World::of(2);
    let batch = |node| Batch {
        location: location("local"),
        node: NodeId(node),
        incarnation: 1,
        sequence: 1,
        observations: Vec::new(),
    };
    assert_eq!(world.apply(Body::Results(batch(2))), CommandOutcome::Accepted);
    world.accepted(Action::RemoveMember { node: NodeId(2) });
    assert_eq!(
        world.apply(Body::Results(batch(2))),
        CommandOutcome::Refused("node 2 is not a member; only members hand results in".to_owned())
    );
}
