//! Fills an empty store with made-up history, for benchmarks.
//!
//! The results look like those of real checks: log-normal latency around a
//! median of the check's own, with a daily wave and slow drift, some slow
//! outliers, one failure in a thousand with its quick repetition. They are
//! written straight as chunks and roll-ups, much faster than through
//! [`Store::apply`](crate::Store::apply). **The same plan always gives the same history.**

use crate::codec::chunk::{self, Chunk, Point};
use crate::codec::column;
use crate::codec::rollup::{self, Totals};
use crate::error::WriteError;
use crate::keys::{self, DAY_MS, Place, SeriesKey, WINDOW_MS, WINDOWS_PER_DAY};
use crate::store::Store;
use crate::tables::{TableId, write_sorted};
use model::id::{CheckSlot, LocationId};
use model::observation::{Observation, Outcome};
use model::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Different days of roll-ups made for checks without single results; the
/// checks share them. Fewer would compress suspiciously well, if anything compressed them.
const VARIANTS: u32 = 32;
/// How long after a failure it is repeated.
const RETRY_MS: u32 = 5_000;
/// Latency of a round that failed by waiting in vain.
const TIMEOUT_US: u32 = 10_000_000;

/// What to make up.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Checks, with the slots from 0.
    pub checks: u32,
    /// Where they were made.
    pub location: LocationId,
    /// The history ends with the day before this instant's.
    pub until: Timestamp,
    /// Time between rounds, from 1 s to 2 h.
    pub every: Duration,
    /// Days with daily roll-ups, for all checks.
    pub day_rollups: u32,
    /// Days with 5-minute roll-ups, for all checks.
    pub five_minute_rollups: u32,
    /// How many checks have single results too, from slot 0.
    pub raw_checks: u32,
    /// Days of those.
    pub raw_days: u32,
    /// Same seed, same history.
    pub seed: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filled {
    /// Single results.
    pub results: u64,
    /// Days of a check with roll-ups of 5 minutes.
    pub five_minute_days: u64,
    /// Daily roll-ups.
    pub days: u64,
}

/// Why a store was not filled.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// Made-up history is never mixed with real one.
    #[error("made-up history is only written to an empty store, this one has history")]
    NotEmpty,
    /// Writing failed.
    #[error("could not write made-up history")]
    Write(#[from] WriteError),
}

/// Fills an empty store. `progress` hears after each day how many of how many are done.
///
/// # Errors
/// [`FillError`]; a store that was filled in part should be thrown away.
pub fn fill(store: &Store, plan: &Plan, progress: &mut dyn FnMut(u32, u32)) -> Result<Filled, FillError> {
    if store.watermark() != 0 || store.shared().newest_day().is_some() {
        return Err(FillError::NotEmpty);
    }
    store.apply(1, plan.until, &plan.location, &[]).map_err(|_| FillError::NotEmpty)?;
    store.flush()?;
    let mut writer = store.writer();
    store.prepare_write(&mut writer)?;
    let mut filler = Filler::new(store, plan);
    let days = filler.first_day()..plan.until.day();
    let total = plan.day_rollups.max(plan.five_minute_rollups).max(plan.raw_days);
    for (done, day) in (1..).zip(days) {
        filler.day(day)?;
        progress(done, total);
    }
    filler.finish()?;
    Ok(filler.filled)
}

/// The results of a check in a day, as [`fill`] makes them up, in the form that
/// [`Store::apply`](crate::Store::apply) takes.
pub fn observations(plan: &Plan, slot: CheckSlot, day: i64) -> Vec<Observation> {
    let start = Timestamp::of_day(day).as_ms();
    let observation = |point: Point| Observation {
        slot,
        scheduled: Timestamp::from_ms(start + i64::from(point.offset_ms)),
        outcome: point.outcome,
        latency_us: point.latency_us,
        detail: None,
    };
    points_of_day(plan, slot.0, day).into_iter().map(observation).collect()
}

struct Filler<'a> {
    store: &'a Store,
    plan: &'a Plan,
    /// All checks in the order of their keys.
    series: Vec<SeriesKey>,
    /// Daily totals of the variants, by day.
    variants: BTreeMap<i64, Vec<Totals>>,
    /// Daily totals of checks with single results.
    exact: BTreeMap<(i64, SeriesKey), Totals>,
    filled: Filled,
}

impl<'a> Filler<'a> {
    fn new(store: &'a Store, plan: &'a Plan) -> Self {
        // The only location of an empty store has number 0.
        let mut series: Vec<SeriesKey> = (0..plan.checks).map(|slot| SeriesKey::new(CheckSlot(slot), 0)).collect();
        series.sort_unstable();
        Self { store, plan, series, variants: BTreeMap::new(), exact: BTreeMap::new(), filled: Filled::default() }
    }

    fn first_day(&self) -> i64 {
        let plan = self.plan;
        plan.until.day() - i64::from(plan.day_rollups.max(plan.five_minute_rollups).max(plan.raw_days))
    }

    fn is_in(&self, day: i64, days: u32) -> bool {
        day >= self.plan.until.day() - i64::from(days)
    }

    fn day(&mut self, day: i64) -> Result<(), WriteError> {
        let variants: Vec<Vec<Point>> =
            (0..VARIANTS).map(|variant| self.rounded(points_of_day(self.plan, u32::MAX - variant, day))).collect();
        self.variants.insert(day, variants.iter().map(|points| Totals::of(points)).collect());
        let mut bodies = BTreeMap::new();
        if self.is_in(day, self.plan.raw_days) {
            bodies = self.raw_day(day)?;
        }
        if self.is_in(day, self.plan.five_minute_rollups) {
            let shared: Vec<Vec<u8>> =
                variants.iter().map(|points| rollup::spans_body(&rollup::spans_of_day(points, false))).collect();
            let pairs = self.series.iter().map(|series| {
                let body = bodies.get(series).unwrap_or_else(|| &shared[variant_of(*series, day)]);
                let place = Place { at: day, series: *series };
                (keys::five_key(day, *series), column::seal(body.clone(), &place.bytes()))
            });
            write_sorted(&self.store.table(TableId::Five(keys::month_of(day)))?, pairs)?;
            self.filled.five_minute_days += self.series.len() as u64;
        }
        Ok(())
    }

    /// Writes the chunks of a day; returns the 5-minute roll-ups of their checks.
    fn raw_day(&mut self, day: i64) -> Result<BTreeMap<SeriesKey, Vec<u8>>, WriteError> {
        let raw = self.store.table(TableId::Raw(day))?;
        let mut bodies = BTreeMap::new();
        let mut exact = Vec::new();
        let mut results = 0;
        let precision = self.store.options.precision;
        let with_results = self.series.iter().filter(|series| series.slot().0 < self.plan.raw_checks);
        let pairs = with_results.flat_map(|&series| {
            let points = self.rounded(points_of_day(self.plan, series.slot().0, day));
            results += points.len() as u64;
            bodies.insert(series, rollup::spans_body(&rollup::spans_of_day(&points, false)));
            exact.push(((day, series), Totals::of(&points)));
            let window_of = |point: &Point| i64::from(point.offset_ms) / WINDOW_MS;
            let chunks: Vec<_> = points
                .chunk_by(|a, b| window_of(a) == window_of(b))
                .map(|points| {
                    let window = day * WINDOWS_PER_DAY + window_of(&points[0]);
                    let in_window = |point: &Point| Point { offset_ms: point.offset_ms % WINDOW_MS as u32, ..*point };
                    let chunk = Chunk { points: points.iter().map(in_window).collect(), is_incomplete: false };
                    (keys::chunk_key(series, window), chunk::encode(&chunk, precision, &Place { at: window, series }))
                })
                .collect();
            chunks
        });
        write_sorted(&raw, pairs)?;
        self.exact.extend(exact);
        self.filled.results += results;
        Ok(bodies)
    }

    /// Daily roll-ups are written last, because their keys run through all days of a check.
    fn finish(&mut self) -> Result<(), WriteError> {
        let days: Vec<i64> =
            self.variants.keys().copied().filter(|day| self.is_in(*day, self.plan.day_rollups)).collect();
        for days in days.chunk_by(|a, b| keys::year_of(*a) == keys::year_of(*b)) {
            let pairs = self.series.iter().flat_map(|&series| days.iter().map(move |&day| (series, day)));
            let pairs = pairs.map(|(series, day)| {
                let totals =
                    self.exact.get(&(day, series)).unwrap_or_else(|| &self.variants[&day][variant_of(series, day)]);
                (keys::day_key(day, series), rollup::encode_totals(totals, &Place { at: day, series }))
            });
            write_sorted(&self.store.table(TableId::Days(keys::year_of(days[0])))?, pairs)?;
            self.filled.days += (self.series.len() * days.len()) as u64;
        }
        let last = self.plan.until.day() - 1;
        let raw_from = last + 1 - i64::from(self.plan.raw_days);
        self.store.change_state(|state| {
            state.rolled_through = Some(last);
            state.sealed = (raw_from * WINDOWS_PER_DAY..(last + 1) * WINDOWS_PER_DAY).collect();
        })
    }

    fn rounded(&self, mut points: Vec<Point>) -> Vec<Point> {
        for point in &mut points {
            point.latency_us = self.store.options.precision.rounded_us(point.latency_us);
        }
        points
    }
}

fn variant_of(series: SeriesKey, day: i64) -> usize {
    let mut random = Random(u64::from(series.slot().0) << 32 ^ day as u64);
    (random.next() % u64::from(VARIANTS)) as usize
}

/// The points of a check in a day, with offsets from its start.
fn points_of_day(plan: &Plan, check: u32, day: i64) -> Vec<Point> {
    let every_ms = (plan.every.as_millis() as i64).clamp(1_000, WINDOW_MS);
    let mut of_check = Random(plan.seed ^ u64::from(check).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let phase = (of_check.next() % every_ms as u64) as i64;
    // Medians spread from some milliseconds to half a second.
    let median_us = 30_000.0 * (1.1 * of_check.normal()).exp();
    let spread = 0.15 + 0.2 * of_check.unit();
    let wave = 0.3 * of_check.unit();
    let mut random = Random(of_check.next() ^ day as u64);
    let drift = 0.1 * (day as f64 / 9.0 + phase as f64).sin();
    let mut points = Vec::new();
    let mut at = phase;
    while at < DAY_MS {
        let of_day = (at as f64 / DAY_MS as f64 * std::f64::consts::TAU).sin();
        let outlier = if random.unit() < 0.01 { 1.2 } else { 0.0 };
        let latency = median_us * (spread * random.normal() + wave * of_day + drift + outlier).exp();
        let mut point =
            Point { offset_ms: at as u32, outcome: Outcome::Pass, latency_us: latency.clamp(50.0, 9e6) as u32 };
        if random.unit() < 0.001 && at + i64::from(RETRY_MS) < DAY_MS {
            points.push(Point { outcome: Outcome::Fail, latency_us: TIMEOUT_US, ..point });
            point.offset_ms += RETRY_MS;
        }
        points.push(point);
        at += every_ms;
    }
    points
}

/// A small generator (SplitMix64 after Steele, Lea and Flood, 2014): history
/// need not be unpredictable, only always the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 until below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Normally distributed with deviation 1, by the method of Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
