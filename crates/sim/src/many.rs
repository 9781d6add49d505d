//! Many seeds on all cores, one thread for each seed at a time.

use crate::{Story, Violation, run};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether to go on after a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// No: one is enough.
    Stop,
    /// Yes: all seeds are run, and what they show is counted.
    GoOn,
}

/// What all threads have found so far.
#[derive(Debug, Default)]
pub struct Found {
    /// Seeds that were run.
    pub done: u64,
    /// What happened in those that showed nothing.
    pub story: Story,
    /// For each property the violation with the lowest seed, so that the answer
    /// does not depend on which thread was faster, and how many there were.
    pub violations: BTreeMap<&'static str, (Violation, u64)>,
}

impl Found {
    /// The violation with the lowest seed.
    pub fn first(&self) -> Option<&Violation> {
        self.violations.values().map(|(violation, _)| violation).min_by_key(|violation| violation.seed)
    }
}

/// Runs seeds on all cores; `look` sees after each one what was found so far.
pub fn run_many(seeds: Range<u64>, after: After, look: impl Fn(&Found) + Sync) -> Found {
    let (next, found) = (AtomicU64::new(seeds.start), Mutex::new(Found::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let ran = run(seed);
            let mut found = found.lock().expect("no thread panics while it holds this");
            found.done += 1;
            if ran.is_err() && after == After::Stop {
                // Lower seeds are under way already; higher ones are not begun any more.
                next.store(seeds.end, Ordering::Relaxed);
            }
            note(&mut found, ran);
            look(&found);
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    found.into_inner().expect("no thread panics while it holds this")
}

fn note(found: &mut Found, ran: Result<Story, Violation>) {
    match ran {
        Ok(story) => found.story += story,
        Err(violation) => {
            let property = violation.property;
            let (known, count) = found.violations.entry(property).or_insert_with(|| (violation.clone(), 0));
            *count += 1;
            if violation.seed < known.seed {
                *known = violation;
            }
        }
    }
}
