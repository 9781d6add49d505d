//! Looks through SQLite's write-ahead log before SQLite does.
//!
//! SQLite's recovery stops at the first frame that is not right and silently
//! drops all behind it. After a power cut that is correct: what is torn was
//! never acknowledged. When a disk damages a frame in the middle it drops
//! entries that were acknowledged. The two are told apart here: every
//! transaction is flushed before the next one is written, so a power cut can
//! only tear the last one. **Whole frames of a later transaction behind a bad
//! frame mean that something acknowledged is damaged.** Frames know their
//! transaction by the counter of [`crate::meta`] and by commit marks.
//!
//! What cannot be told: damage to the very last transaction looks like a torn
//! one. The form of the file is documented at
//! <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use crate::meta::{META_PAGE, Meta};

/// SQLite's default and ours.
pub(crate) const PAGE_BYTES: usize = 4096;
const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const FRAME_BYTES: usize = FRAME_HEADER_BYTES + PAGE_BYTES;
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// What was found in a write-ahead log that may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    /// No transaction in it.
    Empty,
    /// Every frame belongs to a whole transaction.
    Whole,
    /// The last transaction was torn; SQLite will drop it, which is right.
    Torn {
        /// Where it begins, in bytes.
        offset: u64,
    },
}

/// Something that was acknowledged is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Where the first bad frame begins, in bytes.
    pub(crate) offset: u64,
}

/// Looks through a write-ahead log. `checkpointed` is the counter of the
/// record in the database file itself, if there is one.
pub(crate) fn scan(bytes: &[u8], checkpointed: Option<u64>) -> Result<Scan, Damage> {
    let Some(header) = Header::read(bytes) else {
        let is_needed = Tail::of(bytes, 0, None).commits > 0 || first_frame_is_whole(bytes);
        return if is_needed { Err(Damage { offset: 0 }) } else { Ok(Scan::Empty) };
    };
    let mut sums = header.sums;
    let mut known = checkpointed;
    let mut pending = checkpointed;
    let mut committed_frames = 0;
    let frames = frames_of(bytes);
    for (number, frame) in frames.iter().enumerate() {
        let after = frame.sums_after(sums, header.is_big_endian);
        if frame.salts() != header.salts || after != frame.stored_sums() {
            let tail = Tail::of(bytes, number, Some((header, after)));
            return tail.judge(known).map(|()| header.verdict(committed_frames, number, &tail));
        }
        sums = after;
        pending = frame.counter().or(pending);
        if frame.is_commit() {
            known = pending;
            committed_frames = number + 1;
        }
    }
    let nothing_behind = Tail { commits: 0, newest_counter: None, frames: 0, offset: 0 };
    Ok(header.verdict(committed_frames, frames.len(), &nothing_behind))
}

/// Whether the first frame follows from the checksum stored in a header that
/// is wrong elsewhere.
fn first_frame_is_whole(bytes: &[u8]) -> bool {
    frames_of(bytes).first().is_some_and(|frame| {
        let stored = (number_at(bytes, 24), number_at(bytes, 28));
        frame.is_commit() && [false, true].into_iter().any(|big| frame.sums_after(stored, big) == frame.stored_sums())
    })
}

#[derive(Debug, Clone, Copy)]
struct Header {
    is_big_endian: bool,
    salts: [u8; 8],
    sums: (u32, u32),
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER_BYTES)?;
        let magic = number_at(header, 0);
        let is_big_endian = magic == MAGIC | 1;
        let sums = checksum((0, 0), &header[..24], is_big_endian);
        let is_right = (magic | 1) == (MAGIC | 1)
            && number_at(header, 4) == VERSION
            && number_at(header, 8) as usize == PAGE_BYTES
            && sums == (number_at(header, 24), number_at(header, 28));
        is_right.then(|| Self { is_big_endian, salts: header[16..24].try_into().expect("8 bytes"), sums })
    }

    /// What a scan found that met no damage, `good` frames having been right.
    fn verdict(self, committed: usize, good: usize, tail: &Tail) -> Scan {
        if committed < good || tail.frames > 0 {
            Scan::Torn { offset: offset_of(committed) }
        } else if committed == 0 {
            Scan::Empty
        } else {
            Scan::Whole
        }
    }
}

/// What lies from a bad frame on.
struct Tail {
    /// Whole frames of the current generation with a commit mark.
    commits: usize,
    /// The highest counter in whole frames of the current generation.
    newest_counter: Option<u64>,
    /// Frames that carry the current generation's salts, whole or not.
    frames: usize,
    offset: u64,
}

impl Tail {
    /// Looks at the frames behind frame `bad`. A frame there is whole when its
    /// checksum follows from the one stored in the frame before; for the first
    /// one also when it follows from the one computed for the bad frame, in
    /// case just the stored one was hit. Without a header (`None`) the salts
    /// are those two neighbours share, and frame `bad` itself is not looked at.
    fn of(bytes: &[u8], bad: usize, header: Option<(Header, (u32, u32))>) -> Self {
        let mut tail = Self { commits: 0, newest_counter: None, frames: 0, offset: offset_of(bad) };
        let frames = frames_of(bytes);
        let is_current = |frame: &Frame<'_>, before: &Frame<'_>| match header {
            Some((header, _)) => frame.salts() == header.salts,
            None => frame.salts() == before.salts(),
        };
        if let (Some(first), Some((header, _))) = (frames.get(bad), header) {
            tail.frames += usize::from(first.salts() == header.salts);
        }
        for number in bad + 1..frames.len() {
            let (before, frame) = (&frames[number - 1], &frames[number]);
            if !is_current(frame, before) {
                continue;
            }
            tail.frames += 1;
            let computed = header.filter(|_| number == bad + 1).map(|(_, sums)| sums);
            let follows = |sums| {
                [false, true].into_iter().any(|big| {
                    header.is_none_or(|(header, _)| header.is_big_endian == big)
                        && frame.sums_after(sums, big) == frame.stored_sums()
                })
            };
            if follows(before.stored_sums()) || computed.is_some_and(follows) {
                tail.commits += usize::from(frame.is_commit());
                tail.newest_counter = tail.newest_counter.max(frame.counter());
            }
        }
        tail
    }

    /// Whether what lies behind the bad frame can be of the one transaction
    /// that was being written, the one after `known`.
    fn judge(&self, known: Option<u64>) -> Result<(), Damage> {
        let is_later = match (self.newest_counter, known) {
            (Some(found), Some(known)) => found > known + 1,
            // The database file has no record, although the log was founded:
            // nothing can be ruled out.
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_later || self.commits > 1 { Err(Damage { offset: self.offset }) } else { Ok(()) }
    }
}

struct Frame<'a> {
    head: &'a [u8],
    page: &'a [u8],
}

impl Frame<'_> {
    fn salts(&self) -> [u8; 8] {
        self.head[8..16].try_into().expect("8 bytes")
    }

    fn stored_sums(&self) -> (u32, u32) {
        (number_at(self.head, 16), number_at(self.head, 20))
    }

    fn sums_after(&self, before: (u32, u32), is_big_endian: bool) -> (u32, u32) {
        let head = checksum(before, &self.head[..8], is_big_endian);
        checksum(head, self.page, is_big_endian)
    }

    fn is_commit(&self) -> bool {
        number_at(self.head, 4) != 0
    }

    fn counter(&self) -> Option<u64> {
        (number_at(self.head, 0) == META_PAGE).then(|| Meta::newest(self.page)).flatten().map(|meta| meta.counter)
    }
}

fn frames_of(bytes: &[u8]) -> Vec<Frame<'_>> {
    let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
    body.chunks_exact(FRAME_BYTES)
        .map(|frame| Frame { head: &frame[..FRAME_HEADER_BYTES], page: &frame[FRAME_HEADER_BYTES..] })
        .collect()
}

fn offset_of(frame: usize) -> u64 {
    (HEADER_BYTES + frame * FRAME_BYTES) as u64
}

fn number_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn checksum(before: (u32, u32), bytes: &[u8], is_big_endian: bool) -> (u32, u32) {
    let word = |bytes: &[u8]| {
        let bytes = bytes.try_into().expect("4 bytes");
        if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    bytes.chunks_exact(8).fold(before, |(first, second), pair| {
        let first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
        (first, second.wrapping_add(word(&pair[4..])).wrapping_add(first))
    })
}
