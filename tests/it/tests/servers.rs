//! The stage itself: each server starts, answers in its own language, can be
//! turned off and on, and leaves nothing behind.

use it::chromium::{self, Scheme};
use it::servers::{Named, Nginx, Postfix, Postgres, Redis, Sshd};
use it::{http, wait};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[test]
fn nginx_serves_its_directory_and_can_be_turned_off_and_on() {
    let Some(mut nginx) = Nginx::plain() else { return };
    std::fs::write(nginx.root().join("hello.txt"), "hello").unwrap();
    assert_eq!(http::get(nginx.address(), "/hello.txt").unwrap().body, "hello");
    nginx.server().turn_off();
    assert!(!wait::accepts(nginx.address()));
    nginx.server().turn_on();
    assert_eq!(http::get(nginx.address(), "/hello.txt").unwrap().status, 200);
}

#[test]
fn nginx_with_tls_answers_a_plain_request_with_400() {
    let Some(nginx) = Nginx::tls() else { return };
    assert_eq!(http::get(nginx.address(), "/").unwrap().status, 400);
    assert!(nginx.certificate().authority.exists());
}

#[test]
fn sshd_shows_its_banner_and_its_key_is_known() {
    let Some(sshd) = Sshd::start() else { return };
    assert!(talk(sshd.address(), "", 4).starts_with("SSH-"));
    assert!(sshd.host_key().starts_with("ssh-ed25519 AAAA"));
}

#[test]
fn redis_answers_ping() {
    let Some(redis) = Redis::start() else { return };
    assert_eq!(talk(redis.address(), "PING\r\n", 7), "+PONG\r\n");
}

#[test]
fn postgres_asks_for_a_password() {
    let Some(postgres) = Postgres::start() else { return };
    // A start-up message of protocol 3.0 for the user; `R` is a request for authentication.
    let answer = talk(postgres.address(), "\0\0\0\x16\0\x03\0\0user\0watcher\0\0", 1);
    assert_eq!(answer, "R");
}

#[test]
fn named_knows_its_zone() {
    let Some(named) = Named::start() else { return };
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
    socket.send_to(b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x03www\x07example\x04test\0\0\x01\0\x01", named.address()).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    assert!(answer[..length].windows(4).any(|address| address == [192, 0, 2, 80]), "no address in the answer");
}

#[test]
fn postfix_delivers_into_the_mailbox() {
    let Some(postfix) = Postfix::start() else { return };
    let mut stream = TcpStream::connect(postfix.address()).unwrap();
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
    for (say, expected) in [
        ("", "220"),
        ("HELO test.example\r\n", "250"),
        ("MAIL FROM:<mainstay@test.example>\r\n", "250"),
        ("RCPT TO:<ops@example.test>\r\n", "250"),
        ("DATA\r\n", "354"),
        ("Subject: one\r\n\r\nIt is down.\r\n.\r\n", "250"),
        ("QUIT\r\n", "221"),
    ] {
        stream.write_all(say.as_bytes()).unwrap();
        let mut answer = [0; 512];
        let length = stream.read(&mut answer).unwrap();
        assert!(
            answer[..length].starts_with(expected.as_bytes()),
            "{say}: {}",
            String::from_utf8_lossy(&answer[..length])
        );
    }
    let mails = wait::expect("the mail in the mailbox", ANSWER_TIMEOUT, || {
        let mails = postfix.mails();
        (!mails.is_empty()).then_some(mails)
    });
    assert!(mails[0].contains("Subject: one") && mails[0].contains("It is down."), "{}", mails[0]);
}

#[test]
fn a_browser_takes_pictures_in_light_and_dark() {
    let Some(nginx) = Nginx::plain() else { return };
    let style =
        "<!doctype html><style>@media (prefers-color-scheme: dark) { body { background: #000 } }</style><p>Page</p>";
    std::fs::write(nginx.root().join("page.html"), style).unwrap();
    let url = format!("http://{}/page.html", nginx.address());
    let directory = tempfile::tempdir().unwrap();
    let (light, dark) = (directory.path().join("light.png"), directory.path().join("dark.png"));
    let Some(()) = chromium::screenshot(&url, &light, 400, 300, Scheme::Light) else { return };
    let Some(()) = chromium::screenshot(&url, &dark, 400, 300, Scheme::Dark) else { return };
    assert_ne!(std::fs::read(light).unwrap(), std::fs::read(dark).unwrap());
    assert!(chromium::document(&url).unwrap().contains("<p>Page</p>"));
}

/// Says something and returns the first bytes of the answer as text; empty if
/// there is none.
fn talk(address: SocketAddr, say: &str, length: usize) -> String {
    let converse = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.write_all(say.as_bytes())?;
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    String::from_utf8_lossy(&converse().unwrap_or_default()).into_owned()
}
