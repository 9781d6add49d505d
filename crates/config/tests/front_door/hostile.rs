//! No text breaks the loader, and none makes it slow.

use crate::common::{fixtures, load_text};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// Longest time for a hostile text of about a megabyte in an unoptimised build.
const TIME_MAX: Duration = Duration::from_secs(30);

fn loads_in_time(name: &str, text: &str) {
    let start = Instant::now();
    if let Err(mistakes) = load_text(text) {
        assert!(!mistakes.to_string().is_empty());
    }
    assert!(start.elapsed() < TIME_MAX, "{name} took {:?}", start.elapsed());
}

#[test]
fn hostile_texts_end_in_time() {
    let laughs: String = (1..30)
        .map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")))
        .collect();
    let service =
        |index: usize| format!("  - {{ name: S{index}, needs: [s{}], checks: [{{ tcp: 'a:1' }}] }}\n", index + 1);
    let texts = [
        ("deep lists", "[".repeat(100_000)),
        ("deep maps", "{a: ".repeat(100_000)),
        ("deep blocks", (0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect()),
        ("deep dashes", "- ".repeat(100_000)),
        ("billion laughs", format!("a0: &a0 x\n{laughs}")),
        ("many keys", (0..50_000).map(|key| format!("k{key}: 1\n")).collect()),
        ("one key often", "page: 1\n".repeat(50_000)),
        ("long line", format!("page: {{ name: {} }}", "x".repeat(1_000_000))),
        ("long key", format!("{}: 1", "x".repeat(1_000_000))),
        ("many dollars", format!("page: {{ name: '{}' }}", "${A".repeat(200_000))),
        ("quotes", "\"".repeat(100_001)),
        ("anchors", (0..50_000).map(|key| format!("a{key}: &a{key} 1\n")).collect()),
        ("nested anchors", format!("{}1", "a: &a\n ".repeat(1000))),
        ("colons", ": ".repeat(100_000)),
        ("question marks", "? ".repeat(100_000)),
        ("long chain", format!("services:\n{}", (0..10_000).map(service).collect::<String>())),
        ("one service", format!("services: [{{ name: A, checks: [{}] }}]", "{ tcp: 'a:1' }, ".repeat(20_000))),
    ];
    for (name, text) in &texts {
        loads_in_time(name, text);
    }
}

/// Pieces that configurations are made of, to build texts that get far.
const PIECES: [&str; 40] = [
    "services:",
    "receivers:",
    "page:",
    "mail:",
    "maintenance:",
    "checks:",
    "- ",
    "  ",
    "    ",
    "\n",
    "\n",
    "\n",
    "\n  - ",
    "name: ",
    "id: ",
    "http: ",
    "tcp: ",
    "tls: ",
    "dns: ",
    "expect: ",
    "every: ",
    "from: ",
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    ", ",
    ": ",
    "#",
    "&a ",
    "*a",
    "${DB_HOST}",
    "${",
    "$$",
    "|\n",
    "https://a.example/",
    "30s",
    "\t",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_text_is_survived(text in "\\PC{0,300}") {
        let _ = load_text(&text);
    }

    #[test]
    fn random_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = load_text(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn text_like_a_configuration_is_survived(pieces in proptest::collection::vec(0..PIECES.len(), 0..80)) {
        let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        if let Err(mistakes) = load_text(&text) {
            // Showing it must be survived as well.
            prop_assert!(mistakes.to_string().contains("mistake"));
        }
    }

    #[test]
    fn changed_fixtures_are_survived(
        fixture in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..PIECES.len(), 0usize..12), 1..6),
    ) {
        let mut all = fixtures("tests/accepted", "yaml");
        all.extend(fixtures("tests/mistakes", "yaml"));
        let mut text = std::fs::read_to_string(fixture.get(&all)).expect("a readable fixture");
        for (at, piece, removed) in changes {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let first = at.index(places.len());
            let last = (first + removed).min(places.len() - 1);
            text.replace_range(places[first]..places[last], PIECES[piece]);
        }
        if let Err(mistakes) = load_text(&text) {
            let said = mistakes.to_string();
            prop_assert!(said.contains("mistake"));
            for mistake in mistakes.list() {
                prop_assert!(mistake.column >= 1 && mistake.length >= 1);
            }
        }
    }
}
