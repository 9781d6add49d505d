//! Whether this node does its work.

use crate::api;
use crate::commands::NodeStatus;
use control::State;
use model::time::{Timestamp, humane_duration};
use std::time::Duration;

/// Ready is a node that knows a leader, has applied a state that is the
/// present, and whose log takes entries. What needs an operator but leaves
/// the node working is listed and does not make it unready: a load balancer
/// that took it away would make matters worse. That goes for a node without
/// contact to the others as well: it may be the only one that people reach,
/// and what it shows says how old it is.
pub(crate) fn readiness(
    state: Option<&State>,
    age: Option<Duration>,
    node: &NodeStatus,
    stale_after: Duration,
) -> api::Readiness {
    if let (Some(state), Some(since)) = (state, node.cut_off_since) {
        let mut attention = vec![cut_off(since)];
        attention.extend(node.log_refuses.iter().map(|because| format!("the log takes no entries: {because}")));
        attention.extend(self::attention(state));
        return api::Readiness { is_ready: true, reasons: Vec::new(), attention };
    }
    let mut reasons = Vec::new();
    if node.leader.is_none() {
        reasons.push("no leader is known".to_owned());
    }
    if let Some(because) = &node.log_refuses {
        reasons.push(format!("the log takes no entries: {because}"));
    }
    match age {
        None => reasons.push("no state has been applied yet".to_owned()),
        Some(age) if age > stale_after => {
            reasons.push(format!("no entry has been applied for {}", humane_duration(age)));
        }
        Some(_) => {}
    }
    let attention = state.map(attention).unwrap_or_default();
    api::Readiness { is_ready: reasons.is_empty(), reasons, attention }
}

fn cut_off(since: Timestamp) -> String {
    format!(
        "this node has had no contact with the others since {since}: it shows what was known then, goes on checking, \
         and takes no commands"
    )
}

fn attention(state: &State) -> Vec<String> {
    let conditions =
        state.conditions().iter().map(|((kind, _), (since, facts))| format!("{} since {since}: {facts}", kind.name()));
    let receivers = state.receivers().iter().filter(|(_, health)| health.failures > 0).map(|(id, health)| {
        let because = health.because.as_deref().unwrap_or("no reason given");
        format!("receiver {id} cannot be reached ({} attempts failed): {because}", health.failures)
    });
    conditions.chain(receivers).collect()
}
