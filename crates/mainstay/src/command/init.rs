//! `mainstay init`: a first configuration from what listens here.

use super::ConfigurationPath;
use crate::discover::{Discovery, discover};
use crate::paint::{BOLD, DIM};
use anyhow::{Context, bail};
use clap::Args;
use config::write_initial;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Ports of Mainstay itself, which a first configuration does not watch.
const OWN_PORTS: [u16; 2] = [8480, 8481];

#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    path: ConfigurationPath,
    /// Print the configuration instead of writing it
    #[arg(long)]
    print: bool,
}

pub(crate) async fn run(command: Init) -> anyhow::Result<ExitCode> {
    if command.print {
        let discovery = discover(&OWN_PORTS).await;
        anstream::print!("{}", write_initial(&discovery.found));
        return Ok(ExitCode::SUCCESS);
    }
    initialise(&command.path.config).await?;
    anstream::println!("\nNext: {BOLD}mainstay serve{BOLD:#}, then open http://127.0.0.1:8480/");
    Ok(ExitCode::SUCCESS)
}

/// Writes a first configuration and says what was found. An existing file is never overwritten.
pub(crate) async fn initialise(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        bail!(
            "{} exists already; it is not overwritten. Use --print to see what would be written, or --config for another path",
            path.display()
        );
    }
    let discovery = discover(&OWN_PORTS).await;
    report(&discovery);
    let text = write_initial(&discovery.found);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .with_context(|| format!("cannot write the configuration {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write the configuration {}", path.display()))?;
    file.sync_all()?;
    anstream::println!("Wrote {BOLD}{}{BOLD:#}", path.display());
    Ok(())
}

fn report(discovery: &Discovery) {
    if discovery.found.is_empty() {
        anstream::println!(
            "Nothing listens on this machine that could be watched; the configuration watches Mainstay itself and shows how to go on."
        );
    } else {
        anstream::println!("Found on this machine:");
    }
    for found in &discovery.found {
        let process = found.process.as_deref().unwrap_or("?");
        anstream::println!("  {BOLD}{:<24}{BOLD:#} {:<32} {DIM}{process}{DIM:#}", found.address, found.name);
    }
    for (listener, why) in &discovery.left_out {
        anstream::println!("  {DIM}{:<24} left out: {why}{DIM:#}", listener.address_text());
    }
}
