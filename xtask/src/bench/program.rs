//! Other programs: pinned to a processor, stopped when they are no longer needed.

use super::machine;
use crate::process::is_on_path;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to stop by itself.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// Which processor a program may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    /// The one of what is measured.
    Measured,
    /// The one of everything else.
    Other,
    /// All of them.
    Any,
}

/// A command that will run on a processor.
pub(crate) fn on(core: Core, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let number = match core {
        Core::Measured => "0",
        Core::Other => "1",
        Core::Any => return Command::new(program),
    };
    let mut command = Command::new("taskset");
    command.args(["-c", number]).arg(program);
    command
}

/// Fails with what to do if one of the programs is missing.
///
/// # Errors
/// One is missing.
pub(crate) fn need(programs: &[&str]) -> Result<()> {
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !is_on_path(program)).collect();
    if !missing.is_empty() {
        bail!("not installed: {}; `cargo xtask setup` installs them on Debian", missing.join(", "));
    }
    Ok(())
}

/// Runs a program to its end and returns what it printed, both ways.
///
/// # Errors
/// It cannot be started. That it failed is only told by its output, because
/// fping fails when one echo of thousands is lost.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))?;
    Ok(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

/// A running program; it is stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    name: String,
}

impl Program {
    /// Starts a program whose output goes to a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name: name.to_owned() })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Seconds of processor time it used so far.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn used(&self) -> Result<f64> {
        machine::used_by(self.pid()).with_context(|| format!("{} has ended", self.name))
    }

    /// Halts it or lets it go on.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.id(), signal).with_context(|| format!("{} has ended", self.name))
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // What has ended already cannot be signalled, which is as good.
        let _ = kill_process(self.id(), Signal::CONT);
        let _ = kill_process(self.id(), Signal::TERM);
        let deadline = Instant::now() + STOPS_WITHIN;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody uses at this moment.
///
/// # Errors
/// There is none.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr())?.port())
}

/// Waits until somebody listens on a port of this machine.
///
/// # Errors
/// Nobody does in time.
pub(crate) fn wait_for_port(port: u16, within: Duration) -> Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let deadline = Instant::now() + within;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            bail!("nothing listens on port {port} after {} s", within.as_secs());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
