//! Echoes over loopback and, in network namespaces of their own, under every
//! way the kernel may allow or forbid them.
//!
//! A test that needs a namespace runs this program again inside one, for that
//! test alone; `MAINSTAY_INSIDE` tells the two apart.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

#[expect(dead_code, reason = "echoes need no server, only the rule for what is missing")]
mod servers;

use model::check::{Check, CheckKind, Family, IcmpCheck, LatencyLimits};
use model::id::{CheckId, LocationId};
use model::observation::{Cause, Outcome};
use probe::{Measured, Prober, ProberOptions};
use std::process::Command;
use std::time::Duration;

const INSIDE: &str = "MAINSTAY_INSIDE";
/// A machine with one neighbour address that nobody answers for, asked about once and briefly.
const SILENT_NEIGHBOUR: &str = "ip link add near type veth peer name far && ip link set far up && \
     ip addr add 192.0.2.1/24 dev near && ip link set near up && \
     echo 1 > /proc/sys/net/ipv4/neigh/near/mcast_solicit && echo 100 > /proc/sys/net/ipv4/neigh/near/retrans_time_ms";
/// A neighbour in a namespace of its own, whose kernel answers some echoes of a
/// burst and then one a second.
const MISERLY_NEIGHBOUR: &str = "{ unshare --net sleep 20 > /dev/null 2>&1 & } && other=$! && \
     until [ \"$(readlink /proc/$other/ns/net)\" != \"$(readlink /proc/self/ns/net)\" ]; do :; done && \
     ip link add near type veth peer name far && ip link set far netns $other && \
     ip addr add 192.0.2.1/24 dev near && ip link set near up && \
     nsenter --net=/proc/$other/ns/net sh -c 'ip addr add 192.0.2.2/24 dev far && ip link set far up && \
     echo 1000 > /proc/sys/net/ipv4/icmp_ratelimit && echo 1 > /proc/sys/net/ipv4/icmp_ratemask'";
const UNPRIVILEGED: &str = "echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range";

#[tokio::test]
async fn loopback_answers_in_both_families() {
    if !inside("loopback_answers_in_both_families", "true", &[]) {
        return;
    }
    assert_echoes("127.0.0.1").await;
    assert_echoes("::1").await;
}

#[tokio::test]
async fn an_unprivileged_socket_is_enough_where_the_group_is_allowed() {
    let without = ["--bounding-set", "-net_raw"];
    if !inside("an_unprivileged_socket_is_enough_where_the_group_is_allowed", UNPRIVILEGED, &without) {
        return;
    }
    assert_echoes("127.0.0.1").await;
    assert_echoes("::1").await;
}

#[tokio::test]
async fn without_permission_it_is_our_own_error_and_says_what_would_help() {
    let without = ["--bounding-set", "-net_raw"];
    if !inside("without_permission_it_is_our_own_error_and_says_what_would_help", "true", &without) {
        return;
    }
    let measured = ping("127.0.0.1", 1, Family::Any, Duration::from_secs(5)).await;
    assert_eq!(measured.outcome, Outcome::Own);
    let sentence = measured.detail.failure.unwrap().sentence;
    assert!(sentence.contains("net.ipv4.ping_group_range") && sentence.contains("CAP_NET_RAW"), "{sentence}");
}

#[tokio::test]
async fn an_unreachable_neighbour_is_reported_at_once_by_a_raw_socket() {
    if inside("an_unreachable_neighbour_is_reported_at_once_by_a_raw_socket", SILENT_NEIGHBOUR, &[]) {
        assert_unreachable().await;
    }
}

#[tokio::test]
async fn an_unreachable_neighbour_is_reported_at_once_by_an_unprivileged_socket() {
    let setup = format!("{SILENT_NEIGHBOUR} && {UNPRIVILEGED}");
    let without = ["--bounding-set", "-net_raw"];
    if inside("an_unreachable_neighbour_is_reported_at_once_by_an_unprivileged_socket", &setup, &without) {
        assert_unreachable().await;
    }
}

#[tokio::test]
async fn silence_is_a_timeout_and_no_route_is_our_own_error() {
    // A neighbour address that everybody knows the way to, and where nobody is.
    let setup = format!("{SILENT_NEIGHBOUR} && ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev near");
    if !inside("silence_is_a_timeout_and_no_route_is_our_own_error", &setup, &[]) {
        return;
    }
    let measured = ping("192.0.2.9", 2, Family::Any, Duration::from_millis(500)).await;
    assert_eq!((measured.outcome, measured.latency_us / 100_000), (Outcome::Fail, 5), "{measured:?}");
    let failure = measured.detail.failure.unwrap();
    assert_eq!((failure.cause, failure.sentence.as_str()), (Cause::Timeout, "192.0.2.9 did not answer within 500 ms"));
    let measured = ping("198.51.100.1", 1, Family::Any, Duration::from_secs(5)).await;
    assert_eq!(measured.outcome, Outcome::Own, "{measured:?}");
    assert!(measured.detail.failure.unwrap().sentence.contains("network unreachable"));
}

#[tokio::test]
async fn lost_echoes_degrade_when_others_are_answered() {
    if !inside("lost_echoes_degrade_when_others_are_answered", MISERLY_NEIGHBOUR, &[]) {
        return;
    }
    let measured = ping("192.0.2.2", 20, Family::Any, Duration::from_secs(10)).await;
    assert_eq!(measured.outcome, Outcome::Degraded, "{measured:?}");
    let failure = measured.detail.failure.unwrap();
    assert_eq!(failure.cause, Cause::Loss);
    assert!(failure.sentence.ends_with("of 20 echoes to 192.0.2.2 were lost"), "{}", failure.sentence);
}

#[tokio::test]
async fn a_thousand_checks_at_once_share_one_socket_and_all_are_answered() {
    if !inside("a_thousand_checks_at_once_share_one_socket_and_all_are_answered", "true", &[]) {
        return;
    }
    let prober = Prober::new(ProberOptions::default()).unwrap();
    let prepared: Vec<_> = (0..1000)
        .map(|i| {
            prober.prepare(&check(
                &format!("127.0.{}.{}", i / 250, i % 250 + 1),
                3,
                Family::Any,
                Duration::from_secs(10),
            ))
        })
        .map(Result::unwrap)
        .collect();
    let rounds = prepared.iter().map(|prepared| prober.probe(prepared));
    let measured = futures_util::future::join_all(rounds).await;
    let failed: Vec<_> = measured.iter().filter(|measured| measured.outcome != Outcome::Pass).collect();
    assert!(failed.is_empty(), "{} of 1000, the first {:?}", failed.len(), failed[0]);
}

#[tokio::test]
async fn a_family_that_does_not_fit_the_address_is_our_own_error() {
    let measured = ping("127.0.0.1", 1, Family::V6, Duration::from_secs(5)).await;
    assert_eq!(measured.outcome, Outcome::Own);
}

#[tokio::test]
async fn a_name_with_several_addresses_is_reached_by_the_one_that_answers() {
    let setup = "echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6";
    if !inside("a_name_with_several_addresses_is_reached_by_the_one_that_answers", setup, &[]) {
        return;
    }
    assert_echoes("localhost").await;
    let measured = ping("localhost", 1, Family::V6, Duration::from_secs(5)).await;
    assert_eq!(measured.outcome, Outcome::Own, "{measured:?}");
}

async fn assert_echoes(host: &str) {
    let measured = ping(host, 5, Family::Any, Duration::from_secs(5)).await;
    assert_eq!(measured.outcome, Outcome::Pass, "{measured:?}");
    let trip = measured.detail.phases.connect_us.unwrap();
    assert!(trip < 50_000, "a loopback echo took {trip} us");
    assert_eq!(measured.latency_us, trip, "the latency is the trip, not the pauses between echoes");
}

async fn assert_unreachable() {
    let measured = ping("192.0.2.2", 1, Family::Any, Duration::from_secs(10)).await;
    assert_eq!(measured.outcome, Outcome::Fail, "{measured:?}");
    let failure = measured.detail.failure.unwrap();
    assert_eq!(failure.cause, Cause::Unreachable);
    assert_eq!(failure.sentence, "192.0.2.2 cannot be reached: host unreachable, says 192.0.2.1");
    assert!(measured.latency_us < 5_000_000);
    assert_echoes("192.0.2.1").await;
}

async fn ping(host: &str, count: u8, family: Family, timeout: Duration) -> Measured {
    let prober = Prober::new(ProberOptions::default()).unwrap();
    let prepared = prober.prepare(&check(host, count, family, timeout)).unwrap();
    prober.probe(&prepared).await
}

fn check(host: &str, count: u8, family: Family, timeout: Duration) -> Check {
    Check {
        id: CheckId::new("test").unwrap(),
        kind: CheckKind::Icmp(IcmpCheck { host: host.to_owned(), count }),
        every: Duration::from_secs(60),
        timeout,
        retry: Duration::from_secs(5),
        down_after: 2,
        up_after: 2,
        from: vec![LocationId::new("here").unwrap()],
        family,
        latency: LatencyLimits::default(),
    }
}

/// Whether this is the run inside a namespace. Outside, runs the test `name`
/// again in a new namespace that `setup` has prepared, with privileges changed
/// by arguments of `setpriv`, and fails if it fails there.
fn inside(name: &str, setup: &str, privileges: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let needed = ["/usr/bin/unshare", "/usr/bin/setpriv", "/usr/sbin/ip"];
    if needed.iter().any(|path| servers::program(path).is_none()) {
        return false;
    }
    if !servers::is_root() {
        servers::skip::<()>("a network namespace needs root");
        return false;
    }
    let script = format!("ip link set lo up && {setup} && exec setpriv {} \"$0\" \"$@\"", privileges.join(" "));
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--net", "/bin/sh", "-c", &script]).arg(std::env::current_exe().unwrap());
    servers::run(command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1"));
    false
}
