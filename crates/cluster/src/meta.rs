//! The one record that every transaction rewrites: what must be remembered
//! beside the entries, and how many transactions there were.
//!
//! It lies in a table of its own on page 2 of the database, so that it can be
//! found in a raw write-ahead log without SQLite: the counter tells whether
//! frames behind a damaged one belong to the transaction that was being
//! written at a power cut (never acknowledged, may go) or to a later one
//! (something acknowledged is damaged). **The counter grows by exactly one with
//! each transaction.**

use crate::identity::ClusterId;
use crate::stored::{StoredLogId, StoredVote};
use crate::types::NodeId;
use serde::{Deserialize, Serialize};

/// The page on which the record lies: its table is the first one created.
pub(crate) const META_PAGE: u32 = 2;
/// Bytes of the record, always the same, so that SQLite overwrites it in place.
pub(crate) const RECORD_BYTES: usize = 256;
/// Marks the beginning of a record inside a page; drawn at random once.
const MAGIC: [u8; 16] =
    [0x9d, 0x4d, 0x73, 0xe1, 0x0c, 0x6e, 0x74, 0xb8, 0x5a, 0x61, 0xf3, 0x07, 0xc2, 0x2e, 0x91, 0x6b];
/// Version of the record's form. Every version begins with [`MAGIC`] and this
/// byte and has the length and the checksum of the first, so that an older
/// program can tell a newer record from a damaged one.
pub(crate) const FORMAT: u8 = 1;

/// What must be remembered beside the entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Transactions so far.
    pub(crate) counter: u64,
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    /// Whether a process has the log open, or ended without closing it. Then
    /// there must be a write-ahead log; that somebody deleted it is noticed.
    pub(crate) is_open: bool,
    pub(crate) vote: Option<StoredVote>,
    pub(crate) committed: Option<StoredLogId>,
    /// The last raft entry that was dropped because a snapshot holds it.
    pub(crate) purged: Option<StoredLogId>,
    /// The last raft entry there is, or was when all are purged.
    pub(crate) last: Option<StoredLogId>,
    /// How often the log was opened. Peers remember it: a directory that comes
    /// back with less was rolled back. Records written before this field end
    /// in zeros, which read as 0.
    pub(crate) incarnation: u64,
}

impl Meta {
    pub(crate) fn new(cluster: ClusterId, node: NodeId) -> Self {
        Self {
            counter: 0,
            cluster,
            node,
            is_open: false,
            vote: None,
            committed: None,
            purged: None,
            last: None,
            incarnation: 0,
        }
    }

    /// The stored form, always [`RECORD_BYTES`] long.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(FORMAT);
        let mut bytes = postcard::to_extend(self, bytes).expect("own types always encode");
        assert!(bytes.len() <= RECORD_BYTES - 4, "the record outgrew its size");
        bytes.resize(RECORD_BYTES - 4, 0);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the stored form; `None` if it is damaged or of a newer format.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (format, fields) = unpack(bytes)?;
        if format != FORMAT {
            return None;
        }
        postcard::take_from_bytes(fields).ok().map(|(meta, _)| meta)
    }

    /// The newest record in a raw page. A page may hold older copies in its
    /// free space.
    pub(crate) fn newest(page: &[u8]) -> Option<Self> {
        candidates(page).filter_map(Self::decode).max_by_key(|meta| meta.counter)
    }
}

/// The format of a record in a raw page that a newer program wrote. Whoever
/// opens a log writes its record into the database file first, so this tells
/// without looking at the write-ahead log.
pub(crate) fn newer_format(page: &[u8]) -> Option<u8> {
    candidates(page).filter_map(unpack).map(|(format, _)| format).find(|format| *format > FORMAT)
}

fn candidates(page: &[u8]) -> impl Iterator<Item = &[u8]> {
    let places = page.windows(MAGIC.len()).enumerate().filter(|(_, window)| *window == MAGIC);
    places.map(|(at, _)| &page[at..])
}

/// The format and the fields of a record that is whole.
fn unpack(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (content, checksum) = bytes.get(..RECORD_BYTES)?.split_last_chunk::<4>()?;
    if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (format, fields) = content.strip_prefix(&MAGIC)?.split_first()?;
    Some((*format, fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn largest() -> Meta {
        let id = StoredLogId { term: u64::MAX, node: u64::MAX, position: u64::MAX };
        Meta {
            counter: u64::MAX,
            is_open: true,
            vote: Some(StoredVote::from(openraft::Vote::new_committed(u64::MAX, u64::MAX))),
            committed: Some(id),
            purged: Some(id),
            last: Some(id),
            incarnation: u64::MAX,
            ..Meta::new(ClusterId::from_bytes([0xff; 16]), u64::MAX)
        }
    }

    #[test]
    fn the_largest_record_fits_and_survives() {
        assert_eq!(Meta::decode(&largest().encode()), Some(largest()));
    }

    #[test]
    fn a_record_from_before_incarnations_has_none() {
        // Such a record has zeros where the incarnation stands by now.
        let meta = Meta { incarnation: 0, ..largest() };
        let fields = postcard::to_allocvec(&meta).unwrap();
        assert_eq!(fields.last(), Some(&0), "an incarnation of 0 is one byte of zero");
        assert_eq!(Meta::decode(&meta.encode()), Some(meta));
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        let bytes = largest().encode();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Meta::decode(&damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn a_newer_record_is_told_from_a_damaged_one() {
        let mut newer = largest().encode();
        newer[MAGIC.len()] = FORMAT + 1;
        let end = RECORD_BYTES - 4;
        let checksum = crc32fast::hash(&newer[..end]).to_le_bytes();
        newer[end..].copy_from_slice(&checksum);
        assert_eq!((Meta::decode(&newer), newer_format(&newer)), (None, Some(FORMAT + 1)));
        assert_eq!(newer_format(&[&[7; 9], largest().encode().as_slice(), &newer].concat()), Some(FORMAT + 1));
        newer[40] ^= 1;
        assert_eq!(newer_format(&newer), None, "a damaged one says nothing");
        assert_eq!(newer_format(&largest().encode()), None);
    }

    #[test]
    fn the_newest_of_several_copies_in_a_page_counts() {
        let mut page = vec![0; 100];
        for counter in [7, 9, 8] {
            page.extend(Meta { counter, ..largest() }.encode());
            page.extend([1, 2, 3]);
        }
        assert_eq!(Meta::newest(&page).map(|meta| meta.counter), Some(9));
        assert_eq!(Meta::newest(&[0; 4096]), None);
    }
}
