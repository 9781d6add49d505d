//! Answers that are wrong, one case each: silent, broken, unexpected, too large.

use crate::course::{PASS, assert_ended, fail, get, http, prober, round};
use crate::servers::{Script, Server, ok, say};
use flate2::Compression;
use flate2::write::GzEncoder;
use model::check::{HeaderTest, HttpCheck, JsonCondition, JsonTest, TextTest};
use model::limits::EXCERPT_BYTES_MAX;
use model::observation::{Cause, Outcome};
use std::io::Write;
use std::time::Duration;

#[tokio::test]
async fn a_server_that_falls_silent_is_told_by_how_far_it_came() {
    run(silent_cases()).await;
}

#[tokio::test]
async fn an_answer_that_breaks_the_protocol_is_told_by_what_is_broken() {
    run(broken_cases()).await;
}

#[tokio::test]
async fn an_answer_that_is_not_as_expected_is_shown() {
    run(expectation_cases()).await;
}

#[tokio::test]
async fn no_answer_takes_more_than_its_limit() {
    run(large_cases()).await;
}

const SHORT: Duration = Duration::from_millis(300);

struct Case {
    name: &'static str,
    script: Script,
    check: fn(&mut HttpCheck),
    timeout: Duration,
    expected: (Outcome, Option<Cause>, &'static str),
    /// Must be in the excerpt; empty for "no excerpt is needed".
    excerpt: &'static str,
}

fn case(name: &'static str, script: Script, expected: (Outcome, Option<Cause>, &'static str)) -> Case {
    Case { name, script, check: |_| (), timeout: Duration::from_secs(5), expected, excerpt: "" }
}

fn silent_cases() -> Vec<Case> {
    vec![
        Case {
            timeout: SHORT,
            ..case(
                "accepts and never answers",
                Script::Hold(Vec::new()),
                fail(Cause::Timeout, "connected to ADDRESS, but no answer within 300 ms"),
            )
        },
        Case {
            timeout: SHORT,
            excerpt: "slow",
            ..case(
                "one byte at a time",
                Script::Drip(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nslow".to_vec(),
                    vec![b'x'; 900],
                    Duration::from_millis(50),
                ),
                fail(Cause::Timeout, "the answer of ADDRESS was not complete within 300 ms (received * bytes)"),
            )
        },
        case(
            "half-close instead of an answer",
            Script::HalfClose(Vec::new()),
            fail(Cause::ClosedEarly, "ADDRESS closed the connection without an answer"),
        ),
        case("closes at once", Script::Slam, (Outcome::Fail, None, "ADDRESS *")),
        Case {
            excerpt: "HTTP/1.1 200 OK",
            ..case(
                "closes in the head",
                say("HTTP/1.1 200 OK\nContent-"),
                fail(Cause::ClosedEarly, "ADDRESS closed the connection in the middle of the head, after 25 bytes"),
            )
        },
        Case {
            excerpt: "hello",
            ..case(
                "closes in the body",
                say("HTTP/1.1 200 OK\nContent-Length: 100\n\nhello"),
                fail(Cause::ClosedEarly, "ADDRESS closed the connection after 5 of 100 bytes of the body"),
            )
        },
        Case {
            excerpt: "hello",
            ..case(
                "resets in the body",
                Script::Reset(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello".to_vec()),
                fail(
                    Cause::Reset,
                    "ADDRESS reset the connection while sending the body, after 5 of 100 bytes of the body",
                ),
            )
        },
        case(
            "a body until the close, half-closed",
            Script::HalfClose(b"HTTP/1.0 200 OK\r\n\r\nall of it".to_vec()),
            PASS,
        ),
    ]
}

fn broken_cases() -> Vec<Case> {
    vec![
        Case {
            excerpt: "SSH-2.0-OpenSSH_9.2",
            ..case(
                "another protocol",
                say("SSH-2.0-OpenSSH_9.2p1 Debian\n"),
                fail(Cause::Protocol, "the answer is not HTTP/1: it begins with \"SSH-2.0-OpenSSH_9.2p1 Debian \""),
            )
        },
        case(
            "bytes that are no text",
            Script::Say(vec![0x15, 3, 1, 0, 2, 2, 0xff]),
            fail(Cause::Protocol, "the answer is not HTTP/1: it begins with \"*\""),
        ),
        case(
            "a broken header",
            say("HTTP/1.1 200 OK\nno colon here\n\n"),
            fail(Cause::Protocol, "the head of the answer is broken: invalid header name"),
        ),
        case(
            "two lengths",
            say("HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\nab"),
            fail(Cause::Protocol, "the head of the answer has different Content-Lengths"),
        ),
        case(
            "a length that is none",
            say("HTTP/1.1 200 OK\nContent-Length: many\n\nab"),
            fail(Cause::Protocol, "the head of the answer has an unusable Content-Length (many)"),
        ),
        Case {
            excerpt: "hello",
            ..case(
                "a bad chunk",
                say("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\nzz\n"),
                fail(Cause::Protocol, "the body is not chunked as it claims, after 5 bytes"),
            )
        },
        case(
            "a chunked body without its end",
            say("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n"),
            fail(Cause::ClosedEarly, "ADDRESS closed the connection after 5 bytes of the body"),
        ),
        case(
            "interim answers without end",
            Script::Flood(Vec::new(), b"HTTP/1.1 102 Processing\r\n\r\n".to_vec()),
            fail(Cause::Protocol, "more than 20 interim answers (1xx) and no real one"),
        ),
        case(
            "two interim answers and a real one",
            say(
                "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 200 OK\nContent-Length: 0\n\n",
            ),
            PASS,
        ),
        case("HTTP/1.0", say("HTTP/1.0 200 OK\n\nhello"), PASS),
        case(
            "line ends without carriage return",
            Script::Say(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok".to_vec()),
            PASS,
        ),
        Case {
            check: |check| check.method = "HEAD".into(),
            ..case("HEAD that promises a body", say("HTTP/1.1 200 OK\nContent-Length: 100\n\n"), PASS)
        },
        Case {
            check: |check| check.method = "HEAD".into(),
            ..case("HEAD that sends a body", say("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"), PASS)
        },
        Case {
            check: |check| check.method = "HEAD".into(),
            timeout: SHORT,
            ..case(
                "HEAD with chunks that never come",
                Script::Hold(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
                PASS,
            )
        },
    ]
}

fn expectation_cases() -> Vec<Case> {
    vec![
        Case {
            check: |check| check.expect.body.push(TextTest::Lacks("Fatal error".into())),
            excerpt: "Fatal error: no database",
            ..case(
                "200 with an error page",
                Script::Say(ok("<html>Fatal error: no database</html>")),
                fail(Cause::Body, "the body contains \"Fatal error\", which it must not"),
            )
        },
        Case {
            excerpt: "try again",
            ..case(
                "an error with its page",
                say("HTTP/1.1 503 Service Unavailable\nContent-Length: 9\n\ntry again"),
                fail(Cause::Status, "expected status 200-299, got 503 Service Unavailable"),
            )
        },
        Case {
            timeout: Duration::from_secs(3),
            ..case(
                "an error whose page never comes",
                Script::Hold(b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\n".to_vec()),
                fail(Cause::Status, "expected status 200-299, got 500 Oops"),
            )
        },
        Case {
            check: |check| {
                check
                    .expect
                    .headers
                    .push(HeaderTest { name: "X-Cache".into(), test: TextTest::Contains("HIT".into()) });
            },
            ..case("a missing header", Script::Say(ok("")), fail(Cause::Header, "the header X-Cache is missing"))
        },
        Case {
            check: |check| {
                check.expect.json.push(JsonTest { path: "$.ok".into(), test: JsonCondition::Equals("true".into()) });
            },
            excerpt: "\"ok\": false",
            ..case(
                "JSON that says no",
                Script::Say(ok("{\"ok\": false}")),
                fail(Cause::Body, "$.ok is false, expected true"),
            )
        },
        Case {
            check: |check| {
                check.expect.json.push(JsonTest { path: "$.ok".into(), test: JsonCondition::Equals("true".into()) });
            },
            ..case(
                "HTML where JSON is expected",
                Script::Say(ok("<html>")),
                fail(Cause::Body, "the body is not JSON: expected value at line 1 column 1"),
            )
        },
        Case {
            check: |check| check.expect.body.push(TextTest::Contains("x".into())),
            ..case(
                "an encoding nobody asked for",
                say("HTTP/1.1 200 OK\nContent-Encoding: br\nContent-Length: 1\n\nx"),
                fail(Cause::Protocol, "the body is encoded as br, though no encoding was accepted"),
            )
        },
    ]
}

fn large_cases() -> Vec<Case> {
    let endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    vec![
        Case { ..case("a huge body that nobody looks at", Script::Flood(endless.clone(), vec![b'x'; 65536]), PASS) },
        Case {
            check: |check| check.expect.body.push(TextTest::Contains("end".into())),
            excerpt: "xxxx",
            ..case(
                "a huge body without what is looked for",
                Script::Flood(endless, vec![b'x'; 65536]),
                fail(Cause::TooLarge, "the body is larger than the 1 MiB that are tested"),
            )
        },
        Case {
            check: |check| check.expect.body.push(TextTest::Contains("x".into())),
            ..case(
                "an endless body in small chunks with what is looked for",
                Script::Flood(chunked, b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n".repeat(1000)),
                PASS,
            )
        },
        case(
            "endless headers",
            Script::Flood(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Filler: abcdefghijklmnopqrstuvwxyz\r\n".repeat(100)),
            fail(Cause::TooLarge, "the head of the answer is larger than 64 KiB"),
        ),
        case(
            "too many headers",
            Script::Say(format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101)).into_bytes()),
            fail(Cause::TooLarge, "the answer has more than 100 headers"),
        ),
        Case {
            check: |check| check.expect.body.push(TextTest::Contains("needle".into())),
            ..case(
                "a gzip bomb",
                Script::Say(packed_answer(256 << 20)),
                fail(Cause::TooLarge, "the body is larger than the 1 MiB that are tested"),
            )
        },
        case("a gzip bomb that nobody looks at", Script::Say(packed_answer(256 << 20)), PASS),
        Case {
            check: |check| check.expect.body.push(TextTest::Matches("^0+$".into())),
            ..case("a packed page", Script::Say(packed_answer(1000)), PASS)
        },
    ]
}

/// An answer whose body is so many zeros, packed.
fn packed_answer(zeros: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let block = vec![b'0'; zeros.min(1 << 20)];
    for _ in 0..zeros / block.len() {
        encoder.write_all(&block).expect("memory");
    }
    let packed = encoder.finish().expect("memory");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len());
    [head.as_bytes(), &packed].concat()
}

async fn run(cases: Vec<Case>) {
    let prober = prober();
    for case in cases {
        let server = Server::start(case.script).await;
        let mut request = get(server.url());
        (case.check)(&mut request);
        let mut check = http(request);
        check.timeout = case.timeout;
        let measured = round(&prober, &check).await;
        let mut expected = case.expected;
        if case.name == "closes at once" {
            // Whether the close or the reset it turns into comes first is the kernel's choice.
            expected.1 = measured.detail.failure.as_ref().map(|failure| failure.cause);
            assert!(matches!(expected.1, Some(Cause::Reset | Cause::ClosedEarly)), "{expected:?}");
        }
        assert_ended(case.name, &measured, server.address, expected);
        let excerpt = measured.detail.evidence.excerpt.clone().unwrap_or_default();
        assert!(excerpt.contains(case.excerpt), "{}: {excerpt:?}", case.name);
        assert!(excerpt.len() <= EXCERPT_BYTES_MAX, "{}", case.name);
        assert_eq!(measured.detail.evidence.addresses.len(), 1, "{}", case.name);
        assert!(measured.detail.phases.connect_us.is_some(), "{}", case.name);
        // What is read is at most some MiB; the rest of what a flood got rid of is in socket buffers.
        assert!(server.sent() < 16 << 20, "{}: sent {}", case.name, server.sent());
    }
}
