//! Identifiers: every kind of thing has a type of its own.
//!
//! Text ids are written by people in the configuration and seen in URLs,
//! metrics and mails; they are short slugs. Numeric ids are given out by the
//! machine and are never used again. **A text id is 1 to 64 characters of
//! `a-z 0-9 - _ .` and starts with a letter or digit.**

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Longest text id, in characters; long enough for a host name's first labels.
pub const ID_LENGTH_MAX: usize = 64;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text was empty.
    #[error("an id must not be empty")]
    Empty,
    /// The text was longer than [`ID_LENGTH_MAX`].
    #[error("an id has at most {ID_LENGTH_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// A character outside the allowed set.
    #[error("an id holds only a-z, 0-9, '-', '_' and '.', and starts with a letter or digit; found {0:?}")]
    Character(char),
}

fn validate(text: &str) -> Result<(), IdError> {
    let length = text.chars().count();
    let Some(first) = text.chars().next() else {
        return Err(IdError::Empty);
    };
    if length > ID_LENGTH_MAX {
        return Err(IdError::TooLong(length));
    }
    if !first.is_ascii_lowercase() && !first.is_ascii_digit() {
        return Err(IdError::Character(first));
    }
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    match text.chars().find(|c| !allowed(c)) {
        Some(wrong) => Err(IdError::Character(wrong)),
        None => Ok(()),
    }
}

/// Returns the nearest legal id for a name people read ("Acme API" gives
/// "acme-api"), or `None` when no character of it can be kept.
pub fn slug(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if out.len() >= ID_LENGTH_MAX {
            break;
        }
    }
    let trimmed = out.trim_end_matches('-');
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses an id.
            ///
            /// # Errors
            /// [`IdError`] names the first rule that the text breaks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                validate(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// A check, unique in the whole configuration.
    CheckId
);
text_id!(
    /// A service, that is what customers see.
    ServiceId
);
text_id!(
    /// Somebody or something that is told.
    ReceiverId
);
text_id!(
    /// A place from which checks are made.
    LocationId
);
text_id!(
    /// A maintenance window.
    MaintenanceId
);

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number_id!(
    /// The short number under which results of a check are logged and stored.
    /// Given out when a configuration is activated; an id that comes back
    /// gets its old slot, a slot is never given to another id.
    CheckSlot(u32)
);
number_id!(
    /// An incident, counted from 1.
    IncidentId(u64)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_slug() {
        assert_eq!(CheckId::new("api-health_2.v4").map(|id| id.to_string()), Ok("api-health_2.v4".into()));
        assert_eq!(CheckId::new(""), Err(IdError::Empty));
        assert_eq!(CheckId::new("Api"), Err(IdError::Character('A')));
        assert_eq!(CheckId::new("-a"), Err(IdError::Character('-')));
        assert_eq!(CheckId::new("a/b"), Err(IdError::Character('/')));
        assert_eq!(CheckId::new(&"a".repeat(65)), Err(IdError::TooLong(65)));
    }

    #[test]
    fn a_name_becomes_a_slug() {
        assert_eq!(slug("Acme API (v2)").as_deref(), Some("acme-api-v2"));
        assert_eq!(slug("—"), None);
    }
}
