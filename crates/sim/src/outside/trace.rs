//! The last steps of a run, told for people; kept only if somebody reads them.

use control::state::CommandOutcome;
use control::{Applied, State};
use model::entry::{Body, Entry};
use model::observation::Batch;
use std::collections::VecDeque;

/// The lines.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Lines that are kept: none if nobody reads them.
    lines_max: usize,
    lines: VecDeque<String>,
}

impl Trace {
    /// A trace that is read afterwards.
    pub(crate) const fn read(lines_max: usize) -> Self {
        Self { lines_max, lines: VecDeque::new() }
    }

    pub(super) fn add(&mut self, now_ms: u64, line: impl FnOnce() -> String) {
        if self.lines_max == 0 {
            return;
        }
        if self.lines.len() >= self.lines_max {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>9.3} s  {}", now_ms as f64 / 1000.0, line()));
    }

    /// Tells an entry that brought anything about.
    pub(crate) fn entry(&mut self, now_ms: u64, index: u64, entry: &Entry, applied: &Applied, state: &State) {
        if self.lines_max == 0 {
            return;
        }
        let what = match &entry.body {
            Body::Tick => None,
            Body::Results(batch) => Some(results(batch, state)),
            Body::Command(command) => Some(format!("command {} {:.60?}", command.key, command.action)),
            other => Some(format!("{other:.120?}")),
        };
        let refused = match &applied.outcome {
            CommandOutcome::Accepted => String::new(),
            CommandOutcome::Refused(why) => format!(", refused: {why}"),
        };
        if let Some(what) = what {
            self.add(now_ms, || format!("entry {index} at {}: {what}{refused}", entry.at));
        }
        let decisions = state.decisions().rev().take_while(|decision| decision.index == index);
        let lines: Vec<String> = decisions.map(|decision| format!("  {}", decision.reason)).collect();
        lines.into_iter().rev().for_each(|line| self.add(now_ms, || line));
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

/// What a batch holds: each check with its outcome and how many seconds before it was due.
fn results(batch: &Batch, state: &State) -> String {
    let mut text =
        format!("{} by node {}, start {} number {}:", batch.location, batch.node, batch.incarnation, batch.sequence);
    for observation in &batch.observations {
        let check = state.target(observation.slot).map_or("a check that is gone", |(_, check)| check.id.as_str());
        let age = state.now().since(observation.scheduled).as_secs();
        text.push_str(&format!(" {check} {} ({age} s)", observation.outcome.name()));
    }
    text
}
