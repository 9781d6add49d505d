//! The TCP check: a connection, and a dialogue of texts sent and lines awaited.

use crate::conversation::Conversation;
use crate::net::Target;
use crate::round::{Round, Stage, Trouble};
use crate::start_tls::start_tls;
use crate::stream::Stream;
use crate::text::{compile_pattern, quoted};
use crate::tls::{Alpn, TlsClient, handshake};
use crate::{PrepareError, Prober};
use model::check::{DialogueStep, StartTls, TcpCheck};
use model::limits::DIALOGUE_LINES_MAX;
use model::observation::Cause;
use regex::Regex;

/// A TCP check, ready to run.
pub(crate) struct TcpPlan {
    target: Target,
    tls: Option<TlsClient>,
    dialogue: Box<[Step]>,
}

/// One step of the dialogue, ready to run.
enum Step {
    Send(Box<str>),
    Expect(Box<Regex>),
    StartTls(StartTls, TlsClient),
}

impl TcpPlan {
    /// Makes the check ready.
    pub(crate) fn prepare(prober: &Prober, check: &TcpCheck) -> Result<Self, PrepareError> {
        let client = |trust| prober.tls.client(trust, &check.target.host, Alpn::None);
        let mut dialogue = Vec::with_capacity(check.dialogue.len());
        for step in &check.dialogue {
            dialogue.push(match step {
                DialogueStep::Send(text) => Step::Send(text.as_str().into()),
                DialogueStep::Expect(pattern) => Step::Expect(Box::new(compile_pattern(pattern)?)),
                DialogueStep::StartTls(protocol, trust) => Step::StartTls(*protocol, client(trust)?),
            });
        }
        Ok(Self {
            target: Target::of(&check.target)?,
            tls: check.tls.as_ref().map(client).transpose()?,
            dialogue: dialogue.into(),
        })
    }

    /// Connects and carries the dialogue out.
    pub(crate) async fn run(&self, prober: &Prober, round: &mut Round) -> Result<(), Trouble> {
        let tcp = prober.net.connect(&self.target, round).await?;
        let mut stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some(client) => Stream::Tls(handshake(client, tcp, round).await?),
        };
        stream.reset_on_close();
        let mut talk = Conversation::new();
        for step in &self.dialogue {
            match step {
                Step::Send(text) => talk.say_unseen(&mut stream, round, text).await?,
                Step::Expect(pattern) => expect(&mut talk, &mut stream, round, pattern).await?,
                Step::StartTls(protocol, client) => {
                    stream = upgrade(stream, &talk, *protocol, client, round).await?;
                    talk.note(round, "TLS");
                }
            }
        }
        Ok(())
    }
}

/// Reads lines until one matches.
async fn expect(
    talk: &mut Conversation,
    stream: &mut Stream,
    round: &mut Round,
    pattern: &Regex,
) -> Result<(), Trouble> {
    round.stage = Stage::Words("line that matches the expected one");
    let mut last = String::new();
    for _ in 0..DIALOGUE_LINES_MAX {
        let line = talk.line(stream, round, "an expected line was awaited").await.map_err(|trouble| {
            if trouble.failure.cause != Cause::ClosedEarly || last.is_empty() {
                return trouble;
            }
            let peer = round.peer_text();
            let wanted = quoted(pattern.as_str());
            let sentence = format!(
                "{peer} closed the connection without a line that matches {wanted}; its last was {}",
                quoted(&last)
            );
            Trouble::fail(Cause::Answer, sentence)
        })?;
        if pattern.is_match(&line) {
            round.evidence.status = Some(line);
            return Ok(());
        }
        last = line;
    }
    let wanted = quoted(pattern.as_str());
    let sentence =
        format!("no line of the first {DIALOGUE_LINES_MAX} matches {wanted}; the last was {}", quoted(&last));
    Err(Trouble::fail(Cause::Answer, sentence))
}

/// Starts TLS on a connection that is plain so far.
async fn upgrade(
    stream: Stream,
    talk: &Conversation,
    protocol: StartTls,
    client: &TlsClient,
    round: &mut Round,
) -> Result<Stream, Trouble> {
    let Stream::Plain(mut tcp) = stream else {
        return Err(Trouble::own("the dialogue starts TLS on a connection that already uses it"));
    };
    if !talk.is_quiet() {
        let sentence = format!("{} said more than its dialogue allows before TLS", round.peer_text());
        return Err(Trouble::fail(Cause::Protocol, sentence));
    }
    start_tls(&mut tcp, protocol, round).await?;
    Ok(Stream::Tls(handshake(client, tcp, round).await?))
}
