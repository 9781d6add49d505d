//! `mainstay watch`: every decision as it is made.

use super::Asking;
use super::why::show;
use crate::client::Client;
use crate::paint::DIM;
use clap::Args;
use http_body_util::BodyExt;
use std::process::ExitCode;
use web::api;

/// Bytes of one event that are kept while it is incomplete.
const EVENT_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    asking: Asking,
}

pub(crate) async fn run(command: Watch) -> anyhow::Result<ExitCode> {
    let client = Client::new(&command.asking)?;
    let mut body = client.stream("/api/v1/events").await?;
    if !command.asking.json {
        anstream::eprintln!("{DIM}watching; Ctrl-C ends{DIM:#}");
    }
    let mut waiting: Vec<u8> = Vec::new();
    loop {
        tokio::select! {
            frame = body.frame() => {
                let Some(frame) = frame else { break };
                if let Ok(data) = frame?.into_data() {
                    waiting.extend_from_slice(&data);
                }
                print_lines(&mut waiting, command.asking.json);
                if waiting.len() > EVENT_BYTES_MAX {
                    waiting.clear();
                }
            }
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
    anyhow::bail!("the server has ended the stream")
}

/// Prints the complete lines that hold an event.
fn print_lines(waiting: &mut Vec<u8>, in_json: bool) {
    while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = waiting.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line);
        let Some(event) = line.strip_prefix("data:") else {
            continue;
        };
        let event = event.trim();
        if in_json {
            println!("{event}");
        } else if let Ok(decision) = serde_json::from_str::<api::Decision>(event) {
            show(&decision);
        }
    }
}
