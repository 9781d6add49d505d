//! `mainstay status`: what is up and what is not, at a glance.

use super::{Asking, node};
use crate::client::Client;
use crate::paint::{self, BOLD, DIM};
use clap::Args;
use model::time::{Timestamp, humane_duration};
use model::verdict::ServiceStatus;
use std::process::ExitCode;
use std::time::Duration;
use web::api;

/// Services listed one by one; the first page of the interface.
const LISTED: &str = "/api/v1/services?limit=200";
/// Width of the bar of all services in characters.
const BAR_WIDTH: u64 = 60;

/// Width of the bar that shows how far the history is completed.
const FILL_WIDTH: usize = 24;

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    asking: Asking,
}

pub(crate) async fn run(command: Status) -> anyhow::Result<ExitCode> {
    let client = Client::new(&command.asking)?;
    let status: api::Status = client.get("/api/v1/status").await?;
    let is_down = status.services.down > 0;
    if command.asking.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        let services: api::Services = client.get(LISTED).await?;
        show(&status, &services);
    }
    Ok(ExitCode::from(u8::from(is_down)))
}

fn show(status: &api::Status, services: &api::Services) {
    let overall = paint::named(&status.overall);
    let style = paint::of(overall);
    let sentence = match overall {
        ServiceStatus::Up => "everything works",
        ServiceStatus::Degraded => "something does not work well",
        ServiceStatus::Down => "something is down",
        ServiceStatus::Maintenance => "planned work is under way",
        ServiceStatus::Unknown => "not everything is verified",
    };
    anstream::println!("{style}{} {BOLD}{}{BOLD:#}: {sentence}{style:#}", paint::sign(overall), status.page);
    if let Some(since) = &status.node.cut_off_since {
        let ago = ago(since, &status.now);
        anstream::println!(
            "{style}  this node has had no contact with a majority since {since}: what follows was known then, {ago} ago{style:#}"
        );
    } else if status.is_stale {
        anstream::println!("{style}  this node no longer applies entries: what follows may be out of date{style:#}");
    }
    bar(&status.services);
    list(services, &status.now);
    for incident in &status.incidents {
        show_incident(incident, &status.now);
    }
    for work in &status.maintenance {
        let when = if work.is_active { "under way" } else { "planned" };
        anstream::println!(
            "  {} {when}: {BOLD}{}{BOLD:#} {} to {} on {}",
            paint::sign(ServiceStatus::Maintenance),
            work.title,
            work.from,
            work.until,
            work.services.join(", ")
        );
    }
    attention(status);
    if let Some(fill) = &status.node.history_fill {
        let bar = paint::part(fill.done, fill.of, FILL_WIDTH);
        anstream::println!("  {DIM}history from other nodes {bar} {} of {} spans{DIM:#}", fill.done, fill.of);
    }
    if status.nodes.len() > 1 {
        anstream::println!("\n  {BOLD}Nodes{BOLD:#}");
        node::show_nodes(&status.nodes);
    }
    node::show_warnings(&status.warnings);
}

/// All services as one bar, to scale, with every state that occurs visible.
fn bar(counts: &api::Counts) {
    let all = [
        (ServiceStatus::Down, counts.down),
        (ServiceStatus::Degraded, counts.degraded),
        (ServiceStatus::Maintenance, counts.maintenance),
        (ServiceStatus::Unknown, counts.unknown),
        (ServiceStatus::Up, counts.up),
    ];
    let sum: u64 = all.iter().map(|(_, count)| count).sum();
    if sum == 0 {
        return;
    }
    let mut line = String::new();
    let mut legend = String::new();
    for (status, count) in all.into_iter().filter(|(_, count)| *count > 0) {
        let style = paint::of(status);
        let width = (count * BAR_WIDTH / sum).max(1);
        line.push_str(&format!("{style}{}{style:#}", "█".repeat(width as usize)));
        legend.push_str(&format!("{style}{} {count} {}{style:#}   ", paint::sign(status), status.name()));
    }
    anstream::println!("\n  {line}\n  {legend}\n");
}

fn list(services: &api::Services, now: &str) {
    let width = services.services.iter().map(|service| service.name.chars().count()).max().unwrap_or(0).min(40);
    let mut group = None;
    for service in &services.services {
        if service.group != group {
            group.clone_from(&service.group);
            anstream::println!("  {BOLD}{}{BOLD:#}", group.as_deref().unwrap_or("Other"));
        }
        let status = paint::named(&service.status);
        let style = paint::of(status);
        let uptime = service
            .availability_ppm
            .map_or_else(|| "      –".to_owned(), |ppm| format!("{:>3}.{:03} %", ppm / 10_000, ppm % 10_000 / 10));
        let verified = service
            .verified
            .as_deref()
            .map_or_else(|| "never verified".to_owned(), |at| format!("verified {} ago", ago(at, now)));
        anstream::println!(
            "  {style}{} {:<11}{style:#} {:<width$}  {uptime}  {DIM}for {}, {verified}{DIM:#}",
            paint::sign(status),
            status.name(),
            service.name,
            ago(&service.since, now)
        );
        for check in &service.failing {
            let said = check.failure.as_ref().map_or("no reason given", |failure| &failure.sentence);
            anstream::println!("      {style}{}{style:#} {said}", check.id);
        }
        if let Some(hold) = &service.hold {
            anstream::println!("      {DIM}{hold}{DIM:#}");
        }
    }
    if services.next.is_some() {
        anstream::println!("  {DIM}… and more; see /api/v1/services{DIM:#}");
    }
    anstream::println!();
}

fn show_incident(incident: &api::Incident, now: &str) {
    let style = paint::of(paint::named(&incident.worst));
    let who = match &incident.acknowledged_by {
        Some(who) => format!("{who} takes care of it"),
        None => format!("nobody has acknowledged it; `mainstay ack {}`", incident.id),
    };
    anstream::println!(
        "  {style}incident {}{style:#} {BOLD}{}{BOLD:#} for {} {DIM}({}; {who}){DIM:#}",
        incident.id,
        incident.title,
        ago(&incident.started, now),
        incident.phase
    );
}

fn attention(status: &api::Status) {
    let style = paint::of(ServiceStatus::Degraded);
    for condition in &status.conditions {
        anstream::println!("  {style}▲ {}{style:#} {}", condition.kind, condition.text);
    }
    for receiver in status.receivers.iter().filter(|receiver| receiver.is_reachable == Some(false)) {
        let because = receiver.because.as_deref().unwrap_or("no reason given");
        anstream::println!(
            "  {style}▲ receiver {} cannot be reached{style:#} ({} attempts): {because}",
            receiver.id,
            receiver.failures
        );
    }
    if status.deliveries_open > 0 {
        anstream::println!("  {DIM}deliveries under way: {}{DIM:#}", status.deliveries_open);
    }
}

/// The time from one stamp to another, for people.
fn ago(from: &str, to: &str) -> String {
    let span = Timestamp::parse_rfc3339(to)
        .zip(Timestamp::parse_rfc3339(from))
        .map_or(Duration::ZERO, |(to, from)| to.since(from));
    if span < Duration::from_secs(1) {
        "under 1 s".to_owned()
    } else {
        humane_duration(Duration::from_secs(span.as_secs()))
    }
}
