//! A Redis server without persistence.

use super::{Daemon, directory, free_port, program};
use rustix::process::Signal;
use std::process::Command;
use tempfile::TempDir;

/// A running server.
pub(crate) struct Redis {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    _directory: TempDir,
    _daemon: Daemon,
}

/// Starts a server with further options, as in `&["--requirepass", "x"]`.
pub(crate) fn start(options: &[&str]) -> Option<Redis> {
    let redis = program("/usr/bin/redis-server")?;
    let (directory, port) = (directory(), free_port());
    let log = directory.path().join("log");
    let mut command = Command::new(redis);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(directory.path());
    let mut daemon = Daemon::start(command.args(options), Signal::TERM, &log);
    daemon.wait_for_port(port, &log);
    Some(Redis { port, _directory: directory, _daemon: daemon })
}
