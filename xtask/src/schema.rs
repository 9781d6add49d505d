//! Writes the configuration's JSON schema and reference page anew.
//!
//! The `config` room's own tests compare the committed files with what its
//! code says; with `UPDATE` set they write instead of comparing. So there is
//! one generator, and it is the one that is tested.

use crate::process::{cargo, run as run_command};
use anyhow::Result;

/// Writes the generated files.
///
/// # Errors
/// The tests of `config` fail for another reason than an outdated file.
pub(crate) fn run() -> Result<()> {
    run_command(cargo(&["test", "--package", "config", "golden"])?.env("UPDATE", "1"))
}
