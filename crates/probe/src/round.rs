//! One round of one check while it runs: what all kinds collect into.
//!
//! A [`Round`] lives outside the future that does the work, so that a timeout
//! can drop the work and still tell how far it came. It turns into a
//! [`Measured`] in one place, [`Round::finish`]: latency limits and the cutting
//! of evidence happen there and nowhere else.

use crate::{Measured, whole_us};
use model::check::{Family, LatencyLimits};
use model::limits::{
    ADDRESSES_MAX, CERTIFICATE_NAMES_MAX, EVIDENCE_TEXT_BYTES_MAX, EXCERPT_BYTES_MAX, FAILURE_TEXT_LENGTH_MAX,
};
use model::observation::{AddressTried, Cause, Detail, Evidence, Failure, Outcome, Phases};
use model::time::humane_duration;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Redirects kept as evidence; as many as a check may follow.
const REDIRECTS_KEPT: usize = 20;

/// Stands for a timeout that the clock cannot even express.
const DEADLINE_MAX: Duration = Duration::from_secs(365 * 86_400);

/// What a round has seen so far.
pub(crate) struct Round {
    started: Instant,
    timeout: Duration,
    /// Which addresses the check wants.
    pub(crate) family: Family,
    /// What it waits for, so that a timeout can say so.
    pub(crate) stage: Stage,
    /// Where the time went.
    pub(crate) phases: Phases,
    /// The time that counts as the round's, where that is not all the time it took.
    pub(crate) latency: Option<Duration>,
    /// What can be shown. `addresses` is filled in at the end from the attempts.
    pub(crate) evidence: Evidence,
    /// Bytes of the answer seen so far, for the sentence of a timeout.
    pub(crate) received_bytes: u64,
    /// The beginning of the answer, shown as an excerpt if the round does not pass.
    pub(crate) kept: Vec<u8>,
    /// The name or address that is being looked up or connected to, as shown to people.
    pub(crate) target: String,
    /// Whether our name servers are known to answer at all.
    pub(crate) name_servers_answer: bool,
    /// Whether what is talked to is the proxy on the way, which is ours and not the target.
    pub(crate) is_at_proxy: bool,
    /// The address in use.
    peer: Option<SocketAddr>,
    attempts: Vec<Attempt>,
    degraded: Option<Failure>,
}

/// What a round waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Addresses of the name in [`Round::target`].
    Resolving,
    /// A connection to [`Round::target`].
    Connecting,
    /// The end of the TLS handshake.
    Handshake,
    /// The first byte of the answer.
    Answer,
    /// The rest of the answer.
    Rest,
    /// Any sign of [`Round::target`], where nothing is connected.
    Silent,
    /// The end of the program in [`Round::target`].
    Running,
    /// Something a kind has its own words for, as in "no {words} within 10 s".
    Words(&'static str),
}

/// Why a round ended without having met what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// `Fail` or `Own`.
    pub(crate) outcome: Outcome,
    /// Why, for people.
    pub(crate) failure: Failure,
}

impl Trouble {
    /// The target's fault.
    pub(crate) fn fail(cause: Cause, sentence: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fail, failure: Failure { cause, sentence: sentence.into() } }
    }

    /// Our own fault: it says nothing about the target.
    pub(crate) fn own(sentence: impl Into<String>) -> Self {
        Self { outcome: Outcome::Own, failure: Failure { cause: Cause::Own, sentence: sentence.into() } }
    }

    /// The same at the proxy on the way: it is our way out, so that it does not
    /// work says nothing about the target.
    pub(crate) fn at_proxy(self) -> Self {
        Self::own(format!("the proxy cannot be used: {}", self.failure.sentence))
    }
}

/// One address while it is tried.
struct Attempt {
    address: IpAddr,
    started: Instant,
    took_us: Option<u32>,
    error: Option<String>,
}

impl Round {
    /// Starts the clock.
    pub(crate) fn new(timeout: Duration, family: Family) -> Self {
        Self {
            started: Instant::now(),
            timeout,
            family,
            stage: Stage::Resolving,
            phases: Phases::default(),
            latency: None,
            evidence: Evidence::default(),
            received_bytes: 0,
            kept: Vec::new(),
            target: String::new(),
            name_servers_answer: false,
            is_at_proxy: false,
            peer: None,
            attempts: Vec::new(),
            degraded: None,
        }
    }

    /// When the round must be over.
    pub(crate) fn deadline(&self) -> Instant {
        self.started.checked_add(self.timeout).unwrap_or_else(|| self.started + DEADLINE_MAX)
    }

    /// Notes that the round passed so far, but only just. The first such note counts.
    pub(crate) fn degrade(&mut self, cause: Cause, sentence: impl FnOnce() -> String) {
        if self.degraded.is_none() {
            self.degraded = Some(Failure { cause, sentence: sentence() });
        }
    }

    /// Forgets the phases and the answer of a request whose answer was a redirect.
    pub(crate) fn begin_again(&mut self) {
        self.phases = Phases::default();
        self.evidence.certificate = None;
        self.kept.clear();
        self.received_bytes = 0;
    }

    /// Keeps the beginning of an answer, made printable.
    pub(crate) fn keep_excerpt(&mut self, bytes: &[u8]) {
        self.evidence.excerpt = Some(printable(bytes, EXCERPT_BYTES_MAX));
    }

    /// Notes the only address there is, so that no text has to be made of it
    /// unless something goes wrong.
    pub(crate) fn trying(&mut self, peer: SocketAddr) {
        self.peer = Some(peer);
        self.target.clear();
    }

    /// Notes that an address is being tried; returns the number to end it with.
    pub(crate) fn attempt_started(&mut self, address: IpAddr) -> usize {
        self.attempts.push(Attempt { address, started: Instant::now(), took_us: None, error: None });
        self.attempts.len() - 1
    }

    /// Notes why an attempt failed.
    pub(crate) fn attempt_failed(&mut self, number: usize, error: String) {
        if let Some(attempt) = self.attempts.get_mut(number) {
            attempt.took_us = Some(whole_us(attempt.started.elapsed()));
            attempt.error = Some(error);
        }
    }

    /// Notes that an attempt succeeded: its address is used from here on, its
    /// time is the connect phase, and attempts still under way were in vain.
    pub(crate) fn attempt_succeeded(&mut self, number: usize, peer: SocketAddr) {
        self.peer = Some(peer);
        for (other, attempt) in self.attempts.iter_mut().enumerate() {
            if attempt.took_us.is_none() {
                let took_us = whole_us(attempt.started.elapsed());
                attempt.took_us = Some(took_us);
                if other == number {
                    self.phases.connect_us = Some(took_us);
                } else {
                    attempt.error = Some("no answer before another address connected".to_owned());
                }
            }
        }
    }

    /// The address in use as people write it, or the target when there is none.
    pub(crate) fn peer_text(&self) -> String {
        self.peer.map_or_else(|| self.target.clone(), |peer| peer.to_string())
    }

    /// The trouble of a round that ran out of time, worded by what it waited for.
    pub(crate) fn timed_out(&mut self) -> Trouble {
        let trouble = self.out_of_time();
        if self.is_at_proxy { trouble.at_proxy() } else { trouble }
    }

    fn out_of_time(&mut self) -> Trouble {
        let limit = humane_duration(self.timeout);
        for attempt in &mut self.attempts {
            if attempt.took_us.is_none() {
                attempt.took_us = Some(whole_us(attempt.started.elapsed()));
                attempt.error = Some("no answer".to_owned());
            }
        }
        let peer = self.peer_text();
        match self.stage {
            Stage::Resolving => self.not_resolved(self.timeout),
            Stage::Connecting => {
                let target = if self.target.is_empty() { &peer } else { &self.target };
                Trouble::fail(Cause::ConnectTimeout, format!("no connection to {target} within {limit}"))
            }
            Stage::Handshake => Trouble::fail(
                Cause::Timeout,
                format!("connected to {peer}, but the TLS handshake did not end within {limit}"),
            ),
            Stage::Answer => {
                Trouble::fail(Cause::Timeout, format!("connected to {peer}, but no answer within {limit}"))
            }
            Stage::Rest => Trouble::fail(
                Cause::Timeout,
                format!(
                    "the answer of {peer} was not complete within {limit} (received {})",
                    bytes_text(self.received_bytes)
                ),
            ),
            Stage::Silent => Trouble::fail(Cause::Timeout, format!("{} did not answer within {limit}", self.target)),
            Stage::Running => {
                Trouble::fail(Cause::Timeout, format!("the program {} did not end within {limit}", self.target))
            }
            Stage::Words(words) => {
                Trouble::fail(Cause::Timeout, format!("connected to {peer}, but no {words} within {limit}"))
            }
        }
    }

    /// The trouble of a name about which nothing was said for so long. Our own
    /// if the name servers said nothing about the root either.
    pub(crate) fn not_resolved(&self, waited: Duration) -> Trouble {
        let (name, waited) = (&self.target, humane_duration(waited));
        if self.name_servers_answer {
            return Trouble::fail(Cause::Resolve, format!("the name {name} was not resolved within {waited}"));
        }
        Trouble::own(format!("no name server of ours answered within {waited}, neither for {name} nor for the root"))
    }

    /// Ends the round: applies the limits on its time and cuts the evidence to its limits.
    pub(crate) fn finish(mut self, ended: Result<(), Trouble>, limits: LatencyLimits) -> Measured {
        let took = self.latency.unwrap_or_else(|| self.started.elapsed());
        let (outcome, failure) = match ended {
            Err(trouble) => (trouble.outcome, Some(trouble.failure)),
            Ok(()) => self.judge_time(took, limits),
        };
        self.keep_addresses();
        match (outcome, &self.evidence.excerpt) {
            (Outcome::Pass, _) => self.evidence.excerpt = None,
            (_, None) if !self.kept.is_empty() => {
                let kept = std::mem::take(&mut self.kept);
                self.keep_excerpt(&kept);
            }
            (Outcome::Degraded | Outcome::Fail | Outcome::Own, _) => {}
        }
        cut_evidence(&mut self.evidence);
        let failure = failure
            .map(|failure| Failure { sentence: cut_characters(failure.sentence, FAILURE_TEXT_LENGTH_MAX), ..failure });
        Measured {
            outcome,
            latency_us: whole_us(took),
            detail: Detail { failure, phases: self.phases, evidence: self.evidence },
        }
    }

    fn judge_time(&mut self, took: Duration, limits: LatencyLimits) -> (Outcome, Option<Failure>) {
        let slow = |limit: Duration| Failure {
            cause: Cause::Slow,
            sentence: format!("took {}, the limit is {}", humane_duration(took), humane_duration(limit)),
        };
        if let Some(limit) = limits.down.filter(|limit| took >= *limit) {
            return (Outcome::Fail, Some(slow(limit)));
        }
        if let Some(failure) = self.degraded.take() {
            return (Outcome::Degraded, Some(failure));
        }
        match limits.degraded.filter(|limit| took >= *limit) {
            Some(limit) => (Outcome::Degraded, Some(slow(limit))),
            None => (Outcome::Pass, None),
        }
    }

    fn keep_addresses(&mut self) {
        let until_us = |attempt: &Attempt| attempt.took_us.unwrap_or_else(|| whole_us(attempt.started.elapsed()));
        self.evidence.addresses = self
            .attempts
            .drain(..)
            .take(ADDRESSES_MAX)
            .map(|attempt| AddressTried { address: attempt.address, took_us: until_us(&attempt), error: attempt.error })
            .collect();
    }
}

/// Makes bytes printable for people: invalid text and control characters are
/// replaced, line breaks and tabs stay, and the result is at most `limit` bytes.
pub(crate) fn printable(bytes: &[u8], limit: usize) -> String {
    let beginning = &bytes[..bytes.len().min(limit)];
    let mut out = String::with_capacity(beginning.len());
    let mut chunks = beginning.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        out.extend(chunk.valid().chars().filter(|c| *c != '\r').map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '.',
            c => c,
        }));
        // A character that the cut itself broke is no fault of the answer.
        let broken_by_cut = bytes.len() > limit && chunks.peek().is_none();
        if !chunk.invalid().is_empty() && !broken_by_cut {
            out.push('.');
        }
    }
    cut_bytes(out, limit)
}

/// A number of bytes for people.
pub(crate) fn bytes_text(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / (1024 * 1024)),
    }
}

/// Cuts a text to a number of characters.
fn cut_characters(text: String, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text,
        Some(_) => {
            let mut cut: String = text.chars().take(limit - 1).collect();
            cut.push('…');
            cut
        }
    }
}

/// Cuts a text to a number of bytes, at a character.
fn cut_bytes(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    text
}

fn cut_evidence(evidence: &mut Evidence) {
    let cut = |text: String| cut_bytes(text, EVIDENCE_TEXT_BYTES_MAX);
    for address in &mut evidence.addresses {
        address.error = address.error.take().map(cut);
    }
    evidence.status = evidence.status.take().map(cut);
    evidence.excerpt = evidence.excerpt.take().map(|text| cut_bytes(text, EXCERPT_BYTES_MAX));
    evidence.performance = evidence.performance.take().map(cut);
    evidence.redirects.truncate(REDIRECTS_KEPT);
    for url in &mut evidence.redirects {
        *url = cut(std::mem::take(url));
    }
    if let Some(certificate) = &mut evidence.certificate {
        certificate.names.truncate(CERTIFICATE_NAMES_MAX);
        for name in &mut certificate.names {
            *name = cut(std::mem::take(name));
        }
        certificate.subject = cut(std::mem::take(&mut certificate.subject));
        certificate.issuer = cut(std::mem::take(&mut certificate.issuer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finished(ended: Result<(), Trouble>, limits: LatencyLimits, change: impl FnOnce(&mut Round)) -> Measured {
        let mut round = Round::new(Duration::from_secs(10), Family::Any);
        change(&mut round);
        round.finish(ended, limits)
    }

    #[test]
    fn a_slow_round_is_degraded_or_failed_by_its_limits() {
        let zero = Some(Duration::ZERO);
        let hour = Some(Duration::from_secs(3600));
        for (degraded, down, expected) in [
            (None, None, Outcome::Pass),
            (hour, hour, Outcome::Pass),
            (zero, hour, Outcome::Degraded),
            (zero, zero, Outcome::Fail),
            (None, zero, Outcome::Fail),
        ] {
            let measured = finished(Ok(()), LatencyLimits { degraded, down }, |_| ());
            assert_eq!(measured.outcome, expected);
            assert_eq!(measured.detail.failure.is_some(), expected != Outcome::Pass);
        }
    }

    #[test]
    fn a_failure_is_not_hidden_by_slowness_and_the_first_note_counts() {
        let zero = LatencyLimits { degraded: Some(Duration::ZERO), down: Some(Duration::ZERO) };
        let failed = finished(Err(Trouble::fail(Cause::Refused, "no one listens")), zero, |_| ());
        assert_eq!(failed.detail.failure.map(|f| f.cause), Some(Cause::Refused));
        let degraded = finished(Ok(()), LatencyLimits::default(), |round| {
            round.degrade(Cause::CertificateExpiring, || "soon".to_owned());
            round.degrade(Cause::Loss, || "later".to_owned());
        });
        assert_eq!(degraded.outcome, Outcome::Degraded);
        assert_eq!(degraded.detail.failure.map(|f| f.cause), Some(Cause::CertificateExpiring));
    }

    proptest! {
        #[test]
        fn evidence_never_exceeds_its_limits(bytes in prop::collection::vec(any::<u8>(), 0..4000), limit in 1usize..2000) {
            let text = printable(&bytes, limit);
            prop_assert!(text.len() <= limit);
            prop_assert!(text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        }

        #[test]
        fn a_sentence_is_cut_to_its_limit(sentence in "\\PC{0,600}") {
            let measured = finished(Err(Trouble::own(sentence.clone())), LatencyLimits::default(), |_| ());
            let shown = measured.detail.failure.expect("it failed").sentence;
            prop_assert!(shown.chars().count() <= FAILURE_TEXT_LENGTH_MAX);
            prop_assert!(sentence.chars().count() > FAILURE_TEXT_LENGTH_MAX || shown == sentence);
        }
    }
}
