//! Connections, redirects, credentials, proxies and limits of HTTP checks.

use crate::course::{PASS, assert_ended, fail, get, http, prober, round};
use crate::servers::{Script, Server, nobody, ok, say};
use model::check::{HttpCheck, LatencyLimits, TextTest};
use model::observation::{Cause, Outcome};
use model::secret::Secret;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn no_one_listening_is_a_refusal() {
    let address = nobody().await;
    let measured = round(&prober(), &http(get(format!("http://{address}/")))).await;
    let sentence = "no one listens on ADDRESS (connection refused)";
    assert_ended("refused", &measured, address, fail(Cause::Refused, sentence));
    let tried = &measured.detail.evidence.addresses[0];
    assert_eq!((tried.address, tried.error.as_deref()), (address.ip(), Some("connection refused")));
}

#[tokio::test]
async fn what_this_machine_cannot_reach_is_our_own_error() {
    // A broadcast address: the kernel refuses it itself, on every machine.
    let measured = round(&prober(), &http(get("http://255.255.255.255:80/"))).await;
    let failure = measured.detail.failure.expect("it did not pass");
    assert_eq!((measured.outcome, failure.cause), (Outcome::Own, Cause::Own));
    assert_eq!(failure.sentence, "cannot connect to 255.255.255.255:80 from here: network unreachable");
}

#[tokio::test]
async fn redirects_end_at_their_limit() {
    let prober = prober();
    let circle = Server::start(say("HTTP/1.1 302 Found\nLocation: /\nContent-Length: 0\n\n")).await;
    let measured = round(&prober, &http(get(circle.url()))).await;
    let sentence = "redirects go round in a circle through http://ADDRESS/ (10 followed)";
    assert_ended("circle", &measured, circle.address, fail(Cause::Redirect, sentence));
    assert_eq!(measured.detail.evidence.redirects.len(), 10);

    let endless = Server::start(Script::RedirectOn).await;
    let measured = round(&prober, &http(HttpCheck { redirects: 3, ..get(endless.url()) })).await;
    let sentence = "more than 3 redirects; the last one leads to http://ADDRESS/aaaa";
    assert_ended("endless", &measured, endless.address, fail(Cause::Redirect, sentence));

    let judged = HttpCheck { redirects: 0, ..get(endless.url()) };
    let measured = round(&prober, &http(judged)).await;
    let sentence = "expected status 200-299, got 302 Found";
    assert_ended("not followed", &measured, endless.address, fail(Cause::Status, sentence));
}

#[tokio::test]
async fn a_redirect_that_cannot_be_followed_says_where_to() {
    for (location, sentence) in [
        ("ftp://a.example/", "http://ADDRESS/ redirects to \"ftp://a.example/\", which is neither http nor https"),
        ("http://", "http://ADDRESS/ redirects to \"http://\", which is not a URL"),
        (
            "javascript:alert(1)",
            "http://ADDRESS/ redirects to \"javascript:alert(1)\", which is neither http nor https",
        ),
    ] {
        let server = Server::start(say(&format!("HTTP/1.1 301 Moved\nLocation: {location}\n\n"))).await;
        let measured = round(&prober(), &http(get(server.url()))).await;
        assert_ended(location, &measured, server.address, fail(Cause::Redirect, sentence));
    }
}

#[tokio::test]
async fn credentials_stay_with_their_host_and_a_post_becomes_a_get() {
    let echo = Server::start(Script::Echo).await;
    let away = format!("HTTP/1.1 302 Found\nLocation: {}elsewhere\n\n", echo.url());
    let server = Server::start(say(&away)).await;
    let mut request = HttpCheck {
        method: "POST".into(),
        body: Some("secret body".into()),
        bearer: Some(Box::new(Secret::Inline("hunter2".into()))),
        headers: vec![("Cookie".into(), "a=b".into()), ("X-Own".into(), "kept".into())],
        ..get(server.url())
    };
    for leaked in ["hunter2", "Cookie", "secret body", "POST"] {
        request.expect.body.push(TextTest::Lacks(leaked.into()));
    }
    request.expect.body.push(TextTest::Contains("GET /elsewhere HTTP/1.1\r\nHost: 127.0.0.1".into()));
    request.expect.body.push(TextTest::Contains("X-Own: kept".into()));
    let measured = round(&prober(), &http(request)).await;
    assert_ended("credentials", &measured, server.address, PASS);
    assert_eq!(measured.detail.evidence.redirects, [format!("{}elsewhere", echo.url())]);
}

#[tokio::test]
async fn the_request_is_as_the_check_says() {
    let echo = Server::start(Script::Echo).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "from-file\nsecond line\n").expect("it is written");
    let mut request = HttpCheck {
        method: "PUT".into(),
        body: Some("{\"a\": 1}".into()),
        basic_auth: Some(Box::new(("me".into(), Secret::File(file.path().to_string_lossy().into_owned())))),
        headers: vec![("User-Agent".into(), "mine/1".into())],
        ..get(format!("{}path?q=1#fragment", echo.url()))
    };
    request.expect.body = [
        format!("PUT /path?q=1 HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n", echo.address),
        "Content-Length: 8\r\nAuthorization: Basic bWU6ZnJvbS1maWxl\r\nUser-Agent: mine/1\r\n\r\n".to_owned(),
    ]
    .into_iter()
    .map(TextTest::Contains)
    .collect();
    let measured = round(&prober(), &http(request.clone())).await;
    assert_ended("request", &measured, echo.address, PASS);

    request.basic_auth = Some(Box::new(("me".into(), Secret::File("/nowhere/secret".into()))));
    let measured = round(&prober(), &http(request)).await;
    let sentence = "cannot use the secret in /nowhere/secret*";
    assert_ended("no file", &measured, echo.address, (Outcome::Own, Some(Cause::Own), sentence));
}

#[tokio::test]
async fn a_proxy_gets_the_whole_url_and_its_failures_are_our_own() {
    let echo = Server::start(Script::Echo).await;
    let through = |proxy: String| HttpCheck { proxy: Some(proxy), ..get("http://target.invalid:81/x") };
    let mut request = through(format!("http://me:pass@{}", echo.address));
    request.expect.body = [
        "GET http://target.invalid:81/x HTTP/1.1\r\nHost: target.invalid:81\r\n",
        "Proxy-Authorization: Basic bWU6cGFzcw==\r\n",
    ]
    .map(|text| TextTest::Contains(text.into()))
    .into();
    assert_ended("proxy", &round(&prober(), &http(request)).await, echo.address, PASS);

    let gone = nobody().await;
    let measured = round(&prober(), &http(through(format!("http://{gone}")))).await;
    let sentence = "the proxy cannot be used: no one listens on ADDRESS (connection refused)";
    assert_ended("gone", &measured, gone, (Outcome::Own, Some(Cause::Own), sentence));

    for (answer, expected) in [
        (
            "HTTP/1.1 502 Bad Gateway\n\n",
            fail(Cause::Unreachable, "the proxy cannot reach the server (HTTP/1.1 502 Bad Gateway)"),
        ),
        (
            "HTTP/1.1 403 Forbidden\n\n",
            (Outcome::Own, Some(Cause::Own), "the proxy refuses to open a tunnel (HTTP/1.1 403 Forbidden)"),
        ),
    ] {
        let proxy = Server::start(say(answer)).await;
        let request = HttpCheck { proxy: Some(format!("http://{}", proxy.address)), ..get("https://target.invalid/") };
        assert_ended(answer, &round(&prober(), &http(request)).await, proxy.address, expected);
    }
}

#[tokio::test]
async fn a_slow_answer_is_degraded_or_failed_by_its_limits() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n".to_vec();
    let server = Server::start(Script::Drip(head, b"x".to_vec(), Duration::from_millis(120))).await;
    let limit = |ms| Some(Duration::from_millis(ms));
    for (degraded, down, expected) in [
        (limit(5000), None, PASS),
        (limit(100), limit(5000), (Outcome::Degraded, Some(Cause::Slow), "took *, the limit is 100 ms")),
        (limit(50), limit(100), fail(Cause::Slow, "took *, the limit is 100 ms")),
    ] {
        let mut check = http(get(server.url()));
        check.latency = LatencyLimits { degraded, down };
        let measured = round(&prober(), &check).await;
        assert_ended("slow", &measured, server.address, expected);
        assert!(measured.detail.phases.transfer_us >= Some(100_000), "{:?}", measured.detail.phases);
    }
}

#[tokio::test]
async fn many_rounds_at_once_do_not_wait_for_each_other() {
    let server = Server::start(Script::Hold(Vec::new())).await;
    let prober = prober();
    let mut check = http(get(server.url()));
    check.timeout = Duration::from_millis(500);
    let prepared = prober.prepare(&check).expect("it can be prepared");
    let started = Instant::now();
    let rounds = futures_util::future::join_all((0..200).map(|_| prober.probe(&prepared))).await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(rounds.iter().all(|measured| measured.outcome == Outcome::Fail));
}

#[tokio::test]
async fn a_check_that_closes_by_reset_leaves_nothing_behind() {
    for close_by_reset in [false, true] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("somebody comes");
            let mut request = [0; 1024];
            let length = stream.read(&mut request).await.expect("a request");
            assert!(length > 0, "a request");
            stream.write_all(&ok("hello")).await.expect("the client waits");
            stream.read(&mut request).await.map_err(|error| error.kind())
        });
        let request = HttpCheck { close_by_reset, ..get(format!("http://{address}/")) };
        assert_ended("close", &round(&prober(), &http(request)).await, address, PASS);
        let end = if close_by_reset { Err(std::io::ErrorKind::ConnectionReset) } else { Ok(0) };
        assert_eq!(server.await.expect("the server ends"), end);
    }
}
