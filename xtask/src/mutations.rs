//! Plants bugs into a copy of the machine and of the simulator, one at a time,
//! and lets the simulator find them: a property that finds nothing proves nothing.
//!
//! Each bug is a file in `crates/sim/mutations`: a text that stands once in a
//! source, and what takes its place. The copy lies below `target` with a target
//! directory of its own, so that nothing of it is ever taken for the real thing.

use crate::process;
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The rooms that are copied: the machine, its words and the simulator.
const ROOMS: [&str; 3] = ["model", "control", "sim"];
/// Where the bugs are described.
const DESCRIBED_IN: &str = "crates/sim/mutations";
/// Seeds in which a bug has to show.
const SEEDS: u64 = 2_000;
/// Seeds that must show nothing before any bug is planted.
const SEEDS_BEFORE: u64 = 200;
/// A bug that makes a run take longer than this has shown itself as well.
const WITHIN: Duration = Duration::from_secs(600);

/// A bug to be planted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutation {
    /// What is wrong then, a sentence.
    why: String,
    /// The source it is in.
    file: String,
    /// What stands there once.
    find: String,
    /// What takes its place.
    replace: String,
}

/// What came of a bug.
enum Outcome {
    /// A property found it at this seed.
    Found { seed: String, property: String },
    /// Nothing did.
    NotFound,
}

/// Plants every bug, or only one, and fails if one is not found.
pub(crate) fn run(only: Option<&str>, seeds: Option<u64>) -> Result<()> {
    let root = workspace::root()?;
    let seeds = seeds.unwrap_or(SEEDS);
    let mutations: Vec<_> = read(&root)?.into_iter().filter(|(name, _)| only.is_none_or(|only| only == name)).collect();
    ensure!(!mutations.is_empty(), "no file in {DESCRIBED_IN} is called so");
    let tree = root.join("target/mutations");
    copy(&root, &tree)?;
    println!("without any bug, {SEEDS_BEFORE} seeds ...");
    if let Outcome::Found { seed, property } = simulate(&tree, SEEDS_BEFORE)? {
        bail!("{property} does not hold for seed {seed} before any bug is planted");
    }
    let mut missed = Vec::new();
    for (name, mutation) in &mutations {
        let began = Instant::now();
        println!("\n{name}: {}", mutation.why);
        let said = match plant(&root, &tree, mutation, seeds) {
            Ok(Outcome::Found { seed, property }) => Ok(format!("found by {property} at seed {seed}")),
            Ok(Outcome::NotFound) => Err(format!("NOT FOUND in {seeds} seeds")),
            Err(error) => Err(format!("CANNOT BE PLANTED: {error:#}")),
        };
        let (Ok(text) | Err(text)) = &said;
        println!("  {text}, {:.0} s", began.elapsed().as_secs_f64());
        if said.is_err() {
            missed.push(name.as_str());
        }
    }
    println!("\n{} of {} bugs were found", mutations.len() - missed.len(), mutations.len());
    ensure!(missed.is_empty(), "not found: {}", missed.join(", "));
    Ok(())
}

/// All bugs with their names, in the order of these.
fn read(root: &Path) -> Result<Vec<(String, Mutation)>> {
    let directory = root.join(DESCRIBED_IN);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mutation = toml::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))?;
        let name = path.file_stem().context("a file without a name")?.to_string_lossy().into_owned();
        found.push((name, mutation));
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// The source with the bug in it.
fn changed(root: &Path, mutation: &Mutation) -> Result<String> {
    let path = root.join(&mutation.file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let count = text.matches(&mutation.find).count();
    ensure!(count == 1, "what is to be replaced stands {count} times in {}, not once", mutation.file);
    Ok(text.replacen(&mutation.find, &mutation.replace, 1))
}

/// Brings the copy up to date; what has not changed keeps its time, so that it is not built anew.
fn copy(root: &Path, tree: &Path) -> Result<()> {
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).context("cannot read the workspace's manifest")?;
    let mut manifest: toml::Table = toml::from_str(&manifest).context("the workspace's manifest is none")?;
    let workspace =
        manifest.get_mut("workspace").and_then(toml::Value::as_table_mut).context("there is no workspace")?;
    let members = ROOMS.iter().map(|room| toml::Value::String(format!("crates/{room}"))).collect();
    workspace.insert("members".to_owned(), toml::Value::Array(members));
    workspace.remove("default-members");
    // Fast enough to run thousands of seeds, and quick to build.
    let profile = toml::from_str("[dev]\nopt-level = 2\ndebug = false").expect("a legal constant");
    manifest.insert("profile".to_owned(), toml::Value::Table(profile));
    write(&tree.join("Cargo.toml"), toml::to_string(&manifest)?.as_bytes())?;
    for name in ["Cargo.lock", "rust-toolchain.toml"] {
        if let Ok(content) = std::fs::read(root.join(name)) {
            write(&tree.join(name), &content)?;
        }
    }
    for room in ROOMS {
        let from = root.join("crates").join(room);
        let to = tree.join("crates").join(room);
        let mut files = Vec::new();
        list(&from, &mut files)?;
        let mut stale = Vec::new();
        if to.exists() {
            list(&to, &mut stale)?;
        }
        for path in &files {
            let relative = path.strip_prefix(&from).expect("listed from there");
            stale.retain(|old| old.strip_prefix(&to).ok() != Some(relative));
            write(&to.join(relative), &std::fs::read(path)?)?;
        }
        stale.iter().try_for_each(std::fs::remove_file).context("cannot remove what is gone")?;
    }
    Ok(())
}

fn list(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() { list(&entry.path(), found)? } else { found.push(entry.path()) }
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|known| known == content) {
        return Ok(());
    }
    let directory = path.parent().context("a file without a directory")?;
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Plants a bug, looks for it, and takes it out again.
fn plant(root: &Path, tree: &Path, mutation: &Mutation, seeds: u64) -> Result<Outcome> {
    let path = tree.join(&mutation.file);
    write(&path, changed(root, mutation)?.as_bytes())?;
    let outcome = simulate(tree, seeds);
    write(&path, &std::fs::read(root.join(&mutation.file))?)?;
    outcome
}

/// Builds the copy and runs its simulator.
fn simulate(tree: &Path, seeds: u64) -> Result<Outcome> {
    let target = tree.join("target");
    let mut build = process::cargo(&["build", "--quiet", "--package", "sim"])?;
    // A planted bug leaves things unused, which is not what is looked for.
    build.current_dir(tree).env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", "--cap-lints=allow");
    process::run(&mut build)?;
    let mut child = Command::new(target.join("debug/sim"))
        .args(["--seeds", &seeds.to_string(), "--steps", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the simulator")?;
    let until = Instant::now() + WITHIN;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > until {
            child.kill().context("cannot end the simulator")?;
            child.wait()?;
            return Ok(Outcome::Found { seed: "?".to_owned(), property: "a run that ends".to_owned() });
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let told = std::io::read_to_string(child.stderr.take().context("its errors are read")?)?;
    let found = told.lines().find_map(|line| {
        let (seed, rest) = line.strip_prefix("seed ")?.split_once(": ")?;
        let (property, _) = rest.split_once(" does not hold")?;
        Some(Outcome::Found { seed: seed.to_owned(), property: property.to_owned() })
    });
    match (status.success(), found) {
        (true, _) => Ok(Outcome::NotFound),
        (false, Some(found)) => Ok(found),
        (false, None) => bail!("the simulator ended with {status} and found nothing: {told}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_can_still_be_planted() {
        let root = workspace::root().unwrap();
        let mutations = read(&root).unwrap();
        assert!(mutations.len() >= 10, "only {} bugs are described", mutations.len());
        for (name, mutation) in mutations {
            let text = changed(&root, &mutation).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(text.contains(&mutation.replace), "{name} changes nothing");
        }
    }
}
