//! The mail exchanger check: what a sender of mail would meet.
//!
//! Greeting, EHLO, TLS, and if wanted an envelope that is given up before any
//! message is sent: never DATA. A 5xx reply anywhere fails, because senders
//! return mail on it at once; a 4xx reply degrades, because they keep the mail
//! and come again. Waiting is not losing, and that difference is the check's point.

mod reply;

use crate::conversation::Conversation;
use crate::net::Target;
use crate::round::{Round, Stage, Trouble};
use crate::stream::Stream;
use crate::text::quoted;
use crate::tls::{Alpn, TlsClient, handshake};
use crate::{PrepareError, Prober};
use model::check::{SmtpCheck, SmtpTls};
use model::limits::DIALOGUE_LINES_MAX;
use model::observation::Cause;
use reply::{Meaning, Progress, Reply};
use std::net::SocketAddr;
use std::time::Duration;

/// How long the answer to QUIT is waited for. It changes nothing any more, but
/// a server that is left without a word logs a lost connection.
const GOODBYE: Duration = Duration::from_millis(500);

/// Bytes of a mail address: RFC 5321 section 4.5.3.1.3 with its brackets.
const ADDRESS_BYTES_MAX: usize = 254;

/// A mail exchanger check, ready to run.
pub(crate) struct SmtpPlan {
    target: Target,
    name: String,
    tls: SmtpTls,
    client: Option<TlsClient>,
    envelope: Option<(String, String)>,
}

/// Why a dialogue ended before its last step.
enum Stop {
    /// It failed.
    Failed(Trouble),
    /// A 4xx reply: senders would come again, and there is nothing more to ask now.
    Postponed,
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Failed(trouble)
    }
}

/// One dialogue under way.
struct Session<'a> {
    talk: Conversation,
    round: &'a mut Round,
    /// The server, as it is called in sentences.
    name: &'a str,
    /// What we call ourselves.
    hello: String,
}

impl SmtpPlan {
    /// Makes the check ready.
    pub(crate) fn prepare(prober: &Prober, check: &SmtpCheck) -> Result<Self, PrepareError> {
        if let Some((sender, recipient)) = &check.envelope {
            usable("the sender", sender, true)?;
            usable("the recipient", recipient, false)?;
        }
        let client = match check.tls {
            SmtpTls::None => None,
            SmtpTls::Opportunistic | SmtpTls::StartTls | SmtpTls::Implicit => {
                Some(prober.tls.client(&check.trust, &check.target.host, Alpn::None)?)
            }
        };
        let target = Target::of(&check.target)?;
        Ok(Self { name: target.to_string(), target, tls: check.tls, client, envelope: check.envelope.clone() })
    }

    /// Talks to the server once.
    pub(crate) async fn run(&self, prober: &Prober, round: &mut Round) -> Result<(), Trouble> {
        let tcp = prober.net.connect(&self.target, round).await?;
        let hello = hello_name(tcp.local_addr().ok());
        let mut stream = match &self.client {
            Some(client) if self.tls == SmtpTls::Implicit => Stream::Tls(handshake(client, tcp, round).await?),
            Some(_) | None => Stream::Plain(tcp),
        };
        stream.reset_on_close();
        let mut session = Session { talk: Conversation::new(), round, name: &self.name, hello };
        let mut ended = session.greet(&mut stream).await;
        if let (Ok(offers), Stream::Plain(_), Some(client)) = (&ended, &stream, &self.client) {
            ended = match session.start_tls(&mut stream, offers, self.tls).await {
                // From here on a failure leaves nothing that could be said goodbye to.
                Ok(true) => {
                    stream = session.upgrade(stream, client).await?;
                    session.hello(&mut stream).await
                }
                Ok(false) => ended,
                Err(stop) => Err(stop),
            };
        }
        let ended = match (ended, &self.envelope) {
            (Ok(_), Some((sender, recipient))) => session.envelope(&mut stream, sender, recipient).await,
            (Ok(_), None) => Ok(()),
            (Err(stop), _) => Err(stop),
        };
        session.goodbye(&mut stream).await;
        match ended {
            Ok(()) | Err(Stop::Postponed) => Ok(()),
            Err(Stop::Failed(trouble)) => Err(trouble),
        }
    }
}

impl Session<'_> {
    /// Reads the greeting and introduces us; what the server offers.
    async fn greet(&mut self, stream: &mut Stream) -> Result<Reply, Stop> {
        let greeting = self.reply(stream, "greeting").await?;
        self.judge("greeted", "", &greeting)?;
        self.hello(stream).await
    }

    async fn hello(&mut self, stream: &mut Stream) -> Result<Reply, Stop> {
        let hello = format!("EHLO {}\r\n", self.hello);
        self.command(stream, &hello, "EHLO", "answer to EHLO").await
    }

    /// Asks for TLS. Returns whether it begins now.
    async fn start_tls(&mut self, stream: &mut Stream, offers: &Reply, tls: SmtpTls) -> Result<bool, Stop> {
        if !offers.offers("STARTTLS") {
            return match tls {
                SmtpTls::StartTls => {
                    let sentence = format!("{} does not offer STARTTLS", self.name);
                    Err(Trouble::fail(Cause::Answer, sentence).into())
                }
                SmtpTls::None | SmtpTls::Opportunistic | SmtpTls::Implicit => Ok(false),
            };
        }
        self.command(stream, "STARTTLS\r\n", "STARTTLS", "answer to STARTTLS").await?;
        if !self.talk.is_quiet() {
            // What comes before TLS would be taken for the first words under TLS (CVE-2011-0411).
            let sentence = format!("{} said more than TLS may begin with after agreeing to start it", self.name);
            return Err(Trouble::fail(Cause::Protocol, sentence).into());
        }
        Ok(true)
    }

    async fn upgrade(&mut self, stream: Stream, client: &TlsClient) -> Result<Stream, Trouble> {
        match stream {
            Stream::Plain(tcp) => {
                let stream = Stream::Tls(handshake(client, tcp, self.round).await?);
                self.talk.note(self.round, "TLS");
                Ok(stream)
            }
            Stream::Tls(_) => Ok(stream),
        }
    }

    /// Tries an envelope as far as the recipient and gives it up.
    async fn envelope(&mut self, stream: &mut Stream, sender: &str, recipient: &str) -> Result<(), Stop> {
        let mail = format!("MAIL FROM:<{sender}>\r\n");
        self.command(stream, &mail, "MAIL FROM", "answer to MAIL FROM").await?;
        let rcpt = format!("RCPT TO:<{recipient}>\r\n");
        self.command(stream, &rcpt, "RCPT TO", "answer to RCPT TO").await?;
        self.command(stream, "RSET\r\n", "RSET", "answer to RSET").await?;
        Ok(())
    }

    async fn command(
        &mut self,
        stream: &mut Stream,
        text: &str,
        verb: &str,
        words: &'static str,
    ) -> Result<Reply, Stop> {
        self.talk.say(stream, self.round, text).await?;
        let reply = self.reply(stream, words).await?;
        self.judge("answered", verb, &reply)?;
        Ok(reply)
    }

    async fn reply(&mut self, stream: &mut Stream, words: &'static str) -> Result<Reply, Trouble> {
        self.round.stage = Stage::Words(words);
        let mut reply = Reply::default();
        for _ in 0..DIALOGUE_LINES_MAX {
            let line = self.talk.line(stream, self.round, &format!("its {words} was awaited")).await?;
            match reply.add(&line) {
                Progress::More => {}
                Progress::Complete => {
                    self.round.evidence.status = Some(reply.text());
                    return Ok(reply);
                }
                Progress::Broken => {
                    let sentence = format!("{} does not speak SMTP: its {words} is {}", self.name, quoted(&line));
                    return Err(Trouble::fail(Cause::Protocol, sentence));
                }
            }
        }
        Err(Trouble::fail(Cause::TooLarge, format!("{} does not end its {words}", self.name)))
    }

    /// Says what senders would do with mail after this reply.
    fn judge(&mut self, act: &str, verb: &str, reply: &Reply) -> Result<(), Stop> {
        let to = if verb.is_empty() { String::new() } else { format!(" {verb}") };
        let what = format!("{} {act}{to} with {}", self.name, quoted(&reply.text()));
        match reply.meaning() {
            Meaning::Good => Ok(()),
            Meaning::Later => {
                self.round.degrade(Cause::Status, || format!("{what}: senders keep the mail and try again later"));
                Err(Stop::Postponed)
            }
            Meaning::Never => {
                let sentence = format!("{what}: senders return such mail at once instead of trying again");
                Err(Trouble::fail(Cause::Status, sentence).into())
            }
        }
    }

    /// Takes leave. How the server answers is not judged.
    async fn goodbye(&mut self, stream: &mut Stream) {
        let status = self.round.evidence.status.clone();
        let leave = async {
            self.talk.say(stream, self.round, "QUIT\r\n").await?;
            self.reply(stream, "answer to QUIT").await
        };
        let _ = tokio::time::timeout(GOODBYE, leave).await;
        self.round.evidence.status = status;
    }
}

/// The name we introduce ourselves with: the machine's, if it has a domain, or
/// the address literal that RFC 5321 section 4.1.4 asks for instead.
fn hello_name(local: Option<SocketAddr>) -> String {
    let legal = |name: &&str| name.contains('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match (Some(own.trim()).filter(legal), local) {
        (Some(name), _) => name.to_owned(),
        (None, Some(SocketAddr::V6(local))) => match local.ip().to_ipv4_mapped() {
            Some(v4) => format!("[{v4}]"),
            None => format!("[IPv6:{}]", local.ip()),
        },
        (None, Some(SocketAddr::V4(local))) => format!("[{}]", local.ip()),
        (None, None) => "[127.0.0.1]".to_owned(),
    }
}

/// Checks that an address can be sent in an envelope. A sender may be empty:
/// that is how bounces are sent.
fn usable(what: &'static str, address: &str, may_be_empty: bool) -> Result<(), PrepareError> {
    let reason = if address.is_empty() && !may_be_empty {
        "it is empty"
    } else if address.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>')) {
        "it holds a space, an angle bracket or a control character"
    } else if address.len() > ADDRESS_BYTES_MAX {
        "it is longer than a mail address may be"
    } else {
        return Ok(());
    };
    Err(PrepareError::Word { what, text: address.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_would_break_the_dialogue_is_refused() {
        assert!(usable("the sender", "", true).is_ok());
        assert!(usable("the recipient", "postmaster@example.org", false).is_ok());
        for wrong in ["", "a@b\r\nDATA", "a b@c", "<a@b>", &"a".repeat(400)] {
            assert!(usable("the recipient", wrong, false).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn we_introduce_ourselves_in_a_legal_way() {
        let name = hello_name(Some("[2001:db8::1]:25".parse().unwrap()));
        assert!(name == "[IPv6:2001:db8::1]" || name.contains('.'), "{name}");
        assert!(!name.contains(char::is_whitespace));
    }
}
