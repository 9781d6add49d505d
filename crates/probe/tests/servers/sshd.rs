//! OpenSSH's server with host keys of its own.

use super::{Daemon, directory, free_port, program, run, write};
use rustix::process::Signal;
use std::process::Command;
use tempfile::TempDir;

/// A running server.
pub(crate) struct Sshd {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    directory: TempDir,
    _daemon: Daemon,
}

/// Starts a server with keys of the given types (`ed25519`, `ecdsa`, `rsa`).
pub(crate) fn start(types: &[&str]) -> Option<Sshd> {
    start_with(types, "")
}

/// As [`start`], with further lines of configuration.
pub(crate) fn start_with(types: &[&str], lines: &str) -> Option<Sshd> {
    let sshd = program("/usr/sbin/sshd")?;
    let keygen = program("/usr/bin/ssh-keygen")?;
    let (directory, port) = (directory(), free_port());
    // Where sshd locks its unprivileged part in; packages make it at boot.
    let _ = std::fs::create_dir_all("/run/sshd");
    let mut config =
        format!("Port {port}\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no\n{lines}\n");
    for kind in types {
        let key = directory.path().join(kind);
        run(Command::new(&keygen).args(["-q", "-t", kind, "-N", "", "-f"]).arg(&key));
        config.push_str(&format!("HostKey {}\n", key.display()));
    }
    let config = write(directory.path(), "sshd_config", &config);
    let log = directory.path().join("log");
    let mut daemon = Daemon::start(Command::new(sshd).args(["-D", "-e", "-f"]).arg(config), Signal::TERM, &log);
    daemon.wait_for_port(port, &log);
    Some(Sshd { port, directory, _daemon: daemon })
}

impl Sshd {
    /// The fingerprint of a host key, as `ssh-keygen -l` prints it.
    pub(crate) fn fingerprint(&self, kind: &str) -> String {
        let public = self.directory.path().join(format!("{kind}.pub"));
        let output = Command::new("/usr/bin/ssh-keygen").arg("-lf").arg(public).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split(' ').nth(1).unwrap().to_owned()
    }
}
