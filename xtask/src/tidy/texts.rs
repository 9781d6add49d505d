//! Rules for every text file: no path of one person's machine, no debt
//! without its reason, no word that has a better one.

use crate::report::Report;
use crate::workspace::TextFile;

/// Directories of people and of build machines. Put together here, so that
/// this file passes its own rule.
const PERSONAL_DIRECTORIES: [&str; 4] =
    [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

/// Words not used here, each with what is written instead.
const WORDS: [(&str, &str); 5] = [
    (concat!("white", "list"), "allow list, or what it allows"),
    (concat!("black", "list"), "refusal list, or what it refuses"),
    (concat!("sanity", " check"), "what is checked"),
    (concat!("lorem", " ipsum"), "real text"),
    (concat!("dummy", " text"), "real text"),
];

/// Marks of debts; each needs the number of an issue, as in `TODO(#12): why`.
const DEBTS: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("HA", "CK:")];

/// Applies all rules to one file.
pub(super) fn inspect(file: &TextFile, report: &mut Report) {
    if is_exempt(&file.path) {
        return;
    }
    for (number, line) in file.lines() {
        if let Some(directory) = PERSONAL_DIRECTORIES.iter().find(|directory| names_directory(line, directory)) {
            report.mistake(&file.path, number, format!("`{directory}` is a directory of one machine"));
        }
        let lower = line.to_lowercase();
        for (word, instead) in WORDS.iter().filter(|(word, _)| lower.contains(word)) {
            report.mistake(&file.path, number, format!("say {instead} instead of \"{word}\""));
        }
        if let Some(debt) = DEBTS.iter().find(|debt| is_unexplained(line, debt)) {
            report.mistake(&file.path, number, format!("{debt} without an issue: write `{debt}(#12): why`"));
        }
    }
}

/// The licence is not ours to reword and the lock file is written by cargo.
fn is_exempt(path: &str) -> bool {
    path == "LICENSE" || path == "Cargo.lock"
}

/// Whether a line names the directory as an absolute path; as a part of a
/// longer path or of an address it is something else.
fn names_directory(line: &str, directory: &str) -> bool {
    line.match_indices(directory).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '*' | '}' | ')' | '$'))
    })
}

fn is_unexplained(line: &str, debt: &str) -> bool {
    line.match_indices(debt).any(|(at, _)| {
        let is_word = !line[..at].ends_with(char::is_alphanumeric);
        let rest = &line[at + debt.len()..];
        let number = rest.strip_prefix("(#").and_then(|rest| rest.split_once("): ")).map(|(number, _)| number);
        is_word
            && !rest.starts_with(char::is_alphanumeric)
            && !number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_machine_is_a_mistake() {
        for directory in PERSONAL_DIRECTORIES {
            check(&format!("let path = \"{directory}somebody\";"), "directory of one machine");
            check(&format!("https://mainstay.example{directory}page"), "");
        }
    }

    #[test]
    fn a_debt_names_its_issue() {
        for debt in DEBTS {
            check(&format!("// {debt} later"), "without an issue");
            check(&format!("// {debt}(#): later"), "without an issue");
            check(&format!("// {debt}(#12): the format changes with version 2"), "");
        }
        check("const TODOS: u8 = 1;", "");
    }

    #[test]
    fn a_word_with_a_better_one_is_a_mistake() {
        for (word, instead) in WORDS {
            check(&format!("a {} of names", word.to_uppercase()), instead);
        }
    }

    fn check(line: &str, expected: &str) {
        let mut report = Report::default();
        inspect(&TextFile { path: "docs/page.md".to_owned(), text: line.to_owned() }, &mut report);
        assert_eq!(report.mistakes.is_empty(), expected.is_empty(), "{line}: {:?}", report.mistakes);
        assert!(report.mistakes.iter().all(|mistake| mistake.contains(expected)), "{:?}", report.mistakes);
    }
}
