//! BIND: every type of record, wrong answers, long answers, and several resolvers.

use crate::servers::{free_port, named};
use crate::{assert_failed, assert_passed, check, local, probe, probe_with};
use model::check::{CheckKind, DnsCheck, RecordType, TextTest};
use model::observation::{Cause, Outcome};
use probe::{Measured, Prober, ProberOptions};
use std::net::SocketAddr;
use std::time::Duration;

#[tokio::test]
async fn every_type_of_record_is_asked_for_and_compared() {
    let Some(server) = named::start() else { return };
    for (name, record_type, answers) in [
        ("www.example.test", RecordType::A, &["192.0.2.2", "192.0.2.1"][..]),
        ("www.example.test", RecordType::Aaaa, &["2001:DB8::1"]),
        ("example.test", RecordType::Caa, &["0 issue \"letsencrypt.org\""]),
        ("alias.example.test", RecordType::Cname, &["www.example.test"]),
        ("alias.example.test", RecordType::A, &["192.0.2.1"]),
        ("example.test", RecordType::Mx, &["10 mail.example.test."]),
        ("example.test.", RecordType::Ns, &["NS1.example.test"]),
        ("192.0.2.1", RecordType::Ptr, &["www.example.test"]),
        ("example.test", RecordType::Soa, &["ns1.example.test hostmaster.example.test 1 3600 600 86400 60"]),
        ("_imap._tcp.example.test", RecordType::Srv, &["0 1 143 mail.example.test"]),
        ("example.test", RecordType::Txt, &["v=spf1 mx -all"]),
    ] {
        let measured = probe(dns(server.port, name, record_type, answers)).await;
        assert_eq!(measured.outcome, Outcome::Pass, "{name} {record_type:?}: {measured:?}");
        assert_eq!(measured.detail.evidence.status.as_deref(), Some("NOERROR"));
        assert!(measured.detail.phases.first_byte_us.is_some());
    }
}

#[tokio::test]
async fn a_name_that_is_gone_and_a_wrong_record_say_so() {
    let Some(server) = named::start() else { return };
    let sentence = |measured: Measured| assert_failed(&measured, Cause::Answer);
    assert_eq!(
        sentence(probe(dns(server.port, "gone.example.test", RecordType::A, &[])).await),
        "127.0.0.1 answered NXDOMAIN for gone.example.test, expected NOERROR"
    );
    assert_eq!(
        sentence(probe(dns(server.port, "elsewhere.test", RecordType::A, &[])).await),
        "127.0.0.1 answered REFUSED for elsewhere.test, expected NOERROR"
    );
    assert_eq!(
        sentence(probe(dns(server.port, "mail.example.test", RecordType::Aaaa, &[])).await),
        "127.0.0.1 has no AAAA record for mail.example.test"
    );
    assert_eq!(
        sentence(probe(dns(server.port, "mail.example.test", RecordType::A, &["192.0.2.9"])).await),
        "127.0.0.1 did not answer \"192.0.2.9\" for A of mail.example.test, but \"192.0.2.3\""
    );
    let CheckKind::Dns(gone) = dns(server.port, "gone.example.test", RecordType::A, &[]) else { unreachable!() };
    let expected = DnsCheck { response_code: "NXDOMAIN".into(), ..*gone };
    assert_passed(&probe(CheckKind::Dns(Box::new(expected))).await);
}

#[tokio::test]
async fn an_answer_too_long_for_udp_is_fetched_over_tcp() {
    let Some(server) = named::start() else { return };
    let CheckKind::Dns(long) = dns(server.port, "long.example.test", RecordType::Txt, &[]) else { unreachable!() };
    let tests = vec![TextTest::Matches("^039 x+$".into())];
    assert_passed(&probe(CheckKind::Dns(Box::new(DnsCheck { tests, ..*long.clone() }))).await);
    let tests = vec![TextTest::Contains("040".into())];
    let measured = probe(CheckKind::Dns(Box::new(DnsCheck { tests, ..*long }))).await;
    let sentence = assert_failed(&measured, Cause::Answer);
    let end = "none of 40 TXT records of long.example.test passes: the first does not contain \"040\"";
    assert!(sentence.ends_with(end), "{sentence}");
}

#[tokio::test]
async fn without_a_server_the_resolvers_are_asked_and_the_next_one_when_one_refuses() {
    let Some(server) = named::start() else { return };
    let dead: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let live: SocketAddr = ([127, 0, 0, 1], server.port).into();
    let asked = |record_type| {
        let CheckKind::Dns(kind) = dns(server.port, "www.example.test", record_type, &[]) else { unreachable!() };
        check(CheckKind::Dns(Box::new(DnsCheck { server: None, ..*kind })), Duration::from_secs(10))
    };
    let prober = Prober::new(ProberOptions { name_servers: vec![dead, live], ..ProberOptions::default() }).unwrap();
    let measured = probe_with(&prober, asked(RecordType::A)).await;
    assert_passed(&measured);
    let errors: Vec<bool> = measured.detail.evidence.addresses.iter().map(|tried| tried.error.is_some()).collect();
    assert_eq!(errors, [true, false]);
    let prober = Prober::new(ProberOptions { name_servers: vec![dead], ..ProberOptions::default() }).unwrap();
    let sentence = assert_failed(&probe_with(&prober, asked(RecordType::A)).await, Cause::Refused);
    assert!(sentence.starts_with("no name server listens on 127.0.0.1:"), "{sentence}");
}

fn dns(port: u16, name: &str, record_type: RecordType, answers: &[&str]) -> CheckKind {
    CheckKind::Dns(Box::new(DnsCheck {
        name: name.to_owned(),
        record_type,
        server: Some(local(port)),
        response_code: "NOERROR".to_owned(),
        answers: answers.iter().map(|&text| text.to_owned()).collect(),
        tests: Vec::new(),
    }))
}
