//! OpenSSH: banner, host keys, and the words of a server that is full.

use crate::servers::{redis, sshd};
use crate::{assert_failed, assert_passed, check, local, probe, probe_with};
use model::check::{CheckKind, SshCheck, TextTest};
use model::observation::{Cause, Outcome};
use probe::{Measured, Prober, ProberOptions};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn an_ssh_server_passes_with_its_banner_and_each_of_its_host_keys() {
    let Some(server) = sshd::start(&["ed25519", "ecdsa", "rsa"]) else { return };
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let measured = ssh(server.port, Some("OpenSSH"), Some(&server.fingerprint(kind))).await;
        assert_passed(&measured);
        assert!(measured.detail.evidence.status.is_some_and(|banner| banner.starts_with("SSH-2.0-OpenSSH")));
        assert!(measured.detail.phases.connect_us.is_some() && measured.detail.phases.first_byte_us.is_some());
    }
}

#[tokio::test]
async fn a_wrong_ssh_host_key_fails_and_all_keys_shown_are_named() {
    let Some(server) = sshd::start(&["ed25519", "rsa"]) else { return };
    let expected = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
    let measured = ssh(server.port, None, Some(expected)).await;
    let sentence = assert_failed(&measured, Cause::HostKey);
    for part in [expected, &server.fingerprint("ed25519"), &server.fingerprint("rsa")] {
        assert!(sentence.contains(part), "{sentence}");
    }
}

#[tokio::test]
async fn a_wrong_ssh_banner_fails() {
    let Some(server) = sshd::start(&["ed25519"]) else { return };
    let measured = ssh(server.port, Some("dropbear"), None).await;
    assert!(assert_failed(&measured, Cause::Answer).contains("does not contain \"dropbear\""));
}

#[tokio::test]
async fn an_ssh_server_that_is_full_says_so_instead_of_a_banner() {
    let Some(server) = sshd::start_with(&["ed25519"], "MaxStartups 1:100:1") else { return };
    // The connection that saw the server start may hold the only place a little longer.
    let held = loop {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
        if stream.read_u8().await.is_ok_and(|first| first == b'S') {
            break stream;
        }
    };
    let measured = ssh(server.port, None, None).await;
    assert_eq!(measured.outcome, Outcome::Fail);
    let sentence = measured.detail.failure.unwrap().sentence;
    assert!(sentence.ends_with("gave no banner, it said \"Exceeded MaxStartups\""), "{sentence}");
    drop(held);
}

#[tokio::test]
async fn a_server_that_is_not_ssh_fails_with_what_it_said_as_evidence() {
    let Some(server) = redis::start(&[]) else { return };
    let kind = CheckKind::Ssh(Box::new(SshCheck { target: local(server.port), banner: None, host_key: None }));
    let prober = Prober::new(ProberOptions::default()).unwrap();
    let measured = probe_with(&prober, check(kind, Duration::from_secs(1))).await;
    assert!(assert_failed(&measured, Cause::Timeout).ends_with("but no SSH banner within 1 s"));
    let excerpt = measured.detail.evidence.excerpt.unwrap();
    assert!(excerpt.contains("< -ERR unknown command"), "{excerpt}");
}

async fn ssh(port: u16, banner: Option<&str>, host_key: Option<&str>) -> Measured {
    let banner = banner.map(|text| TextTest::Contains(text.to_owned()));
    let host_key = host_key.map(str::to_owned);
    probe(CheckKind::Ssh(Box::new(SshCheck { target: local(port), banner, host_key }))).await
}
