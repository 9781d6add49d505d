//! What Prometheus scrapes.

use crate::client::serve;
use crate::made_up::{demo, many_world};
use flate2::read::GzDecoder;
use std::collections::BTreeSet;
use std::io::Read as _;

#[tokio::test]
async fn metrics_are_complete_and_well_formed() {
    let served = serve(demo()).await;
    let reply = served.get("/metrics").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut families = BTreeSet::new();
    for line in reply.text().lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let name = head.split(' ').next().expect("a name");
            assert!(families.insert(name.to_owned()), "{name} comes twice");
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(families.contains(sample.split('{').next().expect("a name")), "{line} before its head");
            assert_eq!(sample.contains('{'), sample.ends_with('}'), "{line}");
        }
    }
    for name in ["process_resident_memory_bytes", "process_start_time_seconds", "process_cpu_seconds_total"] {
        assert!(families.contains(name), "{name}");
    }
    let is_steady = |line: &&str| !line.contains("process_") && !line.contains("state_age");
    let text: Vec<&str> = reply.text().lines().filter(is_steady).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[tokio::test]
async fn many_checks_are_streamed_and_compressed_when_asked() {
    let served = serve(many_world(3_000).state).await;
    let plain = served.get("/metrics").await;
    assert_eq!(plain.text().lines().filter(|line| line.starts_with("probe_success{")).count(), 3_000);
    let small = served.ask("GET", "/metrics", "accept-encoding: gzip\r\n", "").await;
    assert_eq!(small.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    GzDecoder::new(&small.bytes[..]).read_to_string(&mut text).expect("it is gzip");
    assert_eq!(text.lines().count(), plain.text().lines().count());
    assert!(small.bytes.len() * 5 < plain.bytes.len());
}
