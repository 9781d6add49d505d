//! A Python environment with the packages that give a second opinion.

use crate::support::{is_installed, skip};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What the tests use, with versions, so that a run today is a run tomorrow.
const PACKAGES: [&str; 2] = ["standardwebhooks==1.1.0", "apprise==2.2.0"];

/// The directory of the environment's programs; `None` where there can be none,
/// which has then been said.
pub(crate) fn programs() -> Option<&'static Path> {
    static PROGRAMS: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAMS.get_or_init(prepare).as_deref()
}

fn prepare() -> Option<PathBuf> {
    if !is_installed("python3") {
        skip("python3 is not installed");
        return None;
    }
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("notify-python");
    let stamp = environment.join("complete");
    if std::fs::read_to_string(&stamp).ok().as_deref() != Some(&PACKAGES.join(" ")) {
        let python = environment.join("bin/python");
        let made = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))
            && run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--timeout", "20"]).args(PACKAGES));
        if !made {
            skip("the Python packages could not be installed");
            return None;
        }
        std::fs::write(&stamp, PACKAGES.join(" ")).unwrap();
    }
    Some(environment.join("bin"))
}

fn run(command: &mut Command) -> bool {
    let output = command.output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.success()
}
