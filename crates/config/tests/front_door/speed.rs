//! A large configuration loads fast enough to be reloaded without a thought.

use crate::common::load_text;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Checks of the large configuration.
const CHECKS: usize = 100_000;
/// Checks of each service.
const CHECKS_PER_SERVICE: usize = 10;
/// Longest time in an optimised build; an unoptimised one only has to end.
const TIME_MAX: Duration = if cfg!(debug_assertions) { Duration::from_secs(60) } else { Duration::from_secs(1) };

/// Tries, of which the fastest counts: another test may have the processor meanwhile.
const TRIES: usize = 3;

#[test]
fn a_hundred_thousand_checks_load_within_a_second() {
    let text = large();
    let mut fastest = Duration::MAX;
    for _ in 0..TRIES {
        let start = Instant::now();
        let loaded = load_text(&text).expect("nothing is wrong");
        fastest = fastest.min(start.elapsed());
        assert_eq!(loaded.configuration.checks().count(), CHECKS);
        if fastest < TIME_MAX {
            break;
        }
    }
    println!("{CHECKS} checks, {} bytes: {fastest:?}", text.len());
    assert!(fastest < TIME_MAX, "{fastest:?}");
}

/// About 11 MB: services of ten checks each, written as people write them.
fn large() -> String {
    let mut text = String::from("receivers: [{ id: ops, mail: ops@a.example }]\nservices:\n");
    for index in 0..CHECKS {
        if index % CHECKS_PER_SERVICE == 0 {
            let number = index / CHECKS_PER_SERVICE;
            writeln!(text, "  - name: Website {number}\n    checks:").expect("a string takes everything");
        }
        let check = format!("      - http: \"https://www-{index}.example.org/health\"\n        every: 30s\n");
        text.push_str(&check);
        text.push_str("        expect: { status: 200, body: ok }\n");
    }
    text
}
