//! What an answer must look like, compiled once.

use super::head;
use super::json::JsonExpectation;
use crate::PrepareError;
use crate::round::Trouble;
use crate::text::{Test, quoted};
use model::check::HttpExpect;
use model::limits::BODY_BYTES_MAX;
use model::observation::Cause;

/// The expectations of a check.
pub(super) struct Expectations {
    status: Box<[(u16, u16)]>,
    headers: Box<[(Box<str>, Test)]>,
    body: Box<[Test]>,
    json: Box<[JsonExpectation]>,
}

impl Expectations {
    /// Compiles the expectations.
    ///
    /// # Errors
    /// [`PrepareError`] for an expression, path or value that cannot be used.
    pub(super) fn compile(expect: &HttpExpect) -> Result<Self, PrepareError> {
        let header = |test: &model::check::HeaderTest| Ok((test.name.as_str().into(), Test::compile(&test.test)?));
        Ok(Self {
            status: expect.status.as_slice().into(),
            headers: expect.headers.iter().map(header).collect::<Result<_, _>>()?,
            body: Test::compile_all(&expect.body)?,
            json: expect.json.iter().map(JsonExpectation::compile).collect::<Result<_, _>>()?,
        })
    }

    /// Whether the body is looked at, and therefore kept.
    pub(super) fn need_body(&self) -> bool {
        !self.body.is_empty() || !self.json.is_empty()
    }

    /// Judges a head. `bytes` is the head as it came.
    pub(super) fn judge_head(&self, status: u16, bytes: &[u8]) -> Result<(), Trouble> {
        if !self.status.iter().any(|(from, to)| (*from..=*to).contains(&status)) {
            let line = String::from_utf8_lossy(head::status_line(bytes)).into_owned();
            let got = line.split_once(' ').map_or(line.as_str(), |(_, rest)| rest.trim());
            let sentence = format!("expected status {}, got {got}", ranges_text(&self.status));
            return Err(Trouble::fail(Cause::Status, sentence));
        }
        for (name, test) in &self.headers {
            let complaint = match head::header(bytes, name) {
                Some(value) => {
                    test.complaint(&value).map(|wrong| format!("the header {name} is {} and {wrong}", quoted(&value)))
                }
                None => test.needs_text().then(|| format!("the header {name} is missing")),
            };
            if let Some(complaint) = complaint {
                return Err(Trouble::fail(Cause::Header, complaint));
            }
        }
        Ok(())
    }

    /// Judges a body. `is_cut` tells that there was more of it.
    pub(super) fn judge_body(&self, body: &[u8], is_cut: bool) -> Result<(), Trouble> {
        let text = String::from_utf8_lossy(body);
        let too_large = || {
            let limit = BODY_BYTES_MAX / (1 << 20);
            Trouble::fail(Cause::TooLarge, format!("the body is larger than the {limit} MiB that are tested"))
        };
        for test in &self.body {
            match test.complaint(&text) {
                // What is missing may come later, what is there does not go away.
                Some(_) if is_cut && test.needs_text() => return Err(too_large()),
                Some(complaint) => return Err(Trouble::fail(Cause::Body, format!("the body {complaint}"))),
                None if is_cut && !test.needs_text() => return Err(too_large()),
                None => {}
            }
        }
        match self.json.is_empty() {
            true => Ok(()),
            false if is_cut => Err(too_large()),
            false => JsonExpectation::judge(&self.json, &text),
        }
    }
}

/// Ranges of status codes for people.
fn ranges_text(ranges: &[(u16, u16)]) -> String {
    let range = |(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::check::{HeaderTest, TextTest};

    fn sentence(judged: Result<(), Trouble>) -> Option<String> {
        judged.err().map(|trouble| trouble.failure.sentence)
    }

    #[test]
    fn a_status_outside_is_told_with_its_reason() {
        let expect = HttpExpect { status: vec![(200, 204), (301, 301)], ..HttpExpect::default() };
        let expect = Expectations::compile(&expect).expect("it compiles");
        assert_eq!(sentence(expect.judge_head(301, b"HTTP/1.1 301 Moved\r\n\r\n")), None);
        assert_eq!(
            sentence(expect.judge_head(503, b"HTTP/1.1 503 Service Unavailable\r\n\r\n")).as_deref(),
            Some("expected status 200-204, 301, got 503 Service Unavailable")
        );
        assert_eq!(
            sentence(expect.judge_head(205, b"HTTP/1.0 205\r\n\r\n")).as_deref(),
            Some("expected status 200-204, 301, got 205")
        );
    }

    #[test]
    fn a_header_is_tested_whatever_its_case() {
        let test = |test| HttpExpect {
            headers: vec![HeaderTest { name: "Content-Type".into(), test }],
            ..HttpExpect::default()
        };
        let judge = |expect: HttpExpect, head: &str| {
            sentence(Expectations::compile(&expect).expect("it compiles").judge_head(200, head.as_bytes()))
        };
        let html = "HTTP/1.1 200 OK\r\ncontent-TYPE: text/html\r\n\r\n";
        let bare = "HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(judge(test(TextTest::Contains("html".into())), html), None);
        assert_eq!(
            judge(test(TextTest::Contains("json".into())), html).as_deref(),
            Some("the header Content-Type is \"text/html\" and does not contain \"json\"")
        );
        assert_eq!(
            judge(test(TextTest::Matches("x".into())), bare).as_deref(),
            Some("the header Content-Type is missing")
        );
        assert_eq!(judge(test(TextTest::Lacks("x".into())), bare), None);
    }

    #[test]
    fn a_body_that_was_cut_proves_only_what_is_in_it() {
        let judge = |test: TextTest, is_cut| {
            let expect = HttpExpect { body: vec![test], ..HttpExpect::default() };
            let expect = Expectations::compile(&expect).expect("it compiles");
            expect.judge_body(b"all good", is_cut).err().map(|trouble| trouble.failure.cause)
        };
        assert_eq!(judge(TextTest::Contains("good".into()), true), None);
        assert_eq!(judge(TextTest::Contains("bad".into()), true), Some(Cause::TooLarge));
        assert_eq!(judge(TextTest::Contains("bad".into()), false), Some(Cause::Body));
        assert_eq!(judge(TextTest::Lacks("good".into()), true), Some(Cause::Body));
        assert_eq!(judge(TextTest::Lacks("bad".into()), true), Some(Cause::TooLarge));
        assert_eq!(judge(TextTest::Lacks("bad".into()), false), None);
    }
}
