//! Delivers one message to one receiver and reports the answer.
//!
//! This hand turns a [`Message`] into a mail, a request or a run of a program,
//! carries it over once, and says how that ended. It deliberately does not know
//! whom to tell, whether to try again, when, or what to say: that is decided
//! before it is called and after it has answered.
//!
//! ```text
//! Message ─┬─ mail      ── dialogue ── SMTP ─┐
//! Means  ──┼─ webhook ┐                      │
//! Try    ──┤  slack   ├─ http ──── HTTP ─────┼── Hidden ── Answer
//!          ├─ ntfy    │                      │  (secrets out)
//!          ├─ pagerduty                      │
//!          └─ exec ───────────── process ────┘
//! ```
//!
//! What holds for every means:
//!
//! - **An attempt ends within [`Options::time_limit`]**, whatever the other side does.
//! - **No answer holds a secret.** Everything that was revealed for an attempt
//!   is taken out of what is reported, also where the other side echoes it.
//! - **`Refused` means no, for good**: the other side understood and will not,
//!   or what is configured cannot be used. When in doubt it is `Failed`: a
//!   needless repetition costs little, an alert given up too early costs much.
//!   Hence a file that cannot be read is `Failed` as well: files come and go.
//! - **The same delivery carries the same key at every attempt**, so that a
//!   receiver can drop doubles.
//!
//! Reading order: [`Notifier`], `answer`, `hidden`, `text`, `event`, `http`,
//! `webhook`, `slack`, `ntfy`, `pagerduty`, `exec`, `mail`.

mod answer;
mod event;
mod exec;
mod hidden;
mod http;
mod mail;
mod ntfy;
mod pagerduty;
mod slack;
mod text;
mod webhook;

use answer::Setback;
use hidden::Hidden;
use model::entry::Answer;
use model::message::Message;
use model::receiver::Means;
use std::time::Duration;
use tokio::time::Instant;

/// Time for one attempt. Standard Webhooks asks senders to wait 15 to 30 s, and
/// a mail server that looks up names before it greets needs up to 10 s.
pub const TIME_LIMIT_DEFAULT: Duration = Duration::from_secs(20);

/// What applies to every delivery.
#[derive(Debug, Clone)]
pub struct Options {
    /// The longest an attempt may take, from its start to its answer.
    pub time_limit: Duration,
    /// Whether requests go through a proxy.
    pub proxy: Proxy,
    /// Whether `exec` receivers may run their program here; others are refused.
    pub runs_programs: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { time_limit: TIME_LIMIT_DEFAULT, proxy: Proxy::FromEnvironment, runs_programs: true }
    }
}

/// Whether requests go through a proxy. Mail never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// As `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say.
    FromEnvironment,
    /// Never.
    Never,
}

/// Which attempt of a delivery this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// Counted from 1.
    pub attempt: u32,
    /// An earlier attempt was in flight when Mainstay stopped, so its answer is
    /// not known and the receiver may see this message twice. It is told so.
    pub possibly_double: bool,
}

/// Why a [`Notifier`] cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The HTTP client cannot be set up.
    #[error("could not set up the HTTP client")]
    Http(#[source] reqwest::Error),
    /// The TLS library cannot be set up.
    #[error("could not set up TLS for mail")]
    Tls(#[source] rustls::Error),
}

/// Carries messages over. Shared by all deliveries; any number may run at once.
#[derive(Debug)]
pub struct Notifier {
    client: reqwest::Client,
    trust: mail::Trust,
    time_limit: Duration,
    runs_programs: bool,
}

impl Notifier {
    /// Prepares what deliveries share. Reads the system's certificate
    /// authorities from disk, so it belongs to the start of the program.
    ///
    /// # Errors
    /// [`StartError`], which only a broken installation causes.
    pub fn new(options: Options) -> Result<Self, StartError> {
        Ok(Self {
            client: http::client(options.proxy).map_err(StartError::Http)?,
            trust: mail::Trust::of_the_system().map_err(StartError::Tls)?,
            time_limit: options.time_limit,
            runs_programs: options.runs_programs,
        })
    }

    /// Makes one attempt to deliver `message` by `means`.
    ///
    /// Dropping the future ends the attempt, and a program that was started
    /// for it. Answers within [`Options::time_limit`] and a second.
    pub async fn deliver(&self, means: &Means, message: &Message, this: Try) -> Answer {
        let mut hidden = Hidden::default();
        let attempt = Attempt { message, this, deadline: Instant::now() + self.time_limit };
        let outcome = self.attempt(means, &attempt, &mut hidden).await;
        answer::report(outcome, &hidden)
    }

    async fn attempt(&self, means: &Means, attempt: &Attempt<'_>, hidden: &mut Hidden) -> Result<String, Setback> {
        match means {
            Means::Mail(mail) => mail::deliver(&self.trust, mail, attempt, hidden).await,
            Means::Webhook { url, secret } => {
                webhook::deliver(&self.client, url, secret.as_ref(), attempt, hidden).await
            }
            Means::Slack { url } => slack::deliver(&self.client, url, attempt, hidden).await,
            Means::Ntfy { url, token } => ntfy::deliver(&self.client, url, token.as_ref(), attempt, hidden).await,
            Means::PagerDuty { routing_key, url } => {
                pagerduty::deliver(&self.client, routing_key, url.as_deref(), attempt, hidden).await
            }
            Means::Exec { .. } if !self.runs_programs => {
                Err(Setback::refused("this node runs no programs: `allow_plugins` is false in its configuration"))
            }
            Means::Exec { command } => exec::deliver(command, attempt, hidden).await,
        }
    }
}

/// What every means needs to know about an attempt.
struct Attempt<'a> {
    message: &'a Message,
    this: Try,
    /// When it must have ended.
    deadline: Instant,
}
