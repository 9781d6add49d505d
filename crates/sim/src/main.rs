//! Runs many seeds on all cores. Prints the first violation with its last steps
//! and the command that shows it again, and exits 1.

use sim::{Story, Violation};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// What all threads have found so far.
#[derive(Default)]
struct Found {
    done: u64,
    story: Story,
    /// For each property the violation with the lowest seed, and how many there were.
    violations: BTreeMap<&'static str, (Violation, u64)>,
    shown: Option<Instant>,
}

fn main() -> ExitCode {
    let Some(asked) = Asked::read(std::env::args().skip(1)) else {
        eprintln!("usage: sim [--seeds COUNT] [--first SEED] [--steps LINES] [--keep-going]");
        return ExitCode::from(2);
    };
    // A panic is told with its seed below.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let found = run_all(&asked);
    let (done, took) = (found.done, began.elapsed().as_secs_f64());
    let Some((_, (violation, _))) = found.violations.iter().min_by_key(|(_, (violation, _))| violation.seed) else {
        println!("{done} seeds in {took:.1} s, nothing violated: {}", found.story);
        return ExitCode::SUCCESS;
    };
    eprintln!("its last steps:");
    if let Err((_, lines)) = sim::tell(violation.seed, asked.steps) {
        lines.iter().for_each(|line| eprintln!("{line}"));
    }
    eprintln!("\nafter {done} seeds in {took:.1} s:");
    for (property, (violation, count)) in found.violations.iter().filter(|_| asked.keeps_going) {
        eprintln!("{count} times {property}, first by seed {}", violation.seed);
    }
    eprintln!("{violation}");
    ExitCode::from(1)
}

/// What is to be run.
struct Asked {
    seeds: u64,
    first: u64,
    /// Lines of a failed run's last steps.
    steps: usize,
    /// Whether to run all seeds, whatever they show.
    keeps_going: bool,
}

impl Asked {
    /// Reads the arguments; `None` if they mean nothing.
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut asked = Self { seeds: 1_000, first: 1, steps: 60, keeps_going: false };
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next()?.parse().ok();
            match argument.as_str() {
                "--seeds" => asked.seeds = number()?,
                "--first" => asked.first = number()?,
                "--steps" => asked.steps = usize::try_from(number()?).ok()?,
                "--keep-going" => asked.keeps_going = true,
                _ => return None,
            }
        }
        Some(asked)
    }
}

/// Runs seeds on all cores until all are done or one shows a violation.
fn run_all(asked: &Asked) -> Found {
    let (next, found) = (AtomicU64::new(0), Mutex::new(Found::default()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= asked.seeds {
                return;
            }
            let seed = asked.first + number;
            let ran = sim::run(seed);
            let mut found = found.lock().expect("no thread panics while it holds this");
            found.done += 1;
            match ran {
                Ok(story) => found.story += story,
                Err(violation) => {
                    if !asked.keeps_going {
                        // Lower seeds are under way already; higher ones are not begun any more.
                        next.store(asked.seeds, Ordering::Relaxed);
                    }
                    let property = violation.property;
                    let (known, count) = found.violations.entry(property).or_insert_with(|| (violation.clone(), 0));
                    *count += 1;
                    if seed < known.seed {
                        *known = violation;
                    }
                }
            }
            show(&mut found, asked.seeds);
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    found.into_inner().expect("no thread panics while it holds this")
}

fn show(found: &mut Found, count: u64) {
    const WIDTH: u64 = 30;
    if !std::io::stderr().is_terminal() || found.shown.is_some_and(|shown| shown.elapsed() < SHOWN_EVERY) {
        return;
    }
    found.shown = Some(Instant::now());
    let full = (found.done * WIDTH / count) as usize;
    let bar: String = std::iter::repeat_n('━', full).chain(std::iter::repeat_n('┈', WIDTH as usize - full)).collect();
    eprint!("\r{bar} {} of {count} seeds, {} virtual hours\x1b[K", found.done, found.story.seconds / 3_600);
    // Nobody is helped by an error about a progress bar.
    let _ = std::io::stderr().flush();
}
