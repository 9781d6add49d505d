//! What targets and receivers do, as it changes with time.

use crate::random::Random;
use model::observation::Outcome;

/// How a target behaves for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It works.
    Well,
    /// It does not work.
    Down,
    /// It works slowly.
    Slow,
    /// It works every other time.
    Flapping,
    /// We cannot look.
    OutOfSight,
}

/// One target.
#[derive(Debug, Clone)]
pub struct Target {
    /// What it does at the moment.
    pub mood: Mood,
    seconds_left: u64,
}

impl Target {
    /// A target that works.
    pub const fn new() -> Self {
        Self { mood: Mood::Well, seconds_left: 300 }
    }

    /// Lets a second pass.
    pub fn pass(&mut self, random: &mut Random) {
        if self.seconds_left == u64::MAX {
            return;
        }
        self.seconds_left = self.seconds_left.saturating_sub(1);
        if self.seconds_left > 0 {
            return;
        }
        let (mood, low, high) = match random.between(0, 100) {
            0..50 => (Mood::Well, 300, 3600),
            50..75 => (Mood::Down, 5, 1800),
            75..85 => (Mood::Slow, 30, 900),
            85..93 => (Mood::Flapping, 60, 1200),
            _ => (Mood::OutOfSight, 30, 900),
        };
        self.mood = mood;
        self.seconds_left = random.between(low, high);
    }

    /// Makes it work from here on.
    pub const fn mend(&mut self) {
        self.mood = Mood::Well;
        self.seconds_left = u64::MAX;
    }

    /// What a round sees now.
    pub const fn outcome(&self, random: &mut Random) -> Outcome {
        match self.mood {
            // A single bad round now and then, but not when all is mended for good.
            Mood::Well if self.seconds_left < u64::MAX && random.happens(2) => Outcome::Fail,
            Mood::Well => Outcome::Pass,
            Mood::Down => Outcome::Fail,
            Mood::Slow => Outcome::Degraded,
            Mood::Flapping if random.happens(500) => Outcome::Fail,
            Mood::Flapping => Outcome::Pass,
            Mood::OutOfSight => Outcome::Own,
        }
    }
}

impl Default for Target {
    fn default() -> Self {
        Self::new()
    }
}
