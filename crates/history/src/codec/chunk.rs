//! The results of one check and location in one window, as columns.
//!
//! Scheduled times are regular, so they are stored as runs of equal distances:
//! two hours at one minute are one run. Where that does not hold (heartbeats),
//! the distances become a column of numbers instead, whichever is shorter.
//! Outcomes are runs too. Latencies are a column of codes or of microseconds.
//! **The same results always give the same bytes**, so peers can compare
//! chunks by checksum.

use crate::codec::{column, latency};
use crate::keys::{Place, WINDOW_MS};
use model::observation::Outcome;

const VERSION: u8 = 1;
const VERSION_MASK: u8 = 0x0f;
const FLAG_EXACT: u8 = 0x10;
const FLAG_TIMES_AS_COLUMN: u8 = 0x20;
const FLAG_INCOMPLETE: u8 = 0x40;

/// How precisely latencies are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// To 0.8 %, about half the size.
    #[default]
    OnePercent,
    /// To the microsecond.
    Exact,
}

impl Precision {
    /// A latency as this precision keeps it.
    pub(crate) fn rounded_us(self, latency_us: u32) -> u32 {
        match self {
            Self::OnePercent => latency::rounded_us(latency_us),
            Self::Exact => latency_us,
        }
    }
}

/// One result inside its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    /// Milliseconds since the window began.
    pub(crate) offset_ms: u32,
    pub(crate) outcome: Outcome,
    pub(crate) latency_us: u32,
}

/// The results of a chunk, ascending by time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Chunk {
    pub(crate) points: Vec<Point>,
    /// Whether an earlier form of this chunk was damaged when results were added to it.
    pub(crate) is_incomplete: bool,
}

/// Why bytes are not a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged;

/// The number an outcome is stored as; never changed.
pub(crate) fn outcome_number(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Pass => 0,
        Outcome::Degraded => 1,
        Outcome::Fail => 2,
        Outcome::Own => 3,
    }
}

/// The outcome of a stored number.
pub(crate) fn outcome_from(number: u64) -> Option<Outcome> {
    [Outcome::Pass, Outcome::Degraded, Outcome::Fail, Outcome::Own].get(usize::try_from(number).ok()?).copied()
}

/// The stored form. The points must ascend and there must be at least one.
pub(crate) fn encode(chunk: &Chunk, precision: Precision, place: &Place) -> Vec<u8> {
    column::seal(encode_body(chunk, precision), &place.bytes())
}

/// The stored form without its checksum, which binds it to a place.
pub(crate) fn encode_body(chunk: &Chunk, precision: Precision) -> Vec<u8> {
    let points = &chunk.points;
    let distances: Vec<u32> = points.windows(2).map(|pair| pair[1].offset_ms - pair[0].offset_ms).collect();
    let mut times = Vec::new();
    column::put_runs(&mut times, distances.iter().map(|&distance| u64::from(distance)));
    let mut flags = 0;
    // Runs that cost more than two bytes a result are no runs.
    if times.len() > 2 * points.len() + 8 {
        let mut as_column = Vec::new();
        column::put_column(&mut as_column, &distances);
        if as_column.len() < times.len() {
            times = as_column;
            flags |= FLAG_TIMES_AS_COLUMN;
        }
    }
    if precision == Precision::Exact {
        flags |= FLAG_EXACT;
    }
    if chunk.is_incomplete {
        flags |= FLAG_INCOMPLETE;
    }
    let mut out = vec![VERSION | flags];
    column::put_number(&mut out, points.len() as u64);
    column::put_number(&mut out, points.first().map_or(0, |point| u64::from(point.offset_ms)));
    out.extend(times);
    column::put_runs(&mut out, points.iter().map(|point| u64::from(outcome_number(point.outcome))));
    match precision {
        Precision::OnePercent => {
            let codes: Vec<u16> = points.iter().map(|point| latency::code(point.latency_us)).collect();
            column::put_column(&mut out, &codes);
        }
        Precision::Exact => {
            let latencies: Vec<u32> = points.iter().map(|point| point.latency_us).collect();
            column::put_column(&mut out, &latencies);
        }
    }
    out
}

/// Reads the stored form.
pub(crate) fn decode(bytes: &[u8], place: &Place) -> Result<Chunk, Damaged> {
    // A window has no room for more.
    decode_body(column::unseal(bytes, &place.bytes()).ok_or(Damaged)?, WINDOW_MS as usize)
}

/// Reads the stored form without its checksum. With more than `count_max`
/// results it is refused: a wrong number must not ask for memory.
pub(crate) fn decode_body(body: &[u8], count_max: usize) -> Result<Chunk, Damaged> {
    read_body(body, count_max).ok_or(Damaged)
}

/// How many results a body claims to hold.
pub(crate) fn count_of(body: &[u8]) -> Option<usize> {
    let (_, mut rest) = body.split_first()?;
    usize::try_from(column::take_number(&mut rest)?).ok()
}

/// Whether a body holds latencies to the microsecond.
pub(crate) fn is_exact(body: &[u8]) -> bool {
    body.first().is_some_and(|head| head & FLAG_EXACT != 0)
}

fn read_body(mut bytes: &[u8], count_max: usize) -> Option<Chunk> {
    let bytes = &mut bytes;
    let (&head, rest) = bytes.split_first()?;
    *bytes = rest;
    if head & VERSION_MASK != VERSION {
        return None;
    }
    let count = usize::try_from(column::take_number(bytes)?).ok().filter(|&count| count <= count_max)?;
    let first = u32::try_from(column::take_number(bytes)?).ok()?;
    let distances = take_distances(bytes, count.checked_sub(1)?, head & FLAG_TIMES_AS_COLUMN != 0)?;
    let outcomes = column::take_runs(bytes, count)?;
    let latencies: Vec<u32> = if head & FLAG_EXACT != 0 {
        column::take_column(bytes, count)?
    } else {
        column::take_column::<u16>(bytes, count)?.into_iter().map(latency::latency_us).collect()
    };
    let mut offset_ms = first;
    let mut points = Vec::with_capacity(count);
    for (index, (outcome, latency_us)) in outcomes.into_iter().zip(latencies).enumerate() {
        if index > 0 {
            offset_ms = offset_ms.checked_add(distances[index - 1]).filter(|next| *next > offset_ms)?;
        }
        points.push(Point { offset_ms, outcome: outcome_from(outcome)?, latency_us });
    }
    if i64::from(offset_ms) >= WINDOW_MS {
        return None;
    }
    Some(Chunk { points, is_incomplete: head & FLAG_INCOMPLETE != 0 })
}

fn take_distances(bytes: &mut &[u8], count: usize, as_column: bool) -> Option<Vec<u32>> {
    if as_column {
        return column::take_column(bytes, count);
    }
    column::take_runs(bytes, count)?.into_iter().map(|distance| u32::try_from(distance).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SeriesKey;
    use proptest::prelude::*;

    fn place() -> Place {
        Place { at: 7, series: SeriesKey::new(model::id::CheckSlot(300), 2) }
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop::sample::select(vec![Outcome::Pass, Outcome::Pass, Outcome::Degraded, Outcome::Fail, Outcome::Own])
    }

    fn chunks() -> impl Strategy<Value = Chunk> {
        let irregular = prop::collection::btree_map(0..WINDOW_MS as u32, (outcomes(), any::<u32>()), 1..300);
        let regular = (1u32..60_000, prop::collection::vec((outcomes(), any::<u32>()), 1..120))
            .prop_map(|(step, values)| (0u32..).map(|index| index * step).zip(values).collect());
        (prop_oneof![irregular, regular], any::<bool>()).prop_map(|(points, is_incomplete)| Chunk {
            points: points
                .into_iter()
                .map(|(offset_ms, (outcome, latency_us))| Point { offset_ms, outcome, latency_us })
                .collect(),
            is_incomplete,
        })
    }

    proptest! {
        #[test]
        fn an_exact_chunk_survives_its_stored_form(chunk in chunks()) {
            prop_assert_eq!(decode(&encode(&chunk, Precision::Exact, &place()), &place()), Ok(chunk));
        }

        #[test]
        fn a_chunk_to_one_percent_changes_nothing_but_latencies(chunk in chunks()) {
            let read = decode(&encode(&chunk, Precision::OnePercent, &place()), &place());
            let mut expected = chunk;
            for point in &mut expected.points {
                point.latency_us = latency::rounded_us(point.latency_us);
            }
            prop_assert_eq!(read, Ok(expected));
        }

        #[test]
        fn a_flipped_bit_is_noticed(chunk in chunks(), position in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = encode(&chunk, Precision::OnePercent, &place());
            let index = position.index(bytes.len());
            bytes[index] ^= 1 << bit;
            prop_assert_eq!(decode(&bytes, &place()), Err(Damaged));
        }

        // Behind no checksum, as an import reads them: what is read can be written and read again.
        #[test]
        fn a_body_that_was_changed_is_refused_or_read_as_another_chunk(
            chunk in chunks(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            end in any::<prop::sample::Index>(),
        ) {
            let mut body = encode_body(&chunk, Precision::Exact);
            for (position, byte) in changes {
                let index = position.index(body.len());
                body[index] = byte;
            }
            for length in [body.len(), end.index(body.len())] {
                if let Ok(read) = decode_body(&body[..length], 300) {
                    prop_assert!(read.points.is_sorted_by(|a, b| a.offset_ms < b.offset_ms));
                    prop_assert_eq!(decode_body(&encode_body(&read, Precision::Exact), 300), Ok(read));
                }
            }
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes, &place());
            let _ = decode(&column::seal(bytes, &place().bytes()), &place());
        }
    }

    #[test]
    fn a_chunk_at_the_wrong_place_is_refused() {
        let point = Point { offset_ms: 0, outcome: Outcome::Pass, latency_us: 5 };
        let bytes = encode(&Chunk { points: vec![point], is_incomplete: false }, Precision::Exact, &place());
        assert_eq!(decode(&bytes, &Place { at: 8, ..place() }), Err(Damaged));
    }
}
