//! Rules for Markdown: every link to a file leads to one, and the map of the
//! house stays a map.

use crate::report::Report;
use crate::workspace::TextFile;
use std::path::Path;

/// The map that everybody reads first.
const MAP: &str = "ARCHITECTURE.md";
/// A longer map is not read.
const MAP_LINES_MAX: usize = 300;

/// Applies all rules to one page.
pub(super) fn inspect(root: &Path, file: &TextFile, report: &mut Report) {
    let lines = file.text.lines().count();
    if file.path == MAP && lines > MAP_LINES_MAX {
        report.mistake(&file.path, MAP_LINES_MAX, format!("{lines} lines, at most {MAP_LINES_MAX}"));
    }
    links_lead_somewhere(root, file, report);
}

fn links_lead_somewhere(root: &Path, file: &TextFile, report: &mut Report) {
    let directory = Path::new(&file.path).parent().expect("a file has a directory");
    let mut is_code = false;
    for (number, line) in file.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code {
            continue;
        }
        for link in links(line) {
            let path = link.split('#').next().unwrap_or("");
            let is_elsewhere = link.contains("://") || link.starts_with("mailto:") || path.is_empty();
            if !is_elsewhere && !root.join(directory).join(path).exists() {
                report.mistake(&file.path, number, format!("the link leads nowhere: {link}"));
            }
        }
    }
}

/// What stands between `](` and `)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_became_a_book_is_a_mistake() {
        let file = TextFile { path: MAP.to_owned(), text: "\n".repeat(MAP_LINES_MAX + 1) };
        let mut report = Report::default();
        inspect(Path::new("."), &file, &mut report);
        assert_eq!(report.mistakes, ["ARCHITECTURE.md:300: 301 lines, at most 300"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_a_mistake() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("docs")).unwrap();
        std::fs::write(root.path().join("docs/here.md"), "").unwrap();
        let text = "[a](here.md) [b](here.md#part) [c](https://example.org/x) [d](gone.md)\n```\n[e](code.md)\n```\n";
        let file = TextFile { path: "docs/page.md".to_owned(), text: text.to_owned() };
        let mut report = Report::default();
        inspect(root.path(), &file, &mut report);
        assert_eq!(report.mistakes, ["docs/page.md:1: the link leads nowhere: gone.md"]);
    }
}
