//! The engine alone, as `crates/probe/examples/rate.rs` measures it, and the
//! programs it is compared with: each returns what one second of processor
//! time is good for.

use super::machine::used_by_ended;
use super::program::{Core, on, output};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Length of one run.
pub(crate) const RUN_SECONDS: u64 = 4;

/// Checks for a second of processor time by the engine without log and history.
///
/// # Errors
/// A check does not pass.
pub(crate) fn checks_for_a_second(rate: &Path, url: &str, authority: Option<&Path>) -> Result<f64> {
    let mut command = on(Core::Measured, rate);
    command.args([url, &RUN_SECONDS.to_string(), "64"]);
    command.args(authority);
    let said = output(&mut command)?;
    let value = |name: &str| -> Result<f64> {
        let word = said.split_whitespace().find_map(|word| word.strip_prefix(name));
        word.and_then(|word| word.parse().ok()).with_context(|| format!("the engine said: {said}"))
    };
    if value("not_passed=")? > 0.0 {
        bail!("a check did not pass: {said}");
    }
    Ok(1e6 / value("cpu_us_per_check=")?)
}

/// Requests for a second of processor time by wrk, over a new connection each if wanted.
///
/// # Errors
/// wrk says something unexpected.
pub(crate) fn wrk(core: Core, url: &str, header: Option<&str>) -> Result<(f64, f64)> {
    let mut command = on(core, "wrk");
    command.args(["-t1", "-c64", &format!("-d{RUN_SECONDS}s")]);
    if let Some(header) = header {
        command.args(["-H", header]);
    }
    let (said, used) = used_while(command.arg(url))?;
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        bail!("wrk had errors: {said}");
    }
    let requests = said.lines().find_map(|line| line.split_once(" requests in ")?.0.trim().parse::<f64>().ok());
    let requests = requests.with_context(|| format!("wrk said: {said}"))?;
    Ok((requests / used, requests))
}

/// Handshakes for a second of processor time by `openssl s_time`, four at a
/// time, so that it never waits.
///
/// # Errors
/// It says something unexpected.
pub(crate) fn s_time(port: u16, root: &Path) -> Result<f64> {
    const PROCESSES: usize = 4;
    let address = format!("127.0.0.1:{port}");
    let before = used_by_ended()?;
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            // Without a CA file it searches a directory in every handshake and is slower.
            let mut command = on(Core::Measured, "openssl");
            command.args(["s_time", "-new", "-verify", "5", "-connect", &address, "-time", &RUN_SECONDS.to_string()]);
            command.arg("-CAfile").arg(root).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
            command.spawn()
        })
        .collect::<std::io::Result<_>>()?;
    let mut handshakes = 0.0;
    for child in children {
        let said = String::from_utf8_lossy(&child.wait_with_output()?.stdout).into_owned();
        // "3329 connections in 2.99s; …", and the same again in real seconds.
        let count = said.lines().find_map(|line| line.split_once(" connections in ")?.0.trim().parse::<f64>().ok());
        handshakes += count.with_context(|| format!("s_time said: {said}"))?;
    }
    Ok(handshakes / (used_by_ended()? - before))
}

/// Runs a command to its end; returns its words and the processor time it took.
///
/// # Errors
/// It cannot be started.
pub(crate) fn used_while(command: &mut Command) -> Result<(String, f64)> {
    let before = used_by_ended()?;
    let said = output(command)?;
    Ok((said, used_by_ended()? - before))
}
