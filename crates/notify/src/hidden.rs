//! The secrets revealed during one attempt, and the sieve that keeps them in.
//!
//! Other sides echo what they were sent: a web server repeats the path it does
//! not know, a mail server the line it does not understand. **What was revealed
//! here is replaced in everything that is reported.** Nothing else in this room
//! reads a secret.

use crate::answer::Setback;
use model::limits::OUTPUT_BYTES_MAX;
use model::secret::Secret;
use tokio::io::AsyncReadExt;
use url::Url;

/// Shorter ones would shred ordinary words, and show themselves by doing so.
const SECRET_LENGTH_MIN: usize = 4;
/// Path segments from this length on are taken for keys rather than for names.
const SEGMENT_LENGTH_MIN: usize = 8;
/// What stands in the place of a secret.
const MASK: &str = "(hidden)";

/// What must not be reported.
#[derive(Default)]
pub(crate) struct Hidden {
    texts: Vec<String>,
}

impl Hidden {
    /// The value of a secret, which is hidden from here on.
    pub(crate) async fn reveal(&mut self, secret: &Secret) -> Result<String, Setback> {
        let value = match secret {
            Secret::Inline(value) => value.clone(),
            Secret::File(path) => read_first_line(path).await?,
        };
        self.add(&value);
        Ok(value)
    }

    /// Hides a text.
    pub(crate) fn add(&mut self, text: &str) {
        if text.len() >= SECRET_LENGTH_MIN {
            self.texts.push(text.to_owned());
            // A long one must be looked for before a part of it is.
            self.texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        }
    }

    /// Hides an address whose path or query may be a key: all but its host.
    pub(crate) fn add_address(&mut self, url: &Url) {
        self.add(url.as_str());
        if url.path().len() > SEGMENT_LENGTH_MIN {
            self.add(url.path());
        }
        for segment in url.path_segments().into_iter().flatten().filter(|s| s.len() >= SEGMENT_LENGTH_MIN) {
            self.add(segment);
        }
        for (_, value) in url.query_pairs() {
            self.add(&value);
        }
        for part in [url.query(), url.password()].into_iter().flatten() {
            self.add(part);
        }
    }

    /// Hides an argument of a program, and its parts where it holds an address,
    /// which need not be one that we can read. Names of files stay readable.
    pub(crate) fn add_argument(&mut self, argument: &str) {
        let is_key = |text: &&str| text.len() >= SEGMENT_LENGTH_MIN;
        if argument.starts_with(['/', '.']) {
            return;
        }
        let value = argument.split_once('=').map_or(argument, |(_, value)| value);
        let parts = value.split(['/', ':', '@', '?', '&', '=']).filter(|_| value.contains("://"));
        for text in [argument, value].into_iter().chain(parts).filter(is_key) {
            self.add(text);
        }
    }

    /// The text with every hidden one replaced.
    pub(crate) fn scrub(&self, text: &str) -> String {
        self.texts.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
    }
}

async fn read_first_line(path: &str) -> Result<String, Setback> {
    let failed = |error: std::io::Error| Setback::failed(format!("could not read the secret in {path}: {error}"));
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut text = String::new();
    file.take(OUTPUT_BYTES_MAX as u64).read_to_string(&mut text).await.map_err(failed)?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        Some(_) | None => Err(Setback::failed(format!("the first line of {path}, which holds a secret, is empty"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_in_an_address_is_hidden_wherever_it_is_repeated() {
        let mut hidden = Hidden::default();
        hidden
            .add_address(&Url::parse("https://hooks.acme.example/services/T0/B0/abcdefghijkl?key=topsecret").unwrap());
        let scrubbed = hidden.scrub("no such path /services/T0/B0/abcdefghijkl, nor abcdefghijkl, nor topsecret");
        assert_eq!(scrubbed, "no such path (hidden), nor (hidden), nor (hidden)");
    }

    #[test]
    fn an_address_among_a_programs_arguments_is_hidden() {
        let mut hidden = Hidden::default();
        hidden.add_argument("--url=tgram://123456:bottoken/chatroom77");
        hidden.add_argument("/usr/local/bin/helper");
        let scrubbed = hidden.scrub("helper: tgram://123456:bottoken/chatroom77: no chatroom77 for bottoken");
        assert_eq!(scrubbed, "helper: (hidden): no (hidden) for (hidden)");
    }

    #[test]
    fn a_text_of_three_letters_is_not_searched_for() {
        let mut hidden = Hidden::default();
        hidden.add("abc");
        assert_eq!(hidden.scrub("abc"), "abc", "three letters hide nothing and shred words");
    }
}
