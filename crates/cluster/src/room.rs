//! Room on the disk, and the reserve that is given up when there is none.
//!
//! A file of fixed size lies beside the log. When the disk is full it is
//! removed, and what the log needs goes on in its place; meanwhile the node is
//! *tight* and takes no commands. When others have made room, the file comes
//! back and all is as before.

use crate::{files, filesystem};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

/// The reserve's file name.
pub(crate) const FILE: &str = "reserve";
/// Room that must be left beside a new reserve, so that it is not given up
/// again at once: two write-ahead logs.
const MARGIN_BYTES: u64 = 8 << 20;

/// How much room there is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Enough.
    Ample,
    /// The reserve is given up; commands are refused.
    Tight,
    /// The reserve is used up too; everything is refused, and what is being
    /// written waits.
    Exhausted,
}

/// Gives up the reserve of a directory that is about to be opened, and returns
/// whether there was one to give.
pub(crate) fn give_up(directory: &Path) -> bool {
    let is_given = std::fs::remove_file(directory.join(FILE)).is_ok();
    if is_given {
        tracing::error!(directory = %directory.display(), "the disk of the log is full; its reserve is given up");
    }
    is_given
}

/// The room as all tasks see it.
#[derive(Debug)]
pub(crate) struct RoomGauge(AtomicU8);

impl RoomGauge {
    pub(crate) const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    pub(crate) fn get(&self) -> Room {
        match self.0.load(Ordering::Acquire) {
            0 => Room::Ample,
            1 => Room::Tight,
            _ => Room::Exhausted,
        }
    }

    fn set(&self, room: Room) {
        self.0.store(room as u8, Ordering::Release);
    }
}

/// The reserve of one directory.
#[derive(Debug)]
pub(crate) struct Reserve {
    directory: PathBuf,
    bytes: u64,
    gauge: std::sync::Arc<RoomGauge>,
}

impl Reserve {
    /// Takes the reserve of a directory, or makes it. Without room for it the
    /// node starts tight.
    pub(crate) fn open(directory: &Path, bytes: u64, gauge: std::sync::Arc<RoomGauge>) -> io::Result<Self> {
        let reserve = Self { directory: directory.to_owned(), bytes, gauge };
        match reserve.fill() {
            Ok(()) => reserve.gauge.set(Room::Ample),
            Err(error) if files::is_full(&error) => {
                let _ = files::remove(&reserve.path());
                reserve.gauge.set(Room::Tight);
            }
            Err(error) => return Err(error),
        }
        Ok(reserve)
    }

    /// Gives the reserve up, and returns whether there was one to give.
    pub(crate) fn release(&self) -> bool {
        let is_given = give_up(&self.directory);
        if is_given {
            self.gauge.set(Room::Tight);
        }
        is_given
    }

    /// Nothing can be written, and there is no reserve left.
    pub(crate) fn is_exhausted(&self) {
        if self.gauge.get() != Room::Exhausted {
            tracing::error!(directory = %self.directory.display(), "the disk of the log is full, its reserve used up; waiting");
            self.gauge.set(Room::Exhausted);
        }
    }

    /// Something was written although the room was exhausted.
    pub(crate) fn has_written(&self) {
        if self.gauge.get() == Room::Exhausted {
            self.gauge.set(Room::Tight);
        }
    }

    /// Brings the reserve back if there is room for it again.
    pub(crate) fn heal(&self) {
        if self.gauge.get() == Room::Ample {
            return;
        }
        let free = filesystem::free_bytes(&self.directory).unwrap_or(0);
        if free < self.bytes.saturating_add(MARGIN_BYTES) {
            return;
        }
        match self.fill() {
            Ok(()) => {
                tracing::info!(free, "there is room for the log again");
                self.gauge.set(Room::Ample);
            }
            Err(error) => {
                tracing::warn!(%error, "the reserve cannot be brought back yet");
                let _ = files::remove(&self.path());
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn fill(&self) -> io::Result<()> {
        let file = files::open(&self.path())?;
        if self.bytes == 0 {
            return file.set_len(0);
        }
        file.set_len(self.bytes)?;
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, self.bytes) {
            Ok(()) => {}
            // Some file systems (ZFS) cannot set room aside. The file then
            // holds none, and the first full disk leads straight to waiting.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                tracing::warn!("this file system cannot set room aside; there is no reserve for a full disk");
            }
            Err(error) => return Err(error.into()),
        }
        file.sync_all()
    }
}
