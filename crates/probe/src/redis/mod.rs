//! The Redis check: PING, or a command and its answer.
//!
//! A server that loads its data or has lost its primary answers, but serves
//! nobody: its own error says so and fails the check. A server that wants a
//! password nobody gave us is alive, which is all that a plain PING asks.

mod resp;

use crate::net::{Target, io_trouble};
use crate::round::{Round, Stage, Trouble};
use crate::secret::reveal;
use crate::stream::Stream;
use crate::text::{Test, quoted};
use crate::tls::{Alpn, TlsClient, handshake};
use crate::{PrepareError, Prober, whole_us};
use model::check::RedisCheck;
use model::observation::Cause;
use model::secret::Secret;
use resp::Answer;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A Redis check, ready to run.
pub(crate) struct RedisPlan {
    target: Target,
    name: String,
    tls: Option<TlsClient>,
    user: Option<String>,
    password: Option<Secret>,
    /// Empty for a plain PING.
    command: Box<[String]>,
    test: Option<Test>,
}

impl RedisPlan {
    /// Makes the check ready.
    pub(crate) fn prepare(prober: &Prober, check: &RedisCheck) -> Result<Self, PrepareError> {
        let client = |trust| prober.tls.client(trust, &check.target.host, Alpn::None);
        if let (Some(user), None) = (&check.user, &check.password) {
            let reason = "a user needs a password";
            return Err(PrepareError::Word { what: "the user", text: user.clone(), reason });
        }
        let target = Target::of(&check.target)?;
        Ok(Self {
            name: target.to_string(),
            target,
            tls: check.tls.as_ref().map(client).transpose()?,
            user: check.user.clone(),
            password: check.password.clone(),
            command: check.command.clone().into(),
            test: check.test.as_ref().map(Test::compile).transpose()?,
        })
    }

    /// Asks the server once.
    pub(crate) async fn run(&self, prober: &Prober, round: &mut Round) -> Result<(), Trouble> {
        let password = self.password.as_ref().map(reveal).transpose()?;
        let tcp = prober.net.connect(&self.target, round).await?;
        let mut stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some(client) => Stream::Tls(handshake(client, tcp, round).await?),
        };
        stream.reset_on_close();
        if let Some(password) = &password {
            self.log_in(&mut stream, round, password).await?;
        }
        let words: Vec<&str> =
            if self.command.is_empty() { vec!["PING"] } else { self.command.iter().map(String::as_str).collect() };
        let answer = self.ask(&mut stream, round, &resp::command(words.into_iter())).await?;
        self.judge(round, &answer)
    }

    async fn log_in(&self, stream: &mut Stream, round: &mut Round, password: &str) -> Result<(), Trouble> {
        let words = ["AUTH"].into_iter().chain(self.user.as_deref()).chain([password]);
        let words: Vec<&str> = words.collect();
        match self.ask(stream, round, &resp::command(words.into_iter())).await? {
            Answer::Error(error) => {
                let cause = if serves_nobody(&error) { Cause::Status } else { Cause::Login };
                round.evidence.status = Some(error.clone());
                Err(Trouble::fail(cause, format!("{} refuses the login: {error}", self.name)))
            }
            Answer::Text(_) | Answer::Nil | Answer::Many(_) => Ok(()),
        }
    }

    /// Sends a command and reads its answer.
    async fn ask(&self, stream: &mut Stream, round: &mut Round, command: &[u8]) -> Result<Answer, Trouble> {
        let peer = round.peer_text();
        round.stage = Stage::Answer;
        let sent = Instant::now();
        let sending = async {
            stream.write_all(command).await?;
            stream.flush().await
        };
        sending.await.map_err(|error| io_trouble(&error, &peer, "sending the command"))?;
        let mut bytes = Vec::new();
        let mut first = None;
        loop {
            match stream.read_buf(&mut bytes).await {
                Ok(0) => {
                    let sentence = format!("{peer} closed the connection before its answer was complete");
                    return Err(Trouble::fail(Cause::ClosedEarly, sentence));
                }
                Ok(read) => round.received_bytes += read as u64,
                Err(error) => return Err(io_trouble(&error, &peer, "reading the answer")),
            }
            let first = *first.get_or_insert_with(Instant::now);
            round.phases.first_byte_us = Some(whole_us(first - sent));
            round.stage = Stage::Rest;
            match resp::read(&bytes) {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    round.phases.transfer_us = Some(whole_us(first.elapsed()));
                    return Ok(answer);
                }
                Err(error) => {
                    round.keep_excerpt(&bytes);
                    let cause = match error {
                        resp::AnswerError::Protocol => Cause::Protocol,
                        resp::AnswerError::TooLarge => Cause::TooLarge,
                    };
                    return Err(Trouble::fail(cause, format!("{} cannot be judged: {error}", self.name)));
                }
            }
        }
    }

    fn judge(&self, round: &mut Round, answer: &Answer) -> Result<(), Trouble> {
        let text = answer.text();
        round.keep_excerpt(text.as_bytes());
        if let Answer::Error(error) = answer {
            round.evidence.status = Some(error.clone());
            return self.judge_error(error);
        }
        if let Some(complaint) = self.test.as_ref().and_then(|test| test.complaint(&text)) {
            return Err(Trouble::fail(Cause::Answer, format!("the answer of {} {complaint}", self.name)));
        }
        if self.command.is_empty() && self.test.is_none() && text != "PONG" {
            let sentence = format!("{} answered PING with {} instead of PONG", self.name, quoted(&text));
            return Err(Trouble::fail(Cause::Protocol, sentence));
        }
        Ok(())
    }

    fn judge_error(&self, error: &str) -> Result<(), Trouble> {
        let kind = error.split(' ').next().unwrap_or_default();
        let wants_login = matches!(kind, "NOAUTH" | "NOPERM");
        if wants_login && self.command.is_empty() && self.test.is_none() && self.password.is_none() {
            return Ok(());
        }
        if wants_login {
            let asked = self.command.first().map_or("PING", String::as_str);
            return Err(Trouble::fail(Cause::Login, format!("{} refuses {asked} with this login: {error}", self.name)));
        }
        let cause = if serves_nobody(error) { Cause::Status } else { Cause::Answer };
        Err(Trouble::fail(cause, format!("{} answered with an error: {error}", self.name)))
    }
}

/// Whether an error says that the server itself is in no state to serve.
fn serves_nobody(error: &str) -> bool {
    let kind = error.split(' ').next().unwrap_or_default();
    matches!(kind, "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "BUSY" | "MISCONF" | "DENIED" | "OOM")
        || error.contains("max number of clients")
}
