//! The SMTP dialogue (RFC 5321) that hands one mail over.
//!
//! Addresses, headers and MIME are lettre's; the dialogue is ours, because
//! lettre's client (0.11) does three things that this room must not: it keeps
//! what a server sent behind its answer to STARTTLS and reads it as if it had
//! come under TLS, so that whoever sits between can forge "queued"; it reads a
//! line without a bound; and it waits for the answer to QUIT before it says
//! that a mail was taken, so that a mail is sent twice if that one hangs.
//!
//! **Each answer names the step it belongs to and repeats the server's words.**
//! A 4xx reply may pass, a 5xx reply is final. What a server merely does not
//! offer (TLS, a login) may pass: servers do that while they are reconfigured.

use super::content::Mail;
use super::trust::Trust;
use crate::answer::{Setback, root_cause};
use crate::http::CONNECT_TIME_LIMIT;
use crate::text::single_line;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::limits::{DIALOGUE_LINES_MAX, LINE_BYTES_MAX};
use model::receiver::{MailServer, MailTls};
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// Time for a polite end, which changes no answer.
const QUIT_TIME_LIMIT: Duration = Duration::from_millis(500);

type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// User name and password.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

impl Login {
    /// The response of SASL PLAIN (RFC 4616).
    pub(super) fn plain(&self) -> String {
        STANDARD.encode(format!("\0{}\0{}", self.user, self.password))
    }
}

/// A connection to a mail server that has been greeted.
pub(super) struct Dialogue {
    stream: BufReader<Stream>,
    /// For people: host and port.
    server: String,
    /// How we name ourselves.
    own_name: String,
    /// What the server offers, a line each, in capitals.
    offers: Vec<String>,
    deadline: Instant,
}

/// A step of the dialogue. Its verb is what answers name: the rest of the line
/// may be a password.
struct Step {
    verb: &'static str,
    /// First digit of the reply that lets the dialogue go on.
    wanted: u16,
    /// What another one means.
    refusal: &'static str,
}

const EHLO: Step = Step { verb: "EHLO", wanted: 2, refusal: "does not speak ESMTP" };
const STARTTLS: Step = Step { verb: "STARTTLS", wanted: 2, refusal: "does not start TLS" };
const AUTH: Step = Step { verb: "AUTH", wanted: 2, refusal: "does not accept the login; check user name and password" };
const AUTH_CONTINUED: Step = Step { verb: "AUTH", wanted: 3, refusal: "does not accept a login by LOGIN" };
const MAIL: Step = Step { verb: "MAIL FROM", wanted: 2, refusal: "does not accept the sender" };
const RCPT: Step = Step { verb: "RCPT TO", wanted: 2, refusal: "does not accept the recipient" };
const DATA: Step = Step { verb: "DATA", wanted: 3, refusal: "does not accept the mail" };

/// A complete reply.
struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Reply {
    fn text(&self) -> String {
        format!("{} {}", self.code, single_line(&self.lines.join(" ")))
    }
}

impl Dialogue {
    /// Connects, reads the greeting and turns TLS on as configured.
    pub(super) async fn open(server: &MailServer, trust: &Trust, deadline: Instant) -> Result<Self, Setback> {
        let name = format!("{}:{}", server.host, server.port);
        let connection = connect(server, &name, deadline).await?;
        let own_name = own_name(&connection);
        let stream = match server.tls {
            MailTls::Implicit => Either::Right(start_tls(connection, server, trust, &name, deadline).await?),
            MailTls::StartTls | MailTls::None => Either::Left(connection),
        };
        let mut dialogue =
            Self { stream: BufReader::new(stream), server: name, own_name, offers: Vec::new(), deadline };
        let greeting = dialogue.reply("the greeting").await?;
        dialogue.accept(greeting, 2, "does not take mail now")?;
        dialogue.greet().await?;
        match server.tls {
            MailTls::StartTls => dialogue.upgrade(server, trust).await,
            MailTls::Implicit | MailTls::None => Ok(dialogue),
        }
    }

    /// Hands a mail over. The words are those of the server that has taken it.
    pub(super) async fn hand_over(&mut self, mail: &Mail, login: Option<&Login>) -> Result<String, Setback> {
        if let Some(login) = login {
            self.log_in(login).await?;
        }
        if mail.needs_utf8 && !self.has_offer("SMTPUTF8") {
            let reason = format!("{} takes only addresses in ASCII, and one here is not", self.server);
            return Err(Setback::refused(reason));
        }
        let parameters = if mail.needs_utf8 { " BODY=8BITMIME SMTPUTF8" } else { "" };
        self.ask(&format!("MAIL FROM:<{}>{parameters}", mail.from), &MAIL).await?;
        self.ask(&format!("RCPT TO:<{}>", mail.to), &RCPT).await?;
        self.ask("DATA", &DATA).await?;
        self.write(&stuffed(&mail.bytes), "the mail").await?;
        let reply = self.reply("its word on whether it took the mail").await?;
        Ok(self.accept(reply, 2, "did not take the mail")?.text())
    }

    /// Says goodbye and does not wait long for the answer.
    pub(super) async fn close(mut self) {
        let goodbye = async {
            if self.stream.get_mut().write_all(b"QUIT\r\n").await.is_ok() && self.stream.get_mut().flush().await.is_ok()
            {
                let mut line = Vec::new();
                let _ = (&mut self.stream).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line).await;
                let _ = self.stream.get_mut().shutdown().await;
            }
        };
        let _ = timeout(QUIT_TIME_LIMIT, goodbye).await;
    }

    async fn greet(&mut self) -> Result<(), Setback> {
        let reply = self.ask(&format!("EHLO {}", self.own_name), &EHLO).await?;
        self.offers = reply.lines.iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
        Ok(())
    }

    async fn upgrade(mut self, server: &MailServer, trust: &Trust) -> Result<Self, Setback> {
        if !self.has_offer("STARTTLS") {
            let advice = "which is required; use tls: implicit or none if it is meant to be so";
            return Err(Setback::failed(format!("{} does not offer STARTTLS, {advice}", self.server)));
        }
        self.ask("STARTTLS", &STARTTLS).await?;
        if !self.stream.buffer().is_empty() {
            let reason = format!("{} sent more behind its answer to STARTTLS; somebody may be in between", self.server);
            return Err(Setback::failed(reason));
        }
        let Either::Left(connection) = self.stream.into_inner() else {
            unreachable!("TLS is started once");
        };
        let stream = start_tls(connection, server, trust, &self.server, self.deadline).await?;
        self.stream = BufReader::new(Either::Right(stream));
        // What was offered in the clear may have been forged.
        self.greet().await?;
        Ok(self)
    }

    async fn log_in(&mut self, login: &Login) -> Result<(), Setback> {
        if self.has_mechanism("PLAIN") {
            self.ask(&format!("AUTH PLAIN {}", login.plain()), &AUTH).await?;
        } else if self.has_mechanism("LOGIN") {
            self.ask("AUTH LOGIN", &AUTH_CONTINUED).await?;
            self.ask(&STANDARD.encode(&login.user), &AUTH_CONTINUED).await?;
            self.ask(&STANDARD.encode(&login.password), &AUTH).await?;
        } else {
            let reason = format!("{} offers no login by PLAIN or LOGIN; it may do so only under TLS", self.server);
            return Err(Setback::failed(reason));
        }
        Ok(())
    }

    fn has_offer(&self, keyword: &str) -> bool {
        self.offers.iter().any(|line| line.split_whitespace().next() == Some(keyword))
    }

    fn has_mechanism(&self, mechanism: &str) -> bool {
        // "AUTH=PLAIN" is an old form that some servers send beside the right one.
        self.offers
            .iter()
            .filter_map(|line| line.strip_prefix("AUTH"))
            .any(|line| line.trim_start_matches('=').split_whitespace().any(|word| word == mechanism))
    }

    /// Sends a line and takes a reply of the wanted class.
    async fn ask(&mut self, line: &str, step: &Step) -> Result<Reply, Setback> {
        let awaited = format!("an answer to {}", step.verb);
        self.write(format!("{line}\r\n").as_bytes(), &awaited).await?;
        let reply = self.reply(&awaited).await?;
        self.accept(reply, step.wanted, step.refusal)
    }

    fn accept(&self, reply: Reply, wanted: u16, refusal: &str) -> Result<Reply, Setback> {
        let reason = format!("{} {refusal}: {}", self.server, reply.text());
        match reply.code / 100 {
            class if class == wanted => Ok(reply),
            5 => Err(Setback::refused(reason)),
            _ => Err(Setback::failed(reason)),
        }
    }

    async fn write(&mut self, bytes: &[u8], step: &str) -> Result<(), Setback> {
        let stream = self.stream.get_mut();
        let writing = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        let outcome = timeout_at(self.deadline, writing).await;
        self.finish(outcome, step)
    }

    async fn reply(&mut self, step: &str) -> Result<Reply, Setback> {
        let mut lines = Vec::new();
        loop {
            let line = self.line(step).await?;
            let nonsense = || {
                let said = crate::text::shorten(&single_line(&line), 80);
                Setback::failed(format!("{} does not speak SMTP: {said:?} instead of {step}", self.server))
            };
            let code = line.get(..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
            let code: u16 = code.and_then(|code| code.parse().ok()).ok_or_else(nonsense)?;
            let has_more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if !has_more {
                return Ok(Reply { code, lines });
            }
            if lines.len() == DIALOGUE_LINES_MAX {
                return Err(nonsense());
            }
        }
    }

    async fn line(&mut self, step: &str) -> Result<String, Setback> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(LINE_BYTES_MAX as u64);
        let outcome = timeout_at(self.deadline, bounded.read_until(b'\n', &mut line)).await;
        self.finish(outcome, step)?;
        match line.last() {
            Some(b'\n') => Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
            Some(_) if line.len() == LINE_BYTES_MAX => {
                Err(Setback::failed(format!("{} sent a line without end instead of {step}", self.server)))
            }
            Some(_) | None => Err(Setback::failed(format!("{} closed the connection before {step}", self.server))),
        }
    }

    fn finish<T>(
        &self,
        outcome: Result<std::io::Result<T>, tokio::time::error::Elapsed>,
        step: &str,
    ) -> Result<T, Setback> {
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                Err(Setback::failed(format!("{} broke off before {step}: {}", self.server, root_cause(&error))))
            }
            Err(_) => Err(Setback::failed(format!("{} did not give {step} within the time limit", self.server))),
        }
    }
}

async fn connect(server: &MailServer, name: &str, deadline: Instant) -> Result<TcpStream, Setback> {
    let late = || Setback::failed(format!("could not connect to {name} within the time limit"));
    let addresses = timeout_at(deadline, lookup_host((server.host.as_str(), server.port)))
        .await
        .map_err(|_| Setback::failed(format!("could not look up {name} within the time limit")))?
        .map_err(|error| Setback::failed(format!("could not look up {name}: {error}")))?;
    let mut last = Setback::failed(format!("could not look up {name}: it has no address"));
    for address in addresses {
        let limit = deadline.min(Instant::now() + CONNECT_TIME_LIMIT);
        last = match timeout_at(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => Setback::failed(format!("could not connect to {name}: {error}")),
            Err(_) => late(),
        };
    }
    Err(last)
}

async fn start_tls(
    connection: TcpStream,
    server: &MailServer,
    trust: &Trust,
    name: &str,
    deadline: Instant,
) -> Result<TlsStream<TcpStream>, Setback> {
    let config = trust.config(server.ca_file.as_deref()).await?;
    let host = ServerName::try_from(server.host.clone())
        .map_err(|_| Setback::refused(format!("{:?} is no host name that a certificate can have", server.host)))?;
    match timeout_at(deadline, TlsConnector::from(config).connect(host, connection)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Setback::failed(format!("TLS with {name} failed: {}", root_cause(&error)))),
        Err(_) => Err(Setback::failed(format!("TLS with {name} was not ready within the time limit"))),
    }
}

/// Our name for EHLO: the host's if it is a full one, otherwise our address,
/// as RFC 5321 (4.1.4) asks of a client without a name.
fn own_name(connection: &TcpStream) -> String {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if node.contains('.') && node.chars().all(is_legal) {
        return node;
    }
    match connection.local_addr().map(|address| address.ip()) {
        Ok(IpAddr::V4(address)) => format!("[{address}]"),
        Ok(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
        Err(_) => "[127.0.0.1]".to_owned(),
    }
}

/// The mail with its dots doubled where a line begins with one, and the final dot.
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + 64);
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_begins_with_a_dot_does_not_end_the_mail() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b\r\nc"), b"a\r\n..\r\n...b\r\nc\r\n.\r\n");
        assert_eq!(stuffed(b""), b"\r\n.\r\n");
    }
}
