//! The command line: what can be asked for, and who answers.

mod act;
mod backup;
mod bench;
mod config;
mod init;
mod join;
mod node;
mod probe;
mod restore;
mod status;
mod watch;
mod why;

pub(crate) use init::initialise;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Keeps services standing: watches them, judges, tells people and shows a page.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Where a configuration is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigurationPath {
    /// Configuration file, or a directory of *.yaml files
    #[arg(short, long, env = "MAINSTAY_CONFIG", default_value = "mainstay.yaml", value_name = "PATH")]
    pub(crate) config: PathBuf,
}

/// How a running server is found, and how it is answered.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asking {
    #[command(flatten)]
    pub(crate) path: ConfigurationPath,
    /// Local socket of the server; found through the configuration otherwise
    #[arg(long, env = "MAINSTAY_SOCKET", value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find what listens on this machine and write a first configuration
    Init(init::Init),
    /// Watch, judge, tell and show; without a configuration, do `init` first
    Serve(ServeArguments),
    /// Make this machine a node of a cluster, with a ticket from `mainstay node invite`
    Join(join::Join),
    /// List the nodes, invite one, take one out, let another lead
    #[command(subcommand)]
    Node(node::Node),
    /// Check, show the schema of, or show the reference of a configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Check one target now and show where the time goes
    Probe(probe::Probe),
    /// Show what is up and what is not
    Status(status::Status),
    /// Show every change as it happens
    Watch(watch::Watch),
    /// Tell why a check or a service is in its state, and who was told or not
    Why(why::Why),
    /// Take care of an incident: reminders stop, colleagues see who does
    Ack(act::Ack),
    /// Tell the public about an incident
    #[command(subcommand)]
    Incident(act::Incident),
    /// Plan work, end it, or list what is planned
    #[command(subcommand)]
    Maintenance(act::Maintenance),
    /// Send a test message to every receiver
    TestReceivers(act::TestReceivers),
    /// Have the server make a backup of everything
    Backup(backup::Backup),
    /// Verify a backup, and found a new cluster from it
    Restore(restore::Restore),
    /// Generate a history, to try out and to measure with
    #[command(subcommand, hide = true)]
    Bench(bench::Bench),
}

/// How a server runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) path: ConfigurationPath,
    /// Address of the page and the HTTP interface; instead of `listen` in the configuration
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Data directory; instead of `data` in the configuration
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// What is logged ("info", "debug", "probe=trace"); instead of the level in the configuration
    #[arg(long, env = "MAINSTAY_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Log in JSON, one object a line
    #[arg(long)]
    pub(crate) log_json: bool,
}

/// Carries a command out.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Serve(arguments) => crate::serve::serve(arguments),
        Command::Config(command) => config::run(command),
        Command::Join(command) => block_on(join::run(command)),
        Command::Node(command) => block_on(node::run(command)),
        Command::Init(command) => block_on(init::run(command)),
        Command::Probe(command) => block_on(probe::run(command)),
        Command::Status(command) => block_on(status::run(command)),
        Command::Watch(command) => block_on(watch::run(command)),
        Command::Why(command) => block_on(why::run(command)),
        Command::Ack(command) => block_on(act::ack(command)),
        Command::Incident(command) => block_on(act::incident(command)),
        Command::Maintenance(command) => block_on(act::maintenance(command)),
        Command::TestReceivers(command) => block_on(act::test_receivers(command)),
        Command::Backup(command) => block_on(backup::run(command)),
        Command::Restore(command) => block_on(restore::run(command)),
        Command::Bench(command) => bench::run(command),
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
