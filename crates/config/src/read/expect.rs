//! Expectations that several kinds share: texts, times, certificates, trust.

use super::Reader;
use super::section::{At, Section};
use crate::mistake::{Code, Draft, quoted};
use model::check::{LatencyLimits, TextTest, Trust};
use std::time::Duration;

/// A key and what is made of its text.
pub(super) type Maker<T> = (&'static str, fn(String) -> T);

impl Reader {
    /// The limits on time.
    pub(super) fn latency(&mut self, expect: &Section<'_, '_>, timeout: Duration) -> LatencyLimits {
        let mut limits = LatencyLimits::default();
        let Some(latency) = expect.at("latency").and_then(|at| self.part(at)) else { return limits };
        limits.degraded = latency.at("degraded").and_then(|at| self.duration(at));
        limits.down = latency.at("down").and_then(|at| self.duration(at));
        let text = model::time::format_duration;
        if let (Some(degraded), Some(down), Some(at)) = (limits.degraded, limits.down, latency.at("down"))
            && down <= degraded
        {
            let message = format!("\"down\" ({}) is not more than \"degraded\" ({})", text(down), text(degraded));
            let draft = Draft::new(Code::Conflict, message).help("a round is slow first and fails later");
            self.notes.add(at.node.place, at.path, draft);
        }
        for name in ["degraded", "down"] {
            let limit = if name == "down" { limits.down } else { limits.degraded };
            if let (Some(limit), Some(at)) = (limit, latency.at(name))
                && limit >= timeout
            {
                let message =
                    format!("{} ({}) is never reached, the timeout is {}", quoted(name), text(limit), text(timeout));
                let draft = Draft::new(Code::Doubtful, message).help("use a longer `timeout` or a lower limit");
                self.notes.warn(at.node.place, at.path, draft);
            }
        }
        limits
    }

    /// Whom a check trusts: the keys of `options`, and the certificate's days under `expect`.
    pub(super) fn trust(&mut self, options: Option<&Section<'_, '_>>, expect: Option<&Section<'_, '_>>) -> Trust {
        let mut trust = Trust::default();
        if let Some(options) = options {
            if let Some(verify) = options.at("verify").and_then(|at| self.boolean(at)) {
                trust.verify = verify;
            }
            trust.ca_file = options.at("ca_file").and_then(|at| self.text(at));
            trust.server_name = options.at("server_name").and_then(|at| self.text(at));
            if let Some(pair) = options.at("client_certificate").and_then(|at| self.part(at)) {
                let certificate = pair.at("certificate").and_then(|at| self.text(at));
                let key = pair.at("key").and_then(|at| self.text(at));
                trust.client_certificate = certificate.zip(key).map(Box::new);
            }
        }
        if let Some(certificate) = expect.and_then(|expect| expect.at("certificate")).and_then(|at| self.part(at))
            && let Some(days) = certificate.at("days_left").and_then(|at| self.integer(at))
        {
            trust.days_left = days;
        }
        trust
    }

    /// TLS as an option: `true`, `false` or its options.
    pub(super) fn tls_option(&mut self, section: &Section<'_, '_>, expect: Option<&Section<'_, '_>>) -> Option<Trust> {
        let at = section.at("tls");
        let trust = match at {
            Some(at) if at.is_map() => self.part(at).map(|options| self.trust(Some(&options), expect)),
            Some(at) => match self.boolean(at.chosen()) {
                Some(true) => Some(self.trust(None, expect)),
                Some(false) | None => None,
            },
            None => None,
        };
        if let (None, Some(certificate)) = (at, expect.and_then(|expect| expect.at("certificate")))
            && !(section.knows("dialogue") && section.has("dialogue"))
        {
            let draft = Draft::new(Code::Conflict, "a certificate is expected, but the check does not use TLS")
                .help("add `tls: true` to the check");
            self.notes.add(certificate.node.place, certificate.path, draft);
        }
        trust
    }

    /// The tests of a text; a text alone stands for `contains`.
    pub(super) fn text_tests(&mut self, at: At<'_, '_>) -> Vec<TextTest> {
        let at = at.chosen();
        if !at.is_map() {
            return self.text(at).map(TextTest::Contains).into_iter().collect();
        }
        let Some(section) = self.part(at) else { return Vec::new() };
        let tests = self.tests_of(&section);
        if section.is_empty() {
            self.wrong(at, Code::MissingKey, format!("{} holds no test", quoted(at.path.name())));
        }
        tests
    }

    /// The tests that stand as keys in a map.
    pub(super) fn tests_of(&mut self, section: &Section<'_, '_>) -> Vec<TextTest> {
        let make: [Maker<TextTest>; 4] = [
            ("contains", TextTest::Contains),
            ("lacks", TextTest::Lacks),
            ("matches", TextTest::Matches),
            ("matches_not", TextTest::MatchesNot),
        ];
        make.into_iter().filter_map(|(name, make)| section.at(name).and_then(|at| self.text(at)).map(make)).collect()
    }

    /// The test of a text where only one is possible.
    pub(super) fn text_test(&mut self, at: At<'_, '_>) -> Option<TextTest> {
        let mut tests = self.text_tests(at);
        if tests.len() > 1 {
            let message = format!("{} holds {} tests, one is possible here", quoted(at.path.name()), tests.len());
            let draft =
                Draft::new(Code::Conflict, message).help("use one regular expression under `matches`, or two checks");
            self.notes.add(at.node.place, at.path, draft);
        }
        tests.pop()
    }
}
