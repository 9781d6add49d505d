//! Prometheus's text form: heads, label values, numbers.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

/// What a number is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// The two lines before the samples of a family.
pub(super) fn head(out: &mut dyn Write, name: &str, kind: Kind, help: &str) -> io::Result<()> {
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
    };
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// A family of one sample.
pub(super) fn single(
    out: &mut dyn Write,
    name: &str,
    kind: Kind,
    help: &str,
    value: impl fmt::Display,
) -> io::Result<()> {
    head(out, name, kind, help)?;
    writeln!(out, "{name} {value}")
}

/// A label's value, escaped.
pub(super) struct Label<'a>(pub(super) &'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => fmt::Write::write_char(f, other)?,
            }
        }
        Ok(())
    }
}

/// Microseconds as seconds.
pub(super) fn seconds(us: u32) -> f64 {
    Duration::from_micros(u64::from(us)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        assert_eq!(Label("a\"b\\c\nd").to_string(), "a\\\"b\\\\c\\nd");
    }
}
