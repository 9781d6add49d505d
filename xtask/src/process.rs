//! Running other programs: visibly, and with a plain sentence when one fails.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// Returns cargo, the same one that runs us, at the workspace's root.
pub(crate) fn cargo(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(crate::workspace::root()?);
    Ok(command)
}

/// Runs a program with our own input and output.
///
/// # Errors
/// It cannot be started, or says that it failed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = describe(command);
    let status = command.status().with_context(|| format!("cannot start `{text}`"))?;
    if !status.success() {
        bail!("`{text}` failed with {status}");
    }
    Ok(())
}

/// Runs a program and returns what it printed; its errors go to ours.
///
/// # Errors
/// It cannot be started, or says that it failed.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let text = describe(command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{text}`"))?;
    if !output.status.success() {
        bail!("`{text}` failed with {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program, passes its output and its errors through line by line, in
/// the order they come, and shows each line to `look`.
///
/// # Errors
/// It cannot be started, or says that it failed.
pub(crate) fn run_watched(command: &mut Command, mut look: impl FnMut(&str)) -> Result<()> {
    let text = describe(command);
    let (output, input) = std::io::pipe().context("cannot make a pipe")?;
    command.stdout(input.try_clone().context("cannot share a pipe")?).stderr(input);
    let mut child = command.spawn().with_context(|| format!("cannot start `{text}`"))?;
    // The command still holds the pipe's other end, and while somebody does it never ends.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        writeln!(std::io::stdout(), "{line}")?;
        look(&line);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{text}` failed with {status}");
    }
    Ok(())
}

/// Whether a program of this name is on the path.
pub(crate) fn is_on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()))
}

fn describe(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut text = program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_errors_come_in_their_order_and_a_failure_is_said() {
        let mut lines = Vec::new();
        let ran = run_watched(Command::new("sh").args(["-c", "echo a; echo b >&2; echo c; exit 3"]), |line| {
            lines.push(line.to_owned());
        });
        assert_eq!(lines, ["a", "b", "c"]);
        assert!(ran.is_err_and(|error| error.to_string().contains("exit status: 3")));
    }
}
