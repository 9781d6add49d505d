//! The machine: what it is, who uses its processors, and how much one program used.

use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Ticks of a second in /proc, whatever the kernel's own rate (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;
/// Fields of /proc/PID/stat after the name in brackets, which may hold spaces.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const CHILDREN_USER_TICKS: usize = 13;
const CHILDREN_SYSTEM_TICKS: usize = 14;

/// Where it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
}

impl Machine {
    /// This machine.
    pub(crate) fn this() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kilobytes = after(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Self {
            processor: after(&cpu, "model name").unwrap_or_else(|| "unknown processor".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kilobytes.unwrap_or(0) / 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory_mib, kernel } = self;
        write!(f, "{processor}, {cores} cores, {memory_mib} MiB, Linux {kernel}")
    }
}

/// Seconds of processor time that a running process used so far, its ended threads included.
///
/// # Errors
/// There is no such process.
pub(crate) fn used_by(pid: u32) -> Result<f64> {
    let ticks = fields(&format!("/proc/{pid}/stat"))?;
    Ok((ticks(USER_TICKS) + ticks(SYSTEM_TICKS)) / TICKS_PER_SECOND)
}

/// Seconds used by all processes of ours that have ended and were waited for.
///
/// # Errors
/// /proc cannot be read.
pub(crate) fn used_by_ended() -> Result<f64> {
    let ticks = fields("/proc/self/stat")?;
    Ok((ticks(CHILDREN_USER_TICKS) + ticks(CHILDREN_SYSTEM_TICKS)) / TICKS_PER_SECOND)
}

fn fields(path: &str) -> Result<impl Fn(usize) -> f64 + use<>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let rest = text.rsplit_once(')').context("a stat file without a name")?.1;
    let fields: Vec<f64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    Ok(move |at: usize| fields.get(at).copied().unwrap_or(0.0))
}

/// Seconds that each kind of thread of a process used so far; threads with
/// numbers in their names are one kind.
pub(crate) fn used_by_threads(pid: u32) -> BTreeMap<String, f64> {
    let mut used = BTreeMap::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        let path = task.path();
        // A thread may end while it is looked at.
        let (Ok(name), Ok(ticks)) =
            (fs::read_to_string(path.join("comm")), fields(&path.join("stat").display().to_string()))
        else {
            continue;
        };
        let kind = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned();
        *used.entry(kind).or_insert(0.0) += (ticks(USER_TICKS) + ticks(SYSTEM_TICKS)) / TICKS_PER_SECOND;
    }
    used
}

/// Resident bytes of a process.
///
/// # Errors
/// There is no such process.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")?;
    Ok(kilobytes * 1024)
}

/// Seconds that all processors were busy since the machine started.
pub(crate) fn busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    // User, nice, system, then idle and waiting, then interrupts and stolen time.
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    let all: f64 = ticks.iter().take(8).sum();
    (all - idle) / TICKS_PER_SECOND
}

/// The wall clock, since 1970.
pub(crate) fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_use_grows_and_our_memory_is_not_nothing() {
        let before = used_by(std::process::id()).unwrap();
        let mut sum = 0u64;
        while used_by(std::process::id()).unwrap() - before < 0.02 {
            sum = (0..100_000u64).fold(sum, |sum, number| sum.wrapping_mul(31).wrapping_add(number));
        }
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000, "{sum}");
        assert!(busy() > 0.0);
        assert!(!used_by_threads(std::process::id()).is_empty());
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(used_by(u32::MAX).is_err());
        assert!(resident_bytes(u32::MAX).is_err());
    }
}
