//! A real browser, without a screen: what a person would see.

use crate::program::require;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A cold start of the browser on a busy machine takes seconds.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Whether the page is shown to somebody who prefers a light or a dark one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// Saves a picture of a page as PNG. `None` if the browser is not installed,
/// after saying that the test is skipped.
///
/// # Panics
/// The browser fails or makes no picture in time.
pub fn screenshot(url: &str, file: &Path, width: u32, height: u32, scheme: Scheme) -> Option<()> {
    let program = require("chromium")?;
    let _ = std::fs::remove_file(file);
    run(
        &program,
        &[
            &format!("--window-size={width},{height}"),
            &format!("--screenshot={}", file.display()),
            scheme_flag(scheme),
            url,
        ],
    );
    assert!(file.metadata().is_ok_and(|file| file.len() > 0), "the browser made no picture of {url}");
    Some(())
}

/// Returns the document of a page after its scripts, if any, have run. `None`
/// if the browser is not installed, after saying that the test is skipped.
///
/// # Panics
/// The browser fails.
pub fn document(url: &str) -> Option<String> {
    let program = require("chromium")?;
    Some(run(&program, &["--dump-dom", url]))
}

fn scheme_flag(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Light => "--blink-settings=preferredColorScheme=1",
        Scheme::Dark => "--blink-settings=preferredColorScheme=0",
    }
}

fn run(program: &Path, arguments: &[&str]) -> String {
    let profile = tempfile::tempdir().expect("a temporary directory");
    let (output, errors) = (profile.path().join("output"), profile.path().join("errors"));
    let file = |path: &Path| std::fs::File::create(path).expect("the directory is ours");
    let mut child = Command::new(program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
        ])
        .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(file(&output))
        .stderr(file(&errors))
        .spawn()
        .expect("the program is there");
    let ended = crate::wait::until(TIMEOUT, || child.try_wait().expect("our own child"));
    if ended.is_none() {
        child.kill().expect("our own child");
        child.wait().expect("our own child");
    }
    let text = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    assert!(ended.is_some_and(|status| status.success()), "the browser ended with {ended:?}: {}", text(&errors));
    text(&output)
}
