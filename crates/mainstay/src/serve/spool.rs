//! Keeps batches that the cluster cannot take at the moment, on this node's
//! own disk and in order, so that what was seen while it was cut off is not
//! lost with the process.
//!
//! One file for each batch: while a node is cut off batches are rare and
//! large. **A batch leaves the disk only after it is committed**; sent twice it
//! counts once, because it is known by its node, start and number.

use anyhow::Context;
use model::observation::Batch;
use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes kept at most; the oldest batches go first. A day of 10,000 checks.
const BYTES_MAX: u64 = 256 << 20;
/// Ending of a batch's file.
const ENDING: &str = "batch";
/// Version of a batch's stored form, its first byte.
const VERSION: u8 = 1;

/// The batches on disk, oldest first.
pub(crate) struct Spool {
    directory: PathBuf,
    files: VecDeque<(PathBuf, u64)>,
    bytes: u64,
    next: u64,
}

impl Spool {
    /// Opens the directory, made if it is missing, and finds what an earlier start left there.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let mut files = Vec::new();
        let listed = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in listed {
            let path = entry.with_context(|| format!("cannot list {}", directory.display()))?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
                files.push((path, bytes));
            }
        }
        files.sort();
        let number = |path: &Path| path.file_stem()?.to_str()?.parse::<u64>().ok();
        let next = files.last().and_then(|(path, _)| number(path)).map_or(1, |last| last + 1);
        let bytes = files.iter().map(|(_, bytes)| bytes).sum();
        Ok(Self { directory: directory.to_owned(), files: files.into(), bytes, next })
    }

    /// How many batches are kept.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Keeps a batch; drops the oldest ones if there are too many bytes, and
    /// says how many that were.
    pub(crate) fn push(&mut self, batch: &Batch) -> anyhow::Result<usize> {
        let content = encode(batch);
        let path = self.directory.join(format!("{:020}.{ENDING}", self.next));
        write(&path, &content).with_context(|| format!("cannot keep results in {}", path.display()))?;
        self.next += 1;
        self.bytes += content.len() as u64;
        self.files.push_back((path, content.len() as u64));
        let mut dropped = 0;
        while self.bytes > BYTES_MAX && self.files.len() > 1 {
            self.pop()?;
            dropped += 1;
        }
        Ok(dropped)
    }

    /// The oldest batch. What cannot be read is said, dropped and passed over.
    pub(crate) fn first(&mut self) -> Option<Batch> {
        while let Some((path, _)) = self.files.front() {
            match fs::read(path).map_err(anyhow::Error::from).and_then(|content| decode(&content)) {
                Ok(batch) => return Some(batch),
                Err(error) => {
                    tracing::error!(file = %path.display(), error = %crate::chain(&error), "kept results cannot be read and are lost");
                    if let Err(error) = self.pop() {
                        tracing::error!(error = %crate::chain(&error), "they cannot be removed either");
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Lets the oldest batch go.
    pub(crate) fn pop(&mut self) -> anyhow::Result<()> {
        let Some((path, bytes)) = self.files.front().cloned() else { return Ok(()) };
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        self.files.pop_front();
        self.bytes -= bytes;
        Ok(())
    }
}

fn encode(batch: &Batch) -> Vec<u8> {
    let mut content = model::configuration::encode_versioned(VERSION, batch);
    let checksum = crc32fast::hash(&content);
    content.extend_from_slice(&checksum.to_le_bytes());
    content
}

fn decode(content: &[u8]) -> anyhow::Result<Batch> {
    let (content, checksum) = content.split_last_chunk::<4>().context("it is too short")?;
    anyhow::ensure!(crc32fast::hash(content) == u32::from_le_bytes(*checksum), "its checksum is wrong");
    Ok(model::configuration::decode_versioned(VERSION, content)?)
}

/// Writes a file so that after a crash it is whole or not there.
fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::id::{CheckSlot, LocationId};
    use model::member::NodeId;
    use model::observation::{Observation, Outcome};
    use model::time::Timestamp;

    fn batch(sequence: u64) -> Batch {
        let observation = Observation {
            slot: CheckSlot(7),
            scheduled: Timestamp::from_ms(1_795_000_000_000),
            outcome: Outcome::Pass,
            latency_us: 1_234,
            detail: None,
        };
        let location = LocationId::new("paris").expect("a legal id");
        Batch { location, node: NodeId(3), incarnation: 9, sequence, observations: vec![observation] }
    }

    #[test]
    fn batches_survive_a_restart_in_their_order() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut spool = Spool::open(directory.path()).expect("a new spool");
        for sequence in 1..=12 {
            assert_eq!(spool.push(&batch(sequence)).expect("room"), 0);
        }
        drop(spool);
        let mut spool = Spool::open(directory.path()).expect("the same spool");
        assert_eq!(spool.len(), 12);
        for sequence in 1..=12 {
            assert_eq!(spool.first(), Some(batch(sequence)));
            spool.pop().expect("a file that can be removed");
        }
        assert_eq!(spool.first(), None);
        spool.push(&batch(13)).expect("room");
        assert_eq!(spool.first(), Some(batch(13)));
    }

    #[test]
    fn a_damaged_batch_is_passed_over() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut spool = Spool::open(directory.path()).expect("a new spool");
        spool.push(&batch(1)).expect("room");
        spool.push(&batch(2)).expect("room");
        let first = spool.files[0].0.clone();
        let mut content = fs::read(&first).expect("a file");
        content[5] ^= 1;
        fs::write(&first, content).expect("a file that can be written");
        assert_eq!(spool.first(), Some(batch(2)));
    }
}
