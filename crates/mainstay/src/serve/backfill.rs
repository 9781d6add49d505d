//! Completes the history of this node from those of others.
//!
//! A node that was away for long gets a snapshot of the state, and the results
//! in the entries it never saw are missing. The gap is written down at once
//! ([`Gap`]); this loop closes it: span by span, newest first because people
//! look at those, it compares digests with a peer and asks for what differs.
//! Now and then the recent past is compared without a gap, so that a full disk
//! or a damaged file on one node does not stay.
//!
//! **At most [`BYTES_PER_SECOND`] are taken**, between two checks of the other
//! node nothing waits for this, and what was fetched twice counts once.

use super::House;
use anyhow::{anyhow, bail};
use cluster::PeerService;
use control::members::MemberState;
use futures_util::future::BoxFuture;
use history::exchange::{Cursor, Digest, Kind, Span, Unit, differing};
use history::{Gap, Store};
use model::limits::ENTRY_BYTES_MAX;
use model::member::{NodeId, Role};
use model::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes taken in a second at most: a tenth of a gigabit, so that a line stays
/// free for checks.
const BYTES_PER_SECOND: u64 = 12 << 20;
/// How often it is looked whether there is a gap.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The wait after a peer could not help.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How often the recent past is compared although no gap is known.
const COMPARED_EVERY: Duration = Duration::from_secs(3600);
/// The recent past: a day, without the hours in which late results still come.
const COMPARED_FROM: Duration = Duration::from_secs(30 * 3600);
const COMPARED_UPTO: Duration = Duration::from_secs(6 * 3600);
/// How long a peer may take for an answer: half a second of work, and a slow line.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// What is asked, for the front doors of nodes.
const ASKED: u8 = 1;
/// Version of question and answer.
const VERSION: u8 = 1;
/// Longest span of time in one question about 5-minute roll-ups.
const DAYS_AT_ONCE: Duration = Duration::from_secs(8 * 86_400);
/// The same for daily ones, of which there are few.
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// What is asked of a peer.
#[derive(Debug, Serialize, Deserialize)]
enum Question {
    /// What it has between two instants.
    Digests { kind: Kind, from: Timestamp, upto: Timestamp },
    /// A part of that.
    Export { unit: Unit, cursor: Option<Cursor> },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Digests(Found),
    Exported { bytes: Vec<u8>, next: Option<Cursor> },
}

/// What a node has.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    digests: Vec<Digest>,
    /// Up to which entry its history is.
    watermark: u64,
    /// Whether it knows of nothing that it lacks.
    is_whole: bool,
}

/// Answers what other nodes ask of this one's history.
pub(crate) fn service(history: Arc<Store>) -> Arc<dyn PeerService> {
    Arc::new(Service(history))
}

struct Service(Arc<Store>);

impl PeerService for Service {
    fn answer(&self, _: NodeId, kind: u8, body: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        let history = Arc::clone(&self.0);
        Box::pin(async move {
            let answered = tokio::task::spawn_blocking(move || answer(&history, kind, &body)).await;
            answered.map_err(|error| error.to_string())?.map_err(|error| crate::chain(&error))
        })
    }
}

fn answer(history: &Store, kind: u8, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    if kind != ASKED {
        bail!("this version of Mainstay does not know question {kind}");
    }
    let answer = match decode(body)? {
        Question::Digests { kind, from, upto } => {
            let is_whole = !history.gaps().iter().any(|gap| gap.from < upto && from < gap.upto);
            // Asked first: what is applied meanwhile may be in the digests or not.
            let watermark = history.watermark();
            Answer::Digests(Found { digests: history.digests(kind, from, upto)?, watermark, is_whole })
        }
        Question::Export { unit, cursor } => {
            let exported = history.export(&unit, ENTRY_BYTES_MAX, cursor.as_ref())?;
            Answer::Exported { bytes: exported.bytes, next: exported.next }
        }
    };
    encode(&answer)
}

fn encode(value: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    Ok(postcard::to_extend(value, vec![VERSION])?)
}

fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> anyhow::Result<T> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => Ok(postcard::from_bytes(rest)?),
        Some((other, _)) => bail!("form {other} of a question about history is not known to this version of Mainstay"),
        None => bail!("a question about history is empty"),
    }
}

/// What this node lacks, for status and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Spans that were compared.
    pub(crate) done: u64,
    /// Spans to compare.
    pub(crate) of: u64,
}

pub(crate) async fn run(house: Arc<House>, history: Arc<Store>, mut replaced: watch::Receiver<u64>) {
    let mut compare_at = Instant::now() + COMPARED_EVERY;
    let mut rest = LOOK_EVERY;
    loop {
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            changed = replaced.changed() => if changed.is_err() { return },
            () = house.stopped() => return,
        }
        rest = LOOK_EVERY;
        if house.node.state().members().count() < 2 || house.is_witness() {
            continue;
        }
        let gaps = history.gaps();
        let is_time = compare_at <= Instant::now();
        if gaps.is_empty() && !is_time {
            continue;
        }
        let filled = tokio::select! {
            filled = fill(&house, &history, &gaps) => filled,
            () = house.stopped() => return,
        };
        house.back_fill.send_replace(None);
        match filled {
            Ok(()) if gaps.is_empty() => compare_at = Instant::now() + COMPARED_EVERY,
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(error = %crate::chain(&error), "the history could not be completed yet; tried again");
                rest = AGAIN_AFTER;
                compare_at = compare_at.max(Instant::now() + AGAIN_AFTER);
            }
        }
    }
}

/// Closes all gaps, or compares the recent past if there are none.
async fn fill(house: &House, history: &Arc<Store>, gaps: &[Gap]) -> anyhow::Result<()> {
    if gaps.is_empty() {
        let now = house.now();
        let items = Taking::new(house, history).take(now.minus(COMPARED_FROM), now.minus(COMPARED_UPTO), 0).await?;
        if items > 0 {
            tracing::info!(items, "the history lacked what another node had; it has it now");
        }
        return Ok(());
    }
    for gap in gaps {
        let entries = gap.entries.end - gap.entries.start;
        tracing::info!(from = %gap.from, upto = %gap.upto, entries, "the history lacks results; they are fetched from another node");
        let items = Taking::new(house, history).take(gap.from, gap.upto, gap.entries.end - 1).await?;
        history.gap_closed(gap)?;
        tracing::info!(items, "the history is complete again");
    }
    Ok(())
}

/// What is compared in one question: a kind of history between two instants.
type Stretch = (Kind, Timestamp, Timestamp);

/// Everything to compare between two instants, newest first. Roll-ups of days
/// whose results are kept follow from the results.
fn stretches(from: Timestamp, upto: Timestamp, kept_from: Timestamp) -> Vec<Stretch> {
    let mut all = Vec::new();
    let mut span = Span::of(Kind::Results, from.max(kept_from));
    while span.from() < upto {
        all.push((Kind::Results, span.from(), span.upto()));
        span = span.next();
    }
    all.reverse();
    for (kind, length) in [(Kind::FiveMinutes, DAYS_AT_ONCE), (Kind::Days, YEAR)] {
        let begin = Span::of(kind, from).from();
        let mut end = Span::of(kind, upto.min(kept_from)).upto();
        while begin < end {
            let start = begin.max(Span::of(kind, end.minus(length)).from());
            all.push((kind, start, end));
            end = start;
        }
    }
    all
}

/// Taking what is missing from other nodes.
struct Taking<'a> {
    house: &'a House,
    history: &'a Arc<Store>,
    began: Instant,
    bytes: u64,
}

impl<'a> Taking<'a> {
    fn new(house: &'a House, history: &'a Arc<Store>) -> Self {
        Self { house, history, began: Instant::now(), bytes: 0 }
    }

    /// Takes all that others have between two instants. A peer helps fully if
    /// it has applied the log up to `watermark` and lacks nothing there itself.
    /// Returns how many results or roll-ups were new.
    async fn take(mut self, from: Timestamp, upto: Timestamp, watermark: u64) -> anyhow::Result<u64> {
        let stretches = stretches(from, upto, self.history.kept_from(self.house.now()));
        let of = stretches.len() as u64;
        let mut items = 0;
        for (done, stretch) in (0..).zip(stretches) {
            self.house.back_fill.send_replace(Some(Progress { done, of }));
            items += self.take_stretch(stretch, watermark).await?;
        }
        Ok(items)
    }

    async fn take_stretch(&mut self, stretch: Stretch, watermark: u64) -> anyhow::Result<u64> {
        let mut items = 0;
        let mut missed = anyhow!("no other node that keeps a history is heard");
        for peer in peers(self.house) {
            match self.take_from(peer, stretch).await {
                Ok((taken, found)) => {
                    items += taken;
                    if found.is_whole && found.watermark >= watermark {
                        return Ok(items);
                    }
                    missed = anyhow!("node {peer} lacks a part of it as well");
                }
                Err(error) => missed = error.context(format!("node {peer}")),
            }
        }
        Err(missed)
    }

    async fn take_from(&mut self, peer: NodeId, (kind, from, upto): Stretch) -> anyhow::Result<(u64, Found)> {
        let question = Question::Digests { kind, from, upto };
        let Answer::Digests(found) = self.ask(peer, &question).await? else { bail!("it answered another question") };
        let history = Arc::clone(self.history);
        let ours = tokio::task::spawn_blocking(move || history.digests(kind, from, upto)).await??;
        let mut items = 0;
        for unit in differing(&ours, &found.digests) {
            items += self.take_unit(peer, unit).await?;
        }
        Ok((items, found))
    }

    async fn take_unit(&mut self, peer: NodeId, unit: Unit) -> anyhow::Result<u64> {
        let (mut items, mut cursor) = (0, None);
        loop {
            let question = Question::Export { unit, cursor };
            let Answer::Exported { bytes, next } = self.ask(peer, &question).await? else {
                bail!("it answered another question")
            };
            self.bytes += bytes.len() as u64;
            let history = Arc::clone(self.history);
            let imported = tokio::task::spawn_blocking(move || history.import(&bytes)).await??;
            items += imported.items_new;
            let allowed_at = self.began + Duration::from_millis(self.bytes * 1000 / BYTES_PER_SECOND);
            tokio::time::sleep_until(allowed_at).await;
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(items),
            }
        }
    }

    async fn ask(&self, peer: NodeId, question: &Question) -> anyhow::Result<Answer> {
        decode(&self.house.node.ask(peer, ASKED, encode(question)?, ANSWERED_WITHIN).await?)
    }
}

/// The other nodes that are heard and keep a history.
fn peers(house: &House) -> Vec<NodeId> {
    let (state, here) = (house.node.state(), house.node.id());
    let can = |known: &&MemberState| known.member.id != here && known.is_present && known.member.role == Role::Full;
    state.members().filter(can).map(|known| known.member.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_cover_everything_once_and_newest_first() {
        let at = |day: i64, hour: i64| Timestamp::from_ms((day * 24 + hour) * 3_600_000);
        let (from, kept, upto) = (at(20_000, 5), at(20_100, 0), at(20_101, 3));
        let all = stretches(from, upto, kept);
        for kind in [Kind::Results, Kind::FiveMinutes, Kind::Days] {
            let mut end = None;
            for (_, begin, upto) in all.iter().filter(|(of, _, _)| *of == kind) {
                assert!(begin < upto && end.is_none_or(|end| end == *upto), "{kind:?} {begin} {upto}");
                end = Some(*begin);
            }
            let reached = if kind == Kind::Results { kept } else { from };
            assert!(end.is_some_and(|end| end <= reached), "{kind:?}");
        }
        assert_eq!(all[0].2, at(20_101, 4), "the newest window comes first, as a whole");
    }
}
