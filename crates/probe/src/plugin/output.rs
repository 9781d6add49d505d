//! Reads what a plugin printed: text, and performance data after a bar.
//!
//! The format is that of the Nagios plugin interface: the first line is
//! `TEXT | PERFORMANCE`, further lines are long text, and from the first bar
//! in them on everything is performance data again.

use crate::round::printable;
use model::limits::OUTPUT_BYTES_MAX;

/// What a plugin said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Output {
    /// The text of its first line; `None` when there is none.
    pub text: Option<String>,
    /// All performance data, joined by spaces; `None` when there is none.
    pub performance: Option<String>,
}

/// Reads an output, whatever it is.
pub(super) fn read(bytes: &[u8]) -> Output {
    let output = printable(bytes, OUTPUT_BYTES_MAX);
    let mut lines = output.lines().skip_while(|line| line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    let (text, performance) = first.split_once('|').unwrap_or((first, ""));
    let mut parts = vec![performance.trim()];
    let mut is_performance = false;
    for line in lines {
        if is_performance {
            parts.push(line.trim());
        } else if let Some((_, rest)) = line.split_once('|') {
            is_performance = true;
            parts.push(rest.trim());
        }
    }
    parts.retain(|part| !part.is_empty());
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Output { text: some(text.trim()), performance: some(&parts.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_and_performance_are_told_apart() {
        for (printed, text, performance) in [
            ("", None, None),
            ("OK", Some("OK"), None),
            ("OK - all well | a=1;2;3\n", Some("OK - all well"), Some("a=1;2;3")),
            ("\n OK \r\n", Some("OK"), None),
            ("| a=1", None, Some("a=1")),
            (
                "DISK OK | /=2643MB\n/ 15272 MB (77%);\n/boot 68 MB | /boot=68MB\n/home=69357MB\n",
                Some("DISK OK"),
                Some("/=2643MB /boot=68MB /home=69357MB"),
            ),
        ] {
            let expected = Output { text: text.map(str::to_owned), performance: performance.map(str::to_owned) };
            assert_eq!(read(printed.as_bytes()), expected, "{printed:?}");
        }
    }

    proptest! {
        #[test]
        fn no_output_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let read = read(&bytes);
            prop_assert!(read.text.is_none_or(|text| !text.contains(['\n', '|'])));
        }
    }
}
