//! Runs many seeds on all cores. Prints the first violation with its last steps
//! and the command that shows it again, and exits 1.

use sim::{After, Found, run_many, tell};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often the progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let Some(asked) = Asked::read(std::env::args().skip(1)) else {
        eprintln!("usage: sim [--seeds COUNT] [--first SEED] [--steps LINES] [--keep-going]");
        return ExitCode::from(2);
    };
    // A panic is told with its seed below.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let shown = Mutex::new(began);
    let found = run_many(asked.first..asked.first + asked.seeds, asked.after, |found| show(found, asked.seeds, &shown));
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    let (done, took) = (found.done, began.elapsed().as_secs_f64());
    let Some(violation) = found.first() else {
        println!("{done} seeds in {took:.1} s, nothing violated: {}", found.story);
        return ExitCode::SUCCESS;
    };
    eprintln!("its last steps:");
    if let Err((_, lines)) = tell(violation.seed, asked.steps) {
        lines.iter().for_each(|line| eprintln!("{line}"));
    }
    eprintln!("\nafter {done} seeds in {took:.1} s:");
    for (property, (violation, count)) in found.violations.iter().filter(|_| asked.after == After::GoOn) {
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
    after: After,
}

impl Asked {
    /// Reads the arguments; `None` if they mean nothing.
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut asked = Self { seeds: 1_000, first: 1, steps: 60, after: After::Stop };
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next()?.parse().ok();
            match argument.as_str() {
                "--seeds" => asked.seeds = number()?,
                "--first" => asked.first = number()?,
                "--steps" => asked.steps = usize::try_from(number()?).ok()?,
                "--keep-going" => asked.after = After::GoOn,
                _ => return None,
            }
        }
        Some(asked)
    }
}

fn show(found: &Found, count: u64, shown: &Mutex<Instant>) {
    const WIDTH: u64 = 30;
    let mut shown = shown.lock().expect("nothing panics while it holds this");
    if !std::io::stderr().is_terminal() || shown.elapsed() < SHOWN_EVERY {
        return;
    }
    *shown = Instant::now();
    let full = (found.done * WIDTH / count) as usize;
    let bar: String = std::iter::repeat_n('━', full).chain(std::iter::repeat_n('┈', WIDTH as usize - full)).collect();
    let violations: u64 = found.violations.values().map(|(_, count)| count).sum();
    let hours = found.story.seconds / 3_600;
    eprint!("\r{bar} {} of {count} seeds, {hours} virtual hours, {violations} violations\x1b[K", found.done);
    // Nobody is helped by an error about a progress bar.
    let _ = std::io::stderr().flush();
}
