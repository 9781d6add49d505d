//! The plugin check: runs a program that follows the Nagios plugin contract.
//!
//! Exit code 0 is good, 1 a warning (degraded), 2 critical (failed) and 3
//! unknown. Unknown is the plugin's word for "I could not look", so it counts
//! as an error of our own, and so does every breach of the contract: a program
//! that is missing, dies of a signal or exits with another code says nothing
//! about the target. A plugin that does not end in time is the exception: it
//! nearly always waits for the target.
//!
//! The program runs without a shell, in a process group of its own, with an
//! empty environment but for PATH, LANG and what the check gives. **When the
//! round is over the whole group is gone, whatever the program started.**
//! It deliberately does not cut the program's privileges: it runs as we do.

mod output;

use crate::round::{Round, Stage, Trouble, printable};
use crate::{PrepareError, Prober};
use model::check::PluginCheck;
use model::limits::{EXCERPT_BYTES_MAX, OUTPUT_BYTES_MAX};
use model::observation::Cause;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// Bytes kept of the error output: enough for the last words of an interpreter.
const ERROR_OUTPUT_BYTES_MAX: usize = 4096;
/// How long output is still read after the program ended: a process it left
/// behind may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_millis(100);
/// Where programs are found when nothing says otherwise; what login shells give.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A plugin check, ready to run.
pub(crate) struct PluginPlan {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl PluginPlan {
    /// Makes the check ready.
    pub(crate) fn prepare(_prober: &Prober, check: &PluginCheck) -> Result<Self, PrepareError> {
        let word = |text: &String, reason| PrepareError::Word { what: "the command", text: text.clone(), reason };
        let Some((program, arguments)) = check.command.split_first() else {
            return Err(word(&String::new(), "it is empty"));
        };
        if let Some(text) = check.command.iter().find(|text| text.contains('\0')) {
            return Err(word(text, "it holds a zero byte"));
        }
        let usable = |name: &str, value: &str| !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        if let Some((name, _)) = check.environment.iter().find(|(name, value)| !usable(name, value)) {
            return Err(PrepareError::Word {
                what: "the environment variable",
                text: name.clone(),
                reason: "a name must not be empty or hold '=', and no zero byte is possible",
            });
        }
        Ok(Self { program: program.clone(), arguments: arguments.to_vec(), environment: check.environment.clone() })
    }

    /// Runs the program once.
    pub(crate) async fn run(&self, _prober: &Prober, round: &mut Round) -> Result<(), Trouble> {
        round.target.clone_from(&self.program);
        round.stage = Stage::Running;
        let child = self.command().spawn().map_err(|e| Trouble::own(not_started(&self.program, &e)))?;
        let mut group = Group::of(&child);
        let ran = collect(child).await;
        group.end();
        let ran = ran.map_err(|e| Trouble::own(format!("cannot follow the program {}: {e}", self.program)))?;
        judge(&self.program, &ran, round)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH_DEFAULT.into()))
            .env("LANG", "C.UTF-8")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// What a program did.
struct Ran {
    status: ExitStatus,
    output: Vec<u8>,
    error_output: Vec<u8>,
}

/// A process group that is killed when the round ends or is abandoned.
struct Group {
    leader: Option<Pid>,
}

impl Group {
    /// The group that `child` leads.
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self { leader: id.and_then(Pid::from_raw) }
    }

    /// Kills what is left of the group. The number cannot have become another
    /// group's while a member lives, and an empty group is refused by the kernel.
    fn end(&mut self) {
        if let Some(leader) = self.leader.take() {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads all the program prints and waits for its end. Output beyond the limit
/// is read and dropped, so that the program does not hang on a full pipe.
async fn collect(mut child: Child) -> io::Result<Ran> {
    let (mut output, mut error_output) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let status = {
        let reading = async {
            tokio::join!(
                read_limited(stdout, &mut output, OUTPUT_BYTES_MAX),
                read_limited(stderr, &mut error_output, ERROR_OUTPUT_BYTES_MAX)
            )
        };
        tokio::pin!(reading);
        tokio::select! {
            _ = &mut reading => child.wait().await?,
            status = child.wait() => {
                let _ = tokio::time::timeout(DRAIN, reading).await;
                status?
            }
        }
    };
    Ok(Ran { status, output, error_output })
}

async fn read_limited(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>, limit: usize) {
    let Some(mut from) = from else { return };
    let mut piece = [0u8; 4096];
    // An error of a pipe means what its end means: nothing more will come.
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let room = limit - into.len();
        into.extend_from_slice(&piece[..length.min(room)]);
    }
}

fn not_started(program: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("the program {program} does not exist"),
        io::ErrorKind::PermissionDenied => format!("the program {program} is not executable by this user"),
        _ => format!("the program {program} cannot be run: {error}"),
    }
}

fn judge(program: &str, ran: &Ran, round: &mut Round) -> Result<(), Trouble> {
    let read = output::read(&ran.output);
    let shown = if ran.output.trim_ascii().is_empty() { &ran.error_output } else { &ran.output };
    round.evidence.excerpt = Some(printable(shown, EXCERPT_BYTES_MAX));
    round.evidence.performance = read.performance;
    let Some(code) = ran.status.code() else {
        let signal = ran.status.signal().unwrap_or_default();
        round.evidence.status = Some(format!("signal {signal}"));
        return Err(Trouble::own(format!("the program {program} was ended by signal {signal}")));
    };
    round.evidence.status = Some(format!("exit {code}"));
    let text = match (read.text, first_line(&ran.error_output)) {
        (Some(text), _) => text,
        (None, Some(error)) => format!("the program {program} exited with {code}: {error}"),
        (None, None) => format!("the program {program} exited with {code} and printed nothing"),
    };
    match code {
        0 => Ok(()),
        1 => {
            round.degrade(Cause::Plugin, || text);
            Ok(())
        }
        2 => Err(Trouble::fail(Cause::Plugin, text)),
        3 => Err(Trouble::own(text)),
        _ => Err(Trouble::own(format!("the program {program} exited with {code}, plugins exit with 0 to 3: {text}"))),
    }
}

fn first_line(bytes: &[u8]) -> Option<String> {
    let text = printable(bytes, ERROR_OUTPUT_BYTES_MAX);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Measured, ProberOptions};
    use model::check::{Family, LatencyLimits};
    use model::observation::Outcome;

    #[tokio::test]
    async fn the_exit_code_decides() {
        for (script, outcome, sentence) in [
            ("echo 'OK - fine | load=0.5;1;2'", Outcome::Pass, None),
            ("echo 'WARNING - slow'; exit 1", Outcome::Degraded, Some("WARNING - slow")),
            ("echo 'CRITICAL - gone'; exit 2", Outcome::Fail, Some("CRITICAL - gone")),
            ("echo 'UNKNOWN - no idea'; exit 3", Outcome::Own, Some("UNKNOWN - no idea")),
            ("exit 2", Outcome::Fail, Some("the program /bin/sh exited with 2 and printed nothing")),
            ("echo no module >&2; exit 2", Outcome::Fail, Some("the program /bin/sh exited with 2: no module")),
            ("echo hm; exit 7", Outcome::Own, Some("the program /bin/sh exited with 7, plugins exit with 0 to 3: hm")),
            ("kill -SEGV $$", Outcome::Own, Some("the program /bin/sh was ended by signal 11")),
        ] {
            let measured = run(&["/bin/sh", "-c", script], &[], Duration::from_secs(10)).await;
            assert_eq!(measured.outcome, outcome, "{script}");
            assert_eq!(measured.detail.failure.map(|f| f.sentence).as_deref(), sentence, "{script}");
        }
    }

    #[tokio::test]
    async fn performance_data_is_kept() {
        let measured = run(&["/bin/sh", "-c", "echo 'OK | a=1 b=2s'"], &[], Duration::from_secs(10)).await;
        assert_eq!(measured.detail.evidence.performance.as_deref(), Some("a=1 b=2s"));
        assert_eq!(measured.detail.evidence.status.as_deref(), Some("exit 0"));
    }

    #[tokio::test]
    async fn a_program_that_cannot_run_is_our_own_error() {
        for (program, sentence) in [
            ("/nonexistent/check_x", "the program /nonexistent/check_x does not exist"),
            ("/etc/passwd", "the program /etc/passwd is not executable by this user"),
        ] {
            let measured = run(&[program], &[], Duration::from_secs(10)).await;
            assert_eq!(measured.outcome, Outcome::Own);
            assert_eq!(measured.detail.failure.map(|f| f.sentence).as_deref(), Some(sentence));
        }
    }

    #[tokio::test]
    async fn the_environment_is_what_the_check_gives_and_no_more() {
        let script = "env | cut -d= -f1 | sort | tr '\\n' ' '; exit 2";
        let measured = run(&["/bin/sh", "-c", script], &[("COLOUR", "blue")], Duration::from_secs(10)).await;
        assert_eq!(measured.detail.failure.map(|f| f.sentence).as_deref(), Some("COLOUR LANG PATH PWD"));
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_fails_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("child");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let measured = run(&["/bin/sh", "-c", &script], &[], Duration::from_millis(500)).await;
        assert_eq!(measured.outcome, Outcome::Fail);
        let failure = measured.detail.failure.unwrap();
        assert_eq!(failure.sentence, "the program /bin/sh did not end within 500 ms");
        assert_eq!(failure.cause, Cause::Timeout);
        let child: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        assert!(is_gone_soon(child).await, "the program's own child survived");
    }

    #[tokio::test]
    async fn a_process_left_behind_does_not_hold_the_round_up() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("child");
        let script = format!("sleep 600 & echo $! > {}; echo OK", file.display());
        let measured = run(&["/bin/sh", "-c", &script], &[], Duration::from_secs(60)).await;
        assert_eq!(measured.outcome, Outcome::Pass);
        assert!(measured.latency_us < 30_000_000);
        let child: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        assert!(is_gone_soon(child).await, "the process left behind survived");
    }

    #[tokio::test]
    async fn endless_output_is_cut_and_does_not_block_the_program() {
        let script = "head -c 5000000 /dev/zero | tr '\\0' x; exit 2";
        let measured = run(&["/bin/sh", "-c", script], &[], Duration::from_secs(30)).await;
        assert_eq!(measured.outcome, Outcome::Fail);
        assert!(measured.detail.evidence.excerpt.unwrap().len() <= EXCERPT_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_plugin_of_the_distribution_runs_unchanged() {
        let plugin = "/usr/lib/nagios/plugins/check_dummy";
        if !std::path::Path::new(plugin).exists() {
            assert!(std::env::var_os("CI").is_none(), "{plugin} is not installed");
            println!("skipped: {plugin} is not installed");
            return;
        }
        let measured = run(&[plugin, "1", "as asked"], &[], Duration::from_secs(10)).await;
        assert_eq!(measured.outcome, Outcome::Degraded);
        assert_eq!(measured.detail.failure.unwrap().sentence, "WARNING: as asked");
    }

    async fn run(command: &[&str], environment: &[(&str, &str)], timeout: Duration) -> Measured {
        let prober = Prober::new(ProberOptions { allow_plugins: true, ..ProberOptions::default() }).unwrap();
        let check = PluginCheck {
            command: command.iter().map(|&word| word.to_owned()).collect(),
            environment: environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        };
        let plan = PluginPlan::prepare(&prober, &check).unwrap();
        let mut round = Round::new(timeout, Family::Any);
        let ended = match tokio::time::timeout(timeout, plan.run(&prober, &mut round)).await {
            Ok(ended) => ended,
            Err(_) => Err(round.timed_out()),
        };
        round.finish(ended, LatencyLimits::default())
    }

    /// Waits, with a bound, until a process is gone or only waits to be reaped.
    async fn is_gone_soon(id: i32) -> bool {
        for _ in 0..200 {
            match std::fs::read_to_string(format!("/proc/{id}/stat")) {
                Err(_) => return true,
                Ok(stat) if stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')) => {
                    return true;
                }
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        false
    }
}
