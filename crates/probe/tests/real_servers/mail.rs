//! Postfix and Dovecot: what a sender of mail meets, and dialogues under TLS.

use crate::servers::certificates::Certificates;
use crate::servers::{dovecot, free_port, postfix, redis, sshd};
use crate::{assert_failed, assert_passed, check, local, probe, probe_with, trust};
use model::check::{CheckKind, DialogueStep, SmtpCheck, SmtpTls, StartTls, TcpCheck, Trust};
use model::observation::{Cause, Outcome};
use probe::{Prober, ProberOptions};
use std::path::Path;
use std::time::Duration;

#[tokio::test]
async fn a_mail_exchanger_passes_with_every_way_of_tls() {
    let Some(server) = postfix::start() else { return };
    for (tls, port, has_tls) in [
        (SmtpTls::None, server.port, false),
        (SmtpTls::Opportunistic, server.port_plain, false),
        (SmtpTls::Opportunistic, server.port, true),
        (SmtpTls::StartTls, server.port, true),
        (SmtpTls::Implicit, server.port_implicit, true),
    ] {
        let measured = probe(smtp(port, tls, &server.certificates, Some(postfix::GOOD))).await;
        assert_passed(&measured);
        assert_eq!(measured.detail.phases.tls_us.is_some(), has_tls, "{tls:?}");
        assert_eq!(measured.detail.evidence.certificate.is_some(), has_tls, "{tls:?}");
    }
    // Postfix removes the file of a transaction that was given up a moment after its answer.
    for _ in 0..100 {
        if server.queued() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a check left {} messages behind", server.queued());
}

#[tokio::test]
async fn a_permanent_refusal_fails_because_senders_give_the_mail_up() {
    let Some(server) = postfix::start() else { return };
    let measured = probe(smtp(server.port, SmtpTls::StartTls, &server.certificates, Some(postfix::GONE))).await;
    let sentence = assert_failed(&measured, Cause::Status);
    assert!(sentence.contains("answered RCPT TO with \"550 5.1.1"), "{sentence}");
    assert!(sentence.contains("senders return such mail at once"), "{sentence}");
    assert!(measured.detail.evidence.status.is_some_and(|status| status.starts_with("550 5.1.1")));
    let excerpt = measured.detail.evidence.excerpt.unwrap();
    assert!(excerpt.contains("> RCPT TO:<gone@example.test>\n< 550 5.1.1"), "{excerpt}");

    let measured = probe(smtp(server.port_refusing, SmtpTls::None, &server.certificates, None)).await;
    assert!(assert_failed(&measured, Cause::Status).contains("greeted with \"554 5.7.1"));
}

#[tokio::test]
async fn a_temporary_refusal_degrades_because_senders_come_again() {
    let Some(server) = postfix::start() else { return };
    for (port, recipient, part) in [
        (server.port, Some(postfix::BUSY), "answered RCPT TO with \"450 4.2.1"),
        (server.port_postponing, None, "greeted with \"450"),
    ] {
        let measured = probe(smtp(port, SmtpTls::Opportunistic, &server.certificates, recipient)).await;
        assert_eq!(measured.outcome, Outcome::Degraded, "{measured:?}");
        let sentence = measured.detail.failure.unwrap().sentence;
        assert!(sentence.contains(part) && sentence.contains("try again later"), "{sentence}");
    }
}

#[tokio::test]
async fn a_mail_exchanger_without_required_tls_fails() {
    let Some(server) = postfix::start() else { return };
    let measured = probe(smtp(server.port_plain, SmtpTls::StartTls, &server.certificates, None)).await;
    assert!(assert_failed(&measured, Cause::Answer).contains("does not offer STARTTLS"));
    let untrusted = SmtpCheck {
        target: local(server.port),
        tls: SmtpTls::StartTls,
        trust: Trust { server_name: Some("mx.example.test".into()), ..Trust::default() },
        envelope: None,
    };
    assert_failed(&probe(CheckKind::Smtp(Box::new(untrusted))).await, Cause::CertificateUntrusted);
}

#[tokio::test]
async fn a_server_that_does_not_speak_smtp_is_told_apart() {
    let Some(server) = sshd::start(&["ed25519"]) else { return };
    let none = Path::new("/nonexistent").to_path_buf();
    let unused = Certificates { authority: none.clone(), chain: none.clone(), key: none };
    let measured = probe(smtp(server.port, SmtpTls::None, &unused, None)).await;
    assert!(assert_failed(&measured, Cause::Protocol).contains("does not speak SMTP: its greeting is \"SSH-2.0"));
}

#[tokio::test]
async fn imap_and_pop3_dialogues_go_on_under_tls() {
    let Some(server) = dovecot::start() else { return };
    let trust = || trust(&server.certificates, "mail.example.test");
    let send = |text: &str| DialogueStep::Send(text.to_owned());
    let expect = |pattern: &str| DialogueStep::Expect(pattern.to_owned());
    let imap = vec![
        DialogueStep::StartTls(StartTls::Imap, trust()),
        send("a2 LOGIN test test\r\n"),
        expect("^a2 OK"),
        send("a3 LOGOUT\r\n"),
        expect("^a3 OK"),
    ];
    let pop3 = vec![
        DialogueStep::StartTls(StartTls::Pop3, trust()),
        send("USER test\r\n"),
        expect(r"^\+OK"),
        send("QUIT\r\n"),
        expect(r"^\+OK"),
    ];
    for (port, dialogue) in [(server.imap, imap), (server.pop3, pop3)] {
        let measured = probe(tcp(port, dialogue)).await;
        assert_passed(&measured);
        assert!(measured.detail.phases.tls_us.is_some());
    }
    let wrong = vec![
        DialogueStep::StartTls(StartTls::Imap, trust()),
        send("a2 LOGIN test secret-word\r\n"),
        expect("^a2 OK"),
        send("a3 LOGOUT\r\n"),
    ];
    let prober = Prober::new(ProberOptions::default()).unwrap();
    let measured = probe_with(&prober, check(tcp(server.imap, wrong), Duration::from_secs(6))).await;
    assert_eq!(measured.outcome, Outcome::Fail);
    let shown = format!("{measured:?}");
    assert!(shown.contains("AUTHENTICATIONFAILED") && !shown.contains("secret-word"), "{shown}");
}

#[tokio::test]
async fn a_dialogue_says_which_line_did_not_come() {
    let Some(server) = redis::start(&[]) else { return };
    let dialogue = vec![
        DialogueStep::Send("PING\r\nQUIT\r\n".into()),
        DialogueStep::Expect(r"^\+PONG".into()),
        DialogueStep::Expect("^never".into()),
    ];
    let measured = probe(tcp(server.port, dialogue)).await;
    let sentence = assert_failed(&measured, Cause::Answer);
    assert!(sentence.ends_with("closed the connection without a line that matches \"^never\"; its last was \"+OK\""));
    assert_passed(&probe(tcp(server.port, Vec::new())).await);
    assert_failed(&probe(tcp(free_port(), Vec::new())).await, Cause::Refused);
}

fn smtp(port: u16, tls: SmtpTls, certificates: &Certificates, recipient: Option<&str>) -> CheckKind {
    let trust = if tls == SmtpTls::None { Trust::default() } else { trust(certificates, "mx.example.test") };
    let envelope = recipient.map(|to| ("probe@example.test".to_owned(), to.to_owned()));
    CheckKind::Smtp(Box::new(SmtpCheck { target: local(port), tls, trust, envelope }))
}

fn tcp(port: u16, dialogue: Vec<DialogueStep>) -> CheckKind {
    CheckKind::Tcp(Box::new(TcpCheck { target: local(port), tls: None, dialogue }))
}
