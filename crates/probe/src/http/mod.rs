//! The `http` kind: one request, the redirects it leads to, and the answer judged.
//!
//! HTTP/1.1 is spoken by code of our own, over connections that are opened for
//! every round. A client library would cost 11 kB and 4 µs more for each check
//! and would decide itself how a connection is closed; in return for sparing
//! that, everything a server can do wrong is met here: [`head`] and [`chunked`]
//! are pure and fuzzed, [`exchange`] has a limit on whatever it reads.
//!
//! ```text
//! request ──► exchange (send, head, body) ──► redirect? ──► expect
//! ```

mod chunked;
mod exchange;
mod expect;
mod head;
mod inflate;
mod json;
mod redirect;
mod request;

use crate::round::{Round, Trouble};
use crate::stream::Stream;
use crate::tls::handshake;
use crate::{PrepareError, Prober};
use exchange::{Answer, Keep};
use expect::Expectations;
use model::check::{HttpCheck, Trust};
use model::limits::{BODY_BYTES_MAX, EXCERPT_BYTES_MAX};
use model::observation::Cause;
use redirect::Leg;
use request::{Draft, Hop, Proxy, parse_url};
use std::time::Duration;

/// How long the body of an answer that failed already is waited for, to be shown.
const EXCERPT_WAIT: Duration = Duration::from_millis(500);

/// An HTTP check, ready to run.
pub(crate) struct HttpPlan {
    url: Box<str>,
    draft: Draft,
    first: Hop,
    proxy: Option<Box<Proxy>>,
    /// `None` for the default, which most checks have.
    trust: Option<Box<Trust>>,
    expect: Expectations,
    redirects: u8,
    close_by_reset: bool,
}

impl HttpPlan {
    /// Makes a check ready.
    pub(crate) fn prepare(prober: &Prober, check: &HttpCheck) -> Result<Self, PrepareError> {
        let url = parse_url(&check.url)?;
        let draft = Draft::of(check)?;
        let proxy = check.proxy.as_deref().map(Proxy::parse).transpose()?.map(Box::new);
        let mut first = Hop::to(prober, &url, proxy.as_deref(), &check.trust)?;
        if let Some(authorization) = draft.known_authorization() {
            first.request = Some(draft.write(&prober.options.user_agent, &url, &first, authorization).into());
        }
        Ok(Self {
            url: check.url.as_str().into(),
            draft,
            first,
            proxy,
            trust: (check.trust != Trust::default()).then(|| Box::new(check.trust.clone())),
            expect: Expectations::compile(&check.expect)?,
            redirects: check.redirects,
            close_by_reset: check.close_by_reset,
        })
    }

    /// Carries out one round.
    pub(crate) async fn run(&self, prober: &Prober, round: &mut Round) -> Result<(), Trouble> {
        let location = match &self.first.request {
            Some(request) => self.visit(prober, &self.first, request, self.draft.is_head(), round).await?,
            None => {
                let url = parse_url(&self.url).map_err(|error| Trouble::own(error.to_string()))?;
                let authorization = self.draft.authorization()?;
                let user_agent = &prober.options.user_agent;
                let request = self.draft.write(user_agent, &url, &self.first, authorization.as_deref());
                self.visit(prober, &self.first, &request, self.draft.is_head(), round).await?
            }
        };
        match location {
            None => Ok(()),
            // Boxed because most checks follow nothing.
            Some((status, location)) => Box::pin(self.follow(prober, status, location, round)).await,
        }
    }

    /// Follows redirects until an answer is none.
    async fn follow(
        &self,
        prober: &Prober,
        mut status: u16,
        mut location: String,
        round: &mut Round,
    ) -> Result<(), Trouble> {
        let mut leg = Leg::first(&self.url, &self.draft)?;
        for _ in 0..self.redirects {
            leg = leg.next(status, &location)?;
            round.evidence.redirects.push(leg.url.to_string());
            round.begin_again();
            let mut trust = self.trust.as_deref().cloned().unwrap_or_default();
            if !leg.same_host {
                trust.server_name = None;
            }
            let hop = Hop::to(prober, &leg.url, self.proxy.as_deref(), &trust)
                .map_err(|error| redirect::cannot_follow(&leg.url, &error))?;
            let authorization = if leg.draft.has_secrets { self.draft.authorization()? } else { None };
            let request = leg.draft.write(&prober.options.user_agent, &leg.url, &hop, authorization.as_deref());
            match self.visit(prober, &hop, &request, leg.draft.is_head(), round).await? {
                None => return Ok(()),
                Some(next) => (status, location) = next,
            }
        }
        Err(redirect::too_many(self.redirects, &leg, &location, &round.evidence.redirects))
    }

    /// One request and its answer. Returns status and location of a redirect
    /// that is to be followed; any other answer is judged.
    async fn visit(
        &self,
        prober: &Prober,
        hop: &Hop,
        request: &[u8],
        is_head: bool,
        round: &mut Round,
    ) -> Result<Option<(u16, String)>, Trouble> {
        let mut stream = self.open(prober, hop, round).await?;
        let mut answer = exchange::ask(&mut stream, request, is_head, round).await?;
        if self.redirects > 0
            && let Some(location) = answer.location()
        {
            return Ok(Some((answer.head.status, location)));
        }
        round.evidence.status = Some(String::from_utf8_lossy(head::status_line(answer.head_bytes())).into_owned());
        if let Err(trouble) = self.expect.judge_head(answer.head.status, answer.head_bytes()) {
            let keep = Keep { kept: EXCERPT_BYTES_MAX, read: EXCERPT_BYTES_MAX };
            let shown = answer.read_body(&mut stream, keep, round);
            // The verdict stands; that its body stalls or breaks is beside the point.
            let _ = tokio::time::timeout(EXCERPT_WAIT, shown).await;
            stream.reset_on_close();
            self.show(&answer, round);
            return Err(trouble);
        }
        let kept = if self.expect.need_body() { BODY_BYTES_MAX } else { EXCERPT_BYTES_MAX };
        let complete = answer.read_body(&mut stream, Keep { kept, read: BODY_BYTES_MAX }, round).await?;
        if !complete || self.close_by_reset {
            stream.reset_on_close();
        }
        drop(stream);
        if self.expect.need_body() {
            self.judge_body(&answer, complete, round)?;
        }
        Ok(None)
    }

    /// Opens the connection of one request: directly, or through a proxy, and
    /// under TLS where the URL says so.
    async fn open(&self, prober: &Prober, hop: &Hop, round: &mut Round) -> Result<Stream, Trouble> {
        round.is_at_proxy = self.proxy.is_some();
        let connected = prober.net.connect(&hop.connect_to, round).await;
        let mut stream =
            connected.map_err(|trouble| if self.proxy.is_some() { trouble.at_proxy() } else { trouble })?;
        if let Some(tunnel) = &hop.tunnel {
            stream = Box::pin(exchange::open_tunnel(stream, tunnel, round)).await?;
        }
        round.is_at_proxy = false;
        match &hop.tls {
            Some(client) => Ok(Stream::Tls(handshake(client, stream, round).await?)),
            None => Ok(Stream::Plain(stream)),
        }
    }

    fn judge_body(&self, answer: &Answer, complete: bool, round: &mut Round) -> Result<(), Trouble> {
        let packed = std::mem::take(&mut round.kept);
        let plain = inflate::inflate(&answer.head.coding, packed, complete, BODY_BYTES_MAX)
            .map_err(|wrong| Trouble::fail(Cause::Protocol, format!("the body {wrong}")))?;
        let judged = self.expect.judge_body(&plain.bytes, plain.is_cut);
        if judged.is_err() {
            round.keep_excerpt(&plain.bytes);
        }
        judged
    }

    /// Shows the beginning of a body, unpacked if that is possible.
    fn show(&self, answer: &Answer, round: &mut Round) {
        let packed = std::mem::take(&mut round.kept);
        if let Ok(plain) = inflate::inflate(&answer.head.coding, packed, false, EXCERPT_BYTES_MAX)
            && !plain.bytes.is_empty()
        {
            round.keep_excerpt(&plain.bytes);
        }
    }
}
