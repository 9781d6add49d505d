//! Real servers of the distribution, each started for one test on free ports
//! in a directory of its own, and stopped when the test is over.
//!
//! A program that is missing skips the test, so that work goes on anywhere; with
//! the environment variable `CI` set it fails instead, so that nothing is
//! skipped where it counts.

pub(crate) mod certificates;
pub(crate) mod dovecot;
pub(crate) mod named;
pub(crate) mod postfix;
pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod sshd;

use rustix::process::{Pid, Signal, kill_process};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take to start on a machine that is busy with other tests.
const START_MAX: Duration = Duration::from_secs(30);
/// How long a server may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Returns the path of a program, or `None` after saying that the test is
/// skipped. Panics instead where `CI` is set.
pub(crate) fn program(path: &str) -> Option<PathBuf> {
    if Path::new(path).exists() {
        return Some(PathBuf::from(path));
    }
    skip(&format!("{path} is not installed"))
}

/// Says that a test is skipped, and why. Panics instead where `CI` is set.
pub(crate) fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{why}, and CI must not skip");
    println!("skipped: {why}");
    None
}

/// Whether this process is root, which some servers need to start.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A TCP port that was free a moment ago. Servers cannot be handed a bound
/// socket, so another process could take it; with ephemeral ports that is rare.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A directory that other users may enter: servers give up their privileges.
pub(crate) fn directory() -> TempDir {
    let directory = tempfile::Builder::new().prefix("mainstay-test-").tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Writes a file and returns its path.
pub(crate) fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Runs a program to its end; panics with its output if it fails.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

/// A running server.
pub(crate) struct Daemon {
    child: Child,
    stop: Signal,
}

impl Daemon {
    /// Starts a program that stays in the foreground; `stop` ends it.
    pub(crate) fn start(command: &mut Command, stop: Signal, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { child: command.process_group(0).spawn().unwrap(), stop }
    }

    /// Waits until a TCP port takes connections; panics with the log if the
    /// server ends first or takes too long.
    pub(crate) fn wait_for_port(&mut self, port: u16, log: &Path) {
        self.wait_until(log, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    /// Waits until something holds.
    pub(crate) fn wait_until(&mut self, log: &Path, mut holds: impl FnMut() -> bool) {
        let started = Instant::now();
        while !holds() {
            let said = || std::fs::read_to_string(log).unwrap_or_default();
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", said());
            }
            assert!(started.elapsed() < START_MAX, "the server did not start: {}", said());
            std::thread::sleep(PAUSE);
        }
    }

    fn id(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(id) = self.id() {
            let _ = kill_process(id, self.stop);
        }
        let started = Instant::now();
        while started.elapsed() < STOP_MAX {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
