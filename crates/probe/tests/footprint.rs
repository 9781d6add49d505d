//! What a prepared check and a check in flight take of memory. Alone in its
//! file, because it looks at the memory of the whole process.

use model::check::{Check, CheckKind, Family, HttpCheck, HttpExpect, LatencyLimits, TextTest, Trust};
use model::id::{CheckId, LocationId};
use probe::{Prepared, Prober, ProberOptions};
use std::time::Duration;

/// Checks prepared; enough that the process's own memory does not count.
const PREPARED: usize = 20_000;
/// Checks in flight at once; each is two descriptors of this process.
const IN_FLIGHT: usize = 400;

#[test]
fn a_prepared_check_is_well_under_a_kilobyte_and_a_waiting_one_takes_eight() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let prober = Prober::new(ProberOptions::default()).expect("a prober");
    let prepare = |url: String| prober.prepare(&check(url)).expect("it can be prepared");

    let before = resident_bytes();
    let prepared: Vec<Prepared> =
        (0..PREPARED).map(|n| prepare(format!("http://customer-{n}.example.test/health?from=mainstay"))).collect();
    let each = resident_bytes().saturating_sub(before) / PREPARED;
    println!("a prepared check: {each} bytes");
    assert!(each < 1000, "{each} bytes for a prepared check");

    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let silent = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        let waiting = prepare(format!("http://{address}/"));
        let before = resident_bytes();
        let rounds = futures_util::future::join_all((0..IN_FLIGHT).map(|_| prober.probe(&waiting)));
        let _ = tokio::time::timeout(Duration::from_millis(1500), rounds).await;
        // The peak, since the rounds are gone by the time anybody could look.
        let each = resident_bytes_max().saturating_sub(before) / IN_FLIGHT;
        println!("a check in flight: {each} bytes");
        assert!(each < 8192, "{each} bytes for a check in flight");
        silent.abort();
    });
    drop(prepared);
}

fn check(url: String) -> Check {
    let expect = HttpExpect { body: vec![TextTest::Contains("healthy".into())], ..HttpExpect::default() };
    let http = HttpCheck {
        url,
        method: "GET".to_owned(),
        headers: Vec::new(),
        basic_auth: None,
        bearer: None,
        body: None,
        redirects: 10,
        proxy: None,
        trust: Trust::default(),
        expect,
        close_by_reset: false,
    };
    Check {
        id: CheckId::new("footprint").expect("an id"),
        kind: CheckKind::Http(Box::new(http)),
        every: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        retry: Duration::from_secs(5),
        down_after: 1,
        up_after: 1,
        from: vec![LocationId::new("here").expect("an id")],
        family: Family::Any,
        latency: LatencyLimits::default(),
    }
}

fn resident_bytes() -> usize {
    status_bytes("VmRSS:")
}

fn resident_bytes_max() -> usize {
    status_bytes("VmHWM:")
}

fn status_bytes(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field is there");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}
