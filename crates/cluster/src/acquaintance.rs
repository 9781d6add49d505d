//! Whom a node that joined knows before it has a state: authorities, members
//! and their addresses, as they were told to it when it was let in.
//!
//! The file is used until the node finds itself among the members of its own
//! state; **from then on the state alone says whom to trust**.

use crate::files;
use crate::types::NodeId;
use model::member::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The file's name.
pub(crate) const FILE: &str = "peers";
const FORMAT: u8 = 1;

/// Whom a node knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acquaintance {
    /// Certificates of the authorities.
    pub(crate) authorities: Vec<Vec<u8>>,
    /// The members: where they are, and the digests of their keys.
    pub(crate) members: BTreeMap<NodeId, (String, Digest)>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AcquaintanceError {
    /// It could not be read or written.
    #[error("cannot use {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A newer program wrote it.
    #[error(
        "{path} has format {found}, this program reads up to {FORMAT}: the directory was written by a newer Mainstay; \
         start that version, or let a new node join"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The format found.
        found: u8,
    },
    /// It is not what this program writes.
    #[error("{path} is damaged; if this node has never been up to date with the others, let a new one join instead")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

impl Acquaintance {
    /// Reads the file; empty if there is none.
    pub(crate) fn read(directory: &Path) -> Result<Self, AcquaintanceError> {
        let path = directory.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(AcquaintanceError::File { path, source }),
        };
        match content(&bytes).and_then(<[u8]>::split_first) {
            Some((&found, _)) if found > FORMAT => Err(AcquaintanceError::Newer { path, found }),
            Some((&FORMAT, fields)) => postcard::from_bytes(fields).map_err(|_| AcquaintanceError::Damaged { path }),
            _ => Err(AcquaintanceError::Damaged { path }),
        }
    }

    pub(crate) fn write(&self, directory: &Path) -> Result<(), AcquaintanceError> {
        let mut bytes = postcard::to_extend(self, vec![FORMAT]).expect("own types always encode");
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        files::replace(directory, FILE, &bytes)
            .map_err(|source| AcquaintanceError::File { path: directory.join(FILE), source })
    }
}

/// What a file holds before its checksum, if that is right.
fn content(bytes: &[u8]) -> Option<&[u8]> {
    let (content, checksum) = bytes.split_last_chunk::<4>()?;
    (crc32fast::hash(content) == u32::from_le_bytes(*checksum)).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_its_file_and_damage_is_found() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Acquaintance::read(directory.path()).unwrap(), Acquaintance::default());
        let members = BTreeMap::from([(7, ("10.0.0.7:8481".to_owned(), Digest([3; 32])))]);
        let known = Acquaintance { authorities: vec![vec![1, 2, 3]], members };
        known.write(directory.path()).unwrap();
        assert_eq!(Acquaintance::read(directory.path()).unwrap(), known);
        let mut bytes = std::fs::read(directory.path().join(FILE)).unwrap();
        bytes[5] ^= 1;
        std::fs::write(directory.path().join(FILE), bytes).unwrap();
        Acquaintance::read(directory.path()).unwrap_err();
    }

    #[test]
    fn a_newer_form_is_refused_as_newer() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = [&[FORMAT + 1, 7][..], &crc32fast::hash(&[FORMAT + 1, 7]).to_le_bytes()].concat();
        std::fs::write(directory.path().join(FILE), bytes).unwrap();
        let error = Acquaintance::read(directory.path()).unwrap_err();
        assert!(matches!(error, AcquaintanceError::Newer { found: 2, .. }), "{error}");
    }
}
