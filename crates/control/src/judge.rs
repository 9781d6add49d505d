//! Judging one check: from rounds to what a location says, and from what the
//! locations say to a verdict.
//!
//! **Only assigned locations vote; a silent one neither vetoes nor shrinks the
//! quorum.** Rounds in which we could not look ([`Outcome::Own`]) count for
//! nothing: if they go on, the location is silent, and the check becomes
//! unknown, never down. Outages are dated back to their first failed round.
//! Rounds that come too late to say how it is now ([`late_after`]) count for
//! nothing either, and time that was unknown when they came stays so: what was
//! concluded then was told and shown, and is not rewritten.

use model::check::{Check, CheckKind};
use model::observation::Outcome;
use model::time::Timestamp;
use model::verdict::Verdict;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Intervals without a real look after which a location is silent: one may be
/// late, two may be bad luck.
const SILENT_AFTER_INTERVALS: u32 = 3;

/// The least age of a round that comes too late, so that short intervals leave
/// a node the time to find the leader anew.
const LATE_AFTER_MIN: Duration = Duration::from_secs(30);

/// What one location says of a check, its thresholds applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Reading {
    /// Nothing yet.
    #[default]
    None,
    /// It works.
    Good,
    /// It works, but a limit is reached.
    Slow,
    /// It does not work.
    Failing,
}

/// Rounds in a row that it takes to change what a location says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Failed or degraded ones, from 1.
    pub down_after: u8,
    /// Good ones, from 1.
    pub up_after: u8,
    /// Longest time between two rounds in a row.
    pub pause_max: Duration,
}

/// The rounds one location has made of a check, as far as judging needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Which location, as position in the configuration's list.
    pub location: u16,
    /// What it says.
    pub reading: Reading,
    /// Failed rounds in a row.
    pub fails: u8,
    /// Rounds in a row that did not fail.
    pub works: u8,
    /// Degraded rounds in a row.
    pub slows: u8,
    /// Rounds in a row that passed with nothing to say.
    pub passes: u8,
    /// The last round that really looked.
    pub last: Timestamp,
    /// First round of the current run of failed, or of not failed, rounds.
    pub run_start: Timestamp,
    /// First round of the current run of degraded rounds.
    pub slow_start: Timestamp,
    /// First round of the current run of rounds that passed.
    pub pass_start: Timestamp,
}

impl Seen {
    /// A location that has not looked yet.
    pub fn new(location: u16) -> Self {
        Self {
            location,
            reading: Reading::None,
            fails: 0,
            works: 0,
            slows: 0,
            passes: 0,
            last: Timestamp::EPOCH,
            run_start: Timestamp::EPOCH,
            slow_start: Timestamp::EPOCH,
            pass_start: Timestamp::EPOCH,
        }
    }

    /// Whether a failed round waits to be confirmed.
    pub fn is_suspect(&self) -> bool {
        self.fails > 0 && self.reading != Reading::Failing
    }

    /// Whether a round is newer than the last one that was counted.
    pub fn is_overtaken_by(&self, scheduled: Timestamp) -> bool {
        self.last == Timestamp::EPOCH || scheduled > self.last
    }

    /// Counts one round. A round older than the last one says nothing about now.
    pub fn count(&mut self, scheduled: Timestamp, outcome: Outcome, thresholds: Thresholds) {
        if !self.is_overtaken_by(scheduled) {
            return;
        }
        match outcome {
            Outcome::Own => return,
            Outcome::Pass | Outcome::Degraded | Outcome::Fail => self.resume(scheduled, thresholds.pause_max),
        }
        match outcome {
            Outcome::Own => return,
            Outcome::Fail => {
                if self.fails == 0 {
                    self.run_start = scheduled;
                }
                self.fails = self.fails.saturating_add(1);
                self.works = 0;
                self.slows = 0;
                self.passes = 0;
            }
            Outcome::Pass | Outcome::Degraded => {
                if self.works == 0 {
                    self.run_start = scheduled;
                }
                self.fails = 0;
                self.works = self.works.saturating_add(1);
                if outcome == Outcome::Degraded {
                    if self.slows == 0 {
                        self.slow_start = scheduled;
                    }
                    self.slows = self.slows.saturating_add(1);
                    self.passes = 0;
                } else {
                    if self.passes == 0 {
                        self.pass_start = scheduled;
                    }
                    self.passes = self.passes.saturating_add(1);
                    self.slows = 0;
                }
            }
        }
        self.last = scheduled;
        self.reading = self.next_reading(thresholds);
    }

    /// Rounds before and after a pause are not in a row: how it was meanwhile
    /// nobody knows. What worked must be seen to work again; what failed still
    /// has to show as many good rounds as ever.
    fn resume(&mut self, scheduled: Timestamp, pause_max: Duration) {
        if self.last == Timestamp::EPOCH || scheduled.since(self.last) <= pause_max {
            return;
        }
        let reading = match self.reading {
            Reading::Failing => Reading::Failing,
            Reading::None | Reading::Good | Reading::Slow => Reading::None,
        };
        *self = Self { reading, last: self.last, ..Self::new(self.location) };
    }

    fn next_reading(&self, thresholds: Thresholds) -> Reading {
        let Thresholds { down_after, up_after, .. } = thresholds;
        if self.fails >= down_after {
            return Reading::Failing;
        }
        match self.reading {
            Reading::None if self.fails > 0 => Reading::None,
            Reading::None if self.slows > 0 => Reading::Slow,
            Reading::None => Reading::Good,
            Reading::Good if self.slows >= down_after => Reading::Slow,
            Reading::Good => Reading::Good,
            Reading::Slow if self.passes >= up_after => Reading::Good,
            Reading::Slow => Reading::Slow,
            Reading::Failing if self.works >= up_after && self.slows > 0 => Reading::Slow,
            Reading::Failing if self.works >= up_after => Reading::Good,
            Reading::Failing => Reading::Failing,
        }
    }
}

/// How the assigned locations voted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Locations the check is assigned to.
    pub assigned: u16,
    /// Those that say it works.
    pub good: u16,
    /// Those that say a limit is reached.
    pub slow: u16,
    /// Those that say it does not work.
    pub failing: u16,
    /// Of the silent ones those that are set aside.
    pub aside: u16,
}

impl Tally {
    /// Locations that say nothing, or not recently enough.
    pub const fn silent(&self) -> u16 {
        self.assigned - self.good - self.slow - self.failing
    }

    /// Votes needed for a verdict: more than half of the assigned.
    pub const fn quorum(&self) -> u16 {
        self.assigned / 2 + 1
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.assigned == 1 {
            return f.write_str(match (self.failing, self.slow, self.good) {
                (1, _, _) => "its location sees it fail",
                (_, 1, _) => "its location sees a limit reached",
                (_, _, 1) => "its location sees it work",
                _ if self.aside > 0 => "its location is set aside",
                _ => "its location says nothing",
            });
        }
        write!(
            f,
            "of {} locations {} see it fail, {} see a limit reached, {} see it work, {} say nothing",
            self.assigned,
            self.failing,
            self.slow,
            self.good,
            self.silent()
        )?;
        match self.aside {
            0 => Ok(()),
            aside => write!(f, " ({aside} set aside)"),
        }
    }
}

/// The outcome of a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// What was concluded.
    pub verdict: Verdict,
    /// From when on it holds, as far as the rounds show.
    pub since: Timestamp,
    /// How it came about.
    pub tally: Tally,
    /// Whether the locations disagree, and enough others have begun to fail
    /// that it may be confirmed in a moment: nobody is told of a disagreement
    /// that is an outage a second later.
    pub is_being_confirmed: bool,
}

/// How long a location may go without a real look before it counts as silent.
pub fn silent_after(check: &Check) -> Duration {
    check.every * SILENT_AFTER_INTERVALS + check.timeout
}

/// How old a round may be when it is logged; from then on it comes too late.
pub fn late_after(check: &Check) -> Duration {
    (check.every * SILENT_AFTER_INTERVALS).max(LATE_AFTER_MIN) + check.timeout
}

/// Takes the vote of the assigned locations, which are all that `seens` holds;
/// those in `aside` are silent.
pub fn vote(seens: &[Seen], check: &Check, aside: &[u16], now: Timestamp) -> Vote {
    if matches!(check.kind, CheckKind::Heartbeat(_)) {
        return last_beat(seens, now);
    }
    let mut tally = Tally { assigned: u16::try_from(check.from.len()).unwrap_or(u16::MAX).max(1), ..Tally::default() };
    let is_aside = |seen: &Seen| aside.contains(&seen.location);
    let is_heard =
        |seen: &&Seen| seen.reading != Reading::None && now.since(seen.last) <= silent_after(check) && !is_aside(seen);
    tally.aside = u16::try_from(seens.iter().filter(|seen| is_aside(seen)).count()).unwrap_or(u16::MAX);
    for seen in seens.iter().filter(is_heard) {
        match seen.reading {
            Reading::Good => tally.good += 1,
            Reading::Slow => tally.slow += 1,
            Reading::Failing => tally.failing += 1,
            Reading::None => {}
        }
    }
    let quorum = tally.quorum();
    let verdict = if tally.failing >= quorum {
        Verdict::Down
    } else if tally.good + tally.slow + tally.failing < quorum {
        Verdict::Unknown
    } else if tally.failing + tally.slow > 0 && (tally.slow + tally.failing >= quorum || tally.failing > 0) {
        // Disagreement about failure is a gray failure: some can use it, some cannot.
        Verdict::Degraded
    } else {
        Verdict::Up
    };
    let heard = || seens.iter().filter(is_heard);
    let since = match verdict {
        Verdict::Down => heard().filter(|s| s.reading == Reading::Failing).map(|s| s.run_start).min(),
        Verdict::Degraded => heard()
            .filter_map(|s| match s.reading {
                Reading::Failing => Some(s.run_start),
                Reading::Slow => Some(s.slow_start),
                Reading::Good | Reading::None => None,
            })
            .min(),
        Verdict::Up => heard().filter(|s| s.passes > 0).map(|s| s.pass_start).max(),
        // Until the round after the last real look was due, the state was verified.
        Verdict::Unknown => seens
            .iter()
            .filter(|s| !is_aside(s))
            .map(|s| s.last)
            .max()
            .filter(|last| *last != Timestamp::EPOCH)
            .map(|last| last.plus(check.every)),
    };
    let suspect = heard().filter(|s| s.is_suspect()).count();
    let is_being_confirmed = verdict == Verdict::Degraded
        && tally.slow + tally.failing < quorum
        && usize::from(tally.failing) + suspect >= usize::from(quorum);
    Vote { verdict, since: since.unwrap_or(now).min(now), tally, is_being_confirmed }
}

/// A heartbeat comes to one location, whichever is asked, and that speaks for
/// all until the next one is late: nobody looks in between.
fn last_beat(seens: &[Seen], now: Timestamp) -> Vote {
    let tally = Tally { assigned: 1, ..Tally::default() };
    let mut vote = Vote { verdict: Verdict::Unknown, since: now, tally, is_being_confirmed: false };
    let Some(last) = seens.iter().max_by_key(|seen| seen.last) else {
        return vote;
    };
    match last.reading {
        Reading::None => {}
        Reading::Good => {
            vote.tally.good = 1;
            (vote.verdict, vote.since) = (Verdict::Up, last.pass_start.min(now));
        }
        Reading::Slow => {
            vote.tally.slow = 1;
            (vote.verdict, vote.since) = (Verdict::Degraded, last.slow_start.min(now));
        }
        Reading::Failing => {
            vote.tally.failing = 1;
            (vote.verdict, vote.since) = (Verdict::Down, last.run_start.min(now));
        }
    }
    vote
}
