//! Roll-ups: what many results come to, in one line each.
//!
//! They are always made from the results themselves, never from other
//! roll-ups, so the percentiles are those of the results (nearest rank), not
//! estimates of estimates. Latencies are those of rounds that passed or were
//! degraded; a time-out says nothing about speed. **Latencies of a roll-up lie
//! on the scale of [`latency`] (0.8 %), whether it was stored or just computed.**

use crate::codec::chunk::{Damaged, Point};
use crate::codec::{column, latency};
use crate::keys::{DAY_MS, Place};
use model::id::LocationId;
use model::observation::Outcome;
use model::time::Timestamp;
use std::collections::BTreeMap;

const VERSION: u8 = 1;
const VERSION_MASK: u8 = 0x0f;
const FLAG_PARTIAL: u8 = 0x10;
const FIVE_MINUTES_MS: i64 = 5 * 60_000;
const SPANS_PER_DAY: usize = (DAY_MS / FIVE_MINUTES_MS) as usize;
/// A day has no more milliseconds, and a series no more rounds.
const ROUNDS_MAX: u32 = DAY_MS as u32;

/// The length of the spans that roll-ups describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Five minutes, kept 13 months by default.
    FiveMinutes,
    /// One UTC day, kept for ever.
    Day,
}

impl Resolution {
    /// The length in milliseconds.
    pub(crate) const fn length_ms(self) -> i64 {
        match self {
            Self::FiveMinutes => FIVE_MINUTES_MS,
            Self::Day => DAY_MS,
        }
    }
}

/// What the results of a check at one location came to in a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollup {
    /// Where the results were made; `None` after [`merged`].
    pub location: Option<LocationId>,
    /// Start of the span, aligned to its length.
    pub from: Timestamp,
    /// End of the span, not part of it.
    pub to: Timestamp,
    /// The numbers.
    pub totals: Totals,
}

/// The numbers of a roll-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Rounds that passed.
    pub pass: u32,
    /// Rounds that worked with a limit reached.
    pub degraded: u32,
    /// Rounds that failed.
    pub fail: u32,
    /// Rounds in which we could not look.
    pub own: u32,
    /// Latency of the rounds that passed or were degraded; `None` without any.
    pub latency: Option<LatencySummary>,
    /// Whether some results of the span could not be read when it was made.
    pub is_partial: bool,
}

/// Latencies in microseconds, each to 0.8 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatencySummary {
    /// Shortest.
    pub min_us: u32,
    /// Arithmetic mean.
    pub mean_us: u32,
    /// Half of the rounds took at most this.
    pub p50_us: u32,
    /// 95 of 100 rounds took at most this.
    pub p95_us: u32,
    /// Longest.
    pub max_us: u32,
}

impl Totals {
    /// All rounds.
    pub fn rounds(&self) -> u32 {
        [self.pass, self.degraded, self.fail, self.own].into_iter().fold(0, u32::saturating_add)
    }

    /// These totals, just made from results, or stored ones that count more
    /// rounds. What is known of a span only grows, so those know more; but if
    /// some results could not be read now, they may lack those that came since.
    pub(crate) fn or_fuller(self, stored: Self) -> Self {
        if stored.rounds() <= self.rounds() {
            return self;
        }
        Self { is_partial: stored.is_partial || self.is_partial, ..stored }
    }

    /// One of two totals of the same span, the fuller one if they differ in
    /// that. **Which does not depend on their order**, so that nodes which
    /// exchange theirs end equal.
    pub(crate) fn or(self, other: Self) -> Self {
        let precedence = |totals: &Self| {
            let latency = totals.latency.as_ref().map(codes);
            (totals.rounds(), !totals.is_partial, [totals.pass, totals.degraded, totals.fail], latency)
        };
        if precedence(&other) > precedence(&self) { other } else { self }
    }

    /// What results come to.
    pub(crate) fn of(points: &[Point]) -> Self {
        let mut totals = Self::default();
        let mut latencies = Vec::with_capacity(points.len());
        for point in points {
            match point.outcome {
                Outcome::Pass => totals.pass += 1,
                Outcome::Degraded => totals.degraded += 1,
                Outcome::Fail => totals.fail += 1,
                Outcome::Own => totals.own += 1,
            }
            if matches!(point.outcome, Outcome::Pass | Outcome::Degraded) {
                latencies.push(point.latency_us);
            }
        }
        latencies.sort_unstable();
        totals.latency = summary(&latencies);
        totals
    }
}

fn summary(sorted: &[u32]) -> Option<LatencySummary> {
    let (&min, &max) = (sorted.first()?, sorted.last()?);
    let rank = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
    let mean = sorted.iter().map(|&latency| u64::from(latency)).sum::<u64>() / sorted.len() as u64;
    let [min_us, mean_us, p50_us, p95_us, max_us] =
        [min, mean as u32, rank(50), rank(95), max].map(latency::rounded_us);
    Some(LatencySummary { min_us, mean_us, p50_us, p95_us, max_us })
}

/// The 5-minute spans of a day that have results: number of the span and its totals.
pub(crate) type DayOfSpans = Vec<(u16, Totals)>;

/// The 5-minute totals of a day's points, whose offsets count from its start.
pub(crate) fn spans_of_day(points: &[Point], is_partial: bool) -> DayOfSpans {
    let span_of = |point: &Point| (i64::from(point.offset_ms) / FIVE_MINUTES_MS) as u16;
    points
        .chunk_by(|a, b| span_of(a) == span_of(b))
        .map(|group| (span_of(&group[0]), Totals { is_partial, ..Totals::of(group) }))
        .collect()
}

/// The spans of two forms of the same day; `or` chooses where both have one.
pub(crate) fn united_spans(one: &DayOfSpans, other: &DayOfSpans, or: fn(Totals, Totals) -> Totals) -> DayOfSpans {
    let mut spans: BTreeMap<u16, Totals> = one.iter().copied().collect();
    for (span, totals) in other {
        spans.entry(*span).and_modify(|there| *there = or(*there, *totals)).or_insert(*totals);
    }
    let is_partial = spans.values().any(|totals| totals.is_partial);
    spans.into_iter().map(|(span, totals)| (span, Totals { is_partial, ..totals })).collect()
}

/// The start of a 5-minute span of a day.
pub(crate) fn span_start(day: i64, span: u16) -> Timestamp {
    Timestamp::from_ms(day * DAY_MS + i64::from(span) * FIVE_MINUTES_MS)
}

/// Adds up roll-ups of several locations, ascending by time. Counts, minimum
/// and maximum are exact; mean and percentiles are means of the locations'
/// values weighted by their rounds, which is right when locations see alike.
pub fn merged(rollups: &[Rollup]) -> Vec<Rollup> {
    let mut spans: BTreeMap<(Timestamp, Timestamp), Vec<&Totals>> = BTreeMap::new();
    for rollup in rollups {
        spans.entry((rollup.from, rollup.to)).or_default().push(&rollup.totals);
    }
    spans
        .into_iter()
        .map(|((from, to), totals)| Rollup { location: None, from, to, totals: merged_totals(&totals) })
        .collect()
}

fn merged_totals(parts: &[&Totals]) -> Totals {
    let mut sum = Totals::default();
    for part in parts {
        sum.pass = sum.pass.saturating_add(part.pass);
        sum.degraded = sum.degraded.saturating_add(part.degraded);
        sum.fail = sum.fail.saturating_add(part.fail);
        sum.own = sum.own.saturating_add(part.own);
        sum.is_partial |= part.is_partial;
    }
    let weighted: Vec<(u64, LatencySummary)> = parts
        .iter()
        .filter_map(|part| Some((u64::from(part.pass) + u64::from(part.degraded), part.latency?)))
        .collect();
    let weight: u64 = weighted.iter().map(|(weight, _)| weight).sum();
    let mean = |of: fn(&LatencySummary) -> u32| {
        let total: u64 = weighted.iter().map(|(weight, latency)| weight * u64::from(of(latency))).sum();
        (total / weight.max(1)) as u32
    };
    sum.latency = (weight > 0).then(|| LatencySummary {
        min_us: weighted.iter().map(|(_, latency)| latency.min_us).min().unwrap_or(0),
        mean_us: mean(|latency| latency.mean_us),
        p50_us: mean(|latency| latency.p50_us),
        p95_us: mean(|latency| latency.p95_us),
        max_us: weighted.iter().map(|(_, latency)| latency.max_us).max().unwrap_or(0),
    });
    sum
}

/// The stored form of the totals of one day.
pub(crate) fn encode_totals(totals: &Totals, place: &Place) -> Vec<u8> {
    let mut out = vec![head(totals.is_partial)];
    for count in [totals.pass, totals.degraded, totals.fail, totals.own] {
        column::put_number(&mut out, u64::from(count));
    }
    if let Some(latency) = totals.latency {
        for code in codes(&latency) {
            column::put_number(&mut out, u64::from(code));
        }
    }
    column::seal(out, &place.bytes())
}

/// Reads the stored form of the totals of one day.
pub(crate) fn decode_totals(bytes: &[u8], place: &Place) -> Result<Totals, Damaged> {
    column::unseal(bytes, &place.bytes()).and_then(decode_totals_body).ok_or(Damaged)
}

/// Reads the stored form of the totals of one day, without its checksum.
pub(crate) fn decode_totals_body(mut bytes: &[u8]) -> Option<Totals> {
    let bytes = &mut bytes;
    let is_partial = take_head(bytes)?;
    let mut count = || u32::try_from(column::take_number(bytes)?).ok();
    let mut totals = Totals { pass: count()?, degraded: count()?, fail: count()?, own: count()?, ..Totals::default() };
    totals.is_partial = is_partial;
    if totals.pass > 0 || totals.degraded > 0 {
        let mut code = || u16::try_from(column::take_number(bytes)?).ok();
        totals.latency = Some(from_codes([code()?, code()?, code()?, code()?, code()?])?);
    }
    (totals.rounds() <= ROUNDS_MAX).then_some(totals)
}

/// The stored form of a day of 5-minute totals, as columns.
///
/// Latencies lie close together in a span, so all but the median are stored
/// as distances to their neighbour.
pub(crate) fn encode_spans(spans: &DayOfSpans, place: &Place) -> Vec<u8> {
    column::seal(spans_body(spans), &place.bytes())
}

/// The stored form of a day of 5-minute totals, still without its checksum.
pub(crate) fn spans_body(spans: &DayOfSpans) -> Vec<u8> {
    let mut out = vec![head(spans.iter().any(|(_, totals)| totals.is_partial))];
    column::put_number(&mut out, spans.len() as u64);
    let starts = std::iter::once(0).chain(spans.iter().map(|(span, _)| u64::from(*span)));
    column::put_runs(&mut out, starts.clone().zip(starts.skip(1)).map(|(before, after)| after - before));
    let counts = |totals: &Totals| [totals.pass, totals.degraded, totals.fail, totals.own];
    for part in 0..4 {
        column::put_runs(&mut out, spans.iter().map(|(_, totals)| u64::from(counts(totals)[part])));
    }
    let codes: Vec<[u16; 5]> = spans.iter().filter_map(|(_, totals)| totals.latency.as_ref().map(codes)).collect();
    for part in 0..5 {
        let values: Vec<u16> = codes.iter().map(|code| distances(*code)[part]).collect();
        column::put_column(&mut out, &values);
    }
    out
}

/// Reads the stored form of a day of 5-minute totals.
pub(crate) fn decode_spans(bytes: &[u8], place: &Place) -> Result<DayOfSpans, Damaged> {
    column::unseal(bytes, &place.bytes()).and_then(decode_spans_body).ok_or(Damaged)
}

/// Reads the stored form of a day of 5-minute totals, without its checksum.
pub(crate) fn decode_spans_body(mut bytes: &[u8]) -> Option<DayOfSpans> {
    let bytes = &mut bytes;
    let is_partial = take_head(bytes)?;
    let count = usize::try_from(column::take_number(bytes)?).ok().filter(|&count| count <= SPANS_PER_DAY)?;
    let steps = column::take_runs(bytes, count)?;
    let [pass, degraded, fail, own] = [(); 4].map(|()| column::take_runs(bytes, count));
    let (pass, degraded, fail, own) = (pass?, degraded?, fail?, own?);
    let with_latency = (0..count).filter(|&index| pass[index] > 0 || degraded[index] > 0).count();
    let [p50, min, mean, p95, max] = [(); 5].map(|()| column::take_column::<u16>(bytes, with_latency));
    let (p50, min, mean, p95, max) = (p50?, min?, mean?, p95?, max?);
    let mut latencies = (0..with_latency).map(|i| from_distances([p50[i], min[i], mean[i], p95[i], max[i]]));
    let mut span = 0u64;
    let mut spans = Vec::with_capacity(count);
    for index in 0..count {
        if index > 0 && steps[index] == 0 {
            return None;
        }
        span = span.checked_add(steps[index]).filter(|&span| span < SPANS_PER_DAY as u64)?;
        let count_of = |column: &[u64]| u32::try_from(column[index]).ok();
        let mut totals = Totals {
            pass: count_of(&pass)?,
            degraded: count_of(&degraded)?,
            fail: count_of(&fail)?,
            own: count_of(&own)?,
            latency: None,
            is_partial,
        };
        if pass[index] > 0 || degraded[index] > 0 {
            totals.latency = Some(from_codes(latencies.next()?)?);
        }
        if totals.rounds() > ROUNDS_MAX {
            return None;
        }
        spans.push((span as u16, totals));
    }
    Some(spans)
}

fn head(is_partial: bool) -> u8 {
    VERSION | if is_partial { FLAG_PARTIAL } else { 0 }
}

fn take_head(bytes: &mut &[u8]) -> Option<bool> {
    let (&head, rest) = bytes.split_first()?;
    *bytes = rest;
    (head & VERSION_MASK == VERSION).then_some(head & FLAG_PARTIAL != 0)
}

/// Codes in the order median, minimum, mean, 95th percentile, maximum.
fn codes(latency: &LatencySummary) -> [u16; 5] {
    [latency.p50_us, latency.min_us, latency.mean_us, latency.p95_us, latency.max_us].map(latency::code)
}

/// `None` if they are not in order, as bytes from elsewhere may be.
fn from_codes(codes: [u16; 5]) -> Option<LatencySummary> {
    let [p50, min, mean, p95, max] = codes;
    if !(min <= p50 && p50 <= p95 && p95 <= max && min <= mean && mean <= max && max <= latency::CODE_MAX) {
        return None;
    }
    let [p50_us, min_us, mean_us, p95_us, max_us] = codes.map(latency::latency_us);
    Some(LatencySummary { min_us, mean_us, p50_us, p95_us, max_us })
}

/// The mean lies between minimum and maximum, the rest is ordered; no distance is negative.
fn distances([p50, min, mean, p95, max]: [u16; 5]) -> [u16; 5] {
    [p50, p50 - min, mean - min, p95 - p50, max - p95]
}

fn from_distances([p50, min, mean, p95, max]: [u16; 5]) -> [u16; 5] {
    let lowest = p50.wrapping_sub(min);
    let high = p50.wrapping_add(p95);
    [p50, lowest, lowest.wrapping_add(mean), high, high.wrapping_add(max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SeriesKey;
    use proptest::prelude::*;

    fn place() -> Place {
        Place { at: 20_000, series: SeriesKey::new(model::id::CheckSlot(9), 1) }
    }

    fn days() -> impl Strategy<Value = Vec<Point>> {
        let outcome = prop::sample::select(vec![Outcome::Pass, Outcome::Degraded, Outcome::Fail, Outcome::Own]);
        prop::collection::btree_map(0..DAY_MS as u32, (outcome, any::<u32>()), 0..400).prop_map(|points| {
            points
                .into_iter()
                .map(|(offset_ms, (outcome, latency_us))| Point { offset_ms, outcome, latency_us })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn totals_survive_their_stored_form(points in days(), is_partial in any::<bool>()) {
            let totals = Totals { is_partial, ..Totals::of(&points) };
            prop_assert_eq!(decode_totals(&encode_totals(&totals, &place()), &place()), Ok(totals));
            let spans = spans_of_day(&points, is_partial);
            prop_assert_eq!(decode_spans(&encode_spans(&spans, &place()), &place()), Ok(spans));
        }

        #[test]
        fn roll_ups_that_were_changed_are_refused_or_read_as_others(
            points in days(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let bound_to = place().bytes();
            let changed = |sealed: Vec<u8>| {
                let mut body = column::unseal(&sealed, &bound_to).map(<[u8]>::to_vec).unwrap_or_default();
                for (position, byte) in &changes {
                    let index = position.index(body.len());
                    body[index] = *byte;
                }
                body
            };
            let spans = changed(encode_spans(&spans_of_day(&points, false), &place()));
            if let Some(read) = decode_spans_body(&spans) {
                prop_assert!(read.is_sorted_by(|(a, _), (b, _)| a < b));
                prop_assert_eq!(decode_spans_body(&spans_body(&read)), Some(read));
            }
            let totals = changed(encode_totals(&Totals::of(&points), &place()));
            if let Some(read) = decode_totals_body(&totals) {
                let again = encode_totals(&read, &place());
                prop_assert_eq!(decode_totals(&again, &place()), Ok(read));
            }
        }

        #[test]
        fn no_bytes_break_the_readers(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let sealed = column::seal(bytes, &place().bytes());
            let _ = decode_totals(&sealed, &place());
            let _ = decode_spans(&sealed, &place());
        }

        #[test]
        fn spans_add_up_to_the_day(points in days()) {
            let rounds: u32 = spans_of_day(&points, false).iter().map(|(_, totals)| totals.rounds()).sum();
            prop_assert_eq!(rounds, Totals::of(&points).rounds());
        }
    }

    #[test]
    fn percentiles_are_those_of_the_results() {
        let point = |latency_us| Point { offset_ms: 0, outcome: Outcome::Pass, latency_us };
        let points: Vec<Point> = (1..=100).map(point).collect();
        let expected = LatencySummary { min_us: 1, mean_us: 50, p50_us: 50, p95_us: 95, max_us: 100 };
        assert_eq!(Totals::of(&points).latency, Some(expected));
        let failed = Point { outcome: Outcome::Fail, ..point(10_000_000) };
        assert_eq!(Totals::of(&[failed]).latency, None);
    }
}
