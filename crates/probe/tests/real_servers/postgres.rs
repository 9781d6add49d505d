//! PostgreSQL: taking connections, answering, full and not ready.

use crate::servers::{postgres, sshd};
use crate::{assert_failed, assert_passed, local, probe, trust};
use model::check::{CheckKind, PostgresCheck, TextTest};
use model::observation::Cause;
use model::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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
