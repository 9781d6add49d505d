//! A small disk in memory, for what happens when a disk is full, and copies of disks.

use crate::program::{require, require_root};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A disk of its own. Dropped, it is unmounted.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of a size such as `352m` at a new directory. `None` if we may
    /// not, after saying that the test is skipped.
    ///
    /// # Panics
    /// It cannot be mounted.
    pub fn mount(at: &Path, size: &str) -> Option<Self> {
        require("mount")?;
        if !require_root() {
            return None;
        }
        std::fs::create_dir(at).expect("its parent is ours");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).output();
        let done = done.expect("it is installed");
        assert!(done.status.success(), "cannot mount: {}", String::from_utf8_lossy(&done.stderr));
        Some(Self(at.to_owned()))
    }

    /// Takes all the room there is, to the last byte.
    ///
    /// # Panics
    /// There is not even room for an empty file.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.other()).expect("an empty file fits");
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    /// Gives back what [`SmallDisk::fill`] took. Nothing happens if it took nothing.
    pub fn make_room(&self) {
        let _ = std::fs::remove_file(self.other());
    }

    fn other(&self) -> PathBuf {
        self.0.join("of-another-program")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since the server that is killed next may still hold files.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Copies a file or a directory as it is. Keeps holes, since reserves are large
/// and mostly empty.
///
/// # Panics
/// It cannot be copied.
pub fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["--archive", "--sparse=auto"]).arg(from).arg(to).output().expect("it is there");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
