//! What an inspection found: mistakes, which fail, and remarks, which do not.
//!
//! All mistakes at once, each with its file and line, as we want it from
//! compilers and give it to people who write configurations.

use anyhow::{Result, bail};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// These fail.
    pub(crate) mistakes: Vec<String>,
    /// These are only said.
    pub(crate) remarks: Vec<String>,
}

impl Report {
    /// Adds a mistake at a line of a file.
    pub(crate) fn mistake(&mut self, path: &str, line: usize, message: impl AsRef<str>) {
        self.mistakes.push(format!("{path}:{line}: {}", message.as_ref()));
    }

    /// Adds a remark at a line of a file.
    pub(crate) fn remark(&mut self, path: &str, line: usize, message: impl AsRef<str>) {
        self.remarks.push(format!("{path}:{line}: {}", message.as_ref()));
    }

    /// Prints everything and fails if there are mistakes.
    pub(crate) fn conclude(&self, subject: &str) -> Result<()> {
        for remark in &self.remarks {
            println!("remark: {remark}");
        }
        for mistake in &self.mistakes {
            println!("mistake: {mistake}");
        }
        match self.mistakes.len() {
            0 => Ok(()),
            1 => bail!("{subject}: 1 mistake"),
            count => bail!("{subject}: {count} mistakes"),
        }
    }
}
