//! A machine of the torture: a node with a small disk and a clock of its own.

use crate::clock::Clock;
use crate::disk::{SmallDisk, copy};
use crate::node::Node;
use crate::random::Random;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Holds the log's reserve (64 MiB), the history's first files (64 MiB) and
/// what an hour of torture writes; a full one is filled in a tenth of a second.
const DISK_SIZE: &str = "352m";

/// How far a machine may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It must work.
    Whole,
    /// Bits of its files were turned and it has not noticed; it may find that it cannot go on.
    Suspect,
    /// It has lost what it promised, and must not take part under its old name.
    Lost,
    /// It is being taken out, and may find that it no longer belongs to the others.
    Leaving,
}

/// A machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) node: Node,
    pub(super) standing: Standing,
    /// Whether its end would be no wonder.
    pub(super) is_asked_to_stop: bool,
    disk: SmallDisk,
    clock: Option<Clock>,
}

impl Machine {
    /// Gives a node that was not started its disk and its clock. `None` if this
    /// machine mounts nothing for us, after saying so.
    pub(super) fn new(mut node: Node) -> Option<Self> {
        let disk = SmallDisk::mount(&node.data(), DISK_SIZE)?;
        let clock = Clock::new(&node.directory().join("clock"));
        for (name, value) in clock.iter().flat_map(Clock::variables) {
            node.set(name, &value);
        }
        Some(Self { node, standing: Standing::Whole, is_asked_to_stop: false, disk, clock })
    }

    pub(super) fn name(&self) -> &str {
        self.node.name()
    }

    pub(super) fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    /// Shifts its wall clock by seconds against the right time.
    pub(super) fn shift_clock(&self, seconds: i64) {
        if let Some(clock) = &self.clock {
            clock.shift(seconds);
        }
    }

    pub(super) fn fill_disk(&self) {
        self.disk.fill();
    }

    pub(super) fn make_room(&self) {
        self.disk.make_room();
    }

    /// Removes all that the stopped node has kept.
    pub(super) fn wipe(&self) {
        for entry in fs::read_dir(self.node.data()).expect("it is mounted").flatten() {
            let path = entry.path();
            let done = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            done.expect("nobody else writes here");
        }
    }

    /// Copies all that the stopped node has kept.
    pub(super) fn copy_data(&self, to: &Path) {
        let _ = fs::remove_dir_all(to);
        copy(&self.node.data(), to);
    }

    /// Puts a copy in the place of what the stopped node has kept.
    pub(super) fn put_back(&self, from: &Path) {
        self.wipe();
        for entry in fs::read_dir(from).expect("it was copied").flatten() {
            copy(&entry.path(), &self.node.data().join(entry.file_name()));
        }
    }

    /// Turns a few bits in one file of the stopped node. Returns which and where.
    pub(super) fn flip(&self, random: &mut Random) -> Option<(PathBuf, u64)> {
        let files = files_below(&self.node.data());
        let (path, size) = files.get(random.below(files.len() as u64) as usize)?.clone();
        let at = random.below(size);
        for offset in [at, at + random.below(64), at + random.below(4_096)] {
            flip_bit(&path, offset.min(size - 1), random.below(8));
        }
        Some((path, at))
    }
}

/// All files that are not empty, with their sizes, in the order of their names.
fn files_below(directory: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(facts) = entry.metadata() else { continue };
        if facts.is_dir() {
            found.extend(files_below(&entry.path()));
        } else if facts.is_file() && facts.len() > 0 {
            found.push((entry.path(), facts.len()));
        }
    }
    found.sort();
    found
}

fn flip_bit(path: &Path, offset: u64, bit: u64) {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path).expect("it was found");
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut byte)).expect("it is so long");
    byte[0] ^= 1 << bit;
    file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(&byte)).expect("the disk has the place");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_is_turned_and_turned_back() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("file");
        fs::write(&path, [0, 0, 0]).expect("the directory is ours");
        flip_bit(&path, 1, 3);
        assert_eq!(fs::read(&path).expect("it is there"), [0, 8, 0]);
        flip_bit(&path, 1, 3);
        assert_eq!(fs::read(&path).expect("it is there"), [0, 0, 0]);
        assert_eq!(files_below(directory.path()), [(path, 3)]);
    }
}
