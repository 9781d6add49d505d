//! The small file beside the store: how far it has come, and its locations.
//!
//! It is replaced whole by a rename, after the rows it speaks of are on disk.
//! **The watermark in it is never ahead of the rows**; it may be behind them
//! after a crash, and then the log's entries are applied once more over the
//! same keys, which changes nothing.

use crate::gap::Gap;
use crate::shards::Shards;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Format of the whole directory. A directory of another format is refused.
pub const FORMAT: u8 = 2;
const MAGIC: &[u8; 4] = b"MSHI";
pub(crate) const FILE_NAME: &str = "state";
const FILE_NAME_NEW: &str = "state.new";
const CHECKSUM_BYTES: usize = 4;

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Log index up to which everything is on disk.
    pub(crate) watermark: u64,
    /// Names of the locations; the position is the number in keys.
    pub(crate) locations: Vec<String>,
    /// Windows that were sealed and whose raw results are still kept.
    pub(crate) sealed: BTreeSet<i64>,
    /// Days up to this one have their roll-ups.
    pub(crate) rolled_through: Option<i64>,
    /// Days before it that could not be rolled up whole; they are answered from the results.
    pub(crate) unrolled: BTreeSet<i64>,
    /// Shards of days up to it whose roll-ups must be made anew, because
    /// results came from a peer; they are answered from the results until then.
    pub(crate) stale: BTreeMap<i64, Shards>,
    /// What is known to be missing, ascending by entries.
    pub(crate) gaps: Vec<Gap>,
}

impl State {
    /// Whether a shard's roll-ups of a day are those of its results.
    pub(crate) fn is_rolled(&self, day: i64, shard: u8) -> bool {
        let is_stale = || self.stale.get(&day).is_some_and(|shards| shards.contains(shard));
        self.has_rollups(day) && !is_stale()
    }

    /// Whether a day was rolled up whole.
    pub(crate) fn has_rollups(&self, day: i64) -> bool {
        self.was_rolled(day) && !self.unrolled.contains(&day)
    }

    /// Whether a day's results are not needed any more for its roll-ups.
    pub(crate) fn has_final_rollups(&self, day: i64) -> bool {
        self.was_rolled(day) && !self.stale.contains_key(&day)
    }

    /// Whether a day's turn to be rolled up is over.
    pub(crate) fn was_rolled(&self, day: i64) -> bool {
        self.rolled_through.is_some_and(|through| day <= through)
    }
}

/// Why the state could not be read.
#[derive(Debug)]
pub(crate) enum StateError {
    Io(io::Error),
    Format(u8),
    Damaged,
}

/// Reads the state of a directory; `None` if there is none yet.
pub(crate) fn read(directory: &Path) -> Result<Option<State>, StateError> {
    let bytes = match fs::read(directory.join(FILE_NAME)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::Io(error)),
    };
    let rest = bytes.strip_prefix(MAGIC).ok_or(StateError::Damaged)?;
    let (&format, _) = rest.split_first().ok_or(StateError::Damaged)?;
    if format != FORMAT {
        return Err(StateError::Format(format));
    }
    let (covered, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(StateError::Damaged)?;
    if crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
        return Err(StateError::Damaged);
    }
    postcard::from_bytes(&covered[MAGIC.len() + 1..]).map(Some).map_err(|_| StateError::Damaged)
}

/// Replaces the state of a directory; when this returns it is on disk.
pub(crate) fn write(directory: &Path, state: &State) -> io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(FORMAT);
    let mut bytes = postcard::to_extend(state, bytes).expect("own types always encode");
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    let new = directory.join(FILE_NAME_NEW);
    let mut file = File::create(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&new, directory.join(FILE_NAME))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_its_file() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(read(directory.path()), Ok(None)));
        let state = State { watermark: 7, locations: vec!["paris".into()], ..State::default() };
        write(directory.path(), &state).unwrap();
        assert!(matches!(read(directory.path()), Ok(Some(found)) if found == state));
    }

    #[test]
    fn a_damaged_state_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &State::default()).unwrap();
        let path = directory.path().join(FILE_NAME);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(read(directory.path()), Err(StateError::Damaged)));
    }
}
