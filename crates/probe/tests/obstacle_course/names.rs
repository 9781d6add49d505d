//! Names that do not resolve, resolve slowly, or lead to dead addresses.

use crate::course::{PASS, assert_ended, get, http, matches, prober_with, round};
use crate::servers::{Script, Server, ok};
use model::check::{Check, Family};
use model::observation::{Cause, Outcome};
use probe::{Prober, ProberOptions};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpStream, UdpSocket};

/// What the name server knows: addresses, a response code, or silence.
enum Zone {
    Addresses(&'static [IpAddr]),
    Code(u8),
    Silent,
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// A loopback address of its own, for a listener that never answers.
const BLACK_HOLE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));

fn zone(name: &str) -> Zone {
    match name {
        "alive.test" => Zone::Addresses(&[V4]),
        "both.test" => Zone::Addresses(&[V4, V6]),
        "hole.test" => Zone::Addresses(&[BLACK_HOLE, V4]),
        "empty.test" => Zone::Addresses(&[]),
        "broken.test" => Zone::Code(2),
        "silent.test" => Zone::Silent,
        _ => Zone::Code(3),
    }
}

/// A name server on a port of its own; the IPv6 half of `alive.test` never comes.
async fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query).await {
            if let Some(answer) = answer(&query[..length]) {
                let _ = socket.send_to(&answer, client).await;
            }
        }
    });
    address
}

/// The answer to a query (RFC 1035 section 4.1), or nothing.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_ascii_lowercase());
        at += length + 1;
    }
    let question = &query[12..at + 5];
    let is_v6 = query[at + 2] == 28;
    let name = labels.join(".");
    if name == "alive.test" && is_v6 {
        return None;
    }
    let (code, addresses) = match zone(&name) {
        Zone::Addresses(addresses) => (0, addresses),
        Zone::Code(code) => (code, &[][..]),
        Zone::Silent => return None,
    };
    let addresses: Vec<_> = addresses.iter().filter(|address| address.is_ipv6() == is_v6).collect();
    let mut out = vec![query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0];
    out.extend(question);
    for address in addresses {
        let data = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        out.extend([0xc0, 12, 0, if is_v6 { 28 } else { 1 }, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        out.extend(data);
    }
    Some(out)
}

async fn prober() -> Prober {
    prober_with(ProberOptions { name_servers: vec![name_server().await], ..ProberOptions::default() })
}

fn page(name: &str, port: u16, timeout_ms: u64) -> Check {
    let mut check = http(get(format!("http://{name}:{port}/")));
    check.timeout = Duration::from_millis(timeout_ms);
    check
}

#[tokio::test]
async fn a_name_is_told_by_what_the_name_servers_said() {
    let prober = prober().await;
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    for (name, family, cause, sentence) in [
        ("nowhere.test", Family::Any, Cause::NameNotFound, "the name nowhere.test does not exist (NXDOMAIN)"),
        (
            "empty.test",
            Family::Any,
            Cause::NameNotFound,
            "the name empty.test exists, but it does not have an IPv4 or IPv6 address",
        ),
        (
            "hole.test",
            Family::V6,
            Cause::NameNotFound,
            "the name hole.test exists, but it does not have an IPv6 address",
        ),
        ("broken.test", Family::Any, Cause::Resolve, "the name servers answered SERVFAIL for broken.test"),
        ("silent.test", Family::Any, Cause::Resolve, "the name silent.test was not resolved within 700 ms"),
    ] {
        let mut check = page(name, 80, 700);
        check.family = family;
        let measured = round(&prober, &check).await;
        assert_ended(name, &measured, nowhere, (Outcome::Fail, Some(cause), sentence));
        assert!(measured.detail.phases.connect_us.is_none() && measured.detail.evidence.addresses.is_empty());
    }
}

#[tokio::test]
async fn no_name_server_at_all_is_our_own_error() {
    let gone = UdpSocket::bind("127.0.0.1:0").await.and_then(|socket| socket.local_addr()).expect("a free port");
    let prober = prober_with(ProberOptions { name_servers: vec![gone], ..ProberOptions::default() });
    let measured = round(&prober, &page("alive.test", 80, 1500)).await;
    let failure = measured.detail.failure.expect("it did not pass");
    assert_eq!((measured.outcome, failure.cause), (Outcome::Own, Cause::Own), "{}", failure.sentence);
    let pattern = "no name server of ours answered within 1 s 500 ms, neither for alive.test nor for the root";
    assert!(matches(pattern, &failure.sentence), "{}", failure.sentence);
}

#[tokio::test]
async fn half_an_answer_of_the_name_servers_is_enough() {
    let server = Server::start(Script::Say(ok("hello"))).await;
    let measured = round(&prober().await, &page("alive.test", server.address.port(), 5000)).await;
    assert_ended("alive", &measured, server.address, PASS);
    // The other half never comes and is waited for as long as RFC 8305 says.
    let resolve_us = measured.detail.phases.resolve_us.expect("somebody was asked");
    assert!((50_000..1_000_000).contains(&resolve_us), "{resolve_us}");
}

#[tokio::test]
async fn ipv6_dead_and_ipv4_alive_passes_and_shows_the_dead_address() {
    let server = Server::start(Script::Say(ok("hello"))).await;
    let prober = prober().await;
    let measured = round(&prober, &page("both.test", server.address.port(), 5000)).await;
    assert_ended("both", &measured, server.address, PASS);
    let tried = &measured.detail.evidence.addresses;
    assert_eq!(tried.iter().map(|tried| tried.address).collect::<Vec<_>>(), [V6, V4]);
    assert!(tried[0].error.is_some() && tried[1].error.is_none(), "{tried:?}");

    for (family, outcome) in [(Family::V4, Outcome::Pass), (Family::V6, Outcome::Fail)] {
        let mut check = page("both.test", server.address.port(), 5000);
        check.family = family;
        let measured = round(&prober, &check).await;
        let own_without_ipv6 = measured.outcome == Outcome::Own && family == Family::V6;
        assert!(measured.outcome == outcome || own_without_ipv6, "{family:?}: {:?}", measured.detail.failure);
    }
}

#[tokio::test]
async fn localhost_is_asked_of_nobody() {
    let server = Server::start(Script::Say(ok("hello"))).await;
    let gone = UdpSocket::bind("127.0.0.1:0").await.and_then(|socket| socket.local_addr()).expect("a free port");
    let prober = prober_with(ProberOptions { name_servers: vec![gone], ..ProberOptions::default() });
    let measured = round(&prober, &page("localhost", server.address.port(), 5000)).await;
    assert_ended("localhost", &measured, server.address, PASS);
    assert_eq!(measured.detail.phases.resolve_us, None);
}

#[tokio::test]
async fn a_black_hole_costs_a_quarter_of_a_second() {
    let server = Server::start(Script::Say(ok("hello"))).await;
    let (hole, _fillers) = black_hole(server.address.port()).await;
    let prober = prober().await;
    let measured = round(&prober, &page("hole.test", server.address.port(), 5000)).await;
    assert_ended("hole", &measured, server.address, PASS);
    assert!((250_000..2_000_000).contains(&measured.latency_us), "{}", measured.latency_us);
    let tried = &measured.detail.evidence.addresses;
    assert_eq!(tried.iter().map(|tried| tried.address).collect::<Vec<_>>(), [BLACK_HOLE, V4]);
    assert_eq!(tried[0].error.as_deref(), Some("no answer before another address connected"));

    let mut check = http(get(format!("http://{hole}/")));
    check.timeout = Duration::from_millis(400);
    let sentence = "no connection to ADDRESS within 400 ms";
    let measured = round(&prober, &check).await;
    assert_ended("only a hole", &measured, hole, (Outcome::Fail, Some(Cause::ConnectTimeout), sentence));
    assert_eq!(measured.detail.evidence.addresses[0].error.as_deref(), Some("no answer"));
}

/// An address that takes no more connections: a listener whose queue is full
/// and from which nobody accepts drops every further attempt.
async fn black_hole(port: u16) -> (SocketAddr, Vec<TcpStream>) {
    let address = SocketAddr::new(BLACK_HOLE, port);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&address.into()).expect("the address is free");
    socket.listen(0).expect("it is bound");
    // Kept open for as long as the test process lives.
    std::mem::forget(socket);
    let mut fillers = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        fillers.push(stream);
    }
    (address, fillers)
}
