//! The families: what is counted and measured, in one pass each.

use super::process;
use super::text::{Kind, Label, head, seconds, single};
use crate::commands::{NodeStatus, RoundCounts};
use crate::published::Published;
use crate::redact;
use crate::shared::Shared;
use control::State;
use control::state::CheckState;
use model::check::{Check, CheckKind};
use model::entry::ConditionKind;
use model::observation::{Outcome, Phases};
use model::service::Service;
use model::verdict::ServiceStatus;
use std::io::{self, Write};

/// Writes all families.
pub(super) fn write(out: &mut dyn Write, shared: &Shared, published: &Published) -> io::Result<()> {
    let state = &published.state;
    node(out, shared, published)?;
    process::write(out)?;
    counted(out, state)?;
    attention(out, state)?;
    services(out, state)?;
    checks(out, state)
}

fn node(out: &mut dyn Write, shared: &Shared, published: &Published) -> io::Result<()> {
    let status = shared.commands.status();
    head(out, "mainstay_build_info", Kind::Gauge, "The program.")?;
    writeln!(out, "mainstay_build_info{{version=\"{}\"}} 1", Label(&shared.options.version))?;
    let applied = status.applied_index.max(published.state.applied_index());
    single(out, "mainstay_log_applied_index", Kind::Gauge, "The last log entry applied.", applied)?;
    let age = published.age().as_secs_f64();
    single(out, "mainstay_state_age_seconds", Kind::Gauge, "Time since the last log entry was applied.", age)?;
    single(out, "mainstay_log_size_bytes", Kind::Gauge, "Size of the log on disk.", status.log_bytes)?;
    single(out, "mainstay_history_size_bytes", Kind::Gauge, "Size of the history on disk.", status.history_bytes)?;
    let free = status.disk_free_bytes;
    single(out, "mainstay_disk_free_bytes", Kind::Gauge, "Free space on the disk of the data directory.", free)?;
    let has_leader = u8::from(status.leader.is_some());
    single(out, "mainstay_cluster_has_leader", Kind::Gauge, "Whether this node knows a leader.", has_leader)?;
    nodes(out, &status)?;
    punctuality(out, status.rounds)
}

/// The cluster as this node sees it. How many nodes are absent is a fact even
/// where a lag is not known, which is then left out.
fn nodes(out: &mut dyn Write, status: &NodeStatus) -> io::Result<()> {
    let has_quorum = u8::from(status.has_quorum);
    single(out, "mainstay_has_quorum", Kind::Gauge, "Whether this node reaches a majority of the voters.", has_quorum)?;
    let is_leader = u8::from(status.nodes.iter().any(|node| node.is_this_one && node.is_leader));
    single(out, "mainstay_is_leader", Kind::Gauge, "Whether this node leads.", is_leader)?;
    let name = "mainstay_nodes";
    head(out, name, Kind::Gauge, "Nodes of the cluster, by whether they are heard.")?;
    let present = status.nodes.iter().filter(|node| node.is_present).count();
    writeln!(out, "{name}{{state=\"present\"}} {present}")?;
    writeln!(out, "{name}{{state=\"absent\"}} {}", status.nodes.len() - present)?;
    let name = "mainstay_node_lag_entries";
    head(out, name, Kind::Gauge, "Entries of the log that a node lacks, where that is known.")?;
    for node in &status.nodes {
        if let Some(lag) = node.lag_entries {
            writeln!(out, "{name}{{node=\"{}\"}} {lag}", Label(&node.name))?;
        }
    }
    Ok(())
}

/// Rounds of this process, where `mainstay_probe_checks_total` counts what the
/// log has of all of them: what is lost between the two is lost results.
fn punctuality(out: &mut dyn Write, rounds: RoundCounts) -> io::Result<()> {
    let RoundCounts { started, late, skipped } = rounds;
    single(out, "mainstay_probe_started_total", Kind::Counter, "Rounds started.", started)?;
    single(out, "mainstay_probe_late_total", Kind::Counter, "Rounds started over a second late.", late)?;
    single(out, "mainstay_probe_skipped_total", Kind::Counter, "Rounds due and not started.", skipped)
}

fn counted(out: &mut dyn Write, state: &State) -> io::Result<()> {
    let name = "mainstay_probe_checks_total";
    head(out, name, Kind::Counter, "Rounds of checks, by how they ended.")?;
    for ((location, kind, outcome), count) in state.result_counts() {
        let outcome = outcome.name();
        writeln!(out, "{name}{{location=\"{location}\",kind=\"{kind}\",outcome=\"{outcome}\"}} {count}")?;
    }
    let name = "mainstay_deliveries_total";
    head(out, name, Kind::Counter, "Attempts to deliver, by how they ended.")?;
    for ((kind, outcome), count) in state.delivery_counts() {
        writeln!(out, "{name}{{kind=\"{}\",outcome=\"{}\"}} {count}", Label(kind), Label(outcome))?;
    }
    Ok(())
}

fn attention(out: &mut dyn Write, state: &State) -> io::Result<()> {
    let open = state.deliveries().filter(|one| !one.state.is_finished()).count();
    single(out, "mainstay_deliveries_open", Kind::Gauge, "Deliveries that wait or run.", open)?;
    let open = state.incidents().filter(|one| one.is_open()).count();
    single(out, "mainstay_incidents_open", Kind::Gauge, "Incidents that are not over.", open)?;
    let name = "mainstay_receiver_failures";
    head(out, name, Kind::Gauge, "Failed attempts in a row to reach a receiver.")?;
    for (receiver, health) in state.receivers() {
        writeln!(out, "{name}{{receiver=\"{receiver}\"}} {}", health.failures)?;
    }
    let name = "mainstay_condition";
    head(out, name, Kind::Gauge, "Whether a condition that its operator must know holds.")?;
    for kind in ConditionKind::ALL {
        let holds = u8::from(state.conditions().keys().any(|(held, _)| *held == kind));
        writeln!(out, "{name}{{condition=\"{}\"}} {holds}", kind.name())?;
    }
    Ok(())
}

fn services(out: &mut dyn Write, state: &State) -> io::Result<()> {
    let name = "mainstay_service_status";
    head(out, name, Kind::Gauge, "1 for the state a service is in, 0 for the others.")?;
    for (service, known) in state.services() {
        for status in ServiceStatus::ALL {
            let is = u8::from(known.status() == status);
            writeln!(out, "{name}{{service=\"{}\",status=\"{}\"}} {is}", service.id, status.name())?;
        }
    }
    Ok(())
}

/// The families of the blackbox exporter, under its names, so that dashboards
/// and alerts made for it work. What is not known is left out rather than zero.
fn checks(out: &mut dyn Write, state: &State) -> io::Result<()> {
    let success = |_: &Check, known: &CheckState| match known.outcome? {
        Outcome::Pass | Outcome::Degraded => Some(1.0),
        Outcome::Fail => Some(0.0),
        Outcome::Own => None,
    };
    each(out, state, "probe_success", "Whether the last round passed.", success)?;
    let duration = |_: &Check, known: &CheckState| known.outcome.map(|_| seconds(known.latency_us));
    each(out, state, "probe_duration_seconds", "How long the last round took.", duration)?;
    let code = |check: &Check, known: &CheckState| {
        http(check).and(known.measured.as_ref()?.status.as_deref()).and_then(status_code)
    };
    each(out, state, "probe_http_status_code", "Status of the last HTTP answer that was kept.", code)?;
    phases(out, state)?;
    let lookup = |_: &Check, known: &CheckState| known.measured.as_ref()?.phases.resolve_us.map(seconds);
    each(out, state, "probe_dns_lookup_time_seconds", "Time of name resolution.", lookup)?;
    let expiry = |_: &Check, known: &CheckState| Some(known.measured.as_ref()?.certificate_until?.as_seconds() as f64);
    each(out, state, "probe_ssl_earliest_cert_expiry", "When the certificate shown ends, seconds since 1970.", expiry)
}

fn phases(out: &mut dyn Write, state: &State) -> io::Result<()> {
    let name = "probe_http_duration_seconds";
    head(out, name, Kind::Gauge, "Where the time of the last HTTP round with details went.")?;
    for (service, check, known) in configured(state) {
        let (Some(()), Some(measured)) = (http(check), &known.measured) else {
            continue;
        };
        let Phases { resolve_us, connect_us, tls_us, first_byte_us, transfer_us } = measured.phases;
        let all = [
            ("resolve", resolve_us),
            ("connect", connect_us),
            ("tls", tls_us),
            ("processing", first_byte_us),
            ("transfer", transfer_us),
        ];
        for (phase, us) in all {
            if let Some(us) = us {
                write!(out, "{name}{{phase=\"{phase}\",")?;
                labels(out, service, check)?;
                writeln!(out, "}} {}", seconds(us))?;
            }
        }
    }
    Ok(())
}

fn each(
    out: &mut dyn Write,
    state: &State,
    name: &str,
    help: &str,
    value: impl Fn(&Check, &CheckState) -> Option<f64>,
) -> io::Result<()> {
    head(out, name, Kind::Gauge, help)?;
    for (service, check, known) in configured(state) {
        if let Some(value) = value(check, known) {
            write!(out, "{name}{{")?;
            labels(out, service, check)?;
            writeln!(out, "}} {value}")?;
        }
    }
    Ok(())
}

fn labels(out: &mut dyn Write, service: &Service, check: &Check) -> io::Result<()> {
    let instance = redact::target(&check.kind);
    write!(out, "check=\"{}\",service=\"{}\",instance=\"{}\"", check.id, service.id, Label(&instance))
}

fn configured(state: &State) -> impl Iterator<Item = (&Service, &Check, &CheckState)> {
    state.slots().filter_map(|slot| {
        let (service, check) = state.target(slot)?;
        Some((service, check, state.check(slot)?))
    })
}

fn http(check: &Check) -> Option<()> {
    matches!(check.kind, CheckKind::Http(_)).then_some(())
}

/// The code in "HTTP/1.1 503 Service Unavailable".
fn status_code(status: &str) -> Option<f64> {
    status.split_whitespace().find_map(|word| word.parse::<u16>().ok()).map(f64::from)
}
