//! Watches this node's own way out: a node that reaches nothing at all should
//! not say that everything is down.
//!
//! Tries the addresses of `cluster.egress` one after the other until one
//! accepts a connection: every half minute, and at once when checks begin to
//! fail. Without addresses nothing is watched.

use super::House;
use model::check::HostPort;
use model::entry::Body;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How often the way out is tried while nothing fails.
const EVERY: Duration = Duration::from_secs(30);
/// Shortest time between two tries, however much fails.
const REST: Duration = Duration::from_secs(2);
/// How long one address may take: long for a working way out, short against
/// the retry that would confirm a failure.
const WITHIN: Duration = Duration::from_millis(1_500);

pub(crate) async fn run(house: Arc<House>, targets: Vec<HostPort>) {
    if targets.is_empty() {
        return;
    }
    loop {
        let began = Instant::now();
        let (works, text) = try_all(&targets).await;
        tell(&house, works, text).await;
        tokio::select! {
            () = tokio::time::sleep_until(began + EVERY) => {}
            () = house.failing.notified() => tokio::time::sleep_until(began + REST).await,
            () = house.stopped() => return,
        }
    }
}

async fn try_all(targets: &[HostPort]) -> (bool, String) {
    let mut said = Vec::new();
    for target in targets {
        let target = target.to_string();
        match tokio::time::timeout(WITHIN, TcpStream::connect(&target)).await {
            Ok(Ok(_)) => return (true, format!("{target} accepts connections")),
            Ok(Err(error)) => said.push(format!("{target}: {error}")),
            Err(_) => said.push(format!("{target}: no answer within {} ms", WITHIN.as_millis())),
        }
    }
    (false, said.join("; "))
}

/// Logs a change; what the state knows already is not said again.
async fn tell(house: &House, works: bool, text: String) {
    let node = house.node.id();
    let known = house.node.state().member(node).is_none_or(|member| member.egress_broken.is_none());
    if known == works {
        return;
    }
    if works {
        tracing::info!("the way out works again: {text}");
    } else {
        tracing::error!("the way out does not work, so failures seen from here say nothing: {text}");
    }
    if let Err(error) = house.node.propose(Body::Egress { node, works, text }).await {
        tracing::warn!(%error, "the state of the way out could not be logged; tried again");
    }
}
