//! Runs many seeds: `sim [COUNT] [FIRST]`. Prints the first violation with the
//! command that shows it again, and exits 1.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Ok(count), Ok(first)) = (arguments.next().unwrap_or(Ok(1000)), arguments.next().unwrap_or(Ok(1))) else {
        eprintln!("usage: sim [COUNT] [FIRST SEED]");
        return ExitCode::from(2);
    };
    let (mut entries, mut rounds, mut incidents, mut taken, mut deaths) = (0, 0, 0, 0, 0);
    for seed in first..first + count {
        match sim::run(seed) {
            Ok(story) => {
                entries += story.entries;
                rounds += story.rounds;
                incidents += story.incidents;
                taken += story.taken;
                deaths += story.deaths;
            }
            Err(violation) => {
                eprintln!("seed {seed}: {} does not hold: {}", violation.property, violation.found);
                eprintln!("again: cargo xtask sim 1 {seed}");
                return ExitCode::from(1);
            }
        }
    }
    println!(
        "{count} seeds: {entries} entries, {rounds} rounds, {incidents} incidents, {taken} messages taken, {deaths} deaths; nothing violated"
    );
    ExitCode::SUCCESS
}
