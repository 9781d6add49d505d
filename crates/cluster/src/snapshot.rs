//! Snapshots of the machine's state in files.
//!
//! A file holds a header (which cluster, how far, who belongs to it), the
//! state's stored form, and a checksum behind each. It is written beside its
//! final name, flushed, renamed. The newest and the one before are kept, and
//! the log is kept back to the one before: **one damaged snapshot loses
//! nothing.**

use crate::files;
use crate::identity::ClusterId;
use crate::room::Reserve;
use crate::stored::{MembersSince, StoredLogId};
use crate::types::{SnapshotMeta, StoredMembership};
use control::State;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The directory's name.
pub(crate) const DIRECTORY: &str = "snapshots";
const SUFFIX: &str = "snapshot";
/// What a damaged snapshot is renamed to, so that somebody can look at it.
const SUFFIX_DAMAGED: &str = "damaged";
/// The file into which another node's snapshot is received.
const RECEIVING: &str = "receiving";
const MAGIC: [u8; 8] = *b"MNSTSNAP";
const FORMAT: u32 = 1;
/// Snapshots kept: the newest, and one to fall back to.
const KEPT: usize = 2;

/// Why a snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file could not be used.
    #[error("cannot use {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no room for it. The log keeps what it would have held.
    #[error("there is no room for {path}")]
    Full {
        /// Which file.
        path: PathBuf,
    },
    /// It is damaged.
    #[error("{path} is damaged ({what})")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A newer program wrote it.
    #[error(
        "{path} was written by a newer Mainstay (format {found}, this program reads up to {FORMAT}); start that \
         version, or restore a backup made by this one"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The format found.
        found: u32,
    },
    /// The state in it cannot be read by this program.
    #[error("the state in {path} cannot be read by this program")]
    State {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: model::configuration::DecodeError,
    },
    /// It belongs to another cluster.
    #[error("{path} belongs to cluster {found}, not to this one; the directory holds files of two nodes")]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// The other cluster.
        found: ClusterId,
    },
    /// It takes too long; it may still come.
    #[error("the snapshot is not written yet, although long waited for")]
    TimedOut,
    /// The node stopped before it was written.
    #[error("the node has stopped")]
    Stopped,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    cluster: ClusterId,
    /// Index of the last entry in it.
    index: u64,
    last: Option<StoredLogId>,
    members: MembersSince,
    id: String,
    /// Bytes of the state.
    length: u64,
}

/// A snapshot that is on disk.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) path: PathBuf,
    pub(crate) meta: SnapshotMeta,
    /// Index of the last entry in it.
    pub(crate) index: u64,
}

impl Kept {
    /// Position of the last raft entry in it.
    pub(crate) fn position(&self) -> Option<u64> {
        self.meta.last_log_id.map(|id| id.index)
    }
}

/// What was found on disk.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The newest snapshot that is whole, with its state.
    pub(crate) newest: Option<(Kept, State)>,
    /// Snapshots that were damaged, under the names they have got.
    pub(crate) damaged: Vec<PathBuf>,
}

/// The snapshots of one node.
#[derive(Debug)]
pub(crate) struct Snapshots {
    directory: PathBuf,
    cluster: ClusterId,
    reserve: Arc<Reserve>,
    /// Oldest first.
    kept: Mutex<Vec<Kept>>,
}

impl Snapshots {
    /// Opens the directory, made if it is missing, and reads the newest whole snapshot.
    pub(crate) fn open(
        parent: &Path,
        cluster: ClusterId,
        reserve: Arc<Reserve>,
    ) -> Result<(Self, Loaded), SnapshotError> {
        let directory = parent.join(DIRECTORY);
        let snapshots = Self { directory, cluster, reserve, kept: Mutex::new(Vec::new()) };
        let mut loaded = Loaded { newest: None, damaged: Vec::new() };
        let listed = files::make_directory(&snapshots.directory).and_then(|()| snapshots.list());
        let paths = listed.map_err(|source| in_file(&snapshots.directory, source))?;
        let mut kept = Vec::new();
        for path in paths.into_iter().rev() {
            match snapshots.read(&path) {
                Ok((found, state)) => {
                    kept.push(found.clone());
                    loaded.newest.get_or_insert((found, state));
                }
                Err(error @ SnapshotError::Damaged { .. }) => {
                    tracing::error!(%error, "a snapshot is damaged; the one before is used if the log reaches back");
                    loaded.damaged.push(set_aside(&path)?);
                }
                Err(error) => return Err(error),
            }
        }
        kept.reverse();
        *snapshots.kept.lock().expect("no panic while it is held") = kept;
        Ok((snapshots, loaded))
    }

    /// The snapshots on disk, oldest first.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        self.kept.lock().expect("no panic while it is held").clone()
    }

    pub(crate) fn newest(&self) -> Option<Kept> {
        self.kept().pop()
    }

    /// Writes a snapshot and drops the ones that are no longer kept. On a full
    /// disk the older one, then the reserve make room for it.
    pub(crate) fn save(
        &self,
        state: &State,
        last: Option<StoredLogId>,
        members: &StoredMembership,
    ) -> Result<Kept, SnapshotError> {
        let position = last.map_or(0, |id| id.position);
        let id = last.map_or_else(String::new, |id| format!("{}-{}-{}", id.term, id.node, id.position));
        let encoded = state.encode();
        let index = state.applied_index();
        let header = Header {
            cluster: self.cluster,
            index,
            last,
            members: members.into(),
            id: id.clone(),
            length: encoded.len() as u64,
        };
        let name = format!("{position:020}.{SUFFIX}");
        self.write(&name, &frame(&header, &encoded))?;
        let meta =
            SnapshotMeta { last_log_id: last.map(Into::into), last_membership: members.clone(), snapshot_id: id };
        let saved = Kept { path: self.directory.join(name), meta, index };
        self.keep(saved.clone());
        Ok(saved)
    }

    /// Reads a snapshot that was received, checks it and writes it as ours.
    pub(crate) fn install(&self, bytes: &[u8]) -> Result<(Kept, State), SnapshotError> {
        let path = self.directory.join(RECEIVING);
        let (header, state) = self.parse(bytes, &path)?;
        let state = State::decode(state).map_err(|source| SnapshotError::State { path, source })?;
        let saved = self.save(&state, header.last, &header.members.into())?;
        Ok((saved, state))
    }

    /// Opens an empty file for a snapshot of another node.
    pub(crate) fn receive(&self) -> Result<std::fs::File, SnapshotError> {
        let path = self.directory.join(RECEIVING);
        files::open(&path).and_then(|file| file.set_len(0).map(|()| file)).map_err(|source| in_file(&path, source))
    }

    /// All snapshot files, oldest first; removes what a crash left of others.
    fn list(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(SUFFIX) => found.push(path),
                Some(SUFFIX_DAMAGED) => {}
                _ => files::remove(&path)?,
            }
        }
        found.sort();
        Ok(found)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), SnapshotError> {
        let path = self.directory.join(name);
        loop {
            match files::replace(&self.directory, name, content) {
                Ok(()) => return Ok(()),
                Err(error) if files::is_full(&error) => {
                    if !self.drop_oldest() && !self.reserve.release() {
                        return Err(SnapshotError::Full { path });
                    }
                }
                Err(source) => return Err(in_file(&path, source)),
            }
        }
    }

    /// Gives the snapshot to fall back to up, if the newest is another.
    fn drop_oldest(&self) -> bool {
        let mut kept = self.kept.lock().expect("no panic while it is held");
        kept.len() > 1 && files::remove(&kept.remove(0).path).is_ok()
    }

    fn keep(&self, saved: Kept) {
        let mut kept = self.kept.lock().expect("no panic while it is held");
        kept.retain(|other| other.path != saved.path);
        kept.push(saved);
        kept.sort_by_key(|one| one.position());
        while kept.len() > KEPT {
            let old = kept.remove(0);
            if let Err(error) = files::remove(&old.path) {
                tracing::warn!(%error, path = %old.path.display(), "an old snapshot cannot be removed");
            }
        }
    }

    fn read(&self, path: &Path) -> Result<(Kept, State), SnapshotError> {
        let bytes = std::fs::read(path).map_err(|source| in_file(path, source))?;
        let (header, state) = self.parse(&bytes, path)?;
        let state = State::decode(state).map_err(|source| SnapshotError::State { path: path.to_owned(), source })?;
        if state.applied_index() != header.index {
            return Err(SnapshotError::Damaged { path: path.to_owned(), what: "its state is of another index" });
        }
        let meta = SnapshotMeta {
            last_log_id: header.last.map(Into::into),
            last_membership: header.members.into(),
            snapshot_id: header.id,
        };
        Ok((Kept { path: path.to_owned(), meta, index: header.index }, state))
    }

    fn parse<'a>(&self, bytes: &'a [u8], path: &Path) -> Result<(Header, &'a [u8]), SnapshotError> {
        let damaged = |what| SnapshotError::Damaged { path: path.to_owned(), what };
        let rest = bytes.strip_prefix(&MAGIC).ok_or(damaged("it does not begin like a snapshot"))?;
        let (format, rest) = number(rest).ok_or(damaged("it is too short"))?;
        let (length, rest) = number(rest).ok_or(damaged("it is too short"))?;
        let (fields, rest) = rest.split_at_checked(length as usize).ok_or(damaged("it is too short"))?;
        let (checksum, rest) = number(rest).ok_or(damaged("it is too short"))?;
        let head = &bytes[..MAGIC.len() + 8 + length as usize];
        if crc32fast::hash(head) != checksum {
            return Err(damaged("its header does not match its checksum"));
        }
        if format > FORMAT {
            return Err(SnapshotError::Newer { path: path.to_owned(), found: format });
        }
        let header: Header = postcard::from_bytes(fields).map_err(|_| damaged("its header cannot be read"))?;
        if header.cluster != self.cluster {
            return Err(SnapshotError::Foreign { path: path.to_owned(), found: header.cluster });
        }
        let length = usize::try_from(header.length).map_err(|_| damaged("its length is wrong"))?;
        let (state, rest) = rest.split_at_checked(length).ok_or(damaged("it ends too early"))?;
        match number(rest) {
            Some((checksum, [])) if checksum == crc32fast::hash(state) => Ok((header, state)),
            Some((_, [])) => Err(damaged("its state does not match its checksum")),
            _ => Err(damaged("its length is wrong")),
        }
    }
}

fn frame(header: &Header, state: &[u8]) -> Vec<u8> {
    let fields = postcard::to_allocvec(header).expect("own types always encode");
    let length = u32::try_from(fields.len()).expect("headers are small");
    let mut bytes = Vec::with_capacity(fields.len() + state.len() + 24);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&fields);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend_from_slice(state);
    bytes.extend_from_slice(&crc32fast::hash(state).to_le_bytes());
    bytes
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk::<4>().map(|(number, rest)| (u32::from_le_bytes(*number), rest))
}

fn set_aside(path: &Path) -> Result<PathBuf, SnapshotError> {
    let aside = path.with_extension(SUFFIX_DAMAGED);
    std::fs::rename(path, &aside).map_err(|source| in_file(path, source))?;
    Ok(aside)
}

fn in_file(path: &Path, source: io::Error) -> SnapshotError {
    SnapshotError::File { path: path.to_owned(), source }
}
