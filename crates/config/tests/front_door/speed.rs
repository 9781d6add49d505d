//! A large configuration loads fast enough to be reloaded without a thought.

use crate::common::load_text;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Checks of the large configuration.
const CHECKS: usize = 100_000;
/// Longest time in an optimised build; an unoptimised one only has to end.
const TIME_MAX: Duration = if cfg!(debug_assertions) { Duration::from_secs(60) } else { Duration::from_secs(1) };

#[test]
fn a_hundred_thousand_checks_load_within_a_second() {
    let mut text = String::from("receivers: [{ id: ops, mail: ops@a.example }]\nservices:\n");
    for index in 0..CHECKS {
        writeln!(
            text,
            "  - name: Website {index}\n    checks:\n      - http: \"https://www-{index}.example.org/health\"\n        every: 30s\n        expect: {{ status: 200, body: {{ matches: '^ok' }} }}"
        )
        .expect("a string takes everything");
    }
    let start = Instant::now();
    let loaded = load_text(&text).expect("nothing is wrong");
    let took = start.elapsed();
    println!("{CHECKS} checks, {} bytes: {took:?}", text.len());
    assert_eq!(loaded.configuration.checks().count(), CHECKS);
    assert!(took < TIME_MAX, "{took:?}");
}
