//! From what happened to an [`Answer`]: said, failed or refused.
//!
//! The means end in `Ok` with the receiver's words or in a [`Setback`]; this
//! file is the only one that makes answers of them, so that **every text that
//! leaves this room has passed [`Hidden`]** and is one line of bounded length.

use crate::hidden::Hidden;
use crate::text::{shorten, single_line};
use model::entry::Answer;
use model::limits::FAILURE_TEXT_LENGTH_MAX;

/// Why a message was not delivered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Setback {
    /// It may work later.
    Failed { reason: String, retry_after_seconds: Option<u32> },
    /// It will not work as it stands.
    Refused { reason: String },
}

impl Setback {
    /// It may work later.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into(), retry_after_seconds: None }
    }

    /// It will not work as it stands.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }
}

/// The answer for an outcome, without secrets.
pub(crate) fn report(outcome: Result<String, Setback>, hidden: &Hidden) -> Answer {
    // Secrets go first: shortening could cut one in half and hide it from the search.
    let clean = |text: String| shorten(&single_line(&hidden.scrub(&text)), FAILURE_TEXT_LENGTH_MAX);
    match outcome {
        Ok(said) => Answer::Delivered { said: clean(said) },
        Err(Setback::Failed { reason, retry_after_seconds }) => {
            Answer::Failed { reason: clean(reason), retry_after_seconds }
        }
        Err(Setback::Refused { reason }) => Answer::Refused { reason: clean(reason) },
    }
}

/// The deepest cause of an error, which is the one that says what happened;
/// the layers above it repeat that something did.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_bounded_line_without_secrets() {
        let mut hidden = Hidden::default();
        hidden.add("s3cret-token");
        let reason = format!("said\r\n{}s3cret-token", "x".repeat(290));
        let Answer::Failed { reason, .. } = report(Err(Setback::failed(reason)), &hidden) else {
            panic!("a failure stays one");
        };
        assert!(reason.chars().count() <= FAILURE_TEXT_LENGTH_MAX);
        assert!(!reason.contains("s3cr"));
        assert!(!reason.contains('\n'));
    }
}
