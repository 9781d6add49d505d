//! Numbers of this process, under the names Prometheus clients give them.

use super::text::{Kind, single};
use std::fs;
use std::io::{self, Write};

/// Ticks of /proc/self/stat in a second; Linux shows 100 to programs whatever the kernel's own rate (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;
/// Position of fields of /proc/self/stat after the name in brackets, which may hold spaces.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const START_TICKS: usize = 19;

/// Writes what /proc tells; what cannot be read is left out.
pub(super) fn write(out: &mut dyn Write) -> io::Result<()> {
    if let Some(bytes) = resident_bytes() {
        single(out, "process_resident_memory_bytes", Kind::Gauge, "Resident memory.", bytes)?;
    }
    if let Some([user, system, start]) = ticks() {
        let cpu = (user + system) / TICKS_PER_SECOND;
        single(out, "process_cpu_seconds_total", Kind::Counter, "Processor time used.", cpu)?;
        if let Some(boot) = boot_seconds() {
            let start = boot + start / TICKS_PER_SECOND;
            single(out, "process_start_time_seconds", Kind::Gauge, "When the process was started.", start)?;
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        single(out, "process_open_fds", Kind::Gauge, "Open file descriptors.", open.count())?;
    }
    Ok(())
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some(kilobytes.parse::<u64>().ok()? * 1024)
}

fn ticks() -> Option<[f64; 3]> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some([field(USER_TICKS)?, field(SYSTEM_TICKS)?, field(START_TICKS)?])
}

fn boot_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
