//! Everything at a glance.

use super::incidents::{incident, maintenance};
use super::nodes::{infos, name, warnings};
use super::services::service;
use super::text;
use crate::api;
use crate::commands::NodeStatus;
use crate::freshness::Freshness;
use crate::published::Published;
use control::State;
use model::verdict::{ServiceStatus, Verdict};
use sha2::{Digest, Sha256};

/// Services and incidents given in full; more do not fit a terminal.
const SHOWN_MAX: usize = 100;

/// All of it; what the state says is made once for each state.
pub(crate) fn status(published: &Published, node: &NodeStatus, freshness: Freshness, version: &str) -> api::Status {
    let mut status = published.overview.get_or_init(|| overview(&published.state)).clone();
    status.is_stale = freshness.is_past();
    if status.is_stale {
        ServiceStatus::Unknown.name().clone_into(&mut status.overall);
    }
    status.nodes = infos(node);
    status.node = api::Node {
        version: version.to_owned(),
        uptime_seconds: node.uptime.as_secs(),
        name: node.name.clone(),
        has_quorum: node.has_quorum,
        cut_off_since: node.cut_off_since.map(text),
        state_digest: status.node.state_digest.take(),
        history_fill: node.history_fill.map(|(done, of)| api::HistoryFill { done, of }),
        applied_index: node.applied_index.max(published.state.applied_index()),
        leader: node.leader.clone(),
        log_refuses: node.log_refuses.clone(),
        log_bytes: node.log_bytes,
        history_bytes: node.history_bytes,
        disk_free_bytes: node.disk_free_bytes,
        is_tight: node.is_tight,
        configuration: published.state.digest().to_owned(),
    };
    status
}

/// To encode more checks takes too long for somebody who waits for an answer.
const DIGEST_CHECKS_MAX: usize = 5_000;

fn digest(state: &State) -> Option<api::StateDigest> {
    if state.slots().count() > DIGEST_CHECKS_MAX {
        return None;
    }
    let digest = Sha256::digest(state.encode()).iter().map(|byte| format!("{byte:02x}")).collect();
    Some(api::StateDigest { index: state.applied_index(), digest })
}

fn overview(state: &State) -> api::Status {
    let public = state.services().filter(|(service, _)| service.is_public).map(|(_, known)| known.status());
    let overall = public.max().unwrap_or_default();
    let attention = state.services().filter(|(_, known)| known.status() != ServiceStatus::Up).take(SHOWN_MAX);
    let open = state.incidents().rev().filter(|one| one.is_open()).take(SHOWN_MAX);
    let conditions = state.conditions().iter().map(|((kind, node), (since, facts))| api::Condition {
        kind: kind.name().to_owned(),
        node: name(state, *node),
        since: text(*since),
        text: facts.clone(),
    });
    api::Status {
        page: state.configuration().page.name.clone(),
        now: text(state.now()),
        is_stale: false,
        overall: overall.name().to_owned(),
        services: service_counts(state),
        checks: check_counts(state),
        attention: attention.map(|(one, known)| service(state, one, known)).collect(),
        incidents: open.map(|one| incident(one)).collect(),
        maintenance: maintenance(state),
        conditions: conditions.collect(),
        receivers: receivers(state),
        deliveries_open: state.deliveries().filter(|one| !one.state.is_finished()).count() as u64,
        node: api::Node { state_digest: digest(state), ..api::Node::default() },
        nodes: Vec::new(),
        warnings: warnings(state),
    }
}

fn service_counts(state: &State) -> api::Counts {
    let mut counts = api::Counts::default();
    for (_, known) in state.services() {
        *match known.status() {
            ServiceStatus::Up => &mut counts.up,
            ServiceStatus::Unknown => &mut counts.unknown,
            ServiceStatus::Maintenance => &mut counts.maintenance,
            ServiceStatus::Degraded => &mut counts.degraded,
            ServiceStatus::Down => &mut counts.down,
        } += 1;
    }
    counts
}

fn check_counts(state: &State) -> api::Counts {
    let mut counts = api::Counts::default();
    for known in state.slots().filter_map(|slot| state.check(slot)) {
        *match known.verdict {
            Verdict::Up => &mut counts.up,
            Verdict::Unknown => &mut counts.unknown,
            Verdict::Degraded => &mut counts.degraded,
            Verdict::Down => &mut counts.down,
        } += 1;
    }
    counts
}

fn receivers(state: &State) -> Vec<api::Receiver> {
    let mut receivers: Vec<api::Receiver> = state
        .configuration()
        .receivers
        .iter()
        .map(|receiver| {
            let health = state.receivers().get(&receiver.id);
            api::Receiver {
                id: receiver.id.to_string(),
                means: receiver.means.name().to_owned(),
                is_reachable: health.map(|health| health.failures == 0),
                failures: health.map_or(0, |health| health.failures),
                failing_since: health.and_then(|health| health.failing_since).map(text),
                delivered: health.and_then(|health| health.delivered).map(text),
                because: health.and_then(|health| health.because.clone()),
            }
        })
        .collect();
    receivers.sort_by(|one, other| one.id.cmp(&other.id));
    receivers
}
