//! Lets time pass in the log, and notices what is wrong with this node itself.

use super::House;
use super::lag::LATE_AFTER;
use cluster::ClockEvent;
use model::entry::{Body, Condition, ConditionKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often time passes in the log while something waits for it.
const TICK: Duration = Duration::from_secs(1);
/// Ticks between two while nothing waits: borders of planned work and silent
/// checks are noticed within this many seconds.
const IDLE_TICKS: u32 = 5;
/// Ticks between two looks at how late checks start.
const LAG_TICKS: u32 = 60;
/// Share of late or skipped rounds, in per mille, from which it is said.
const OVERLOADED_PER_MILLE: u64 = 20;
/// Share below which it is over.
const WELL_PER_MILLE: u64 = 5;

pub(crate) async fn run(house: Arc<House>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let Some(mut events) = house.node.clock_events() else {
        return;
    };
    // What held when the node stopped holds until the opposite is seen.
    let held = |kind| house.node.state().condition_holds(kind, house.node.id());
    let mut is_overloaded = held(ConditionKind::Overloaded);
    match events.try_recv() {
        Ok(event) => jumped(&house, event).await,
        Err(_) if held(ConditionKind::ClockJumped) => jumped(&house, ClockEvent::Agrees).await,
        Err(_) => {}
    }
    let leads = house.node.leads();
    let mut count = 0u32;
    let mut before = house.lag.counts();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(event) = events.recv() => {
                jumped(&house, event).await;
                continue;
            }
            () = house.stopped() => return,
        }
        count = count.wrapping_add(1);
        let waits = || house.node.state().wants_ticks() || count.is_multiple_of(IDLE_TICKS);
        if *leads.borrow() && waits() {
            propose(&house, Body::Tick).await;
        }
        if count.is_multiple_of(LAG_TICKS) {
            let now = house.lag.counts();
            is_overloaded = weigh(&house, before, now, is_overloaded).await;
            before = now;
        }
    }
}

async fn propose(house: &House, body: Body) {
    if let Err(error) = house.node.propose(body).await {
        tracing::error!(%error, "the log takes nothing");
    }
}

async fn jumped(house: &House, event: ClockEvent) {
    let condition = Condition {
        kind: ConditionKind::ClockJumped,
        node: house.node.id(),
        holds: event.is_trouble(),
        text: event.to_string(),
    };
    propose(house, Body::Condition(condition)).await;
}

/// Says so when checks start late, and when they no longer do.
async fn weigh(house: &House, before: (u64, u64, u64), now: (u64, u64, u64), was_overloaded: bool) -> bool {
    let (started, late, skipped) = (now.0 - before.0, now.1 - before.1, now.2 - before.2);
    let due = started + skipped;
    let per_mille = ((late + skipped) * 1000).checked_div(due).unwrap_or(0);
    let is_overloaded = if was_overloaded { per_mille >= WELL_PER_MILLE } else { per_mille >= OVERLOADED_PER_MILLE };
    if is_overloaded != was_overloaded {
        let seconds = LATE_AFTER.as_secs();
        let advice = if is_overloaded { " Use longer intervals, fewer checks, or a larger machine." } else { "" };
        let text = format!(
            "Of {due} rounds in the last minute {late} started more than {seconds} s late and {skipped} were skipped.{advice}"
        );
        tracing::warn!("{text}");
        let (kind, node) = (ConditionKind::Overloaded, house.node.id());
        propose(house, Body::Condition(Condition { kind, node, holds: is_overloaded, text })).await;
    }
    is_overloaded
}
