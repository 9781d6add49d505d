//! Mainstay's front door: the command line, and the loops that join the rooms.
//!
//! `command` holds one file for each thing that can be asked for, `serve` the
//! loops of a running node. Nothing is decided here: the loops carry what the
//! hands saw to the log, and what the machine decided to the hands.
//!
//! Exit codes: 0 done; 1 it did not work (what was probed or asked about is
//! not well, or an operation failed); 2 the command line or the configuration
//! is wrong.

mod backup;
mod client;
mod command;
mod discover;
mod files;
mod paint;
mod serve;

use clap::Parser;
use std::process::ExitCode;

/// jemalloc gives memory back after a burst and does not fragment with a
/// hundred thousand small checks; glibc's allocator kept twice as much.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = command::Arguments::parse();
    match command::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            let style = paint::of(model::verdict::ServiceStatus::Down);
            anstream::eprintln!("{style}error{style:#}: {}", chain(&error));
            ExitCode::from(1)
        }
    }
}

/// An error with its causes, each once.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
