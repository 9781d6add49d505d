//! Servers that misbehave on purpose, against every kind that talks over TCP
//! and against DNS: each must end in time, within its limits, with a sentence.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

use model::check::{
    Check, CheckKind, DialogueStep, DnsCheck, Family, HostPort, LatencyLimits, PostgresCheck, RecordType, RedisCheck,
    SmtpCheck, SmtpTls, SshCheck, TcpCheck, Trust,
};
use model::id::{CheckId, LocationId};
use model::limits::EXCERPT_BYTES_MAX;
use model::observation::{Cause, Outcome};
use model::secret::Secret;
use probe::{Measured, Prober, ProberOptions};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

const TIMEOUT: Duration = Duration::from_millis(800);

/// What a server does with a connection.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Accepts and says nothing.
    Mute,
    /// Closes at once.
    Closes,
    /// Resets once it has heard something.
    Resets,
    /// Sends one line without an end.
    EndlessLine,
    /// Sends lines without an end.
    EndlessLines,
    /// Sends bytes of no protocol.
    Noise,
    /// Sends a good beginning one byte at a time, far too slowly.
    Trickle,
}

#[tokio::test]
async fn every_kind_survives_every_manner_with_a_failure_and_a_sentence() {
    for manner in [
        Manner::Mute,
        Manner::Closes,
        Manner::Resets,
        Manner::EndlessLine,
        Manner::EndlessLines,
        Manner::Noise,
        Manner::Trickle,
    ] {
        let (port, server) = serve(manner).await;
        for kind in kinds(port) {
            let name = kind.name();
            let measured = probe(kind).await;
            assert_eq!(measured.outcome, Outcome::Fail, "{name} {manner:?}: {measured:?}");
            let failure = measured.detail.failure.as_ref().expect("it failed");
            assert!(!failure.sentence.is_empty() && !failure.sentence.contains('\n'), "{name} {manner:?}");
            assert!(measured.latency_us < 3_000_000, "{name} {manner:?} took {} us", measured.latency_us);
            assert!(measured.detail.evidence.excerpt.as_ref().is_none_or(|text| text.len() <= EXCERPT_BYTES_MAX));
        }
        server.abort();
    }
}

#[tokio::test]
async fn silence_is_told_apart_from_a_closed_connection() {
    let (port, server) = serve(Manner::Mute).await;
    for (kind, sentence) in kinds(port).into_iter().zip([
        "but no greeting within 800 ms",
        "but no SSH banner within 800 ms",
        "but no answer within 800 ms",
        "but no answer within 800 ms",
        "but no end of the login within 800 ms",
        "but no line that matches the expected one within 800 ms",
    ]) {
        let failure = probe(kind).await.detail.failure.unwrap();
        assert_eq!(failure.cause, Cause::Timeout);
        assert!(failure.sentence.ends_with(sentence), "{}", failure.sentence);
    }
    server.abort();
    let (port, server) = serve(Manner::Closes).await;
    for kind in kinds(port) {
        let name = kind.name();
        let failure = probe(kind).await.detail.failure.unwrap();
        assert!(matches!(failure.cause, Cause::ClosedEarly | Cause::Reset), "{name}: {failure:?}");
    }
    server.abort();
}

#[tokio::test]
async fn a_name_server_that_says_nothing_or_the_wrong_thing_is_not_believed() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let failure = probe(dns(silent.local_addr().unwrap().port())).await.detail.failure.unwrap();
    assert_eq!(failure.cause, Cause::Timeout);
    assert_eq!(failure.sentence, "127.0.0.1 did not answer within 800 ms");

    // Answers to another question and with another id, again and again.
    let forger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = forger.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let mut space = [0u8; 512];
        while let Ok((length, from)) = forger.recv_from(&mut space).await {
            let mut answer = space[..length].to_vec();
            answer[2] |= 0x80;
            answer[0] ^= 0xff;
            let _ = forger.send_to(&answer, from).await;
            answer[0] ^= 0xff;
            answer[14] ^= 0x01;
            let _ = forger.send_to(&answer, from).await;
        }
    });
    let failure = probe(dns(port)).await.detail.failure.unwrap();
    assert_eq!(failure.cause, Cause::Timeout, "{}", failure.sentence);
    server.abort();
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_says_so() {
    let broken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = broken.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let mut space = [0u8; 512];
        while let Ok((length, from)) = broken.recv_from(&mut space).await {
            let mut answer = space[..length].to_vec();
            answer[2] |= 0x80;
            // It says that nine records follow, and none does.
            answer[7] = 9;
            let _ = broken.send_to(&answer, from).await;
        }
    });
    let failure = probe(dns(port)).await.detail.failure.unwrap();
    assert_eq!(
        (failure.cause, failure.sentence.as_str()),
        (Cause::Protocol, "127.0.0.1 sent an answer that cannot be read")
    );
    server.abort();
}

async fn serve(manner: Manner) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.spawn(misbehave(stream, manner));
        }
    });
    (port, task)
}

async fn misbehave(mut stream: TcpStream, manner: Manner) {
    match manner {
        Manner::Mute => std::future::pending().await,
        Manner::Closes => {}
        Manner::Resets => {
            let _ = stream.read_u8().await;
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        Manner::EndlessLine => while stream.write_all(&[b'x'; 4096]).await.is_ok() {},
        Manner::EndlessLines => while stream.write_all(&b"220-again\r\n".repeat(300)).await.is_ok() {},
        Manner::Noise => {
            let noise: Vec<u8> = (0..5000u32).map(|i| (i * 167 % 251) as u8).collect();
            let _ = stream.write_all(&noise).await;
            let _ = stream.read_u8().await;
        }
        Manner::Trickle => {
            for byte in b"220 mail\r\n250 yes\r\n".iter().cycle() {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn probe(kind: CheckKind) -> Measured {
    let prober = Prober::new(ProberOptions::default()).unwrap();
    let check = Check {
        id: CheckId::new("test").unwrap(),
        kind,
        every: Duration::from_secs(60),
        timeout: TIMEOUT,
        retry: Duration::from_secs(5),
        down_after: 2,
        up_after: 2,
        from: vec![LocationId::new("here").unwrap()],
        family: Family::Any,
        latency: LatencyLimits::default(),
    };
    let prepared = prober.prepare(&check).unwrap();
    prober.probe(&prepared).await
}

fn kinds(port: u16) -> Vec<CheckKind> {
    let target = || HostPort { host: "127.0.0.1".to_owned(), port };
    let postgres = PostgresCheck {
        target: target(),
        user: None,
        password: None,
        database: None,
        query: None,
        test: None,
        tls: None,
    };
    let logged_in = PostgresCheck {
        user: Some("user".to_owned()),
        password: Some(Secret::Inline("password".to_owned())),
        ..postgres.clone()
    };
    let host_key = Some("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".to_owned());
    let command = vec!["DBSIZE".to_owned()];
    vec![
        CheckKind::Smtp(Box::new(SmtpCheck {
            target: target(),
            tls: SmtpTls::Opportunistic,
            trust: Trust::default(),
            envelope: None,
        })),
        CheckKind::Ssh(Box::new(SshCheck { target: target(), banner: None, host_key })),
        CheckKind::Redis(Box::new(RedisCheck {
            target: target(),
            user: None,
            password: None,
            tls: None,
            command,
            test: None,
        })),
        CheckKind::Postgres(Box::new(postgres)),
        CheckKind::Postgres(Box::new(logged_in)),
        CheckKind::Tcp(Box::new(TcpCheck {
            target: target(),
            tls: None,
            dialogue: vec![DialogueStep::Send("hello\r\n".to_owned()), DialogueStep::Expect("^never$".to_owned())],
        })),
    ]
}

fn dns(port: u16) -> CheckKind {
    CheckKind::Dns(Box::new(DnsCheck {
        name: "www.example.test".to_owned(),
        record_type: RecordType::A,
        server: Some(HostPort { host: "127.0.0.1".to_owned(), port }),
        response_code: "NOERROR".to_owned(),
        answers: Vec::new(),
        tests: Vec::new(),
    }))
}
