//! Who is told, as they really are: they take a message, fail, hang, answer
//! late, or refuse for good. **What they took is remembered**, whatever became
//! of the answer.

use super::Attempt;
use crate::random::Random;
use model::entry::Answer;
use model::id::ReceiverId;
use model::message::Step;
use std::collections::{BTreeMap, BTreeSet};

/// How a receiver behaves for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    /// It takes the message and answers late.
    Late,
    /// It says at once that it does not take it.
    Failing,
    /// It takes nothing and says nothing until the sender gives up.
    Hanging,
    /// It says that it will never take it.
    Refusing,
}

/// A message that a receiver took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) receiver: ReceiverId,
    pub(crate) key: String,
    pub(crate) thread: String,
    pub(crate) step: Step,
    /// Whether it said of itself that it may be a double.
    pub(crate) is_marked: bool,
}

/// All receivers.
#[derive(Debug, Default)]
pub(crate) struct Receivers {
    moods: BTreeMap<ReceiverId, (Mood, u64)>,
    is_mended: bool,
    pub(crate) taken: Vec<Taken>,
    /// What was refused for good.
    pub(crate) refused: BTreeSet<String>,
}

impl Receivers {
    /// Lets a second pass.
    pub(crate) fn pass(&mut self, random: &mut Random) {
        if self.is_mended {
            return;
        }
        for (mood, seconds_left) in self.moods.values_mut() {
            *seconds_left = seconds_left.saturating_sub(1);
            if *seconds_left == 0 {
                let (next, high) = match random.between(0, 100) {
                    0..55 => (Mood::Well, 600),
                    55..70 => (Mood::Late, 200),
                    70..85 => (Mood::Failing, 200),
                    85..98 => (Mood::Hanging, 200),
                    _ => (Mood::Refusing, 20),
                };
                (*mood, *seconds_left) = (next, random.between(5, high));
            }
        }
    }

    /// Makes all of them work from here on.
    pub(crate) fn mend(&mut self) {
        self.is_mended = true;
        self.moods.values_mut().for_each(|(mood, _)| *mood = Mood::Well);
    }

    /// An attempt comes to its receiver: what it answers, and after how many milliseconds.
    pub(crate) fn reached(&mut self, told: &Attempt, random: &mut Random) -> (Answer, u64) {
        let (mood, _) = *self.moods.entry(told.receiver.clone()).or_insert((Mood::Well, 60));
        let failed = |reason: &str| Answer::Failed { reason: reason.to_owned(), retry_after_seconds: None };
        match mood {
            Mood::Well | Mood::Late => {
                let message = &told.message;
                self.taken.push(Taken {
                    receiver: told.receiver.clone(),
                    key: message.key.clone(),
                    thread: message.thread.clone(),
                    step: message.step,
                    is_marked: told.is_possibly_double,
                });
                let late_ms = if mood == Mood::Late { random.between(1_000, 20_000) } else { random.between(5, 500) };
                (Answer::Delivered { said: "ok".to_owned() }, late_ms)
            }
            Mood::Failing => (failed("made up"), random.between(5, 500)),
            Mood::Hanging => (failed("no answer"), 30_000),
            Mood::Refusing => {
                self.refused.insert(told.message.key.clone());
                (Answer::Refused { reason: "made up".to_owned() }, random.between(5, 500))
            }
        }
    }
}
