//! A program that gets the message as JSON on its standard input.
//!
//! It runs without a shell, in a process group of its own, with Mainstay's
//! environment and `MAINSTAY_…` beside it. **When an attempt ends before the
//! program has, the whole group is killed**, so that nothing of it outlives the
//! answer that was given for it. Exit codes are those of `sysexits.h`.

use crate::Attempt;
use crate::answer::Setback;
use crate::event;
use crate::hidden::Hidden;
use crate::text::{headline, shorten, shorten_bytes, single_line, text_with_note, title};
use model::limits::OUTPUT_BYTES_MAX;
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{timeout, timeout_at};

/// Time to collect what a program wrote after it has ended; something it left
/// running may hold its output open for ever.
const OUTPUT_TIME_LIMIT: Duration = Duration::from_millis(500);
/// Characters quoted of what a program wrote.
const QUOTE_LENGTH_MAX: usize = 200;
/// Bytes of one variable. Linux takes 128 KiB; a text longer than a screen is
/// better read from standard input.
const VARIABLE_BYTES_MAX: usize = 16 << 10;

pub(crate) async fn deliver(command: &[String], attempt: &Attempt<'_>, hidden: &mut Hidden) -> Result<String, Setback> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Setback::refused("the receiver names no program"));
    };
    // Programs complain by repeating their arguments, which may hold a key.
    for argument in arguments {
        hidden.add_argument(argument);
    }
    let mut child = Command::new(program)
        .args(arguments)
        .envs(variables(attempt))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Setback::failed(format!("could not start {program}: {error}")))?;
    let mut group = Group::of(&child);
    let outcome = timeout_at(attempt.deadline, run(&mut child, &mut group, event::json(attempt))).await;
    match outcome {
        Ok(Ok(ended)) => judge(program, &ended),
        Ok(Err(error)) => Err(Setback::failed(format!("could not run {program}: {error}"))),
        Err(_) => {
            drop(group);
            // It has been killed and is reaped here, so that no process is left.
            let _ = timeout(OUTPUT_TIME_LIMIT, child.wait()).await;
            Err(Setback::failed(format!("{program} had not ended at the time limit and was killed")))
        }
    }
}

/// How a program ended.
struct Ended {
    status: ExitStatus,
    said: String,
    complaint: String,
}

async fn run(child: &mut Child, group: &mut Group, input: Vec<u8>) -> std::io::Result<Ended> {
    let mut said = Vec::new();
    let mut complaint = Vec::new();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let status = {
        let talking =
            async { tokio::join!(feed(stdin, &input), drain(stdout, &mut said), drain(stderr, &mut complaint)) };
        tokio::pin!(talking);
        let mut is_silent = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                _ = &mut talking, if !is_silent => is_silent = true,
            }
        };
        group.has_ended();
        if !is_silent {
            let _ = timeout(OUTPUT_TIME_LIMIT, talking).await;
        }
        status
    };
    Ok(Ended { status, said: first_line(&said), complaint: first_line(&complaint) })
}

/// A program need not read its input: that it closed it is no failure.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(input).await;
    }
}

/// Keeps the first bytes and reads on, so that a chatty program is not stopped
/// by a full pipe.
async fn drain(output: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut output) = output else { return };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        let room = OUTPUT_BYTES_MAX - kept.len();
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

fn judge(program: &str, ended: &Ended) -> Result<String, Setback> {
    let because = |text: &str| if text.is_empty() { String::new() } else { format!(": {text}") };
    let complaint = because(if ended.complaint.is_empty() { &ended.said } else { &ended.complaint });
    match (ended.status.code(), ended.status.signal()) {
        (Some(0), _) => Ok(format!("exit 0{}", because(&ended.said))),
        // EX_USAGE, EX_DATAERR, EX_NOUSER, EX_NOPERM, EX_CONFIG: the same call
        // will end the same way. All others may be a network or a server.
        (Some(code @ (64 | 65 | 67 | 77 | 78)), _) => {
            Err(Setback::refused(format!("{program} refused with exit {code}{complaint}")))
        }
        (Some(code), _) => Err(Setback::failed(format!("{program} ended with exit {code}{complaint}"))),
        (None, signal) => {
            let signal = signal.map_or_else(|| "a signal".to_owned(), |number| format!("signal {number}"));
            Err(Setback::failed(format!("{program} was ended by {signal}{complaint}")))
        }
    }
}

fn first_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().map(single_line).find(|line| !line.is_empty()).unwrap_or_default();
    shorten(&line, QUOTE_LENGTH_MAX)
}

fn variables(attempt: &Attempt<'_>) -> Vec<(&'static str, String)> {
    let (message, this) = (attempt.message, attempt.this);
    let (service, service_name) = match &message.service {
        Some((id, name)) => (id.to_string(), single_line(name)),
        None => Default::default(),
    };
    let text: String = text_with_note(message, this).chars().filter(|c| *c != '\0').collect();
    vec![
        ("MAINSTAY_TYPE", event::kind(message).to_owned()),
        ("MAINSTAY_STEP", message.step.name().to_owned()),
        ("MAINSTAY_STATUS", message.status.name().to_owned()),
        ("MAINSTAY_HEADLINE", headline(message)),
        ("MAINSTAY_TITLE", title(message)),
        ("MAINSTAY_TEXT", shorten_bytes(&text, VARIABLE_BYTES_MAX)),
        ("MAINSTAY_SERVICE", service),
        ("MAINSTAY_SERVICE_NAME", service_name),
        ("MAINSTAY_INCIDENT", message.incident.map(|id| id.to_string()).unwrap_or_default()),
        ("MAINSTAY_THREAD", single_line(&message.thread)),
        ("MAINSTAY_STARTED", message.started.to_string()),
        ("MAINSTAY_AT", message.at.to_string()),
        ("MAINSTAY_URL", message.url.as_deref().map(single_line).unwrap_or_default()),
        ("MAINSTAY_KEY", single_line(&message.key)),
        ("MAINSTAY_ATTEMPT", this.attempt.to_string()),
        ("MAINSTAY_POSSIBLY_DOUBLE", this.possibly_double.to_string()),
    ]
}

/// The process group of a program that has not ended; killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        // The group has its first process's number, by `process_group(0)`.
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// The program has ended and its number may be given to another from here on.
    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It fails only if nothing is left to kill.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
