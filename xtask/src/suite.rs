//! Everything a change must pass, one step after the other.
//!
//! A failed step does not stop the following ones: a red run should say all
//! that is wrong at once. The tests come last, so that their own summaries
//! stand just above ours.

use crate::process::{cargo, is_on_path, run as run_command, run_watched};
use crate::{arrows, setup, tidy};
use anyhow::{Result, bail};
use std::process::Command;
use std::time::{Duration, Instant};

/// What happens to a test whose program is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is skipped, and says so.
    Skips,
    /// It fails: a machine that tests for everybody must test everything.
    Fails,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Passed(String),
    Skipped(String),
    Failed(String),
}

/// One line of the summary.
struct Line {
    step: &'static str,
    ending: Ending,
    took: Duration,
}

/// Runs all steps and prints a summary.
///
/// # Errors
/// A step failed; the summary says which.
pub(crate) fn run(missing: Missing) -> Result<()> {
    let steps: [(&'static str, Step); 7] = [
        ("setup", |_| setup::run().map(|()| Ending::Passed(String::new()))),
        ("format", |_| plain(&["fmt", "--all", "--check"], Missing::Skips)),
        ("tidy", |_| tidy::run().map(|()| Ending::Passed(String::new()))),
        ("arrows", |_| arrows::run().map(|()| Ending::Passed(String::new()))),
        ("deny", |_| deny()),
        ("clippy", |missing| {
            plain(
                &["clippy", "--workspace", "--all-targets", "--locked", "--keep-going", "--", "--deny", "warnings"],
                missing,
            )
        }),
        ("tests", tests),
    ];
    let mut lines = Vec::new();
    for (step, perform) in steps {
        println!("\n=== {step}");
        let begin = Instant::now();
        let ending = perform(missing).unwrap_or_else(|error| Ending::Failed(format!("{error:#}")));
        if let Ending::Failed(why) = &ending {
            println!("{step} failed: {why}");
        }
        lines.push(Line { step, ending, took: begin.elapsed() });
    }
    conclude(&lines)
}

type Step = fn(Missing) -> Result<Ending>;

fn plain(arguments: &[&str], missing: Missing) -> Result<Ending> {
    run_command(with_rule(&mut cargo(arguments)?, missing))?;
    Ok(Ending::Passed(String::new()))
}

fn deny() -> Result<Ending> {
    if !is_on_path("cargo-deny") {
        return Ok(Ending::Skipped("cargo-deny is not installed".to_owned()));
    }
    plain(&["deny", "--offline", "check", "licenses", "bans", "sources"], Missing::Skips)
}

fn tests(missing: Missing) -> Result<Ending> {
    let mut tally = Tally::default();
    let mut command = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"])?;
    let ran = run_watched(with_rule(&mut command, missing), |line| tally.see(line));
    match ran {
        Ok(()) => Ok(Ending::Passed(tally.to_string())),
        Err(error) => bail!("{error:#}; {tally}"),
    }
}

/// The tests read `CI`: where it is set, a missing program fails them.
fn with_rule(command: &mut Command, missing: Missing) -> &mut Command {
    match missing {
        Missing::Skips => command,
        Missing::Fails => command.env("CI", "true"),
    }
}

/// The sum of what the test programs said of themselves.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    programs: usize,
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Tally {
    /// Reads `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
    fn see(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ").and_then(|(_, rest)| rest.split_once(". ")) else {
            return;
        };
        self.programs += 1;
        for part in counts.split("; ") {
            let Some((count, what)) = part.split_once(' ') else { continue };
            let Ok(count) = count.parse::<usize>() else { continue };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { programs, passed, failed, ignored } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} ignored in {programs} test programs")
    }
}

fn conclude(lines: &[Line]) -> Result<()> {
    println!("\n=== summary");
    for Line { step, ending, took } in lines {
        let (word, remark) = match ending {
            Ending::Passed(remark) => ("ok", remark),
            Ending::Skipped(remark) => ("skipped", remark),
            Ending::Failed(remark) => ("FAILED", remark),
        };
        println!("{}", format!("{step:<8} {word:<8} {:>5} s  {remark}", took.as_secs()).trim_end());
    }
    let failed: Vec<&str> =
        lines.iter().filter(|line| matches!(line.ending, Ending::Failed(_))).map(|line| line.step).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_test_programs_are_summed() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 1 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ] {
            tally.see(line);
        }
        assert_eq!(tally, Tally { programs: 2, passed: 4, failed: 2, ignored: 1 });
    }

    #[test]
    fn one_failed_step_fails_the_whole_and_is_named() {
        let line = |step, ending| Line { step, ending, took: Duration::ZERO };
        let passed = || Ending::Passed(String::new());
        assert!(conclude(&[line("tidy", passed()), line("deny", Ending::Skipped("absent".into()))]).is_ok());
        let error = conclude(&[line("tidy", Ending::Failed("why".into())), line("tests", passed())]);
        assert_eq!(error.map_err(|error| error.to_string()), Err("failed: tidy".to_owned()));
    }
}
