//! One row of the log's table: a raft entry with a checksum of its own.
//!
//! SQLite does not checksum its pages, so a flipped bit on the disk would
//! otherwise become a different command. **A row whose checksum is wrong is
//! never decoded.**

use crate::stored::{Members, StoredLogId};
use crate::types::{Group, GroupError, RaftEntry};
use openraft::EntryPayload;

/// First byte of a payload: the version of its form.
const FORMAT: u8 = 1;
const KIND_BLANK: u8 = 0;
const KIND_MEMBERS: u8 = 1;
const KIND_GROUP: u8 = 2;

/// A raft entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: StoredLogId,
    /// Entries in its group.
    pub(crate) count: u32,
    pub(crate) payload: Vec<u8>,
}

/// Why a row cannot become a raft entry, although its checksum is right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    /// A newer program wrote it.
    #[error("it has format {found}, this program reads up to {FORMAT}")]
    Newer {
        /// The format found.
        found: u8,
    },
    /// No kind of payload that is known.
    #[error("it holds an unknown kind of payload")]
    Kind,
    /// The members in it cannot be read.
    #[error("the members in it cannot be read")]
    Members(#[source] postcard::Error),
    /// The group in it cannot be read.
    #[error("the group in it cannot be read")]
    Group(#[source] GroupError),
}

impl Row {
    /// The stored form of a raft entry.
    pub(crate) fn of(entry: &RaftEntry) -> Self {
        let (count, payload) = match &entry.payload {
            EntryPayload::Blank => (0, vec![FORMAT, KIND_BLANK]),
            EntryPayload::Membership(membership) => {
                let start = vec![FORMAT, KIND_MEMBERS];
                (0, postcard::to_extend(&Members::from(membership), start).expect("own types always encode"))
            }
            EntryPayload::Normal(group) => {
                let count = u32::try_from(group.entries().len()).expect("groups are far below 4 G entries");
                (count, [&[FORMAT, KIND_GROUP], group.encoded()].concat())
            }
        };
        Self { id: entry.log_id.into(), count, payload }
    }

    /// The raft entry in it.
    pub(crate) fn decode(&self) -> Result<RaftEntry, RowError> {
        let payload = match self.payload.as_slice() {
            [FORMAT, KIND_BLANK] => EntryPayload::Blank,
            [FORMAT, KIND_MEMBERS, rest @ ..] => {
                let members: Members = postcard::from_bytes(rest).map_err(RowError::Members)?;
                EntryPayload::Membership(members.into())
            }
            [FORMAT, KIND_GROUP, rest @ ..] => EntryPayload::Normal(Group::decode(rest).map_err(RowError::Group)?),
            [found, ..] if *found > FORMAT => return Err(RowError::Newer { found: *found }),
            _ => return Err(RowError::Kind),
        };
        Ok(RaftEntry { log_id: self.id.into(), payload })
    }

    /// CRC-32 over everything in the row.
    pub(crate) fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for number in [self.id.position, self.id.term, self.id.node, u64::from(self.count)] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&self.payload);
        hasher.finalize()
    }
}
