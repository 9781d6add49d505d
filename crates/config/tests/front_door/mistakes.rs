//! Each mistake has a fixture named for it and its exact message.

use crate::common::{differs, environment, fixtures, load_text};
use config::{Code, Colour, SourceFile, load};

/// The least number of fixtures; a test that finds none proves nothing.
const FIXTURES_MIN: usize = 40;

#[test]
fn each_mistake_has_its_exact_message() {
    let fixtures = fixtures("tests/mistakes", "yaml");
    assert!(fixtures.len() >= FIXTURES_MIN, "only {} fixtures", fixtures.len());
    let mut wrong = Vec::new();
    for path in fixtures {
        let text = std::fs::read_to_string(&path).expect("a readable fixture");
        let said = match load_text(&text) {
            Ok(loaded) => {
                let warnings: String = loaded.warnings.iter().map(ToString::to_string).collect();
                assert!(!warnings.is_empty(), "{} has no mistake and no warning", path.display());
                warnings
            }
            Err(mistakes) => {
                for mistake in mistakes.list() {
                    let is_helpful = mistake.allowed.is_some() || mistake.help.is_some();
                    assert!(is_helpful, "{} does not say what to do:\n{mistake}", path.display());
                }
                mistakes.to_string()
            }
        };
        assert!(!said.contains("hunter2"), "{} shows a secret:\n{said}", path.display());
        wrong.extend(differs(&path.with_extension("txt"), &said));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn ten_mistakes_are_all_shown() {
    let text = std::fs::read_to_string(crate::common::here("tests/mistakes/ten_mistakes.yaml")).expect("a fixture");
    let mistakes = load_text(&text).expect_err("it has ten mistakes");
    assert_eq!(mistakes.total(), 10, "{mistakes}");
    let lines: Vec<u32> = mistakes.list().iter().map(|mistake| mistake.line).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn a_mistake_can_be_read_by_programs() {
    let mistakes =
        load_text("services:\n  - name: A\n    checks:\n      - http: https://a.example/\n        evry: 5s\n")
            .expect_err("a key is misspelt");
    let [mistake] = mistakes.list() else { panic!("{mistakes}") };
    assert_eq!((mistake.line, mistake.column, mistake.length), (5, 9, 4));
    assert_eq!(mistake.path, "services[0].checks[0]");
    assert_eq!(mistake.code, Code::UnknownKey);
    assert_eq!(mistake.source, "        evry: 5s");
    assert!(mistake.allowed.as_deref().is_some_and(|allowed| allowed.contains("every")));
}

#[test]
fn more_than_a_hundred_mistakes_are_counted() {
    let text = format!("services:\n{}", "  - { name: A, colour: red }\n".repeat(5000));
    let mistakes = load_text(&text).expect_err("it has mistakes");
    // Every service has an unknown key, and all but the first have the id of the first.
    assert_eq!(mistakes.total(), 9_999);
    assert_eq!(mistakes.list().len(), 1000);
    assert!(mistakes.to_string().ends_with("9999 mistakes, the first 100 are shown\n"));
}

#[test]
fn colours_are_written_only_when_wanted() {
    let mistakes = load_text("pages: {}").expect_err("an unknown key");
    assert!(!mistakes.to_string().contains('\x1b'));
    assert!(mistakes.render(Colour::Always).contains("\x1b[1;31merror"));
}

#[test]
fn a_mistake_names_the_file_it_stands_in() {
    let file = |name: &str, text: &str| SourceFile { name: name.into(), text: text.into() };
    let files = [
        file("a.yaml", "page: { name: A }\nlocations: [london]\n"),
        file("b.yaml", "# other things\npage: { name: B, url: 'https://b.example' }\nlocations: [paris]\n"),
    ];
    let mistakes = load(&files, &environment).expect_err("the page has two names");
    assert_eq!(
        mistakes.to_string(),
        "error: \"page.name\" is given in two files, first in a.yaml:1
 --> b.yaml:2:15
2 | page: { name: B, url: 'https://b.example' }
  |               ^
  = allowed: lists in several files are joined and maps are merged; any other value stands once
  = help: keep one of them

1 mistake
"
    );
}

#[test]
fn files_that_cannot_be_read_are_all_named() {
    let file = |name: &str, text: &str| SourceFile { name: name.into(), text: text.into() };
    let files = [file("a.yaml", "a: [1"), file("b.yaml", "page: {}"), file("c.yaml", "x: 'open")];
    let mistakes = load(&files, &environment).expect_err("two files are no YAML");
    let names: Vec<&str> = mistakes.list().iter().map(|mistake| mistake.file.as_str()).collect();
    assert_eq!(names, ["a.yaml", "c.yaml"]);
    assert_eq!(load(&[], &environment).expect_err("nothing to read").list()[0].code, Code::Empty);
}

#[test]
fn a_file_over_its_limit_is_refused_unread() {
    let size = usize::try_from(model::limits::CONFIGURATION_FILE_BYTES_MAX).expect("a 64-bit machine") + 1;
    let mistakes = load_text(&" ".repeat(size)).expect_err("it is too large");
    assert_eq!(mistakes.list()[0].code, Code::TooLarge);
}
