//! The SSH check: banner, and host key if one is expected.
//!
//! Without an expected key the banner is enough. With one, a key exchange is
//! carried as far as the server's proof that it holds the key it shows, and
//! then given up: no login is ever tried. A server has several keys and shows
//! the one that the client asks for, so when the first does not fit, the
//! others it has are asked for over new connections before it is called wrong.

mod exchange;
mod wire;

use crate::conversation::Conversation;
use crate::net::{Target, io_trouble};
use crate::round::{Round, Stage, Trouble};
use crate::text::{Test, quoted};
use crate::{PrepareError, Prober};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use exchange::{Exchange, ExchangeError, HostKey, KeyFamily, ServerOffer};
use model::check::SshCheck;
use model::limits::DIALOGUE_LINES_MAX;
use model::observation::Cause;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::{DEBUG, DISCONNECT, Fields, IGNORE, packet, put_string, take_packet};

/// What we call ourselves (RFC 4253 section 4.2).
const OUR_BANNER: &str = concat!("SSH-2.0-Mainstay_", env!("CARGO_PKG_VERSION"));
/// `SSH_DISCONNECT_BY_APPLICATION`.
const BY_APPLICATION: u32 = 11;
/// Packets that may come where one is awaited; more is a server that talks without end.
const PACKETS_MAX: usize = 16;

/// An SSH check, ready to run.
pub(crate) struct SshPlan {
    target: Target,
    name: String,
    banner: Option<Test>,
    host_key: Option<String>,
}

/// A connection whose banners are exchanged.
struct Session {
    stream: TcpStream,
    received: Vec<u8>,
    their_banner: String,
}

impl SshPlan {
    /// Makes the check ready.
    pub(crate) fn prepare(_prober: &Prober, check: &SshCheck) -> Result<Self, PrepareError> {
        let target = Target::of(&check.target)?;
        Ok(Self {
            name: target.to_string(),
            target,
            banner: check.banner.as_ref().map(Test::compile).transpose()?,
            host_key: check.host_key.as_deref().map(fingerprint).transpose()?,
        })
    }

    /// Looks at the server once.
    pub(crate) async fn run(&self, prober: &Prober, round: &mut Round) -> Result<(), Trouble> {
        let mut session = self.connect(prober, round).await?;
        round.evidence.status = Some(session.their_banner.clone());
        if let Some(complaint) = self.banner.as_ref().and_then(|test| test.complaint(&session.their_banner)) {
            session.leave().await;
            let sentence = format!("the banner {} of {} {complaint}", quoted(&session.their_banner), self.name);
            return Err(Trouble::fail(Cause::Answer, sentence));
        }
        match &self.host_key {
            None => {
                session.leave().await;
                Ok(())
            }
            Some(expected) => self.check_host_key(prober, round, session, expected).await,
        }
    }

    /// Connects and exchanges banners. A server may say other things before its
    /// banner, and one that is overloaded says why instead of it.
    async fn connect(&self, prober: &Prober, round: &mut Round) -> Result<Session, Trouble> {
        let mut stream = prober.net.connect(&self.target, round).await?;
        round.stage = Stage::Words("SSH banner");
        let mut talk = Conversation::new();
        talk.say(&mut stream, round, &format!("{OUR_BANNER}\r\n")).await?;
        let mut last: Option<String> = None;
        for _ in 0..DIALOGUE_LINES_MAX {
            let line =
                talk.line(&mut stream, round, "its banner was awaited").await.map_err(|trouble| match &last {
                    Some(last) => {
                        let words = quoted(last);
                        Trouble::fail(trouble.failure.cause, format!("{} gave no banner, it said {words}", self.name))
                    }
                    None => trouble,
                })?;
            if line.starts_with("SSH-2.0-") || line.starts_with("SSH-1.99-") {
                return Ok(Session { stream, received: talk.into_rest(), their_banner: line });
            }
            if line.starts_with("SSH-") {
                let sentence = format!("{} speaks only an old SSH protocol: {}", self.name, quoted(&line));
                return Err(Trouble::fail(Cause::Protocol, sentence));
            }
            last = Some(line);
        }
        Err(Trouble::fail(Cause::Protocol, format!("{} gave no banner in {DIALOGUE_LINES_MAX} lines", self.name)))
    }

    async fn check_host_key(
        &self,
        prober: &Prober,
        round: &mut Round,
        first: Session,
        expected: &str,
    ) -> Result<(), Trouble> {
        let mut wanted = KeyFamily::ALL.to_vec();
        let mut shown: Vec<HostKey> = Vec::new();
        let mut next = Some(first);
        while !wanted.is_empty() {
            let mut session = match next.take() {
                Some(session) => session,
                None => self.connect(prober, round).await?,
            };
            let (key, offer) = session.host_key(round, &self.name, &wanted).await?;
            session.leave().await;
            let is_expected = key.fingerprint == expected;
            let facts = format!("{} ({})", key.fingerprint, key.kind);
            round.evidence.excerpt = Some(format!("host key {facts}"));
            if is_expected {
                return Ok(());
            }
            // The server took the first family of ours that it has; the rest may hold the expected key.
            let tried = wanted.iter().position(|family| offer.has(*family)).unwrap_or(0);
            wanted.drain(..=tried);
            wanted.retain(|family| offer.has(*family));
            shown.push(key);
        }
        let shown: Vec<String> = shown.iter().map(|key| format!("{} ({})", key.fingerprint, key.kind)).collect();
        let sentence = format!("{} shows the host key {}, expected {expected}", self.name, shown.join(" and "));
        Err(Trouble::fail(Cause::HostKey, sentence))
    }
}

impl Session {
    /// Carries the key exchange as far as the host key.
    async fn host_key(
        &mut self,
        round: &mut Round,
        name: &str,
        families: &[KeyFamily],
    ) -> Result<(HostKey, ServerOffer), Trouble> {
        let wrong = |error: ExchangeError| trouble(name, &error);
        round.stage = Stage::Words("key exchange");
        let ours = exchange::our_offer(families).map_err(wrong)?;
        self.send(round, &ours).await?;
        let theirs = ServerOffer::read(&self.payload(round, name).await?).map_err(|error| wrong(error.into()))?;
        let exchange =
            Exchange::begin(OUR_BANNER, &self.their_banner, ours, theirs.clone(), families).map_err(wrong)?;
        if exchange.drop_next {
            self.payload(round, name).await?;
        }
        self.send(round, &exchange.opening()).await?;
        let reply = self.payload(round, name).await?;
        Ok((exchange.end(&reply).map_err(wrong)?, theirs))
    }

    async fn send(&mut self, round: &Round, payload: &[u8]) -> Result<(), Trouble> {
        let sent = self.stream.write_all(&packet(payload)).await;
        sent.map_err(|error| io_trouble(&error, &round.peer_text(), "exchanging keys"))
    }

    /// The payload of the next packet that is meant for us.
    async fn payload(&mut self, round: &mut Round, name: &str) -> Result<Vec<u8>, Trouble> {
        for _ in 0..PACKETS_MAX {
            let payload = self.any_payload(round, name).await?;
            match payload.first() {
                Some(&(IGNORE | DEBUG)) => {}
                Some(&DISCONNECT) => {
                    let mut fields = Fields::of(&payload[1..]);
                    let text = fields.take(4).and_then(|_| fields.text()).unwrap_or("it gave no reason");
                    let sentence = format!("{name} ends the key exchange: {}", quoted(text));
                    return Err(Trouble::fail(Cause::Protocol, sentence));
                }
                Some(_) | None => return Ok(payload),
            }
        }
        Err(Trouble::fail(Cause::Protocol, format!("{name} does not come to the point of its key exchange")))
    }

    async fn any_payload(&mut self, round: &mut Round, name: &str) -> Result<Vec<u8>, Trouble> {
        loop {
            let taken = take_packet(&mut self.received).map_err(|error| trouble(name, &error.into()))?;
            if let Some(payload) = taken {
                return Ok(payload);
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) => {
                    let sentence = format!("{name} closed the connection during the key exchange");
                    return Err(Trouble::fail(Cause::ClosedEarly, sentence));
                }
                Ok(bytes) => round.received_bytes += bytes as u64,
                Err(error) => return Err(io_trouble(&error, &round.peer_text(), "exchanging keys")),
            }
        }
    }

    /// Takes leave, so that the server's log shows a client that left and not one that was lost.
    async fn leave(&mut self) {
        let mut payload = vec![DISCONNECT];
        payload.extend_from_slice(&BY_APPLICATION.to_be_bytes());
        put_string(&mut payload, b"check done");
        put_string(&mut payload, b"");
        // Whether it arrives is no part of the check.
        let _ = self.stream.write_all(&packet(&payload)).await;
        let _ = self.stream.shutdown().await;
    }
}

/// Whose fault a failed exchange is.
fn trouble(name: &str, error: &ExchangeError) -> Trouble {
    let sentence = format!("the host key of {name} cannot be checked: {error}");
    match error {
        ExchangeError::Own | ExchangeError::NothingInCommon(..) => Trouble::own(sentence),
        ExchangeError::Wire(_) | ExchangeError::Agreement => Trouble::fail(Cause::Protocol, sentence),
        ExchangeError::Signature => Trouble::fail(Cause::HostKey, sentence),
    }
}

/// Reads an expected fingerprint; padding is accepted, since some tools print it.
fn fingerprint(text: &str) -> Result<String, PrepareError> {
    let bare = text.trim().trim_end_matches('=');
    let decoded = bare.strip_prefix("SHA256:").and_then(|encoded| STANDARD_NO_PAD.decode(encoded).ok());
    match decoded {
        Some(bytes) if bytes.len() == 32 => Ok(bare.to_owned()),
        Some(_) | None => Err(PrepareError::Word {
            what: "the host key",
            text: text.to_owned(),
            reason: "a fingerprint is SHA256: and 43 characters, as ssh-keygen -l prints it",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_tools_print_it() {
        let right = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
        assert_eq!(fingerprint(right).unwrap(), right);
        assert_eq!(fingerprint(&format!(" {right}= ")).unwrap(), right);
        for wrong in ["", "SHA256:", "MD5:aa:bb", &right[..40], &right[7..]] {
            assert!(fingerprint(wrong).is_err(), "{wrong:?}");
        }
    }
}
