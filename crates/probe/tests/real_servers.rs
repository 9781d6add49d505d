//! Checks against the servers people run: what they answer in good and bad
//! states, and what a check makes of it.

mod servers;

use model::check::{
    Check, CheckKind, DialogueStep, DnsCheck, Family, HostPort, LatencyLimits, PostgresCheck, RecordType, RedisCheck,
    SmtpCheck, SmtpTls, SshCheck, StartTls, TcpCheck, TextTest, Trust,
};
use model::id::{CheckId, LocationId};
use model::observation::{Cause, Outcome};
use model::secret::Secret;
use probe::{Measured, Prober, ProberOptions};
use servers::certificates::Certificates;
use servers::{dovecot, free_port, named, postfix, postgres, redis, sshd};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

// SSH.

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

// Redis.

#[tokio::test]
async fn redis_answers_ping_and_commands() {
    let Some(server) = redis::start(&[]) else { return };
    assert_passed(&probe(redis_check(server.port, None, &[], None)).await);
    let role = ["CONFIG", "GET", "maxmemory-policy"];
    assert_passed(&probe(redis_check(server.port, None, &role, Some("noeviction"))).await);
    let measured = probe(redis_check(server.port, None, &role, Some("allkeys-lru"))).await;
    assert!(assert_failed(&measured, Cause::Answer).contains("does not contain \"allkeys-lru\""));
    let measured = probe(redis_check(server.port, None, &["NONSENSE"], None)).await;
    assert!(assert_failed(&measured, Cause::Answer).contains("unknown command"));
}

#[tokio::test]
async fn redis_with_a_password_is_alive_without_it_but_commands_need_it() {
    let Some(server) = redis::start(&["--requirepass", "right"]) else { return };
    let measured = probe(redis_check(server.port, None, &[], None)).await;
    assert_passed(&measured);
    assert!(measured.detail.evidence.status.is_some_and(|status| status.starts_with("NOAUTH")));
    assert_failed(&probe(redis_check(server.port, None, &["DBSIZE"], None)).await, Cause::Login);
    assert_passed(&probe(redis_check(server.port, Some("right"), &["DBSIZE"], Some("0"))).await);
    let measured = probe(redis_check(server.port, Some("wrong"), &[], None)).await;
    let sentence = assert_failed(&measured, Cause::Login);
    assert!(sentence.contains("WRONGPASS") && !sentence.contains("\"wrong\""), "{sentence}");
}

#[tokio::test]
async fn a_redis_replica_without_its_primary_fails() {
    let dead = free_port().to_string();
    let options = ["--replicaof", "127.0.0.1", &dead, "--replica-serve-stale-data", "no"];
    let Some(server) = redis::start(&options) else { return };
    let measured = probe(redis_check(server.port, None, &["DBSIZE"], None)).await;
    assert!(assert_failed(&measured, Cause::Status).contains("MASTERDOWN"));
}

#[tokio::test]
async fn a_server_that_is_not_redis_is_told_apart() {
    let Some(server) = sshd::start(&["ed25519"]) else { return };
    let measured = probe(redis_check(server.port, None, &[], None)).await;
    assert!(assert_failed(&measured, Cause::Protocol).contains("does not speak the Redis protocol"));
}

// PostgreSQL.

#[tokio::test]
async fn postgres_takes_connections_logs_in_and_answers_queries() {
    let Some(server) = postgres::start(&[]) else { return };
    let measured = probe(CheckKind::Postgres(Box::new(postgres_check(server.port)))).await;
    assert_passed(&measured);
    assert_eq!(measured.detail.evidence.status.as_deref(), Some("takes connections"));

    let asked = |query: &str, test: &str| {
        let test = Some(TextTest::Matches(test.to_owned()));
        CheckKind::Postgres(Box::new(PostgresCheck { query: Some(query.to_owned()), test, ..logged_in(server.port) }))
    };
    assert_passed(&probe(asked("select 41 + 1", "^42$")).await);
    let measured = probe(asked("select 41", "^42$")).await;
    assert!(assert_failed(&measured, Cause::Answer).contains("does not match"));
    let measured = probe(asked("select 1 where false", "")).await;
    assert!(assert_failed(&measured, Cause::Answer).contains("returned no row"));
    let measured = probe(asked("select * from nowhere", "")).await;
    assert!(assert_failed(&measured, Cause::Answer).contains("relation \"nowhere\" does not exist (42P01)"));
    let measured = probe(asked("select repeat('x', 100000000)", "")).await;
    assert!(assert_failed(&measured, Cause::TooLarge).contains("larger than 1024 KiB"));
}

#[tokio::test]
async fn a_refused_postgres_login_says_why() {
    let Some(server) = postgres::start(&[]) else { return };
    let wrong = PostgresCheck { password: Some(Secret::Inline("wrong".into())), ..logged_in(server.port) };
    let measured = probe(CheckKind::Postgres(Box::new(wrong))).await;
    assert!(assert_failed(&measured, Cause::Login).contains("password authentication failed"));
    let none = PostgresCheck { password: None, ..logged_in(server.port) };
    let measured = probe(CheckKind::Postgres(Box::new(none))).await;
    assert!(assert_failed(&measured, Cause::Login).contains("asks for a password"));
    let elsewhere = PostgresCheck { database: Some("nowhere".into()), ..logged_in(server.port) };
    let measured = probe(CheckKind::Postgres(Box::new(elsewhere))).await;
    assert!(assert_failed(&measured, Cause::Login).contains("database \"nowhere\" does not exist"));
}

#[tokio::test]
async fn postgres_is_asked_under_tls_and_its_certificate_counts() {
    let Some(server) = postgres::start(&[]) else { return };
    let tls = Some(trust(&server.certificates, "db.example.test"));
    let measured = probe(CheckKind::Postgres(Box::new(PostgresCheck { tls, ..logged_in(server.port) }))).await;
    assert_passed(&measured);
    assert!(measured.detail.phases.tls_us.is_some() && measured.detail.evidence.certificate.is_some());
    let other = Some(trust(&server.certificates, "other.example.test"));
    let measured =
        probe(CheckKind::Postgres(Box::new(PostgresCheck { tls: other, ..postgres_check(server.port) }))).await;
    assert_failed(&measured, Cause::CertificateName);
}

#[tokio::test]
async fn a_postgres_server_that_is_full_or_not_ready_takes_no_connections() {
    let full = ["max_connections=2", "superuser_reserved_connections=0", "max_wal_senders=0"];
    let Some(mut server) = postgres::start(&full) else { return };
    // Startup messages without a login: each holds one of the places.
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
        stream.write_all(b"\0\0\0\x10\0\x03\0\0user\0x\0\0").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'R', "the server asks for a login");
        held.push(stream);
    }
    let measured = probe(CheckKind::Postgres(Box::new(postgres_check(server.port)))).await;
    assert!(assert_failed(&measured, Cause::Status).contains("too many clients already (53300)"));
    drop(held);

    server.make_standby();
    server.restart(&["hot_standby=off"]);
    let measured = probe(CheckKind::Postgres(Box::new(postgres_check(server.port)))).await;
    assert!(assert_failed(&measured, Cause::Status).contains("(57P03)"));
    let measured = probe(CheckKind::Postgres(Box::new(logged_in(server.port)))).await;
    assert!(assert_failed(&measured, Cause::Status).contains("takes no connections"));
}

#[tokio::test]
async fn a_server_that_is_not_postgres_is_told_apart() {
    let Some(server) = sshd::start(&["ed25519"]) else { return };
    let measured = probe(CheckKind::Postgres(Box::new(postgres_check(server.port)))).await;
    assert!(assert_failed(&measured, Cause::Protocol).contains("does not speak the PostgreSQL protocol"));
}

// Mail.

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
    assert_eq!(server.queued(), 0, "no check may leave a message behind");
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

// DNS.

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

// Helpers.

async fn probe(kind: CheckKind) -> Measured {
    let prober = Prober::new(ProberOptions::default()).unwrap();
    probe_with(&prober, check(kind, Duration::from_secs(20))).await
}

async fn probe_with(prober: &Prober, check: Check) -> Measured {
    let prepared = prober.prepare(&check).unwrap();
    prober.probe(&prepared).await
}

fn check(kind: CheckKind, timeout: Duration) -> Check {
    Check {
        id: CheckId::new("test").unwrap(),
        kind,
        every: Duration::from_secs(60),
        timeout,
        retry: Duration::from_secs(5),
        down_after: 2,
        up_after: 2,
        from: vec![LocationId::new("here").unwrap()],
        family: Family::Any,
        latency: LatencyLimits::default(),
    }
}

fn local(port: u16) -> HostPort {
    HostPort { host: "127.0.0.1".to_owned(), port }
}

fn trust(certificates: &Certificates, name: &str) -> Trust {
    Trust {
        ca_file: Some(certificates.authority.display().to_string()),
        server_name: Some(name.to_owned()),
        ..Trust::default()
    }
}

fn assert_passed(measured: &Measured) {
    assert_eq!((measured.outcome, &measured.detail.failure), (Outcome::Pass, &None), "{measured:?}");
}

/// Returns the sentence of a failure with the given cause.
fn assert_failed(measured: &Measured, cause: Cause) -> String {
    assert_eq!(measured.outcome, Outcome::Fail, "{measured:?}");
    let failure = measured.detail.failure.clone().unwrap();
    assert_eq!(failure.cause, cause, "{}", failure.sentence);
    failure.sentence
}

async fn ssh(port: u16, banner: Option<&str>, host_key: Option<&str>) -> Measured {
    let banner = banner.map(|text| TextTest::Contains(text.to_owned()));
    let host_key = host_key.map(str::to_owned);
    probe(CheckKind::Ssh(Box::new(SshCheck { target: local(port), banner, host_key }))).await
}

fn redis_check(port: u16, password: Option<&str>, command: &[&str], contains: Option<&str>) -> CheckKind {
    CheckKind::Redis(Box::new(RedisCheck {
        target: local(port),
        user: None,
        password: password.map(|text| Secret::Inline(text.to_owned())),
        tls: None,
        command: command.iter().map(|&word| word.to_owned()).collect(),
        test: contains.map(|text| TextTest::Contains(text.to_owned())),
    }))
}

fn postgres_check(port: u16) -> PostgresCheck {
    PostgresCheck {
        target: local(port),
        user: None,
        password: None,
        database: None,
        query: None,
        test: None,
        tls: None,
    }
}

fn logged_in(port: u16) -> PostgresCheck {
    PostgresCheck {
        user: Some(postgres::USER.to_owned()),
        password: Some(Secret::Inline(postgres::PASSWORD.to_owned())),
        ..postgres_check(port)
    }
}

fn smtp(port: u16, tls: SmtpTls, certificates: &Certificates, recipient: Option<&str>) -> CheckKind {
    let trust = if tls == SmtpTls::None { Trust::default() } else { trust(certificates, "mx.example.test") };
    let envelope = recipient.map(|to| ("probe@example.test".to_owned(), to.to_owned()));
    CheckKind::Smtp(Box::new(SmtpCheck { target: local(port), tls, trust, envelope }))
}

fn tcp(port: u16, dialogue: Vec<DialogueStep>) -> CheckKind {
    CheckKind::Tcp(Box::new(TcpCheck { target: local(port), tls: None, dialogue }))
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
