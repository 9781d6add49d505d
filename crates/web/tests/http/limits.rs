//! What strangers may not do to us.

use crate::client::{PATIENCE, Reply, read_all, serve, serve_with, timeless};
use crate::made_up::{Fake, TOKEN, demo, many_world};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use web::Options;

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_not_waited_for() {
    let options = Options { head_timeout: Duration::from_millis(300), ..timeless() };
    let served = serve_with(options, Some(demo()), Fake::default()).await;
    let mut stream = served.connect().await;
    let begun = Instant::now();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let slowly = async {
        // One byte at a time, each well before any single wait would end.
        for byte in b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ".iter().chain(std::iter::repeat(&b'x')) {
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = reader.read_to_end(&mut answer) => {}
        () = slowly => {}
    }
    assert!(begun.elapsed() < PATIENCE / 2, "it took {:?}", begun.elapsed());
    assert_eq!(served.get("/").await.status, 200, "others are served");
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_asked_is_closed() {
    let options = Options { head_timeout: Duration::from_millis(200), ..timeless() };
    let served = serve_with(options, Some(demo()), Fake::default()).await;
    let mut stream = served.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it is taken");
    let all = read_all(&mut stream).await;
    assert_eq!(Reply::parse(&all).status, 200, "the first was answered, then it rested too long");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_not_waited_for() {
    let options = Options { request_timeout: Duration::from_millis(300), ..timeless() };
    let served = serve_with(options, Some(demo()), Fake::default()).await;
    let head = format!("POST /ping/{TOKEN}/fail HTTP/1.0\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nonly this");
    assert_eq!(served.raw(&head).await.status, 504);
}

#[tokio::test]
async fn a_huge_body_is_not_read_to_its_end() {
    let served = serve(demo()).await;
    let mut stream = served.connect().await;
    let head = format!("POST /ping/{TOKEN} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    let piece = vec![b'x'; 64 << 10];
    let mut sent = 0;
    let sending = async {
        while stream.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
    };
    timeout(PATIENCE, sending).await.expect("the connection is closed, not read for ever");
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    assert_eq!(served.fake.heartbeats.lock().expect("not poisoned").len(), 1, "the sign of life counts");
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let served = serve(demo()).await;
    let large = format!("GET / HTTP/1.0\r\nx-large: {}\r\n\r\n", "x".repeat(60_000));
    let many = format!("GET / HTTP/1.0\r\n{}\r\n", "x-one: 1\r\n".repeat(500));
    for head in [large, many] {
        let mut stream = served.connect().await;
        let _ = stream.write_all(head.as_bytes()).await;
        // Closing with a part unread may destroy the answer on its way.
        let answer = read_all(&mut stream).await;
        assert!(answer.is_empty() || Reply::parse(&answer).status == 431);
    }
}

#[tokio::test]
async fn nonsense_is_refused_and_harms_nobody() {
    let served = serve(demo()).await;
    for nonsense in [
        "\r\n\r\n\0\0\0\0",
        "GET\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : x\r\n\r\n",
    ] {
        let mut stream = served.connect().await;
        let _ = stream.write_all(nonsense.as_bytes()).await;
        let _ = stream.shutdown().await;
        let answer = read_all(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400") || answer.starts_with(b"HTTP/1.1 505"),
            "{nonsense:?}"
        );
    }
    for path in ["/%00", "/%ff%fe", "//", "/incidents/%2e%2e", "/ping/%00%00"] {
        let status = served.get(path).await.status;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    assert_eq!(served.get("/").await.status, 200);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off() {
    let options = Options { stall_timeout: Duration::from_millis(300), ..timeless() };
    let served = serve_with(options, Some(many_world(20_000).state), Fake::default()).await;
    let mut stream = served.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n").await.expect("it is taken");
    // Not a byte is read until the server has given up; a scrape holds one of
    // four places, so the fifth says when the first four are free again.
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut other = served.connect().await;
        other.write_all(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n").await.expect("it is taken");
        others.push(other);
    }
    let freed = async {
        while served.ask("HEAD", "/metrics", "", "").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, freed).await.expect("stalled readers give their places back");
    let got = read_all(&mut stream).await;
    assert!(!got.ends_with(b"\n") || got.len() < 20_000_000, "it did not get all");
}

#[tokio::test]
async fn no_more_connections_are_served_at_a_time_than_may_be() {
    let options = Options { connections_max: 2, ..timeless() };
    let served = serve_with(options, Some(demo()), Fake::default()).await;
    let (one, two) = (served.connect().await, served.connect().await);
    let mut third = served.connect().await;
    third.write_all(b"GET /healthz HTTP/1.0\r\nhost: localhost\r\n\r\n").await.expect("the kernel takes it");
    let mut byte = [0];
    assert!(timeout(Duration::from_millis(300), third.read(&mut byte)).await.is_err(), "it waits for its turn");
    drop((one, two));
    assert_eq!(Reply::parse(&read_all(&mut third).await).status, 200);
}
