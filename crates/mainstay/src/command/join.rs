//! `mainstay join TICKET`: makes this machine a node of a cluster.

use crate::files;
use crate::paint::{BOLD, DIM};
use crate::serve::facts;
use anyhow::{Context, bail};
use clap::Args;
use cluster::JoinOptions;
use model::id::LocationId;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// How long the nodes of the cluster are asked, should none answer at first.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The ticket that `mainstay node invite` printed on a node of the cluster
    ticket: String,
    #[command(flatten)]
    path: super::ConfigurationPath,
    /// Where the other nodes reach this one: host, or host and port
    #[arg(long, value_name = "ADDRESS")]
    address: String,
    /// Where this node takes connections of the others; the port of --address on all addresses if not given
    #[arg(long, value_name = "ADDRESS")]
    cluster_listen: Option<String>,
    /// Where the page and the HTTP interface are served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480")]
    listen: String,
    /// The location where this node stands, one of the cluster's
    #[arg(long, value_name = "ID")]
    location: String,
    /// What people call this node; the machine's name if not given
    #[arg(long)]
    name: Option<String>,
    /// Data directory; a relative path starts beside the configuration file
    #[arg(long, value_name = "PATH", default_value = config::DATA_DEFAULT)]
    data: String,
}

pub(crate) async fn run(command: Join) -> anyhow::Result<ExitCode> {
    let path = command.path.config.clone();
    let location = LocationId::new(&command.location)
        .map_err(|error| anyhow::anyhow!("--location {}: {error}", command.location))?;
    let address = host_port(&command.address, "--address")?;
    let listen = match &command.cluster_listen {
        Some(listen) => host_port(listen, "--cluster-listen")?,
        None => format!("[::]:{}", address.rsplit(':').next().unwrap_or_default()),
    };
    let name = command.name.clone().or_else(facts::host_name).context("this machine has no name; give --name")?;
    let text = node_file(&command, &name, &address, &listen);
    let is_written = write_once(&path, &text)?;
    let data = files::data_directory(&path, &command.data);
    cluster::prepare(&data)?;
    let facts = facts::gather(None);
    let options = JoinOptions { name: name.clone(), address, location, facts, patience: PATIENCE };
    let joined = cluster::join(&files::log(&data), &command.ticket, options).await?;
    let already = if joined.was_joined { "already " } else { "" };
    anstream::println!(
        "{BOLD}{name}{BOLD:#} {already}belongs to the cluster {} {DIM}as node {}{DIM:#}",
        joined.cluster,
        joined.node
    );
    if !is_written {
        anstream::println!("{DIM}{} was there already and is as it was{DIM:#}", path.display());
    }
    anstream::println!("Next: {BOLD}mainstay serve --config {}{BOLD:#}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn host_port(text: &str, option: &str) -> anyhow::Result<String> {
    match model::check::HostPort::parse(text, Some(config::CLUSTER_PORT_DEFAULT)) {
        Some(parsed) => Ok(parsed.to_string()),
        None => bail!("{option} {text} is not a host with a port, such as node2.example:8481"),
    }
}

/// What concerns this node only; the rest comes from the cluster.
fn node_file(command: &Join, name: &str, address: &str, listen: &str) -> String {
    format!(
        "# This file concerns this node only. What is watched and who is told comes from the\n\
         # cluster; `mainstay status` shows it.\n\
         listen: \"{}\"\n\
         data: \"{}\"\n\
         location: {}\n\
         cluster:\n  name: \"{name}\"\n  listen: \"{listen}\"\n  address: \"{address}\"\n",
        command.listen, command.data, command.location
    )
}

/// Writes the file unless there is one, and says whether it did.
fn write_once(path: &Path, text: &str) -> anyhow::Result<bool> {
    let failed = || format!("cannot write the configuration {}", path.display());
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error).with_context(failed),
    };
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)?;
    Ok(true)
}
