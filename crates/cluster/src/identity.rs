//! Who a node is: the small text file that a data directory is known by.
//!
//! A used id never starts empty. So the file is written *before* the log is
//! founded, marked as being founded, and marked as founded only when the log is
//! on disk: **a directory whose file says "founded" must have its log.**

use crate::files;
use crate::types::NodeId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// The file's name.
pub(crate) const FILE: &str = "identity";
const TITLE: &str = "mainstay node identity";
const FORMAT: u32 = 1;
/// Node ids stay below 2^53, so that programs that read JSON numbers as floats keep them.
const NODE_ID_BITS: u32 = 53;

/// Name of a cluster; drawn at random when it is founded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterId([u8; 16]);

impl ClusterId {
    #[cfg(test)]
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_right = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_right.then(|| u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))).flatten()
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// How far a node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its log is being founded; nothing was ever acknowledged.
    Founding,
    /// It has asked to join a cluster and may have been let in, but has no log yet.
    Joining,
    /// It has a log.
    Founded,
}

/// Who a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) stage: Stage,
}

/// Why the identity cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file could not be read or written.
    #[error("cannot use {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A newer program wrote it.
    #[error(
        "{path} has format {found}, this program reads up to {FORMAT}: the directory was written by a newer Mainstay; \
         start that version, or restore a backup made by this one"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// The format found.
        found: u32,
    },
    /// It is not what this program writes.
    #[error("{path} is damaged ({what}): restore this file from a backup; do not delete it, the log belongs to it")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system gave no random bytes.
    #[error("cannot draw a random id")]
    Random(#[source] std::io::Error),
}

impl Identity {
    /// Draws the ids of a new cluster and its first node.
    pub(crate) fn draw() -> Result<Self, IdentityError> {
        let cluster = ClusterId(random().map_err(IdentityError::Random)?);
        let node = draw_node().map_err(IdentityError::Random)?;
        Ok(Self { cluster, node, stage: Stage::Founding })
    }

    /// Reads the identity of a directory; `None` if it has none.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, IdentityError> {
        let path = directory.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path).map(Some),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) if source.kind() == std::io::ErrorKind::InvalidData => {
                Err(IdentityError::Damaged { path, what: "it is not text" })
            }
            Err(source) => Err(IdentityError::File { path, source }),
        }
    }

    /// Writes it so that after a crash either the old or the new one is there.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), IdentityError> {
        files::replace(directory, FILE, self.text().as_bytes())
            .map_err(|source| IdentityError::File { path: directory.join(FILE), source })
    }

    fn text(&self) -> String {
        let stage = match self.stage {
            Stage::Founding => "founding",
            Stage::Joining => "joining",
            Stage::Founded => "founded",
        };
        let body = format!("{TITLE}\nformat {FORMAT}\ncluster {}\nnode {}\nstage {stage}\n", self.cluster, self.node);
        format!("{body}checksum {:08x}\n", crc32fast::hash(body.as_bytes()))
    }

    fn parse(text: &str, path: &Path) -> Result<Self, IdentityError> {
        let damaged = |what| IdentityError::Damaged { path: path.to_owned(), what };
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err(damaged("its first line is another"));
        }
        let mut field = |name: &str| lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let format: u32 = field("format").and_then(|text| text.parse().ok()).ok_or(damaged("it has no format"))?;
        if format > FORMAT {
            return Err(IdentityError::Newer { path: path.to_owned(), found: format });
        }
        let cluster = field("cluster").and_then(ClusterId::parse).ok_or(damaged("it has no cluster id"))?;
        let node = field("node").and_then(|text| text.parse().ok()).ok_or(damaged("it has no node id"))?;
        let stage = match field("stage") {
            Some("founding") => Stage::Founding,
            Some("joining") => Stage::Joining,
            Some("founded") => Stage::Founded,
            _ => return Err(damaged("it has no stage")),
        };
        let identity = Self { cluster, node, stage };
        if identity.text() == text { Ok(identity) } else { Err(damaged("its checksum is wrong")) }
    }
}

/// Draws a node id that nobody else has drawn.
pub(crate) fn draw_node() -> std::io::Result<NodeId> {
    Ok((u64::from_be_bytes(random()?) >> (u64::BITS - NODE_ID_BITS)).max(1))
}

/// Draws random bytes.
pub(crate) fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> (tempfile::TempDir, Identity, String) {
        let directory = tempfile::tempdir().unwrap();
        let identity = Identity::draw().unwrap();
        identity.write(directory.path()).unwrap();
        let text = std::fs::read_to_string(directory.path().join(FILE)).unwrap();
        (directory, identity, text)
    }

    #[test]
    fn an_identity_survives_its_file() {
        let (directory, identity, _) = written();
        assert_eq!(Identity::read(directory.path()).unwrap(), Some(identity));
        assert!(identity.node > 0 && identity.node < 1 << NODE_ID_BITS);
    }

    #[test]
    fn every_changed_byte_of_an_identity_is_refused() {
        let (directory, _, text) = written();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            std::fs::write(directory.path().join(FILE), bytes).unwrap();
            Identity::read(directory.path()).unwrap_err();
        }
    }

    #[test]
    fn a_newer_format_is_refused_as_newer() {
        let (directory, _, text) = written();
        std::fs::write(directory.path().join(FILE), text.replace("format 1", "format 2")).unwrap();
        let error = Identity::read(directory.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Newer { found: 2, .. }), "{error}");
    }
}
