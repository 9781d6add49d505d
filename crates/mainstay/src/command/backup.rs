//! `mainstay backup`: has the running server make one, and looks on.

use super::Asking;
use crate::backup::first_line;
use crate::client::Client;
use crate::paint::{BOLD, DIM};
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use web::api::backup::{Backup as Listed, BackupRequest, Backups, Begun};

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const PATH: &str = "/api/v1/backups";

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Where to: a file, a directory, or s3://bucket/prefix; as configured if not given
    #[arg(long, value_name = "PLACE")]
    to: Option<String>,
    /// Encrypt it with the passphrase in the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "recipients")]
    passphrase_file: Option<PathBuf>,
    /// Encrypt it for a public key of age; can be given several times
    #[arg(long = "recipient", value_name = "KEY")]
    recipients: Vec<String>,
    #[command(flatten)]
    asking: Asking,
}

pub(crate) async fn run(command: Backup) -> anyhow::Result<ExitCode> {
    let client = Client::new(&command.asking)?;
    let request = BackupRequest {
        to: command.to.map(|to| absolute(&to)).transpose()?,
        passphrase: command.passphrase_file.as_deref().map(first_line).transpose()?,
        recipients: command.recipients,
    };
    let begun: Begun = client.post(PATH, &request).await?;
    let backup = look_on(&client, begun.number, command.asking.json).await?;
    if command.asking.json {
        println!("{}", serde_json::to_string_pretty(&backup)?);
    } else if let (Some(place), Some(bytes)) = (&backup.place, backup.bytes) {
        let stamp = backup.stamp.as_deref().unwrap_or_default();
        anstream::println!(
            "{BOLD}{place}{BOLD:#} {DIM}{}, everything up to entry {} of {stamp}{DIM:#}",
            indicatif::HumanBytes(bytes),
            backup.index.unwrap_or_default()
        );
    }
    match backup.because {
        Some(because) if !command.asking.json => bail!("the backup failed: {because}"),
        Some(_) => Ok(ExitCode::from(1)),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Waits until the backup is made, or is not.
async fn look_on(client: &Client, number: u64, is_silent: bool) -> anyhow::Result<Listed> {
    let bar = bar(is_silent);
    loop {
        let backups: Backups = client.get(PATH).await.context("the backup may go on, but nobody says how far it is")?;
        let found = backups.backups.into_iter().find(|backup| backup.number == number);
        let backup =
            found.with_context(|| format!("the server no longer knows of backup {number}; was it restarted?"))?;
        let Some(phase) = &backup.phase else {
            bar.finish_and_clear();
            return Ok(backup);
        };
        show(&bar, phase, backup.done_bytes, backup.total_bytes);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A bar on a terminal, nothing elsewhere.
pub(super) fn bar(is_silent: bool) -> ProgressBar {
    if is_silent || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    // Fits 80 columns; a bar that wraps leaves lines behind.
    let template = "{msg:>10} {bar:30} {decimal_bytes:>9} of {decimal_total_bytes}, {eta} left";
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template(template).expect("a constant template"));
    bar
}

/// Moves the bar. Before it is known how much there is to do, there is none.
pub(super) fn show(bar: &ProgressBar, phase: &str, done: u64, total: u64) {
    if total > 0 {
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(phase.to_owned());
    }
}

/// The server works in another directory. A slash at the end, which makes a
/// name that of a directory, stays.
fn absolute(to: &str) -> anyhow::Result<String> {
    if to.contains("://") || to.starts_with('/') {
        return Ok(to.to_owned());
    }
    let here = std::env::current_dir().context("cannot find the current directory")?;
    Ok(format!("{}/{to}", here.display()))
}
