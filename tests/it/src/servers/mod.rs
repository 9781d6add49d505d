//! Real servers of Debian, and one from PyPI, one file each.
//!
//! All start the same way ([`Server::start`]): a new directory, a free port, a
//! configuration written there, the program in the foreground, and a wait until
//! it accepts. A port that somebody else took meanwhile is answered by another
//! try, because on a busy machine that happens.

mod named;
mod nginx;
mod postfix;
mod postgres;
mod redis;
mod s3;
mod sshd;

pub use named::Named;
pub use nginx::Nginx;
pub use postfix::Postfix;
pub use postgres::Postgres;
pub use redis::Redis;
pub use s3::{BUCKET, S3};
pub use sshd::Sshd;

use crate::process::Process;
use crate::wait;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Slow machines under load take seconds to start PostgreSQL or Postfix.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Killed processes are gone within milliseconds, on a busy machine too.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How often another port is tried.
const TRIES: usize = 4;

/// A server that was started in a directory of its own.
#[derive(Debug)]
pub struct Server {
    process: Option<Process>,
    address: SocketAddr,
    directory: TempDir,
    prepare: fn(&Path, SocketAddr) -> Command,
    is_ready: fn(SocketAddr) -> bool,
}

impl Server {
    /// Writes a configuration with `prepare`, starts what it returns and waits
    /// until the address accepts connections.
    ///
    /// # Panics
    /// It does not start; the message has the end of its log.
    fn start(prepare: fn(&Path, SocketAddr) -> Command) -> Self {
        Self::start_until(prepare, wait::accepts)
    }

    /// As [`Server::start`], for a server that accepts before it is ready.
    fn start_until(prepare: fn(&Path, SocketAddr) -> Command, is_ready: fn(SocketAddr) -> bool) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), prepare, is_ready)
    }

    /// As [`Server::start_until`], at another address of the place where the caller is.
    fn start_at(ip: IpAddr, prepare: fn(&Path, SocketAddr) -> Command, is_ready: fn(SocketAddr) -> bool) -> Self {
        let mut log = String::new();
        for _ in 0..TRIES {
            let directory = tempfile::tempdir().expect("a temporary directory");
            // Servers leave root's rights behind and must still enter.
            open_to_all(directory.path());
            let mut server = Self { process: None, address: wait::free_address_at(ip), directory, prepare, is_ready };
            match server.launch() {
                Ok(()) => return server,
                Err(text) => log = text,
            }
        }
        panic!("the server did not start; its log ends:\n{log}");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Turns it off at once, as a power cut would.
    ///
    /// # Panics
    /// Something still accepts connections there.
    pub fn turn_off(&mut self) {
        self.process = None;
        // Workers die with their master, but we are not their parent and
        // cannot wait for them; one of them may hold the socket a moment longer.
        wait::expect("the port to close", STOP_TIMEOUT, || (!wait::accepts(self.address)).then_some(()));
    }

    /// Turns it on again, at the same address and with the same files.
    ///
    /// # Panics
    /// It does not start; the message has the end of its log.
    pub fn turn_on(&mut self) {
        if self.process.is_none() {
            self.launch().unwrap_or_else(|log| panic!("the server did not start again; its log ends:\n{log}"));
        }
    }

    /// All that it printed.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    fn launch(&mut self) -> Result<(), String> {
        let mut command = (self.prepare)(self.directory.path(), self.address);
        let mut process = Process::start(&mut command, &self.directory.path().join("log"));
        let is_up = wait::until(START_TIMEOUT, || match process.ended() {
            Some(_) => Some(false),
            None => (self.is_ready)(self.address).then_some(true),
        });
        // Somebody else may be the one who accepts there.
        if is_up == Some(true) && process.ended().is_none() {
            self.process = Some(process);
            return Ok(());
        }
        Err(process.log_tail())
    }
}

fn open_to_all(directory: &Path) {
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).expect("the directory is ours");
}

/// Writes a file of a server's directory.
fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).expect("the directory is ours");
}

/// Runs a program that prepares something and must succeed.
fn prepare_with(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Returns where a program is that the test has asked for already.
fn program(name: &str) -> std::path::PathBuf {
    crate::program::require(name).expect("asked for before the server was started")
}
