//! A text dialogue: lines read, the last of them kept as evidence, and the
//! time of the first answer taken.
//!
//! The excerpt is renewed with every line, because a round may run out of time
//! at any of them. What we send is shown only where it cannot hold a secret.

use crate::lines::{self, Lines};
use crate::round::{Round, Trouble, printable};
use crate::whole_us;
use model::limits::{EXCERPT_BYTES_MAX, LINE_BYTES_MAX};
use std::collections::VecDeque;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};

/// One dialogue over one connection.
pub(crate) struct Conversation {
    lines: Lines,
    shown: VecDeque<String>,
    shown_bytes: usize,
    started: Instant,
    first_answer: Option<Instant>,
}

impl Conversation {
    /// Starts a dialogue; the first answer is timed from here.
    pub(crate) fn new() -> Self {
        Self {
            lines: Lines::default(),
            shown: VecDeque::new(),
            shown_bytes: 0,
            started: Instant::now(),
            first_answer: None,
        }
    }

    /// Reads the next line. `doing` completes "closed the connection while …".
    ///
    /// # Errors
    /// As [`Lines::next`].
    pub(crate) async fn line<S>(&mut self, stream: &mut S, round: &mut Round, doing: &str) -> Result<String, Trouble>
    where
        S: AsyncRead + Unpin,
    {
        let line = self.lines.next(stream, round, doing).await?;
        let now = Instant::now();
        let first = *self.first_answer.get_or_insert(now);
        round.phases.first_byte_us.get_or_insert(whole_us(first - self.started));
        round.phases.transfer_us = Some(whole_us(now - first));
        self.show(round, format!("< {}", printable(line.as_bytes(), LINE_BYTES_MAX)));
        Ok(line)
    }

    /// Sends a text that is shown as evidence.
    ///
    /// # Errors
    /// Whatever the connection ends with.
    pub(crate) async fn say<S>(&mut self, stream: &mut S, round: &mut Round, text: &str) -> Result<(), Trouble>
    where
        S: AsyncWrite + Unpin,
    {
        self.show(round, format!("> {}", printable(text.trim_end().as_bytes(), LINE_BYTES_MAX)));
        lines::send(stream, text, round, "sending").await
    }

    /// Sends a text that may hold a secret; only its length is shown.
    ///
    /// # Errors
    /// Whatever the connection ends with.
    pub(crate) async fn say_unseen<S>(&mut self, stream: &mut S, round: &mut Round, text: &str) -> Result<(), Trouble>
    where
        S: AsyncWrite + Unpin,
    {
        self.show(round, format!("> ({} bytes)", text.len()));
        lines::send(stream, text, round, "sending").await
    }

    /// Whether all that came has been read.
    pub(crate) fn is_quiet(&self) -> bool {
        self.lines.is_empty()
    }

    /// Notes something else that happened, such as a change to TLS.
    pub(crate) fn note(&mut self, round: &mut Round, text: &str) {
        self.show(round, format!("({text})"));
    }

    /// The bytes read but not taken as lines, for a protocol that goes on in another form.
    pub(crate) fn into_rest(self) -> Vec<u8> {
        self.lines.into_rest()
    }

    /// Keeps the last lines that fit into the limit of an excerpt.
    fn show(&mut self, round: &mut Round, line: String) {
        self.shown_bytes += line.len() + 1;
        self.shown.push_back(line);
        while self.shown_bytes > EXCERPT_BYTES_MAX && self.shown.len() > 1 {
            if let Some(oldest) = self.shown.pop_front() {
                self.shown_bytes -= oldest.len() + 1;
            }
        }
        let lines: Vec<&str> = self.shown.iter().map(String::as_str).collect();
        round.evidence.excerpt = Some(lines.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::check::Family;
    use std::time::Duration;

    #[tokio::test]
    async fn the_excerpt_holds_the_last_lines_that_fit() {
        let mut round = Round::new(Duration::from_secs(10), Family::Any);
        let mut talk = Conversation::new();
        let text: String = (0..100).map(|i| format!("250-line number {i}\r\n")).collect();
        let mut stream = text.as_bytes();
        for _ in 0..100 {
            talk.line(&mut stream, &mut round, "talking").await.unwrap();
        }
        let excerpt = round.evidence.excerpt.unwrap();
        assert!(excerpt.len() <= EXCERPT_BYTES_MAX);
        assert!(excerpt.ends_with("< 250-line number 98\n< 250-line number 99"));
        assert!(!excerpt.contains("number 1\n"));
    }

    #[tokio::test]
    async fn a_text_that_may_hold_a_secret_is_not_shown() {
        let mut round = Round::new(Duration::from_secs(10), Family::Any);
        let mut talk = Conversation::new();
        talk.say_unseen(&mut Vec::new(), &mut round, "PASS hunter2\r\n").await.unwrap();
        assert_eq!(round.evidence.excerpt.as_deref(), Some("> (14 bytes)"));
    }
}
