//! Rules for Rust sources.

use crate::report::Report;
use crate::workspace::TextFile;

/// A file this long usually holds two subjects. Nine in ten files of the code
/// we like to read are shorter.
const LINES_WANTED: usize = 500;
/// A file longer than this must be split.
const LINES_MAX: usize = 700;
/// A function this long usually does two things.
const FUNCTION_LINES_WANTED: usize = 60;
/// A function longer than this must be split; the longest that fits a screen.
const FUNCTION_LINES_MAX: usize = 120;
/// Names that say nothing about what is inside, as files and as ends of types.
/// `tests/common` is cargo's own convention for what test programs share.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "helper", "helpers", "common", "misc", "manager"];

/// Applies all rules to one file.
pub(super) fn inspect(file: &TextFile, report: &mut Report) {
    opens_with_its_doc(file, report);
    is_not_too_long(file, report);
    has_a_telling_name(file, report);
    functions_are_short(file, report);
    for (number, line) in file.lines() {
        if is_shared_by_tests(file) && line.starts_with("#![allow(dead_code, reason") {
            continue;
        }
        if let Some(why) = refused(line.trim_start()) {
            report.mistake(&file.path, number, why);
        }
    }
}

fn opens_with_its_doc(file: &TextFile, report: &mut Report) {
    let first = file.text.lines().next().unwrap_or("");
    match first.strip_prefix("//!").map(str::trim) {
        None => report.mistake(&file.path, 1, "does not open with `//!`: what it is and why it exists"),
        Some("" | "Placeholder.") => report.mistake(&file.path, 1, "the first line of `//!` says nothing"),
        Some(_) => {}
    }
}

fn is_not_too_long(file: &TextFile, report: &mut Report) {
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        report.mistake(&file.path, LINES_MAX, format!("{lines} lines, at most {LINES_MAX}; it holds two subjects"));
    } else if lines > LINES_WANTED {
        report.remark(&file.path, LINES_WANTED, format!("{lines} lines; under {LINES_WANTED} is easier to read"));
    }
}

fn has_a_telling_name(file: &TextFile, report: &mut Report) {
    let is_empty = |part: &str| EMPTY_NAMES.contains(&part.trim_end_matches(".rs"));
    if file.path.contains("/src/") && file.path.split('/').any(is_empty) {
        report.mistake(&file.path, 1, "its name says nothing about what is inside");
    }
    for (number, line) in file.lines() {
        let Some(name) = type_name(line.trim_start()) else { continue };
        if ["Manager", "Helper", "Util", "Utils"].iter().any(|end| name.ends_with(end)) {
            report.mistake(&file.path, number, format!("`{name}` does not say what it is"));
        }
    }
}

/// Functions are found by rustfmt's layout: one ends at the first closing
/// brace that stands as far left as its `fn`.
fn functions_are_short(file: &TextFile, report: &mut Report) {
    let mut open: Option<(usize, usize, &str)> = None;
    for (number, line) in file.lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some((start, at, name)) = open {
            if indent == at && line.trim() == "}" {
                let lines = number + 1 - start;
                if lines > FUNCTION_LINES_MAX {
                    report.mistake(
                        &file.path,
                        start,
                        format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}"),
                    );
                } else if lines > FUNCTION_LINES_WANTED {
                    report.remark(&file.path, start, format!("`{name}` has {lines} lines; under 40 is easier to read"));
                }
                open = None;
            }
        } else if let Some(name) = function_name(line.trim_start())
            && !line.trim_end().ends_with(['}', ';'])
        {
            open = Some((number, indent, name));
        }
    }
}

/// Cargo compiles `tests/common` into each test program anew. What one of them
/// does not use is dead there and alive in the next, so `expect` would be
/// wrong in one of the two.
fn is_shared_by_tests(file: &TextFile) -> bool {
    file.path.contains("/tests/common/")
}

/// Why a line, without its indentation, must not stand as it is.
fn refused(line: &str) -> Option<&'static str> {
    if line.starts_with("#[allow(") || line.starts_with("#![allow(") {
        return Some("take `#[expect(…, reason = \"…\")]`, which dies when it is no longer needed");
    }
    if line.starts_with("#[ignore") {
        return Some("a test that is ignored rots; assert what happens and note that it is wrong");
    }
    let import =
        ["use ", "pub use ", "pub(crate) use ", "pub(super) use "].iter().find_map(|word| line.strip_prefix(word));
    if import.is_some_and(|import| {
        import.contains("::*") && !import.starts_with("super::*") && !import.contains("prelude::*")
    }) {
        return Some("a wildcard import hides where names come from");
    }
    None
}

fn type_name(line: &str) -> Option<&str> {
    let rest = without_visibility(line);
    let rest = ["struct ", "enum ", "trait "].iter().find_map(|word| rest.strip_prefix(word))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = without_visibility(line);
    for word in ["default ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.strip_prefix("fn ")?.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn without_visibility(line: &str) -> &str {
    ["pub(crate) ", "pub(super) ", "pub "].iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_its_doc_is_a_mistake() {
        check("use std::fmt;\n", "does not open with");
        check("//!\n", "says nothing");
        check("//! What it is.\n", "");
    }

    #[test]
    fn a_file_of_two_subjects_is_a_mistake() {
        check(&format!("//! What it is.\n{}", "\n".repeat(LINES_MAX)), "701 lines");
        check(&format!("//! What it is.\n{}", "\n".repeat(LINES_WANTED)), "");
    }

    #[test]
    fn a_function_of_many_screens_is_a_mistake() {
        let body = |lines| format!("//! What it is.\npub async fn long() {{\n{}}}\n", "    step();\n".repeat(lines));
        check(&body(FUNCTION_LINES_MAX), "`long` has 122 lines");
        check(&body(FUNCTION_LINES_MAX - 2), "");
    }

    #[test]
    fn a_suppression_that_outlives_its_cause_is_a_mistake() {
        check("//! What it is.\n#[allow(dead_code)]\n", "expect(");
        check("//! What it is.\n#![allow(dead_code)]\n", "expect(");
        check("//! What it is.\n#[expect(dead_code, reason = \"used by the next commit\")]\n", "");
    }

    #[test]
    fn what_test_programs_share_may_be_dead_in_some_of_them() {
        let text = "//! What it is.\n#![allow(dead_code, reason = \"not all use all\")]\n";
        let mut report = Report::default();
        inspect(&file("crates/cluster/tests/common/mod.rs", text), &mut report);
        assert_eq!(report.mistakes, Vec::<String>::new());
        check(text, "expect(");
    }

    #[test]
    fn an_ignored_test_is_a_mistake() {
        check("//! What it is.\n#[ignore]\n", "ignored rots");
    }

    #[test]
    fn a_wildcard_import_is_a_mistake_except_of_the_tested_module() {
        check("//! What it is.\nuse model::check::*;\n", "wildcard");
        check("//! What it is.\nuse super::*;\nuse proptest::prelude::*;\n", "");
    }

    #[test]
    fn a_name_that_says_nothing_is_a_mistake() {
        check("//! What it is.\npub(crate) struct CheckManager;\n", "`CheckManager`");
        let mut report = Report::default();
        inspect(&file("crates/web/src/utils.rs", "//! What it is.\n"), &mut report);
        assert!(report.mistakes[0].contains("says nothing about what is inside"));
    }

    /// `expected` must be in the only mistake; if empty there is none.
    fn check(text: &str, expected: &str) {
        let mut report = Report::default();
        inspect(&file("crates/model/src/lib.rs", text), &mut report);
        assert_eq!(report.mistakes.len(), usize::from(!expected.is_empty()), "{:?}", report.mistakes);
        assert!(report.mistakes.iter().all(|mistake| mistake.contains(expected)), "{:?}", report.mistakes);
    }

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }
}
