//! A test in a network of its own, in which only loopback exists, so that it
//! finds its own servers and not those of other tests, and may give addresses
//! to the machine and take them away.
//!
//! For tests of one machine; several machines that meet are a [`crate::world`].

use crate::mainstay::binary;
use crate::program::{require, require_root};
use std::process::Command;

/// Says that this process is the one in its own network.
const INSIDE: &str = "MAINSTAY_TEST_NETWORK";

/// Runs the test of this name again in a process with a network of its own and
/// returns whether we are that process. The caller returns at once if not: the
/// test has passed then, or is skipped.
///
/// # Panics
/// The test fails there, or there is no test of this name.
pub fn in_own_network(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if require("unshare").is_none() || require("ip").is_none() || !require_root() {
        return false;
    }
    let inside = "ip link set lo up && exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", inside]).arg(std::env::current_exe().expect("Linux knows it"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(INSIDE, "yes");
    // Built outside, where the registry can be reached.
    let output = command.env("MAINSTAY_BIN", binary()).output().expect("it is installed");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "in a network of its own: {said}");
    assert!(said.contains("1 passed"), "{test} is the name of no test: {said}");
    println!("{said}");
    false
}
