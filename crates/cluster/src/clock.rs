//! The one place that asks what time it is.
//!
//! Stamps follow the machine's uninterrupted clock (CLOCK_BOOTTIME, which
//! counts sleep too), tied once to the wall clock. The wall clock is only
//! watched: small differences are followed gently, a jump is believed when it
//! has lasted. **A stamp is never earlier than the one before it**, whatever
//! the clocks do, also across restarts.

use model::time::Timestamp;
use std::time::{Duration, SystemTime};

/// Differences up to here are the clock being disciplined, not a jump. NTP
/// steps a clock only from 128 ms on (ntpd) or 1 s (chrony's usual makestep).
const DRIFT_MS_MAX: i64 = 1_000;
/// How long the wall clock must stay ahead before it is believed.
const BELIEF: Duration = Duration::from_secs(60);
/// A small difference is made up for by one part in this of the time that
/// passes: 1 s in 20 s, durations wrong by at most 5 %.
const SLEW_SMALL: i64 = 20;
/// The same when the wall clock has jumped back: 1 h in 10 h, durations wrong
/// by at most 10 %.
const SLEW_BACK: i64 = 10;

/// Something about the clocks that an operator should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockEvent {
    /// At the start the wall clock showed a time before the last stamp in the
    /// log; stamps go on from there.
    StartedBehind {
        /// By how much.
        by: Duration,
    },
    /// The wall clock jumped back; stamps go on and approach it slowly.
    JumpedBack {
        /// By how much.
        by: Duration,
    },
    /// The wall clock jumped forward; it is not believed yet.
    JumpedForward {
        /// By how much.
        by: Duration,
    },
    /// The wall clock stayed ahead for a minute; stamps follow it from here on.
    ForwardBelieved {
        /// By how much they jumped.
        by: Duration,
    },
    /// The wall clock and the stamps agree again.
    Agrees,
}

impl ClockEvent {
    /// Whether something is wrong from here on, as opposed to settled.
    pub fn is_trouble(self) -> bool {
        match self {
            Self::StartedBehind { .. } | Self::JumpedBack { .. } | Self::JumpedForward { .. } => true,
            Self::ForwardBelieved { .. } | Self::Agrees => false,
        }
    }
}

impl std::fmt::Display for ClockEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let humane = model::time::humane_duration;
        match self {
            Self::StartedBehind { by } => write!(
                f,
                "the clock is {} behind the last entry of the log; time stamps go on from that entry and run 10 % \
                 slow until the clock has caught up",
                humane(*by)
            ),
            Self::JumpedBack { by } => write!(
                f,
                "the clock jumped back by {}; time stamps go on and run 10 % slow until the clock has caught up",
                humane(*by)
            ),
            Self::JumpedForward { by } => {
                write!(f, "the clock jumped forward by {}; it is believed if it stays there for a minute", humane(*by))
            }
            Self::ForwardBelieved { by } => {
                write!(f, "the clock stayed {} ahead for a minute; time stamps follow it", humane(*by))
            }
            Self::Agrees => write!(f, "the clock agrees with the time stamps again"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    /// Wall clock and stamps agree.
    Agrees,
    /// The wall clock is behind; stamps run slow.
    Behind,
    /// The wall clock jumped ahead by `by_ms` when the other clock stood at `since`.
    Ahead { by_ms: i64, since: Duration },
}

/// Makes stamps from two clocks. Pure: the readings are passed in.
#[derive(Debug, Clone)]
pub struct ClockModel {
    /// What is added to the uninterrupted clock, in microseconds.
    offset_us: i64,
    /// The uninterrupted clock at the last stamp.
    boot: Duration,
    last: Timestamp,
    belief: Belief,
}

impl ClockModel {
    /// Ties the clocks together. `boot` is the uninterrupted clock, `last` the
    /// last stamp in the log.
    pub fn new(wall: Timestamp, boot: Duration, last: Timestamp) -> (Self, Option<ClockEvent>) {
        let behind = last.since(wall);
        let (start, belief, event) = if last >= wall && last != Timestamp::EPOCH {
            let start = last.plus(Duration::from_millis(1));
            // A restart within the millisecond, or within what is gentle, is no news.
            let is_news = behind.as_millis() > DRIFT_MS_MAX as u128;
            let event = is_news.then_some(ClockEvent::StartedBehind { by: behind });
            (start, if is_news { Belief::Behind } else { Belief::Agrees }, event)
        } else {
            (wall, Belief::Agrees, None)
        };
        let offset_us = start.as_ms().saturating_mul(1000).saturating_sub(micros(boot));
        (Self { offset_us, boot, last, belief }, event)
    }

    /// The next stamp, and what is new about the clocks.
    pub fn stamp(&mut self, wall: Timestamp, boot: Duration) -> (Timestamp, Option<ClockEvent>) {
        let passed_us = micros(boot.saturating_sub(self.boot));
        self.boot = self.boot.max(boot);
        let event = self.follow(wall, passed_us);
        self.last = self.last.max(self.expected());
        (self.last, event)
    }

    /// Makes sure that no later stamp is before this one, which another
    /// node's clock made.
    pub fn raise(&mut self, seen: Timestamp) {
        self.last = self.last.max(seen);
    }

    fn expected(&self) -> Timestamp {
        Timestamp::from_ms(self.offset_us.saturating_add(micros(self.boot)).div_euclid(1000))
    }

    fn follow(&mut self, wall: Timestamp, passed_us: i64) -> Option<ClockEvent> {
        let ahead_ms = wall.as_ms().saturating_sub(self.expected().as_ms());
        let distance = Duration::from_millis(ahead_ms.unsigned_abs());
        let was = self.belief;
        if ahead_ms.saturating_abs() <= DRIFT_MS_MAX {
            self.belief = Belief::Agrees;
            self.slew(ahead_ms, passed_us / SLEW_SMALL);
            return (was != Belief::Agrees).then_some(ClockEvent::Agrees);
        }
        if ahead_ms < 0 {
            self.belief = Belief::Behind;
            self.slew(ahead_ms, passed_us / SLEW_BACK);
            return (was != Belief::Behind).then_some(ClockEvent::JumpedBack { by: distance });
        }
        match was {
            Belief::Ahead { by_ms, since } if ahead_ms.saturating_sub(by_ms).saturating_abs() <= DRIFT_MS_MAX => {
                if self.boot.saturating_sub(since) < BELIEF {
                    return None;
                }
                self.offset_us = self.offset_us.saturating_add(ahead_ms.saturating_mul(1000));
                self.belief = Belief::Agrees;
                Some(ClockEvent::ForwardBelieved { by: distance })
            }
            Belief::Ahead { .. } | Belief::Agrees | Belief::Behind => {
                self.belief = Belief::Ahead { by_ms: ahead_ms, since: self.boot };
                Some(ClockEvent::JumpedForward { by: distance })
            }
        }
    }

    fn slew(&mut self, ahead_ms: i64, most_us: i64) {
        let wanted = ahead_ms.saturating_mul(1000);
        self.offset_us = self.offset_us.saturating_add(wanted.clamp(-most_us, most_us));
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// What the stamps are ahead of the clock that nobody sets; shared with
/// whoever plans by the stamps' time without stamping.
#[derive(Debug, Default)]
pub(crate) struct Ahead(std::sync::atomic::AtomicI64);

impl Ahead {
    /// The time a stamp would have now, as of the last one made.
    pub(crate) fn now(&self) -> Timestamp {
        let (_, boot) = read();
        let us = self.0.load(std::sync::atomic::Ordering::Relaxed).saturating_add(micros(boot));
        Timestamp::from_ms(us.div_euclid(1000))
    }

    /// Takes over what a clock has come to.
    pub(crate) fn follow(&self, clock: &ClockModel) {
        self.0.store(clock.offset_us, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Reads the wall clock and the clock that nobody sets. The former is asked for
/// through the C library, where tests can put another clock in its place.
pub(crate) fn read() -> (Timestamp, Duration) {
    use rustix::time::{ClockId, clock_gettime};
    let milliseconds = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let wall_ms = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => milliseconds(since),
        Err(before) => -milliseconds(before.duration()),
    };
    let boot = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(boot.tv_sec).unwrap_or(0);
    (Timestamp::from_ms(wall_ms), Duration::new(seconds, u32::try_from(boot.tv_nsec).unwrap_or(0)))
}
