//! Installs the Debian packages that tests and figures use.
//!
//! **Starts no service**: the tests start their own servers in directories of
//! their own; a second nginx on port 80 would only be in the way. Where it
//! cannot install, it says what is missing and goes on, because then the tests
//! that need it are skipped and the others are still worth running.

use crate::process::{is_on_path, run as run_command};
use anyhow::{Context, Result};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// What the tests use, in the order of the rooms that need it.
const PACKAGES: [&str; 25] = [
    // Servers that the checks look at.
    "nginx-light",
    "postfix",
    "dovecot-core",
    "dovecot-imapd",
    "dovecot-pop3d",
    "openssh-server",
    "redis-server",
    "postgresql",
    "bind9",
    "bind9-dnsutils",
    // Plugins that run unchanged.
    "monitoring-plugins-basic",
    "monitoring-plugins-standard",
    // What the figures are compared with.
    "wrk",
    "fping",
    "prometheus-blackbox-exporter",
    // A real browser, and independent implementations from PyPI.
    "chromium",
    "chromium-driver",
    "python3-venv",
    // Network namespaces and process lists.
    "iproute2",
    "procps",
    "curl",
    // Other programs that open our backups.
    "age",
    "zstd",
    // Changes the log from outside.
    "sqlite3",
    // A wall clock that jumps for one program only.
    "faketime",
];

/// Asked by Debian's packages whether a service may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing, or says what cannot be installed.
///
/// # Errors
/// `apt-get` itself fails.
pub(crate) fn run() -> Result<()> {
    let missing = missing_packages();
    if missing.is_empty() {
        println!("all {} packages are installed", PACKAGES.len());
        return Ok(());
    }
    if !is_on_path("apt-get") || !is_root() {
        println!("not installed: {}", missing.join(" "));
        println!("install them as root on Debian; until then the tests that need them are skipped");
        return Ok(());
    }
    let _guard = NoServiceStarts::begin()?;
    println!("installing {}", missing.join(" "));
    run_command(apt_get().args(["update", "--quiet"]))?;
    run_command(apt_get().args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(&missing))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    // RUNLEVEL=1 has the same meaning as the policy file on systems without
    // systemd, and costs nothing elsewhere.
    command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").stdin(Stdio::null());
    command
}

fn missing_packages() -> Vec<&'static str> {
    PACKAGES.into_iter().filter(|package| !is_installed(package)).collect()
}

fn is_installed(package: &str) -> bool {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| output.stdout == b"installed")
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// While it lives, installing a package starts no service.
struct NoServiceStarts {
    is_ours: bool,
}

impl NoServiceStarts {
    /// Leaves a policy that is there alone: container images bring one that
    /// says the same.
    fn begin() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { is_ours: false });
        }
        // 101 is "action not allowed", from Debian's policy layer for invoke-rc.d.
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { is_ours: true })
    }
}

impl Drop for NoServiceStarts {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = std::fs::remove_file(POLICY)
        {
            eprintln!("cannot remove {POLICY}, services will not start by themselves: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_does_not_exist_is_not_installed() {
        assert!(!is_installed("mainstay-has-no-such-package"));
    }

    #[test]
    fn no_package_is_named_twice() {
        let mut names = PACKAGES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PACKAGES.len());
    }
}
