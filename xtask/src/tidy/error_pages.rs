//! Every stable error code has a page in `docs/errors/`, and every page a code.
//!
//! A code looks like `MS-1234`. It is printed where an operator can act, and he
//! will look for it years later; so it needs a page, and a page whose code is
//! gone says so rather than vanish.

use crate::report::Report;
use crate::workspace::TextFile;
use std::collections::{BTreeMap, BTreeSet};

/// Where the pages are.
const DIRECTORY: &str = "docs/errors/";
/// What every code begins with.
const PREFIX: &str = concat!("M", "S-");
/// How many digits follow.
const DIGITS: usize = 4;
/// Written on the page of a code that is no longer printed.
const RETIRED: &str = "Retired";

/// Compares the codes of the sources with the pages.
pub(super) fn inspect(files: &[TextFile], report: &mut Report) {
    let mut printed: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_rust() && file.path.starts_with("crates/")) {
        for (number, line) in file.lines() {
            for code in codes(line) {
                printed.entry(code).or_insert((&file.path, number));
            }
        }
    }
    let pages: BTreeMap<&str, &TextFile> =
        files.iter().filter_map(|file| Some((code_of_page(&file.path)?, file))).collect();
    for (code, (path, number)) in printed.iter().filter(|(code, _)| !pages.contains_key(*code)) {
        report.mistake(path, *number, format!("{code} has no page; write {DIRECTORY}{code}.md"));
    }
    let printed: BTreeSet<&str> = printed.into_keys().collect();
    for (code, page) in pages.iter().filter(|(code, page)| !printed.contains(*code) && !page.text.contains(RETIRED)) {
        report.mistake(&page.path, 1, format!("nothing prints {code}; if it did once, the page says `{RETIRED}`"));
    }
}

fn code_of_page(path: &str) -> Option<&str> {
    path.strip_prefix(DIRECTORY)?.strip_suffix(".md").filter(|name| name.starts_with(PREFIX))
}

fn codes(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices(PREFIX).filter_map(|(at, _)| {
        let end = at + PREFIX.len() + DIGITS;
        let code = line.get(at..end)?;
        code[PREFIX.len()..].bytes().all(|b| b.is_ascii_digit()).then_some(code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_without_a_page_and_a_page_without_a_code_are_mistakes() {
        let (one, two, three) = (format!("{PREFIX}0001"), format!("{PREFIX}0002"), format!("{PREFIX}0003"));
        let files = [
            file("crates/config/src/lib.rs", &format!("error {one}, error {two}, {PREFIX}x")),
            file(&format!("{DIRECTORY}{one}.md"), "What happened"),
            file(&format!("{DIRECTORY}{three}.md"), "What happened"),
            file(&format!("{DIRECTORY}{PREFIX}0004.md"), "Retired in 0.3."),
        ];
        let mut report = Report::default();
        inspect(&files, &mut report);
        let text = report.mistakes.join("\n");
        assert_eq!(report.mistakes.len(), 2, "{text}");
        assert!(text.contains(&format!("{two} has no page")) && text.contains(&format!("nothing prints {three}")));
    }

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }
}
