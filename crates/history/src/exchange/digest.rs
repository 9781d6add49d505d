//! What a shard of a span comes to, in two numbers.
//!
//! The checksum is the sum of one for each series, over the check, the
//! location's name and its results in the order of time, as values and not as
//! they are stored. So it is the same whether results lie in memory, in heads
//! or in chunks, in which order they came, and which numbers locations have.
//!
//! It is computed when it is asked for, a shard at a time, and remembered while
//! its span rests. No lock is held longer than one shard takes.

use super::{Kind, Span, Unit};
use crate::codec::chunk::{self, Chunk};
use crate::codec::rollup::{self, Totals};
use crate::error::ReadError;
use crate::keys::{self, Place, SeriesKey};
use crate::read::Reader;
use crate::store::{SCHEDULED_MS_MAX, Store};
use crate::tables::TableId;
use model::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What a shard of a span comes to. One that is not named holds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The span.
    pub span: Span,
    /// The shard.
    pub shard: u8,
    /// Results, or roll-ups: of a check, location and day for 5 minutes.
    pub items: u64,
    /// Of their content.
    pub checksum: u64,
    /// Whether something of it is known to be lost here.
    pub is_damaged: bool,
    /// Whether it will be made from results that are kept here, so that there
    /// is nothing to compare yet.
    pub is_pending: bool,
}

/// The units that a peer should be asked for, ascending: where its digests
/// differ from ours for the same spans. Neighbouring shards become one unit.
///
/// That a unit differs does not say who lacks something. Once a unit brought
/// nothing new, asking for it again brings nothing new until a digest changes.
pub fn differing(ours: &[Digest], theirs: &[Digest]) -> Vec<Unit> {
    let by_place = |digests: &[Digest]| -> BTreeMap<(Span, u8), Digest> {
        digests.iter().map(|digest| ((digest.span, digest.shard), *digest)).collect()
    };
    let (ours, theirs) = (by_place(ours), by_place(theirs));
    let mut units: Vec<Unit> = Vec::new();
    let mut is_run = false;
    for place in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let (span, shard) = *place;
        if !is_worth_asking(ours.get(place), theirs.get(place)) {
            is_run = false;
            continue;
        }
        match units.last_mut() {
            Some(unit) if is_run && unit.span == span => unit.last_shard = shard,
            Some(_) | None => units.push(Unit { span, first_shard: shard, last_shard: shard }),
        }
        is_run = true;
    }
    units
}

fn is_worth_asking(ours: Option<&Digest>, theirs: Option<&Digest>) -> bool {
    let Some(theirs) = theirs.filter(|theirs| theirs.items > 0 && !theirs.is_pending) else { return false };
    ours.is_none_or(|ours| !ours.is_pending && (ours.items, ours.checksum) != (theirs.items, theirs.checksum))
}

/// A digest without its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    items: u64,
    checksum: u64,
    is_damaged: bool,
}

impl Sum {
    fn add(&mut self, items: usize, content: &[u8]) {
        self.items += items as u64;
        self.checksum = self.checksum.wrapping_add(xxhash_rust::xxh3::xxh3_64(content));
    }

    fn at(self, span: Span, shard: u8) -> Digest {
        let Self { items, checksum, is_damaged } = self;
        Digest { span, shard, items, checksum, is_damaged, is_pending: false }
    }
}

impl Store {
    /// Digests of a kind of history between two instants, ascending by span and
    /// shard; shards that hold nothing are left out.
    ///
    /// Of results and 5-minute roll-ups the spans that lie between the instants
    /// as a whole are taken. Of daily roll-ups those of the days between them, so
    /// that two nodes have to ask for the same instants. Roll-ups of days
    /// whose results are still kept follow from the results: compare results from
    /// [`kept_from`](Self::kept_from) to a while ago, when late ones have come, and
    /// roll-ups before.
    ///
    /// What is not remembered is computed: about half a second of one
    /// processor for a window of 100,000 checks a minute (12 million results).
    /// Ask for one window at a time to do other things in between.
    ///
    /// # Errors
    /// [`ReadError`] while the store is closed.
    pub fn digests(&self, kind: Kind, from: Timestamp, upto: Timestamp) -> Result<Vec<Digest>, ReadError> {
        let (from, upto) = (from.max(Timestamp::EPOCH), upto.min(Timestamp::from_ms(SCHEDULED_MS_MAX)));
        let mut digests = Vec::new();
        if from >= upto {
            return Ok(digests);
        }
        match kind {
            Kind::Results => {
                for span in self.result_spans(from, upto)? {
                    for shard in 0..=u8::MAX {
                        digests.push(self.results_sum(span, shard)?.at(span, shard));
                    }
                }
            }
            Kind::FiveMinutes => {
                for span in self.five_minute_spans(from, upto)? {
                    for shard in 0..=u8::MAX {
                        digests.push(self.five_minutes_digest(span, shard)?);
                    }
                }
            }
            Kind::Days => {
                for year in keys::year_of(from.day())..=keys::year_of(upto.day()) {
                    for shard in 0..=u8::MAX {
                        let months = self.days_sums(year, shard, from.day()..upto.day())?;
                        digests.extend(months.into_iter().map(|(span, sum)| sum.at(span, shard)));
                    }
                }
                digests.sort_by_key(|digest| (digest.span, digest.shard));
            }
        }
        digests.retain(|digest| digest.items > 0 || digest.is_damaged || digest.is_pending);
        Ok(digests)
    }

    fn result_spans(&self, from: Timestamp, upto: Timestamp) -> Result<Vec<Span>, ReadError> {
        let shared = self.shared();
        let windows = Reader::new(&shared)?.windows(from, upto).into_iter();
        let spans = windows.map(|window| Span::new(Kind::Results, window));
        Ok(spans.filter(|span| from <= span.from() && span.upto() <= upto).collect())
    }

    fn results_sum(&self, span: Span, shard: u8) -> Result<Sum, ReadError> {
        let shared = self.shared();
        let reader = Reader::new(&shared)?;
        let is_settled = reader.is_settled(span.number());
        let (known, version) = {
            let cache = self.cache();
            (cache.get(span, shard).filter(|_| is_settled), cache.version())
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let sum = reader.sum_of_results(span, shard);
        if is_settled {
            self.cache().put(span, shard, sum, version);
        }
        Ok(sum)
    }

    fn five_minute_spans(&self, from: Timestamp, upto: Timestamp) -> Result<BTreeSet<Span>, ReadError> {
        let shared = self.shared();
        let reader = Reader::new(&shared)?;
        let mut days: BTreeSet<i64> = reader.windows(from, upto).into_iter().map(keys::day_of_window).collect();
        for id in reader.table_ids() {
            let (TableId::Five(month), Some(five)) = (id, reader.table(id)) else { continue };
            let has_rollups = |day: &i64| five.prefix(keys::five_day_prefix(*day)).next().is_some();
            days.extend(keys::days_of_month(month).filter(has_rollups));
        }
        let spans = days.into_iter().map(|day| Span::new(Kind::FiveMinutes, day));
        Ok(spans.filter(|span| from <= span.from() && span.upto() <= upto).collect())
    }

    fn five_minutes_digest(&self, span: Span, shard: u8) -> Result<Digest, ReadError> {
        let shared = self.shared();
        let reader = Reader::new(&shared)?;
        if reader.is_fresh(span.number(), shard) {
            return Ok(Digest { is_pending: true, ..Sum::default().at(span, shard) });
        }
        let (known, version) = {
            let cache = self.cache();
            (cache.get(span, shard), cache.version())
        };
        if let Some(known) = known {
            return Ok(known.at(span, shard));
        }
        let sum = reader.sum_of_spans(span, shard);
        self.cache().put(span, shard, sum, version);
        Ok(sum.at(span, shard))
    }

    /// The sums of the months of a year, over the days of a range that are not pending.
    fn days_sums(&self, year: i64, shard: u8, days: Range<i64>) -> Result<BTreeMap<Span, Sum>, ReadError> {
        let shared = self.shared();
        Ok(Reader::new(&shared)?.sums_of_days(year, shard, days))
    }
}

impl Reader<'_> {
    fn sum_of_results(&self, span: Span, shard: u8) -> Sum {
        let window = span.number();
        let found = self.shard_window(window, shard);
        let mut sum = Sum { is_damaged: found.is_damaged, ..Sum::default() };
        let mut content = Vec::new();
        for (series, known) in &found.series {
            let chunk = known
                .all(&Place { at: window, series: *series })
                .unwrap_or_else(|chunk::Damaged| Chunk { points: known.rows.clone(), is_incomplete: true });
            sum.is_damaged |= chunk.is_incomplete;
            if chunk.points.is_empty() || !self.begin(&mut content, span, *series) {
                continue;
            }
            for point in &chunk.points {
                content.extend(point.offset_ms.to_le_bytes());
                content.push(chunk::outcome_number(point.outcome));
                content.extend(point.latency_us.to_le_bytes());
            }
            sum.add(chunk.points.len(), &content);
        }
        sum
    }

    fn sum_of_spans(&self, span: Span, shard: u8) -> Sum {
        let day = span.number();
        let mut sum = Sum::default();
        let Some(five) = self.table(TableId::Five(keys::month_of(day))) else { return sum };
        let mut content = Vec::new();
        for guard in five.prefix(keys::five_shard_prefix(day, shard)) {
            let Ok((key, value)) = guard.into_inner() else {
                sum.is_damaged = true;
                break;
            };
            let Some(series) = key.get(1..).and_then(SeriesKey::first_of) else { continue };
            let Ok(spans) = rollup::decode_spans(&value, &Place { at: day, series }) else {
                sum.is_damaged = true;
                continue;
            };
            if self.begin(&mut content, span, series) {
                for (number, totals) in &spans {
                    content.extend(number.to_le_bytes());
                    put_totals(&mut content, totals);
                }
                sum.add(1, &content);
            }
        }
        sum
    }

    fn sums_of_days(&self, year: i64, shard: u8, days: Range<i64>) -> BTreeMap<Span, Sum> {
        let mut sums: BTreeMap<Span, Sum> = BTreeMap::new();
        let Some(table) = self.table(TableId::Days(year)) else { return sums };
        let mut is_pending: BTreeMap<i64, bool> = BTreeMap::new();
        let mut content = Vec::new();
        for guard in table.prefix([shard]) {
            let Ok((key, value)) = guard.into_inner() else {
                sums.values_mut().for_each(|sum| sum.is_damaged = true);
                break;
            };
            let Some((series, day)) = keys::read_day_key(&key).filter(|(_, day)| days.contains(day)) else { continue };
            if *is_pending.entry(day).or_insert_with(|| self.is_fresh(day, shard)) {
                continue;
            }
            let span = Span::new(Kind::Days, keys::month_of(day));
            let sum = sums.entry(span).or_default();
            let Ok(totals) = rollup::decode_totals(&value, &Place { at: day, series }) else {
                sum.is_damaged = true;
                continue;
            };
            if self.begin(&mut content, span, series) {
                content.extend(day.to_le_bytes());
                put_totals(&mut content, &totals);
                sum.add(1, &content);
            }
        }
        sums
    }

    /// Begins a series' content with what it belongs to. Fails only for a
    /// location without a name, whose results nobody can read either.
    fn begin(&self, content: &mut Vec<u8>, span: Span, series: SeriesKey) -> bool {
        content.clear();
        let Some(location) = self.location(series.location()) else { return false };
        content.extend(span.number().to_le_bytes());
        content.extend(series.slot().0.to_le_bytes());
        content.push(location.as_str().len() as u8);
        content.extend(location.as_str().as_bytes());
        true
    }
}

fn put_totals(content: &mut Vec<u8>, totals: &Totals) {
    for count in [totals.pass, totals.degraded, totals.fail, totals.own] {
        content.extend(count.to_le_bytes());
    }
    content.push(u8::from(totals.is_partial));
    if let Some(latency) = &totals.latency {
        for us in [latency.min_us, latency.mean_us, latency.p50_us, latency.p95_us, latency.max_us] {
            content.extend(us.to_le_bytes());
        }
    }
}
