//! Whether what the page shows can be told from its background, by the formulas of WCAG 2.

use crate::client::serve;
use crate::made_up::demo;
use std::collections::BTreeMap;

/// Text, level AA.
const TEXT_MIN: f64 = 4.5;
/// Marks that carry meaning, level AA.
const MARK_MIN: f64 = 3.0;
const STATES: [&str; 5] = ["up", "un", "ma", "de", "dn"];

#[tokio::test]
async fn every_text_and_every_mark_can_be_read_by_day_and_by_night() {
    let page = serve(demo()).await.get("/").await;
    let palettes: Vec<_> = page.text().split(":root{").skip(1).filter(|part| part.contains("--bg:")).take(2).collect();
    assert_eq!(palettes.len(), 2, "one by day and one by night");
    for (when, palette) in ["day", "night"].into_iter().zip(palettes) {
        let colours = colours(palette.split('}').next().unwrap_or_default());
        let contrast = |one: &str, other: &str| {
            let (one, other) = (luminance(&colours[one]), luminance(&colours[other]));
            (one.max(other) + 0.05) / (one.min(other) + 0.05)
        };
        let tints = STATES.map(|state| format!("{state}-t"));
        for text in ["ink", "soft", "link"] {
            for ground in ["bg", "card"].into_iter().chain(tints.iter().map(String::as_str)) {
                assert!(contrast(text, ground) >= TEXT_MIN, "{text} on {ground} by {when}: {}", contrast(text, ground));
            }
        }
        for (state, tint) in STATES.iter().zip(&tints) {
            for ground in ["bg", "card", tint] {
                assert!(
                    contrast(state, ground) >= TEXT_MIN,
                    "{state} on {ground} by {when}: {}",
                    contrast(state, ground)
                );
            }
            let mark = format!("{state}-b");
            assert!(contrast(&mark, "card") >= MARK_MIN, "{mark} by {when}: {}", contrast(&mark, "card"));
        }
    }
}

fn colours(palette: &str) -> BTreeMap<&str, String> {
    let entries = palette.split(';').filter_map(|entry| entry.trim().strip_prefix("--")?.split_once(":#"));
    entries.map(|(name, colour)| (name, colour.trim().to_owned())).collect()
}

fn luminance(colour: &str) -> f64 {
    let full = if colour.len() == 3 { colour.chars().flat_map(|c| [c, c]).collect() } else { colour.to_owned() };
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(&full[at..at + 2], 16).expect("a colour")) / 255.0;
        if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
}
