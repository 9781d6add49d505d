//! A wall clock that can be moved, for one program only.
//!
//! Debian's `faketime` sits between a program and the C library and reads from
//! a file how far the clock is off.

use std::fs;
use std::path::{Path, PathBuf};

/// Where Debian puts the library, below the directory of each architecture.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The clock of one program: a file that says how far it is off.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// A clock that is right. `None` where faketime is not installed.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn new(file: &Path) -> Option<Self> {
        let directories = fs::read_dir("/usr/lib").ok()?.flatten();
        let library = directories.map(|entry| entry.path().join(LIBRARY)).find(|file| file.exists())?;
        let clock = Self { file: file.to_owned(), library };
        clock.shift(0);
        Some(clock)
    }

    /// Shifts it by seconds against the right time, at once and as a whole.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn shift(&self, seconds: i64) {
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n")).expect("the directory is ours");
        fs::rename(next, &self.file).expect("the directory is ours");
    }

    /// The environment of a program that is to have this clock.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            // Only the wall clock; the file is read once a second, since to read it
            // at each question keeps the program busy with nothing else.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ]
    }
}
