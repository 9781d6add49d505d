//! `mainstay restore`: verifies a backup, and founds a new cluster from it.

use super::{ConfigurationPath, backup};
use crate::backup::{self as backups, Inside, Keys, Progress, RestoreWish, first_line};
use crate::files::{self, LoadError};
use crate::paint::{BOLD, DIM};
use anyhow::{Context, anyhow};
use clap::Args;
use control::state::Unsent;
use indicatif::HumanBytes;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup: a file, or s3://bucket/key
    backup: String,
    #[command(flatten)]
    path: ConfigurationPath,
    /// Data directory, which must be new or empty; instead of `data` in the configuration
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Verify the backup and say what is inside and what would happen; change nothing
    #[arg(long)]
    dry_run: bool,
    /// File whose first line is the passphrase
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// File with the secret key of age
    #[arg(long, value_name = "FILE")]
    identity_file: Option<PathBuf>,
    /// Send the messages that were still to be sent when the backup was made; they are given up otherwise
    #[arg(long)]
    send_unsent: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: Restore) -> anyhow::Result<ExitCode> {
    let data = directory(&command);
    // Nobody waits for a large backup to be read only to hear that there is no place for it.
    let obstacle = data.as_ref().ok().and_then(|data| backups::refuse_what_is_there(data).err());
    if !command.dry_run {
        let data = data?;
        if let Some(obstacle) = obstacle {
            return Err(obstacle);
        }
        return restore(command, data).await;
    }
    let (backup, json) = (command.backup.clone(), command.json);
    let inside = with_bar(command, backups::verify).await?;
    let obstacle = obstacle.as_ref().map(crate::chain);
    if json {
        let data = data.as_ref().ok().map(|data| data.display().to_string());
        let answer = json!({
            "backup": backup, "encryption": inside.encryption, "manifest": inside.manifest,
            "data": data, "obstacle": obstacle,
        });
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        show(&inside);
        would(data.as_ref().ok().map(PathBuf::as_path), obstacle.as_deref());
    }
    Ok(ExitCode::from(u8::from(obstacle.is_some())))
}

async fn restore(command: Restore, data: PathBuf) -> anyhow::Result<ExitCode> {
    let (json, sends) = (command.json, command.send_unsent);
    let into = data.clone();
    let founded = with_bar(command, move |wish, progress| backups::restore(wish, &into, progress)).await?;
    if json {
        let answer = json!({
            "data": data.display().to_string(), "cluster": founded.cluster, "node": founded.node,
            "encryption": founded.inside.encryption, "manifest": founded.inside.manifest,
        });
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    show(&founded.inside);
    let unsent = founded.inside.manifest.contents.deliveries_open;
    let what = if sends { "will be sent, and said to be possibly double" } else { "are given up" };
    if unsent > 0 {
        anstream::println!("  messages    {unsent} that were still to be sent {what}");
    }
    anstream::println!(
        "\nRestored into {BOLD}{}{BOLD:#} as cluster {} with the one node {}.",
        data.display(),
        founded.cluster,
        founded.node
    );
    if rustix::process::geteuid().is_root() {
        anstream::println!("{DIM}It belongs to root; give it to the user that runs the server.{DIM:#}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Does the work on a thread of its own, and shows how far it is.
async fn with_bar<T: Send + 'static>(
    command: Restore,
    work: impl FnOnce(&RestoreWish<'_>, &Progress) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let progress = Arc::new(Progress::default());
    let bar = backup::bar(command.json);
    let shown = Arc::clone(&progress);
    let worker = tokio::task::spawn_blocking(move || {
        let keys = keys(&command)?;
        let actor = std::env::var("USER").unwrap_or_else(|_| "command line".to_owned());
        let unsent = if command.send_unsent { Unsent::Sent } else { Unsent::GivenUp };
        work(&RestoreWish { backup: &command.backup, keys: &keys, actor: &actor, unsent }, &progress)
    });
    let mut worker = std::pin::pin!(worker);
    loop {
        tokio::select! {
            done = worker.as_mut() => {
                bar.finish_and_clear();
                return done?;
            }
            () = tokio::time::sleep(LOOK_EVERY) => {
                let (phase, done, total) = shown.get();
                backup::show(&bar, phase.name(), done, total);
            }
        }
    }
}

fn directory(command: &Restore) -> anyhow::Result<PathBuf> {
    if let Some(data) = &command.data {
        return std::path::absolute(data).context("cannot find the current directory");
    }
    let path = &command.path.config;
    match files::load(path) {
        Ok(loaded) => Ok(files::data_directory(path, &loaded.node.data)),
        Err(LoadError::Wrong(mistakes)) => Err(anyhow!("{mistakes}")),
        Err(LoadError::Unreadable(error)) => Err(error.context("name the data directory with --data")),
    }
}

fn keys(command: &Restore) -> anyhow::Result<Keys> {
    let mut keys = Keys::default();
    if let Some(path) = &command.passphrase_file {
        keys = keys.with_passphrase(first_line(path)?);
    }
    if let Some(path) = &command.identity_file {
        keys = keys.with_identities(path)?;
    }
    Ok(keys)
}

fn show(inside: &Inside) {
    let manifest = &inside.manifest;
    let contents = &manifest.contents;
    let encryption = match inside.encryption {
        "none" => "not encrypted",
        "passphrase" => "encrypted with a passphrase",
        _ => "encrypted for recipients",
    };
    anstream::println!(
        "{BOLD}{}{BOLD:#}, backed up {} {DIM}by Mainstay {} (format {}), {encryption}{DIM:#}",
        contents.page,
        manifest.made,
        manifest.mainstay,
        manifest.format
    );
    anstream::println!("  cluster     {}, by its node {}", manifest.cluster, manifest.node);
    anstream::println!("  state       everything up to entry {} of {}", manifest.index, manifest.stamp);
    anstream::println!("  services    {} with {} checks", contents.services, contents.checks);
    anstream::println!("  incidents   {}, {} of them open", contents.incidents, contents.incidents_open);
    let history = manifest.history();
    anstream::println!(
        "  results     {} rounds judged; the history has {} in {} files",
        contents.results,
        HumanBytes(history.iter().map(|part| part.bytes).sum()),
        history.len()
    );
    for span in &manifest.lacks {
        anstream::println!(
            "  lacks       results from {} to {}, which its node had not got from the others yet",
            span.from,
            span.upto
        );
    }
    anstream::println!("  verified    {}, every part matches its checksum", HumanBytes(manifest.bytes()));
}

fn would(data: Option<&Path>, obstacle: Option<&str>) {
    match (data, obstacle) {
        (_, Some(obstacle)) => anstream::println!("\nIt would not be restored: {obstacle}"),
        (Some(data), None) => anstream::println!(
            "\nIt would be restored into {BOLD}{}{BOLD:#} as a new cluster with one node; nothing was changed.",
            data.display()
        ),
        (None, None) => anstream::println!("\nNothing was changed; --data names where it is restored to."),
    }
}
