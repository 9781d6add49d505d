//! `mainstay config …`: what is wrong with a configuration, and what may stand in one.

use super::ConfigurationPath;
use crate::files::{self, LoadError};
use crate::paint::{BOLD, DIM};
use ::config::{Colour, Mistake};
use clap::{Args, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Report every mistake; exit 0 if there is none, 2 otherwise
    Check(Check),
    /// Print the JSON schema, for editors
    Schema,
    /// Print the reference of all keys, in Markdown
    Reference,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    path: ConfigurationPath,
    /// Report in JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Config) -> anyhow::Result<ExitCode> {
    match command {
        Config::Check(command) => check(&command),
        Config::Schema => {
            print!("{}", ::config::schema());
            Ok(ExitCode::SUCCESS)
        }
        Config::Reference => {
            print!("{}", ::config::reference());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(command: &Check) -> anyhow::Result<ExitCode> {
    match files::load(&command.path.config) {
        Ok(loaded) => {
            let checks = loaded.configuration.checks().count();
            if command.json {
                let warnings: Vec<_> = loaded.warnings.iter().map(as_json).collect();
                println!(
                    "{}",
                    serde_json::json!({ "ok": true, "checks": checks, "services": loaded.configuration.services.len(), "mistakes": [], "warnings": warnings })
                );
            } else {
                for warning in &loaded.warnings {
                    anstream::println!("{}:{}: {}", warning.file, warning.line, warning.message);
                }
                anstream::println!(
                    "{BOLD}{}{BOLD:#} is right: {} services, {checks} checks, {} receivers",
                    command.path.config.display(),
                    loaded.configuration.services.len(),
                    loaded.configuration.receivers.len()
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(LoadError::Wrong(mistakes)) => {
            if command.json {
                let found: Vec<_> = mistakes.list().iter().map(as_json).collect();
                println!("{}", serde_json::json!({ "ok": false, "mistakes": found }));
            } else {
                anstream::eprint!("{}", mistakes.render(Colour::Always));
                anstream::eprintln!("{DIM}The configuration that is running, if any, stays as it is.{DIM:#}");
            }
            Ok(ExitCode::from(2))
        }
        Err(LoadError::Unreadable(error)) => {
            anstream::eprintln!("error: {error:#}");
            Ok(ExitCode::from(2))
        }
    }
}

fn as_json(mistake: &Mistake) -> serde_json::Value {
    serde_json::json!({
        "file": mistake.file, "line": mistake.line, "column": mistake.column, "path": mistake.path,
        "code": mistake.code.name(), "message": mistake.message, "allowed": mistake.allowed,
    })
}
