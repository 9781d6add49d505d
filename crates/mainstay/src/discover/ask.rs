//! Asks one listener what it speaks.

use super::Listener;
use config::FoundKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection on this machine may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long a protocol whose server speaks first is waited for.
const GREETING_WITHIN: Duration = Duration::from_millis(600);
/// How long an answer to a question is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The start of a PostgreSQL connection: "do you speak TLS?" (protocol 3.0, SSLRequest).
const POSTGRES_TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// A DNS query over TCP for the root's name servers, without recursion.
const DNS_QUERY: [u8; 19] = [0, 17, 0x4d, 0x53, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
/// The start of a TLS handshake as short as servers understand: a ClientHello
/// of TLS 1.2 that offers two common suites. Any TLS record as answer will do.
const TLS_HELLO: [u8; 52] = [
    0x16, 0x03, 0x01, 0x00, 0x2f, 0x01, 0x00, 0x00, 0x2b, 0x03, 0x03, 0x4d, 0x61, 0x69, 0x6e, 0x73, 0x74, 0x61, 0x79,
    0x20, 0x6c, 0x6f, 0x6f, 0x6b, 0x73, 0x20, 0x61, 0x74, 0x20, 0x77, 0x68, 0x61, 0x74, 0x20, 0x69, 0x73, 0x20, 0x68,
    0x65, 0x72, 0x65, 0x20, 0x2e, 0x00, 0x00, 0x04, 0xc0, 0x2f, 0x00, 0x9c, 0x01, 0x00,
];

/// What a listener speaks; `None` if it does not even take a connection.
pub(super) async fn ask(listener: &Listener) -> Option<FoundKind> {
    let address = SocketAddr::new(listener.address, listener.port);
    let greeting = greeting(address).await?;
    if let Some(kind) = by_greeting(&greeting) {
        return Some(kind);
    }
    let process = listener.process.as_deref().unwrap_or_default();
    // What the name or the port suggests is asked first, so that most servers
    // are only ever spoken to in their own language.
    if (process.contains("postgres") || listener.port == 5432) && speaks_postgres(address).await {
        return Some(FoundKind::Postgres);
    }
    if (process.contains("redis") || process.contains("valkey") || listener.port == 6379) && speaks_redis(address).await
    {
        return Some(FoundKind::Redis);
    }
    if listener.port == 53 && speaks_dns(address).await {
        return Some(FoundKind::Dns);
    }
    if speaks_tls(address).await {
        let is_web = matches!(listener.port, 443 | 8443 | 9443)
            || ["nginx", "apache", "caddy", "haproxy", "httpd"].iter().any(|web| process.contains(web));
        return Some(if is_web { FoundKind::Http { tls: true, verify: false } } else { FoundKind::Tls });
    }
    if speaks_http(address).await {
        return Some(FoundKind::Http { tls: false, verify: true });
    }
    Some(FoundKind::Tcp)
}

fn by_greeting(greeting: &[u8]) -> Option<FoundKind> {
    let text = String::from_utf8_lossy(greeting);
    let line = text.lines().next().unwrap_or_default();
    if line.starts_with("SSH-") {
        Some(FoundKind::Ssh { banner: line.trim().to_owned() })
    } else if line.starts_with("220") && line.to_ascii_uppercase().contains("SMTP") {
        Some(FoundKind::Smtp)
    } else if line.starts_with("* OK") {
        Some(FoundKind::Imap)
    } else if line.starts_with("+OK") {
        Some(FoundKind::Pop3)
    } else if line.is_empty() {
        None
    } else {
        Some(FoundKind::Tcp)
    }
}

async fn connect(address: SocketAddr) -> Option<TcpStream> {
    timeout(CONNECT_WITHIN, TcpStream::connect(address)).await.ok()?.ok()
}

async fn greeting(address: SocketAddr) -> Option<Vec<u8>> {
    let mut stream = connect(address).await?;
    Some(read(&mut stream, GREETING_WITHIN).await)
}

async fn read(stream: &mut TcpStream, within: Duration) -> Vec<u8> {
    let mut buffer = [0u8; 512];
    match timeout(within, stream.read(&mut buffer)).await {
        Ok(Ok(count)) => buffer[..count].to_vec(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

async fn say(address: SocketAddr, words: &[u8]) -> Vec<u8> {
    let Some(mut stream) = connect(address).await else {
        return Vec::new();
    };
    if stream.write_all(words).await.is_err() {
        return Vec::new();
    }
    read(&mut stream, ANSWER_WITHIN).await
}

async fn speaks_postgres(address: SocketAddr) -> bool {
    matches!(say(address, &POSTGRES_TLS_REQUEST).await.first(), Some(b'S' | b'N'))
}

async fn speaks_redis(address: SocketAddr) -> bool {
    let answer = say(address, b"PING\r\n").await;
    answer.starts_with(b"+PONG") || answer.starts_with(b"-NOAUTH") || answer.starts_with(b"-DENIED")
}

async fn speaks_dns(address: SocketAddr) -> bool {
    let answer = say(address, &DNS_QUERY).await;
    answer.get(2..4) == Some(&DNS_QUERY[2..4])
}

async fn speaks_tls(address: SocketAddr) -> bool {
    // A TLS record: handshake (22) or alert (21), version 3.x.
    matches!(say(address, &TLS_HELLO).await.as_slice(), [21 | 22, 3, ..])
}

async fn speaks_http(address: SocketAddr) -> bool {
    let request = format!("HEAD / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nUser-Agent: Mainstay\r\n\r\n");
    say(address, request.as_bytes()).await.starts_with(b"HTTP/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_speak_first_are_known_by_their_greeting() {
        let of = |text: &str| by_greeting(text.as_bytes()).map(|kind| format!("{kind:?}"));
        assert!(of("SSH-2.0-OpenSSH_9.2p1\r\n").is_some_and(|kind| kind.starts_with("Ssh")));
        assert_eq!(of("220 mx.example.org ESMTP Postfix\r\n").as_deref(), Some("Smtp"));
        assert_eq!(of("* OK IMAP4rev1 ready\r\n").as_deref(), Some("Imap"));
        assert_eq!(of("+OK ready\r\n").as_deref(), Some("Pop3"));
        assert_eq!(of("220 FTP server\r\n").as_deref(), Some("Tcp"));
        assert_eq!(of(""), None);
    }

    #[test]
    fn the_hello_is_as_long_as_it_says() {
        let record = u16::from_be_bytes([TLS_HELLO[3], TLS_HELLO[4]]) as usize;
        assert_eq!(record, TLS_HELLO.len() - 5);
        let message = u32::from_be_bytes([0, TLS_HELLO[6], TLS_HELLO[7], TLS_HELLO[8]]) as usize;
        assert_eq!(message, TLS_HELLO.len() - 9);
    }
}
