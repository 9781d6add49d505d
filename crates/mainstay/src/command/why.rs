//! `mainstay why`: the decisions about a check or a service, and their reasons.

use super::Asking;
use crate::client::Client;
use crate::paint::{self, BOLD, DIM};
use clap::Args;
use std::process::ExitCode;
use web::api;

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Id of a check or of a service
    #[arg(value_name = "CHECK")]
    id: String,
    /// How many decisions are shown
    #[arg(short = 'n', long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    #[command(flatten)]
    asking: Asking,
}

/// What is known of a check or service, and why.
#[derive(serde::Serialize)]
struct Answer {
    check: Option<api::CheckDetail>,
    decisions: Vec<api::Decision>,
}

pub(crate) async fn run(command: Why) -> anyhow::Result<ExitCode> {
    let client = Client::new(&command.asking)?;
    let id: String = command.id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
    let check: Option<api::CheckDetail> = match client.get(&format!("/api/v1/checks/{id}")).await {
        Ok(check) => Some(check),
        Err(error) => {
            // Not a check: it may be a service.
            let services: api::Services = client.get("/api/v1/services?limit=1000").await?;
            if !services.services.iter().any(|service| service.id == id) {
                return Err(error);
            }
            None
        }
    };
    // What happened to a check is told with what happened to its service.
    let service = check.as_ref().map_or(id.clone(), |check| check.check.service.clone());
    let found: api::Decisions =
        client.get(&format!("/api/v1/decisions?service={service}&limit={}", command.limit)).await?;
    let about = |decision: &api::Decision| decision.check.as_deref().is_none_or(|of| check.is_none() || of == id);
    let decisions: Vec<api::Decision> = found.decisions.into_iter().filter(about).collect();
    if command.asking.json {
        println!("{}", serde_json::to_string_pretty(&Answer { check, decisions })?);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(check) = &check {
        show_check(check);
    }
    anstream::println!("{BOLD}What was decided, newest first{BOLD:#}");
    if decisions.is_empty() {
        anstream::println!("  {DIM}nothing yet{DIM:#}");
    }
    decisions.iter().for_each(show);
    Ok(ExitCode::SUCCESS)
}

fn show_check(detail: &api::CheckDetail) {
    let check = &detail.check;
    let status = paint::named(&check.verdict);
    anstream::println!(
        "{}  {BOLD}{}{BOLD:#} ({} {}) since {}",
        paint::status(status),
        check.id,
        check.kind,
        check.target,
        check.since
    );
    anstream::println!(
        "  every {} ms, down after {} failed rounds, up after {} good ones",
        detail.every_ms,
        detail.down_after,
        detail.up_after
    );
    for location in &detail.locations {
        let looked = location.looked.as_deref().unwrap_or("never");
        anstream::println!(
            "  {BOLD}{}{BOLD:#} says {} {DIM}(last look {looked}; {} failed, {} good rounds in a row){DIM:#}",
            location.location,
            location.reading,
            location.fails,
            location.works
        );
    }
    if let Some(failure) = &check.failure {
        anstream::println!("  {}{}{}", paint::of(status), failure.sentence, paint::RESET);
    }
    if let Some(last) = &detail.last_failure {
        show_failure(last);
    }
    anstream::println!();
}

fn show_failure(last: &api::ResultRecord) {
    let sentence = last.failure.as_ref().map_or("", |failure| &failure.sentence);
    anstream::println!("  {DIM}last round that did not pass:{DIM:#} {} {sentence}", last.at);
    let Some(evidence) = &last.evidence else {
        return;
    };
    for tried in &evidence.addresses {
        anstream::println!("    {DIM}{} {}{DIM:#}", tried.address, tried.error.as_deref().unwrap_or("connected"));
    }
    if let Some(answer) = &evidence.status {
        anstream::println!("    {DIM}{answer}{DIM:#}");
    }
    for line in evidence.excerpt.iter().flat_map(|excerpt| excerpt.lines()).take(8) {
        anstream::println!("    {DIM}│{DIM:#} {line}");
    }
}

/// One decision as one line.
pub(super) fn show(decision: &api::Decision) {
    let about = decision.check.as_deref().or(decision.service.as_deref()).unwrap_or("mainstay");
    let style = decision.state.as_deref().map(|state| paint::of(paint::named(state))).unwrap_or_default();
    anstream::println!("  {DIM}{}{DIM:#}  {BOLD}{about:<20}{BOLD:#} {style}{}{style:#}", decision.at, decision.text);
}
