//! The binaries that are measured: release builds, one after the other.

use super::Which;
use crate::process::{cargo, read, run};
use crate::workspace::root;
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Where the binaries are.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    /// Mainstay itself.
    pub(crate) mainstay: PathBuf,
    /// The engine's rate alone.
    pub(crate) rate: PathBuf,
    /// Echoes to many targets.
    pub(crate) icmp_rate: PathBuf,
    /// The size of results.
    pub(crate) size: PathBuf,
}

/// Builds what the benches need. Cargo decides what is fresh.
///
/// # Errors
/// A build fails, or it is missing and may not be built.
pub(crate) fn binaries(which: &[Which], no_build: bool) -> Result<Binaries> {
    let release = root()?.join("target/release");
    let example = |name: &str| release.join("examples").join(name);
    let binaries = Binaries {
        mainstay: release.join("mainstay"),
        rate: example("rate"),
        icmp_rate: example("icmp_rate"),
        size: example("size"),
    };
    let uses = |some: &[Which]| which.iter().any(|one| some.contains(one));
    let wanted: [(bool, &PathBuf, &[&str]); 4] = [
        (
            uses(&[Which::Http, Which::Https, Which::Start, Which::Load, Which::Down, Which::Cluster]),
            &binaries.mainstay,
            &["mainstay"],
        ),
        (uses(&[Which::Http, Which::Https]), &binaries.rate, &["probe", "--example", "rate"]),
        (uses(&[Which::Icmp]), &binaries.icmp_rate, &["probe", "--example", "icmp_rate"]),
        (uses(&[Which::Disk]), &binaries.size, &["history", "--example", "size"]),
    ];
    for (_, path, package) in wanted.into_iter().filter(|(is_wanted, _, _)| *is_wanted) {
        if !no_build {
            run(cargo(&["build", "--release", "--package"])?.args(package))?;
        } else if !path.exists() {
            bail!("{} is not built; leave out --no-build", path.display());
        }
    }
    Ok(binaries)
}

/// The time, as it stands in reports.
///
/// # Errors
/// There is no `date`.
pub(crate) fn now() -> Result<String> {
    Ok(read(Command::new("date").args(["--utc", "+%Y-%m-%dT%H:%M:%SZ"]))?.trim().to_owned())
}
