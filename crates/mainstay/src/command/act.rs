//! Commands that change something: acknowledging, telling the public, planning
//! work, testing receivers. Each is answered when it is on disk and applied.

use super::Asking;
use crate::client::Client;
use crate::paint::{self, BOLD, DIM};
use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use model::id::{IncidentId, MaintenanceId, ServiceId, slug};
use model::time::{Timestamp, parse_duration};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use web::api;
use web::api::command::{ActionRequest, CommandAnswer, CommandRequest, ImpactName, PhaseName};

#[derive(Debug, Args)]
pub(crate) struct Ack {
    /// Number of the incident
    incident: u64,
    /// Why or how, for colleagues
    #[arg(short, long)]
    note: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Incident {
    /// List incidents
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Tell the public how it stands
    Update {
        /// Number of the incident
        incident: u64,
        /// What is said
        text: String,
        /// The phase from here on
        #[arg(long, value_enum, default_value_t = PhaseArgument::Investigating)]
        phase: PhaseArgument,
        #[command(flatten)]
        asking: Asking,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PhaseArgument {
    Investigating,
    Identified,
    Monitoring,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ImpactArgument {
    AtRisk,
    Degraded,
    Outage,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Maintenance {
    /// List planned work
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Plan work on services
    Add(Add),
    /// End or cancel planned work now
    End {
        /// Its id
        id: String,
        #[command(flatten)]
        asking: Asking,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What is done, for customers
    title: String,
    /// Services it touches
    #[arg(short, long = "service", required = true, value_name = "ID")]
    services: Vec<String>,
    /// When it begins (RFC 3339); now if not given
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// When it ends (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with = "duration", required_unless_present = "duration")]
    until: Option<String>,
    /// How long it takes
    #[arg(short, long, value_name = "DURATION")]
    duration: Option<String>,
    /// The worst that is to be expected
    #[arg(long, value_enum, default_value_t = ImpactArgument::Outage)]
    impact: ImpactArgument,
    /// Its id; made from the title if not given
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct TestReceivers {
    #[command(flatten)]
    asking: Asking,
}

pub(crate) async fn ack(command: Ack) -> anyhow::Result<ExitCode> {
    let incident = IncidentId(command.incident);
    let done = format!("incident {incident} is acknowledged");
    send(&command.asking, ActionRequest::Acknowledge { incident, note: command.note }, &done).await
}

pub(crate) async fn incident(command: Incident) -> anyhow::Result<ExitCode> {
    match command {
        Incident::List { asking } => list_incidents(&asking).await,
        Incident::Update { incident, text, phase, asking } => {
            let phase = match phase {
                PhaseArgument::Investigating => PhaseName::Investigating,
                PhaseArgument::Identified => PhaseName::Identified,
                PhaseArgument::Monitoring => PhaseName::Monitoring,
            };
            let action = ActionRequest::UpdateIncident { incident: IncidentId(incident), phase, text };
            send(&asking, action, "the public is told").await
        }
    }
}

async fn list_incidents(asking: &Asking) -> anyhow::Result<ExitCode> {
    let found: api::Incidents = Client::new(asking)?.get("/api/v1/incidents").await?;
    if asking.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    for incident in &found.incidents {
        let style = paint::of(paint::named(&incident.worst));
        let end = incident.resolved.as_deref().unwrap_or("open");
        anstream::println!(
            "{style}{:>5}{style:#}  {BOLD}{:<32}{BOLD:#} {} {DIM}to{DIM:#} {end}",
            incident.id,
            incident.title,
            incident.started
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn maintenance(command: Maintenance) -> anyhow::Result<ExitCode> {
    match command {
        Maintenance::List { asking } => list_maintenance(&asking).await,
        Maintenance::Add(add) => {
            let asking = add.asking.clone();
            let action = plan(add)?;
            send(&asking, action, "the work is planned").await
        }
        Maintenance::End { id, asking } => {
            let id = MaintenanceId::new(&id)?;
            let done = format!("planned work {id} has ended");
            send(&asking, ActionRequest::EndMaintenance { id }, &done).await
        }
    }
}

fn plan(add: Add) -> anyhow::Result<ActionRequest> {
    let time = |text: &str| {
        Timestamp::parse_rfc3339(text).with_context(|| format!("{text} is not a time such as 2026-11-20T22:00:00Z"))
    };
    let from = add.from.as_deref().map(time).transpose()?.unwrap_or_else(now);
    let until = match (&add.until, &add.duration) {
        (Some(until), _) => time(until)?,
        (None, Some(duration)) => from.plus(parse_duration(duration)?),
        (None, None) => bail!("give --until or --duration"),
    };
    let id = add.id.or_else(|| slug(&add.title)).context("the title gives no id; give --id")?;
    let impact = match add.impact {
        ImpactArgument::AtRisk => ImpactName::AtRisk,
        ImpactArgument::Degraded => ImpactName::Degraded,
        ImpactArgument::Outage => ImpactName::Outage,
    };
    Ok(ActionRequest::ScheduleMaintenance {
        id: MaintenanceId::new(&id)?,
        title: add.title,
        from: from.to_string(),
        until: until.to_string(),
        services: add.services.iter().map(|id| ServiceId::new(id)).collect::<Result<_, _>>()?,
        impact,
    })
}

async fn list_maintenance(asking: &Asking) -> anyhow::Result<ExitCode> {
    let status: api::Status = Client::new(asking)?.get("/api/v1/status").await?;
    if asking.json {
        println!("{}", serde_json::to_string_pretty(&status.maintenance)?);
        return Ok(ExitCode::SUCCESS);
    }
    for work in &status.maintenance {
        let when = if work.is_active { "under way" } else { "planned" };
        anstream::println!(
            "{BOLD}{:<24}{BOLD:#} {when:<10} {} to {} {} on {}",
            work.id,
            work.from,
            work.until,
            work.impact,
            work.services.join(", ")
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn test_receivers(command: TestReceivers) -> anyhow::Result<ExitCode> {
    send(
        &command.asking,
        ActionRequest::TestReceivers {},
        "a test message is under way to every receiver; see `mainstay status`",
    )
    .await
}

async fn send(asking: &Asking, action: ActionRequest, done: &str) -> anyhow::Result<ExitCode> {
    let (actor, key) = sender();
    let request = CommandRequest { actor, key, expected_revision: None, action };
    let answer: CommandAnswer = Client::new(asking)?.post("/api/v1/commands", &request).await?;
    if let Some(refusal) = answer.refusal.filter(|_| !answer.is_accepted) {
        bail!(refusal);
    }
    if asking.json {
        println!("{}", serde_json::json!({ "ok": true }));
    } else {
        anstream::println!("{done}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Who asks, and a key for what is asked.
pub(super) fn sender() -> (String, String) {
    let actor = std::env::var("USER").unwrap_or_else(|_| "command line".to_owned());
    // Time and process together are new for each wish; a person does not repeat it by accident.
    (actor, format!("cli-{}-{}", now().as_ms(), std::process::id()))
}

fn now() -> Timestamp {
    Timestamp::EPOCH.plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
