//! Servers whose TLS or certificate is wrong.

use crate::course::{PASS, assert_ended, check, get, http, prober, round};
use crate::servers::{Script, Server, ok};
use model::check::{CheckKind, HostPort, StartTls, TlsCheck, Trust};
use model::observation::{Cause, Outcome};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const DAY: Duration = Duration::from_secs(86_400);
const NAME: &str = "good.test";

/// An authority with a file that lists it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate with its key.
#[derive(Clone)]
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    pem: String,
    key_pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("it is written");
        Self { issuer, directory }
    }

    fn file(&self) -> String {
        self.directory.path().join("ca.pem").to_string_lossy().into_owned()
    }

    /// A certificate for names, valid from and until so long from now.
    fn issue(&self, names: &[&str], from: i64, until: i64) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params(names, from, until).signed_by(&key, &self.issuer).expect("a certificate");
        Identity::of(certificate.der(), certificate.pem(), &key)
    }

    fn trust(&self) -> Trust {
        Trust { ca_file: Some(self.file()), server_name: Some(NAME.to_owned()), ..Trust::default() }
    }
}

impl Identity {
    fn of(der: &CertificateDer<'static>, pem: String, key: &KeyPair) -> Self {
        Self {
            chain: vec![der.clone()],
            key: Arc::new(PrivateKeyDer::try_from(key.serialize_der()).expect("a key")),
            pem,
            key_pem: key.serialize_pem(),
        }
    }

    fn write(&self, directory: &TempDir, name: &str) -> (String, String) {
        let path = |suffix: &str| -> PathBuf { directory.path().join(format!("{name}.{suffix}")) };
        std::fs::write(path("pem"), &self.pem).expect("it is written");
        std::fs::write(path("key"), &self.key_pem).expect("it is written");
        (path("pem").to_string_lossy().into_owned(), path("key").to_string_lossy().into_owned())
    }
}

/// Seconds are from now.
fn params(names: &[&str], from: i64, until: i64) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        .expect("names that can be certified");
    params.distinguished_name.push(DnType::CommonName, names[0]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let at = |seconds: i64| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now.as_secs().saturating_add_signed(seconds))
    };
    (params.not_before, params.not_after) = (at(from), at(until));
    params
}

/// A server that shows an identity, key and all, and answers every request.
async fn serve(identity: &Identity) -> SocketAddr {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows::new(identity)));
    serve_with(config).await
}

async fn serve_with(config: ServerConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 1024];
                if matches!(stream.read(&mut request).await, Ok(1..)) {
                    let _ = stream.write_all(&ok("hello")).await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    address
}

/// Shows a certificate whether or not the key belongs to it.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl Shows {
    fn new(identity: &Identity) -> Self {
        let key = any_supported_type(&identity.key).expect("a key that can sign");
        Self(Arc::new(CertifiedKey::new(identity.chain.clone(), key)))
    }
}

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn tls(address: SocketAddr, trust: Trust) -> model::check::Check {
    let target = HostPort { host: address.ip().to_string(), port: address.port() };
    check(CheckKind::Tls(Box::new(TlsCheck { target, start_tls: None, trust })))
}

fn days(days: i64) -> i64 {
    days * DAY.as_secs() as i64
}

#[tokio::test]
async fn a_certificate_is_told_by_what_is_wrong_with_it() {
    let authority = Authority::new("Test authority");
    let stranger = Authority::new("Stranger");
    let impostor = Authority::new("Test authority");
    let other: &[&str] = &["other.test", "www.other.test"];
    let fail = |cause, sentence| (Outcome::Fail, Some(cause), sentence);
    for (name, identity, expected) in [
        ("good", authority.issue(&[NAME], days(-1), days(60)), PASS),
        (
            "expired",
            authority.issue(&[NAME], days(-60), days(-3) - 60),
            fail(Cause::CertificateExpired, "certificate of good.test expired 3 days ago, on 20*-*-* *:* UTC"),
        ),
        (
            "not yet valid",
            authority.issue(&[NAME], days(2), days(60)),
            fail(Cause::CertificateExpired, "certificate of good.test is not valid before 20*-*-* *:* UTC"),
        ),
        (
            "another name",
            authority.issue(other, days(-1), days(60)),
            fail(Cause::CertificateName, "certificate is not for good.test, but for other.test, www.other.test"),
        ),
        (
            "an authority nobody knows",
            stranger.issue(&[NAME], days(-1), days(60)),
            fail(
                Cause::CertificateUntrusted,
                "certificate of good.test leads to no authority we trust (its issuer is \"*CN=Stranger*\")",
            ),
        ),
        (
            "somebody who calls himself an authority we know",
            impostor.issue(&[NAME], days(-1), days(60)),
            fail(Cause::CertificateUntrusted, "certificate of good.test is not signed by the authority it names"),
        ),
        (
            "expires soon",
            authority.issue(&[NAME], days(-60), days(5) + 3600),
            (
                Outcome::Degraded,
                Some(Cause::CertificateExpiring),
                "certificate of good.test expires in 5 days, on 20*-*-* *:* UTC (limit: 14 days)",
            ),
        ),
    ] {
        let address = serve(&identity).await;
        let measured = round(&prober(), &tls(address, authority.trust())).await;
        assert_ended(name, &measured, address, expected);
        let shown = measured.detail.evidence.certificate.as_ref().expect("the certificate is shown");
        let expected_names: &[&str] = if name == "another name" { other } else { &[NAME] };
        assert_eq!(shown.names, expected_names, "{name}");
        assert_eq!(shown.fingerprint.len(), 64);
        let issuer = if name.contains("nobody") { "CN=Stranger" } else { "CN=Test authority" };
        assert!(shown.issuer.contains(issuer), "{}", shown.issuer);
        assert!(measured.detail.phases.tls_us.is_some(), "{name}");
    }
}

#[tokio::test]
async fn a_certificate_that_signed_itself_is_trusted_only_when_it_is_listed() {
    let key = KeyPair::generate().expect("a key");
    let mut params = params(&[NAME], days(-1), days(60));
    // What `openssl req -x509` makes: an authority that is used as a server.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a certificate");
    let identity = Identity::of(certificate.der(), certificate.pem(), &key);
    let address = serve(&identity).await;

    let stranger = Authority::new("Stranger");
    let measured = round(&prober(), &tls(address, stranger.trust())).await;
    assert_eq!(measured.detail.failure.map(|failure| failure.cause), Some(Cause::CertificateUntrusted));

    let (file, _) = identity.write(&stranger.directory, "self");
    let listed = Trust { ca_file: Some(file), ..stranger.trust() };
    assert_ended("listed", &round(&prober(), &tls(address, listed.clone())).await, address, PASS);
    let elsewhere = Trust { server_name: Some("other.test".into()), ..listed };
    let measured = round(&prober(), &tls(address, elsewhere)).await;
    assert_eq!(measured.detail.failure.map(|failure| failure.cause), Some(Cause::CertificateName));
}

#[tokio::test]
async fn without_verification_only_the_expiry_is_judged() {
    let stranger = Authority::new("Stranger");
    let blind = Trust { verify: false, ..Trust::default() };
    let unlimited = Trust { days_left: 0, ..blind.clone() };
    let fresh = serve(&stranger.issue(&["other.test"], days(-1), days(60))).await;
    let expired = serve(&stranger.issue(&["other.test"], days(-9), days(-1))).await;
    assert_ended("fresh", &round(&prober(), &tls(fresh, blind.clone())).await, fresh, PASS);
    let measured = round(&prober(), &tls(expired, blind)).await;
    let sentence = "certificate of 127.0.0.1 expired 24 hours ago, on *";
    assert_ended("expired", &measured, expired, (Outcome::Fail, Some(Cause::CertificateExpired), sentence));
    assert!(measured.detail.evidence.certificate.is_some());
    assert_ended("unlimited", &round(&prober(), &tls(expired, unlimited)).await, expired, PASS);
}

#[tokio::test]
async fn a_remembered_chain_still_needs_its_key_and_its_name() {
    let authority = Authority::new("Test authority");
    let prober = prober();
    let good = authority.issue(&[NAME], days(-1), days(60));
    let address = serve(&good).await;
    for _ in 0..3 {
        assert_ended("good", &round(&prober, &tls(address, authority.trust())).await, address, PASS);
    }
    // The certificate is public; whoever shows it without its key is somebody else.
    let thief = Identity { key: authority.issue(&[NAME], days(-1), days(60)).key, ..good.clone() };
    let stolen = serve(&thief).await;
    let measured = round(&prober, &tls(stolen, authority.trust())).await;
    assert_eq!(measured.outcome, Outcome::Fail, "{:?}", measured.detail.failure);

    let elsewhere = Trust { server_name: Some("other.test".into()), ..authority.trust() };
    let measured = round(&prober, &tls(address, elsewhere)).await;
    assert_eq!(measured.detail.failure.map(|failure| failure.cause), Some(Cause::CertificateName));

    let stranger = Authority::new("Stranger");
    let distrustful = Trust { ca_file: Some(stranger.file()), ..authority.trust() };
    let measured = round(&prober, &tls(address, distrustful)).await;
    assert_eq!(measured.detail.failure.map(|failure| failure.cause), Some(Cause::CertificateUntrusted));
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_told_apart() {
    let trust = || Trust { verify: false, ..Trust::default() };
    let plain = Server::start(Script::Slam).await;
    let greeting = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let greeter = greeting.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = greeting.accept().await {
            let _ = stream.write_all(b"220 mail.example ESMTP ready for you\r\n").await;
            let _ = stream.read(&mut [0; 512]).await;
        }
    });
    let measured = round(&prober(), &tls(greeter, trust())).await;
    let sentence = "ADDRESS does not speak TLS: its answer is something else";
    assert_ended("greeting", &measured, greeter, (Outcome::Fail, Some(Cause::Tls), sentence));

    let measured = round(&prober(), &tls(plain.address, trust())).await;
    let cause = measured.detail.failure.map(|failure| failure.cause);
    assert!(matches!(cause, Some(Cause::ClosedEarly | Cause::Reset)), "{cause:?}");

    let silent = Server::start(Script::Hold(Vec::new())).await;
    let mut check = tls(silent.address, trust());
    check.timeout = Duration::from_millis(300);
    let sentence = "connected to ADDRESS, but the TLS handshake did not end within 300 ms";
    let measured = round(&prober(), &check).await;
    assert_ended("silent", &measured, silent.address, (Outcome::Fail, Some(Cause::Timeout), sentence));
}

#[tokio::test]
async fn a_page_over_tls_passes_and_shows_its_phases() {
    let authority = Authority::new("Test authority");
    let address = serve(&authority.issue(&[NAME, "127.0.0.1"], days(-1), days(60))).await;
    let mut request = get(format!("https://{address}/"));
    request.trust = Trust { ca_file: Some(authority.file()), ..Trust::default() };
    request.expect.body.push(model::check::TextTest::Contains("hello".into()));
    let measured = round(&prober(), &http(request)).await;
    assert_ended("page", &measured, address, PASS);
    let phases = measured.detail.phases;
    assert!(phases.connect_us.is_some() && phases.tls_us.is_some() && phases.first_byte_us.is_some());
    assert_eq!(
        measured.detail.evidence.certificate.map(|shown| shown.names),
        Some(vec![NAME.into(), "127.0.0.1".into()])
    );
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_gets_it() {
    let authority = Authority::new("Test authority");
    let identity = authority.issue(&["127.0.0.1"], days(-1), days(60));
    let client = authority.issue(&["client.test"], days(-1), days(60)).write(&authority.directory, "client");
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).expect("an authority");
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_cert_resolver(Arc::new(Shows::new(&identity)));
    let address = serve_with(config).await;
    let mut request = get(format!("https://{address}/"));
    request.trust = Trust { ca_file: Some(authority.file()), ..Trust::default() };
    let measured = round(&prober(), &http(request.clone())).await;
    let sentence = "ADDRESS asks for a client certificate";
    assert_ended("without", &measured, address, (Outcome::Fail, Some(Cause::Tls), sentence));
    request.trust.client_certificate = Some(Box::new(client));
    assert_ended("with", &round(&prober(), &http(request)).await, address, PASS);
}

#[tokio::test]
async fn a_tunnel_through_a_proxy_carries_tls() {
    let authority = Authority::new("Test authority");
    let server = serve(&authority.issue(&[NAME], days(-1), days(60))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let proxy = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = vec![0; 1024];
            let read = client.read(&mut request).await.unwrap_or(0);
            assert!(request[..read].starts_with(b"CONNECT good.test:443 HTTP/1.1\r\nHost: good.test:443\r\n"));
            let mut server = tokio::net::TcpStream::connect(server).await.expect("the server is there");
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.expect("the client waits");
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    });
    let mut request = get(format!("https://{NAME}/"));
    request.trust = Trust { ca_file: Some(authority.file()), ..Trust::default() };
    request.proxy = Some(format!("http://{proxy}"));
    assert_ended("tunnel", &round(&prober(), &http(request)).await, proxy, PASS);
}

#[tokio::test]
async fn tls_starts_in_the_words_of_the_protocol() {
    let authority = Authority::new("Test authority");
    let identity = authority.issue(&[NAME], days(-1), days(60));
    for (protocol, script) in [
        (
            StartTls::Smtp,
            vec![
                ("", "220-mail\r\n220 ready\r\n"),
                ("EHLO", "250-mail\r\n250 starttls\r\n"),
                ("STARTTLS", "220 go\r\n"),
            ],
        ),
        (StartTls::Imap, vec![("", "* OK ready\r\n"), ("a1 STARTTLS", "* CAPABILITY IMAP4\r\na1 OK go\r\n")]),
        (StartTls::Pop3, vec![("", "+OK ready\r\n"), ("STLS", "+OK go\r\n")]),
    ] {
        let address = converse(script, Some(&identity)).await;
        let mut check = tls(address, authority.trust());
        if let CheckKind::Tls(kind) = &mut check.kind {
            kind.start_tls = Some(protocol);
        }
        assert_ended(&format!("{protocol:?}"), &round(&prober(), &check).await, address, PASS);
    }
}

#[tokio::test]
async fn a_server_that_will_not_start_tls_is_told_by_its_words() {
    let authority = Authority::new("Test authority");
    for (protocol, script, cause, sentence) in [
        (
            StartTls::Smtp,
            vec![("", "554 no\r\n")],
            Cause::Answer,
            "ADDRESS cannot start TLS: its greeting is \"554 no\"",
        ),
        (
            StartTls::Smtp,
            vec![("", "220 a\r\n"), ("EHLO", "250 a\r\n")],
            Cause::Answer,
            "ADDRESS does not offer STARTTLS",
        ),
        (
            StartTls::Smtp,
            vec![("", "220 a\r\n"), ("EHLO", "250 STARTTLS\r\n"), ("STARTTLS", "220 go\r\n250 injected\r\n")],
            Cause::Protocol,
            "ADDRESS said more than TLS may begin with after agreeing to start it",
        ),
        (
            StartTls::Imap,
            vec![("", "* BYE busy\r\n")],
            Cause::Answer,
            "ADDRESS cannot start TLS: its greeting is \"* BYE busy\"",
        ),
        (
            StartTls::Pop3,
            vec![("", "+OK\r\n"), ("STLS", "-ERR no\r\n")],
            Cause::Answer,
            "ADDRESS cannot start TLS: its answer to STLS is \"-ERR no\"",
        ),
    ] {
        let address = converse(script, None).await;
        let mut check = tls(address, authority.trust());
        if let CheckKind::Tls(kind) = &mut check.kind {
            kind.start_tls = Some(protocol);
        }
        assert_ended(sentence, &round(&prober(), &check).await, address, (Outcome::Fail, Some(cause), sentence));
    }
}

/// A server that answers lines that begin as given, and then may speak TLS.
async fn converse(script: Vec<(&'static str, &'static str)>, identity: Option<&Identity>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let config = identity.map(|identity| {
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Shows::new(identity)))
    });
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("somebody comes");
        for (wanted, answer) in script {
            let mut line = [0; 512];
            let read = if wanted.is_empty() { 0 } else { stream.read(&mut line).await.unwrap_or(0) };
            assert!(line[..read].starts_with(wanted.as_bytes()), "{}", String::from_utf8_lossy(&line[..read]));
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        if let Some(config) = config {
            let accepted = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
            if let Ok(mut stream) = accepted {
                let _ = stream.read(&mut [0; 16]).await;
            }
        } else {
            let _ = stream.read(&mut [0; 16]).await;
        }
    });
    address
}
