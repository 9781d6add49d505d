//! What others see who come to the port of a node, and what they cannot do.

use super::{ECHO, Home, PATIENCE, Town, until};
use crate::net::limits::{INTRODUCTION_TIME_MAX, STRANGER_BYTES_MAX, UNKNOWN_MAX};
use crate::net::verify::TicketVerifier;
use crate::net::{JOIN, frame, tls};
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use rustls_pki_types::ServerName;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_gets_at_most_an_alert() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    for garbage in [http, vec![0; 100], vec![0xff; 5_000], b"\x16\x03\x01\xff\xff".to_vec(), b"SSH-2.0-x\r\n".to_vec()]
    {
        let mut stream = TcpStream::connect(one.at).await.unwrap();
        // The node may have closed before all of it was written.
        let _ = stream.write_all(&garbage).await;
        let _ = stream.shutdown().await;
        let seen = everything(&mut stream).await;
        // One TLS record with one alert in it (RFC 8446, sections 5.1 and 6).
        assert!(seen.is_empty() || (seen.len() == 7 && seen[0] == 21), "{seen:?}");
    }
    still_serves(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_certificate_only_a_join_is_answered() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    for kind in [0, 2, 3, 100, JOIN | 0x8000, JOIN | 0x4000, u16::MAX] {
        let mut stream = enter(&town, &one).await;
        frame::write(&mut stream, 0, kind, b"hello").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(everything(&mut stream).await, b"", "kind {kind}");
    }
    assert_eq!(one.door.begun.load(Ordering::SeqCst), 0);
    still_serves(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_has_one_request() {
    let town = Town::new();
    let one = town.node(1);
    let mut stream = enter(&town, &one).await;
    for _ in 0..2 {
        frame::write(&mut stream, 5, JOIN, b"me").await.unwrap();
    }
    stream.flush().await.unwrap();
    let mut expected = Vec::new();
    frame::write(&mut expected, 5, 0, b"welcome me").await.unwrap();
    assert_eq!(everything(&mut stream).await, expected);
    assert_eq!(one.door.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_claims_to_be_large_is_not_read() {
    let town = Town::new();
    let one = town.node(1);
    for length in [u32::try_from(STRANGER_BYTES_MAX).unwrap() + 1, u32::MAX] {
        let mut stream = enter(&town, &one).await;
        let mut head = Vec::new();
        frame::write(&mut head, 0, JOIN, b"").await.unwrap();
        head[..4].copy_from_slice(&length.to_le_bytes());
        stream.write_all(&head).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(everything(&mut stream).await, b"");
    }
    assert_eq!(one.door.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_protocols_and_versions_of_tls_are_turned_away() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let ours = config(&town);
    let mut silent = ours.clone();
    silent.alpn_protocols = vec![];
    let mut stream = handshake(&one, silent).await.unwrap();
    let _ = stream.write_all(b"anything").await;
    assert_eq!(everything(&mut stream).await, b"");

    let mut web = ours;
    web.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let error = handshake(&one, web).await.unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");

    let old = ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TicketVerifier(town.fingerprint())))
        .with_no_client_auth();
    let error = handshake(&one, old).await.unwrap_err().to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
    still_serves(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_sees_a_number_and_nothing_else() {
    let town = Town::new();
    let one = town.node(4_711);
    let asked = Arc::new(Asked::default());
    let mut config = config(&town);
    config.client_auth_cert_resolver = Arc::clone(&asked) as Arc<dyn ResolvesClientCert>;
    let stream = handshake(&one, config).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap();
    assert_eq!(shown.len(), 2);
    let (_, leaf) = x509_parser::parse_x509_certificate(&shown[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(format!("{:?}", names.value.general_names), r#"[DNSName("4711.node.internal")]"#);
    // The request for a certificate does not name whom we trust.
    assert_eq!((asked.times.load(Ordering::SeqCst), asked.names.load(Ordering::SeqCst)), (1, 0));
    let everything_shown: Vec<u8> = shown.iter().flat_map(|der| der.to_vec()).collect();
    let cluster = town.cluster.to_string();
    for secret in [cluster.as_bytes(), b"127.0.0.1", b"localhost", b"Mainstay"] {
        assert!(!everything_shown.windows(secret.len()).any(|window| window == secret));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dawdles_is_turned_away() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let before = Instant::now();
    let mut mute = TcpStream::connect(one.at).await.unwrap();
    let mut began = TcpStream::connect(one.at).await.unwrap();
    began.write_all(b"\x16\x03\x01\x02\x00").await.unwrap();
    let mut asks_nothing = enter(&town, &one).await;
    let drips = tokio::spawn(drip(enter(&town, &one).await));
    still_serves(&one, &two).await;
    assert_eq!(everything(&mut mute).await, b"");
    everything(&mut began).await;
    assert_eq!(everything(&mut asks_nothing).await, b"");
    drips.await.unwrap();
    let took = before.elapsed();
    assert!(took >= INTRODUCTION_TIME_MAX - Duration::from_millis(100), "{took:?}");
    assert!(took < INTRODUCTION_TIME_MAX + Duration::from_secs(3), "{took:?}");
    assert_eq!(one.door.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_at_the_door_does_not_keep_a_member_out() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let mut crowd = Vec::new();
    for _ in 0..3 * UNKNOWN_MAX {
        crowd.push(TcpStream::connect(one.at).await.unwrap());
    }
    let before = Instant::now();
    still_serves(&one, &two).await;
    assert!(before.elapsed() < INTRODUCTION_TIME_MAX, "{:?}", before.elapsed());
    // Those who had stood longest had to go.
    assert_eq!(everything(&mut crowd[0]).await, b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_claims_too_much_loses_its_connection() {
    let town = Town::new();
    let (one, two) = (town.node(1), town.node(2));
    let key = town.certify(&two.key, 2);
    let config = (*tls::dialer(&key, town.trust.subscribe())).clone();
    let stream = TcpStream::connect(one.at).await.unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(tls::server_name(1), stream).await.unwrap();
    // A greeting as large as a request may be is too large for a greeting.
    let mut head = Vec::new();
    frame::write(&mut head, u64::MAX, 0, b"").await.unwrap();
    head[..4].copy_from_slice(&(8_u32 << 20).to_le_bytes());
    stream.write_all(&head).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(everything(&mut stream).await, b"");
    assert!(one.door.admitted.lock().unwrap().is_empty());
    still_serves(&one, &two).await;
}

/// Sends a byte every now and then.
async fn drip(mut stream: TlsStream<TcpStream>) {
    let mut frame = Vec::new();
    frame::write(&mut frame, 0, JOIN, &[0; 1_000]).await.unwrap();
    for byte in frame {
        let sent = async {
            stream.write_all(&[byte]).await?;
            stream.flush().await
        };
        if sent.await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it was never turned away");
}

/// Notes what a node asks of its client.
#[derive(Debug, Default)]
struct Asked {
    times: AtomicUsize,
    names: AtomicUsize,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, names: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.times.fetch_add(1, Ordering::SeqCst);
        self.names.fetch_add(names.len(), Ordering::SeqCst);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn config(town: &Town) -> ClientConfig {
    (*tls::stranger(Arc::new(TicketVerifier(town.fingerprint())))).clone()
}

async fn handshake(to: &Home, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to.at).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::IpAddress(to.at.ip().into()), stream).await
}

async fn enter(town: &Town, to: &Home) -> TlsStream<TcpStream> {
    handshake(to, config(town)).await.unwrap()
}

/// Reads until the other side closes; how it does is its matter.
async fn everything(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut seen = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut seen)).await.expect("it closes");
    seen
}

async fn still_serves(one: &Home, two: &Home) {
    two.call(one, ECHO, b"").await.unwrap();
    until("the hall is empty of members", || one.door.admitted.lock().unwrap().len() == 1).await;
}
