//! Secrets: given inline or by file, never both, and never printed.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A password, token or key. Its `Debug` form hides the value, and there is no
/// `Display`; only the hand that needs the value asks for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Secret {
    /// The value itself.
    Inline(String),
    /// The path of a file whose first line is the value, read at every use.
    File(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("Secret(hidden)"),
            Self::File(path) => write!(f, "Secret(file {path})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::Inline("hunter2".into())), "Secret(hidden)");
    }
}
