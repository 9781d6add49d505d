//! Which programs are here, and the rule for those that are not.

use std::path::PathBuf;

/// Where Debian keeps servers that are not on everybody's path.
const FURTHER_DIRECTORIES: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/lib/nagios/plugins"];
/// Debian keeps each major version of PostgreSQL in its own directory below this.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// Returns where a program is, or `None` after saying that the test is skipped.
///
/// # Panics
/// It is missing and `CI` is set: a machine that tests for everybody must test
/// everything.
pub fn require(program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// Whether we are root, which some servers need to become the users they run
/// as; if not, says that the test is skipped.
///
/// # Panics
/// We are not and `CI` is set.
pub fn require_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("only root can start this server");
    }
    is_root
}

/// Returns the user and group number of a user of this machine.
pub fn user(name: &str) -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Says that a test is skipped, and why.
///
/// # Panics
/// `CI` is set.
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}, and CI is set; `cargo xtask setup` installs what tests need");
    println!("skipped: {why}");
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.extend(FURTHER_DIRECTORIES.map(PathBuf::from));
    directories.extend(postgres_directories());
    directories.into_iter().map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// Newest version first.
fn postgres_directories() -> Vec<PathBuf> {
    let versions = std::fs::read_dir(POSTGRES_VERSIONS).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, directory)| directory).collect()
}
