//! Tests of texts, compiled once.

use crate::PrepareError;
use crate::round::printable;
use model::check::TextTest;
use regex::{Regex, RegexBuilder};

/// Bytes one compiled expression may take: a hundred thousand checks may have
/// one each, and an expression that needs more is no test of an answer.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Characters of a value shown in a sentence.
const SHOWN_BYTES_MAX: usize = 100;

/// A [`TextTest`] ready to use.
pub(crate) enum Test {
    Contains(Box<str>),
    Lacks(Box<str>),
    Matches(Box<Regex>),
    MatchesNot(Box<Regex>),
}

impl Test {
    /// Compiles a test.
    ///
    /// # Errors
    /// [`PrepareError::Pattern`] for an expression that cannot be used.
    pub(crate) fn compile(test: &TextTest) -> Result<Self, PrepareError> {
        Ok(match test {
            TextTest::Contains(text) => Self::Contains(text.as_str().into()),
            TextTest::Lacks(text) => Self::Lacks(text.as_str().into()),
            TextTest::Matches(pattern) => Self::Matches(Box::new(compile_pattern(pattern)?)),
            TextTest::MatchesNot(pattern) => Self::MatchesNot(Box::new(compile_pattern(pattern)?)),
        })
    }

    /// Compiles several tests.
    pub(crate) fn compile_all(tests: &[TextTest]) -> Result<Box<[Self]>, PrepareError> {
        tests.iter().map(Self::compile).collect()
    }

    /// Tests a text. `None` if it passes, otherwise what was wrong, to follow
    /// the name of the text: "the body" + " does not contain \"ok\"".
    pub(crate) fn complaint(&self, text: &str) -> Option<String> {
        match self {
            Self::Contains(wanted) if !text.contains(&**wanted) => Some(format!("does not contain {}", quoted(wanted))),
            Self::Lacks(unwanted) if text.contains(&**unwanted) => {
                Some(format!("contains {}, which it must not", quoted(unwanted)))
            }
            Self::Matches(pattern) if !pattern.is_match(text) => {
                Some(format!("does not match {}", quoted(pattern.as_str())))
            }
            Self::MatchesNot(pattern) => pattern
                .find(text)
                .map(|found| format!("matches {} with {}", quoted(pattern.as_str()), quoted(found.as_str()))),
            Self::Contains(_) | Self::Lacks(_) | Self::Matches(_) => None,
        }
    }

    /// Whether a text that is not there at all fails the test.
    pub(crate) fn needs_text(&self) -> bool {
        match self {
            Self::Contains(_) | Self::Matches(_) => true,
            Self::Lacks(_) | Self::MatchesNot(_) => false,
        }
    }
}

/// Compiles a regular expression with a bound on its size. `^` and `$` match
/// at line ends, since what is tested usually has many lines.
pub(crate) fn compile_pattern(pattern: &str) -> Result<Regex, PrepareError> {
    RegexBuilder::new(pattern)
        .multi_line(true)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|source| PrepareError::Pattern { pattern: pattern.to_owned(), source: Box::new(source) })
}

/// A text in quotation marks for a sentence: its beginning, printable, on one line.
pub(crate) fn quoted(text: &str) -> String {
    let shown = printable(text.as_bytes(), SHOWN_BYTES_MAX).replace(['\n', '\t'], " ");
    let ellipsis = if text.len() > SHOWN_BYTES_MAX { "…" } else { "" };
    format!("\"{shown}{ellipsis}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_says_what_was_wrong() {
        let complaint = |test: TextTest, text: &str| Test::compile(&test).expect("it compiles").complaint(text);
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(complaint(TextTest::Contains("ok".into()), "all ok"), None);
        assert_eq!(complaint(TextTest::Contains("ok".into()), "no"), own("does not contain \"ok\""));
        assert_eq!(complaint(TextTest::Lacks("a".into()), "b"), None);
        assert_eq!(complaint(TextTest::Lacks("a".into()), "a"), own("contains \"a\", which it must not"));
        assert_eq!(complaint(TextTest::Matches("^b$".into()), "a\nb\nc"), None);
        assert_eq!(complaint(TextTest::Matches("x+".into()), "a"), own("does not match \"x+\""));
        assert_eq!(complaint(TextTest::MatchesNot("e.".into()), "error"), own("matches \"e.\" with \"er\""));
        assert_eq!(complaint(TextTest::MatchesNot("x".into()), "a"), None);
    }

    #[test]
    fn an_expression_that_is_too_large_is_refused() {
        for wrong in ["(", "(a{1000}){1000}"] {
            assert!(Test::compile(&TextTest::Matches(wrong.into())).is_err(), "{wrong}");
        }
    }
}
