//! `mainstay node …`: who belongs to the cluster.

use super::Asking;
use super::act::sender;
use crate::client::Client;
use crate::files::{self, LoadError};
use crate::paint::{self, BOLD, DIM};
use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use cluster::RecoverError;
use model::time::parse_duration;
use model::verdict::ServiceStatus;
use serde::Serialize;
use std::process::ExitCode;
use web::api::node::{
    InviteRequest, NodeAnswer, NodeInfo, Nodes, RemoveRequest, RoleName, RotateAuthorityRequest,
    TransferLeadershipRequest, Warning,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// List the nodes: who leads, who is there, who is behind
    List(Only),
    /// Leave a way for one more node to join, and print the ticket for `mainstay join`
    Invite(Invite),
    /// Take a node out for ever; refused if the others could then decide nothing
    Remove(Named),
    /// Invite a node that takes the place of another, which leaves when the new one has caught up
    Replace(Replace),
    /// Let another node lead
    TransferLeadership(Transfer),
    /// Let a new authority sign the nodes' certificates
    RotateAuthority(Only),
    /// Last resort after the majority is lost for good: go on alone with what this node has
    Recover(Recover),
}

#[derive(Debug, Args)]
pub(crate) struct Only {
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleArgument {
    /// Votes, checks, keeps history
    Full,
    /// Votes only: the small third
    Witness,
}

#[derive(Debug, Args)]
pub(crate) struct Invite {
    /// What the new node does
    #[arg(long, value_enum, default_value_t = RoleArgument::Full)]
    role: RoleArgument,
    /// How long the ticket is good
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    valid: String,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Replace {
    /// Name or number of the node that leaves
    node: String,
    /// How long the ticket is good
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    valid: String,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its name or number
    node: String,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// Name or number of the node that shall lead; the one that is furthest if not given
    to: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    #[command(flatten)]
    path: super::ConfigurationPath,
    /// The cluster's id, typed by hand, to say that the other nodes are gone for good
    #[arg(long, value_name = "CLUSTER")]
    the_others_are_gone: Option<String>,
}

pub(crate) async fn run(command: Node) -> anyhow::Result<ExitCode> {
    match command {
        Node::List(Only { asking }) => list(&asking).await,
        Node::Invite(Invite { role, valid, asking }) => {
            let role = match role {
                RoleArgument::Full => RoleName::Full,
                RoleArgument::Witness => RoleName::Witness,
            };
            invite(&asking, role, &valid, None).await
        }
        Node::Replace(Replace { node, valid, asking }) => invite(&asking, RoleName::Full, &valid, Some(node)).await,
        Node::Remove(Named { node, asking }) => {
            let (actor, key) = sender();
            ask(&asking, "remove", &RemoveRequest { actor, key, node }).await
        }
        Node::TransferLeadership(Transfer { to, asking }) => {
            let (actor, key) = sender();
            ask(&asking, "transfer-leadership", &TransferLeadershipRequest { actor, key, to }).await
        }
        Node::RotateAuthority(Only { asking }) => {
            let (actor, key) = sender();
            ask(&asking, "rotate-authority", &RotateAuthorityRequest { actor, key }).await
        }
        Node::Recover(command) => recover(&command),
    }
}

async fn list(asking: &Asking) -> anyhow::Result<ExitCode> {
    let nodes: Nodes = Client::new(asking)?.get("/api/v1/nodes").await?;
    if asking.json {
        println!("{}", serde_json::to_string_pretty(&nodes)?);
    } else {
        show(&nodes);
    }
    Ok(ExitCode::from(u8::from(!nodes.has_quorum)))
}

fn show(nodes: &Nodes) {
    show_nodes(&nodes.nodes);
    let style = paint::of(ServiceStatus::Degraded);
    if let Some(since) = &nodes.cut_off_since {
        anstream::println!(
            "{style}▲ this node has had no contact with a majority since {since}; the list is what was known then{style:#}"
        );
    }
    show_warnings(&nodes.warnings);
}

/// One line for each node.
pub(super) fn show_nodes(nodes: &[NodeInfo]) {
    let width = |of: fn(&NodeInfo) -> &str| nodes.iter().map(|node| of(node).chars().count()).max().unwrap_or(0);
    let (names, places, addresses) =
        (width(|node| &node.name), width(|node| &node.location), width(|node| &node.address));
    for node in nodes {
        let status = if node.is_present { ServiceStatus::Up } else { ServiceStatus::Down };
        let style = paint::of(status);
        anstream::println!(
            "  {style}{}{style:#} {BOLD}{:<names$}{BOLD:#}  {:<places$}  {:<addresses$}  {}  {DIM}{}{DIM:#}",
            paint::sign(status),
            node.name,
            node.location,
            node.address,
            part(node),
            node.id
        );
    }
}

/// What nodes have in common.
pub(super) fn show_warnings(warnings: &[Warning]) {
    let style = paint::of(ServiceStatus::Degraded);
    for warning in warnings {
        anstream::println!("  {style}▲ {}{style:#} {}", warning.kind, warning.text);
    }
}

/// What a node does at the moment, in words.
fn part(node: &NodeInfo) -> String {
    let mut words = vec![match (node.is_leader, node.is_voter) {
        (true, _) => "leads",
        (false, true) => "votes",
        (false, false) => "catches up",
    }];
    if node.role == model::member::Role::Witness.name() {
        words.push("witness");
    }
    if !node.is_present {
        words.push("not heard");
    }
    if node.is_this_one {
        words.push("this node");
    }
    let behind = node.lag_entries.filter(|lag| *lag > 0).map(|lag| format!("{lag} entries behind"));
    words.into_iter().map(str::to_owned).chain(behind).collect::<Vec<_>>().join(", ")
}

async fn invite(asking: &Asking, role: RoleName, valid: &str, replaces: Option<String>) -> anyhow::Result<ExitCode> {
    let valid =
        parse_duration(valid).with_context(|| format!("--valid {valid} is not a duration such as 1h or 30m"))?;
    let (actor, key) = sender();
    let request = InviteRequest { actor, key, role, valid_for_seconds: valid.as_secs(), replaces };
    let answer: NodeAnswer = Client::new(asking)?.post("/api/v1/nodes/invite", &request).await?;
    let invitation = accepted(answer)?.invitation.context("the server gave no ticket")?;
    if asking.json {
        println!("{}", serde_json::to_string_pretty(&invitation)?);
        return Ok(ExitCode::SUCCESS);
    }
    anstream::println!("On the new node, until {}:\n", invitation.expires);
    anstream::println!("  {BOLD}mainstay join {}{BOLD:#}\n", invitation.ticket);
    anstream::println!("{DIM}Whoever has this ticket can join once; tell it to nobody else.{DIM:#}");
    Ok(ExitCode::SUCCESS)
}

async fn ask(asking: &Asking, what: &str, request: &impl Serialize) -> anyhow::Result<ExitCode> {
    let answer: NodeAnswer = Client::new(asking)?.post(&format!("/api/v1/nodes/{what}"), request).await?;
    let answer = accepted(answer)?;
    if asking.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        anstream::println!("{}", answer.said.as_deref().unwrap_or("done"));
    }
    Ok(ExitCode::SUCCESS)
}

fn accepted(answer: NodeAnswer) -> anyhow::Result<NodeAnswer> {
    match answer.refusal.clone().filter(|_| !answer.is_accepted) {
        Some(refusal) => bail!(refusal),
        None => Ok(answer),
    }
}

/// Makes the surviving directory a cluster of one. The server must not run.
fn recover(command: &Recover) -> anyhow::Result<ExitCode> {
    let path = &command.path.config;
    let loaded = files::load(path).map_err(|error| match error {
        LoadError::Wrong(mistakes) => anyhow!("{mistakes}"),
        LoadError::Unreadable(error) => error,
    })?;
    let log = files::log(&files::data_directory(path, &loaded.node.data));
    let confirmed = command.the_others_are_gone.as_deref().unwrap_or_default();
    let recovered = match cluster::recover(&log, confirmed) {
        Err(RecoverError::OtherCluster { cluster, .. }) => bail!(
            "this gives up the other nodes for ever: what only they have is lost, and if one of them still runs there \
             are two clusters that know nothing of each other, and both tell people. Bring a majority back if there is \
             any way. If the others are gone for good, stop this node and say so with the cluster's id:\n\n  \
             mainstay node recover --config {} --the-others-are-gone {cluster}\n",
            path.display()
        ),
        recovered => recovered?,
    };
    anstream::println!(
        "{BOLD}This node goes on alone{BOLD:#} from entry {}, as cluster {}.",
        recovered.index,
        recovered.cluster
    );
    anstream::println!("Forgotten: {}. Their directories can never come back.", recovered.forgotten.join(", "));
    anstream::println!("{DIM}The files of before are in {}.{DIM:#}", recovered.aside.display());
    anstream::println!("Next: {BOLD}mainstay serve{BOLD:#}, then `mainstay node invite` for new nodes.");
    Ok(ExitCode::SUCCESS)
}
