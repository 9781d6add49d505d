//! A program that was started, with its whole process group and its output.

use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// How much of a log a failed test shows.
const LOG_LINES_SHOWN: usize = 60;
/// How often, and with which rest, a program that is busy is tried again.
const BUSY_TRIES: usize = 100;
const BUSY_REST: Duration = Duration::from_millis(20);

/// A running program. Dropped, its process group is killed and waited for.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program in a process group of its own; what it prints is
    /// appended to the file `log`.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let open = || File::options().create(true).append(true).open(log).expect("the log's directory is ours");
        command.process_group(0).stdin(Stdio::null()).stdout(open()).stderr(open());
        for _ in 0..BUSY_TRIES {
            match command.spawn() {
                Ok(child) => return Self { child, log: log.to_owned() },
                // A program that was copied just now is busy as long as the child of
                // another test holds the copy open: from its fork to its exec.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => sleep(BUSY_REST),
                Err(error) => panic!("cannot start {command:?}: {error}"),
            }
        }
        panic!("cannot start {command:?}: it stays busy")
    }

    /// Its process id, which is also that of its group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns how it ended, or `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Sends a signal to the whole group. Nothing happens if it is gone.
    pub fn signal(&self, signal: Signal) {
        // A group that is gone is no error: it did what was wanted.
        let _ = kill_process_group(self.group(), signal);
    }

    /// Kills the group at once, as a power cut would, and waits for its end.
    pub fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("our own child");
    }

    /// Asks the group to end and waits for it.
    ///
    /// # Panics
    /// It did not end within the bound; it is killed then.
    pub fn stop(&mut self, bound: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        match crate::wait::until(bound, || self.ended()) {
            Some(status) => status,
            None => {
                let log = self.log_tail();
                self.kill9();
                panic!("still running {} s after it was asked to end; its log ends:\n{log}", bound.as_secs());
            }
        }
    }

    /// The last lines it printed.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    /// All that it printed.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}
