//! The way from the top of a file to a value, kept on the stack while reading
//! and written out only for a mistake.

use std::fmt;

/// A step and the way to it.
#[derive(Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    key: &'p str,
    item: Option<usize>,
}

impl<'p> Path<'p> {
    /// The top of a file.
    pub(crate) const TOP: Path<'static> = Path { parent: None, key: "", item: None };

    /// The way to the value of a key.
    pub(crate) fn key(&'p self, key: &'p str) -> Self {
        Self { parent: Some(self), key, item: None }
    }

    /// The way to an item of the list that stands here, counted from 0.
    pub(crate) fn item(self, index: usize) -> Self {
        Self { item: Some(index), ..self }
    }

    /// The position in the last list, from 0.
    pub(crate) fn index(&self) -> usize {
        self.item.unwrap_or(0)
    }

    /// The last key.
    pub(crate) fn name(&self) -> &'p str {
        self.key
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else { return Ok(()) };
        parent.fmt(f)?;
        if parent.parent.is_some() {
            f.write_str(".")?;
        }
        f.write_str(self.key)?;
        match self.item {
            Some(index) => write!(f, "[{index}]"),
            None => Ok(()),
        }
    }
}
