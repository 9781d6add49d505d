//! Publishes the state to the web room: at once when the page changes visibly,
//! otherwise a few times a second.

use super::House;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use web::Web;

/// Shortest time between two publications that nobody waits for.
const REST: Duration = Duration::from_millis(250);

pub(crate) async fn run(house: Arc<House>, web: Arc<Web>, mut urgent: watch::Receiver<u64>) {
    let mut applied = house.node.watch();
    loop {
        let state = house.node.state();
        let index = state.applied_index();
        web.publish(state);
        house.shown.send_replace(index);
        let changed = tokio::select! {
            changed = urgent.changed() => changed,
            changed = async { tokio::time::sleep(REST).await; applied.changed().await } => changed,
            () = house.stopped() => return,
        };
        if changed.is_err() {
            return;
        }
    }
}
