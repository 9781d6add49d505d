//! Tells the owners when this node has lost the others: the one message that
//! is not decided in the log, because the log takes nothing then.
//!
//! What was told is written to a small file before it is sent, so that a node
//! that is restarted meanwhile does not say it again.

use super::House;
use anyhow::Context;
use control::edge::{CutOff, Notice};
use model::entry::Answer;
use model::id::ReceiverId;
use model::message::Message;
use model::time::Timestamp;
use notify::{Notifier, Try};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often the node asks itself whether it is alone.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a node is alone before its page says so: an election is over by then.
const SHOWN_AFTER: Duration = Duration::from_secs(3);
/// Attempts for each receiver; what does not get out at all cannot be mended from here.
const ATTEMPTS_MAX: u32 = 5;

pub(crate) fn run(house: Arc<House>, journal: PathBuf) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let options = notify::Options { runs_programs: house.allow_plugins, ..notify::Options::default() };
    let notifier = Arc::new(Notifier::new(options).context("cannot prepare the receivers")?);
    let told = read(&journal)?;
    Ok(watch(house, notifier, journal, CutOff::new(told)))
}

async fn watch(house: Arc<House>, notifier: Arc<Notifier>, journal: PathBuf, mut cut_off: CutOff) {
    let mut telling = JoinSet::new();
    loop {
        let has_quorum = house.node.status().has_quorum;
        if let Some(notice) = cut_off.observe(has_quorum, house.now()) {
            note(&journal, notice);
            let state = house.node.state();
            for (receiver, message) in notice.messages(&state, house.node.id()) {
                telling.spawn(tell(Arc::clone(&house), Arc::clone(&notifier), receiver, message));
            }
        }
        let lasting = cut_off.since().filter(|since| house.now().since(*since) >= SHOWN_AFTER);
        house.cut_off.send_if_modified(|shown| std::mem::replace(shown, lasting) != lasting);
        tokio::select! {
            // One that panicked has said so.
            _ = telling.join_next(), if !telling.is_empty() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = house.stopped() => return,
        }
    }
}

/// Writes down what is about to be told. If that fails it is told all the
/// same: twice is better than never.
fn note(journal: &Path, notice: Notice) {
    let written = match notice {
        Notice::CutOff { since, .. } => {
            tracing::error!(%since, "this node has no contact with a majority; the owners are told");
            fs::write(journal, format!("{}\n", since.as_ms()))
        }
        Notice::Together { since, .. } => {
            tracing::info!(%since, "this node is no longer cut off");
            fs::remove_file(journal)
        }
    };
    if let Err(error) = written {
        tracing::warn!(file = %journal.display(), %error, "what is told on this node's own account could not be written down");
    }
}

/// Since when the node is cut off by what it has told, if it has.
fn read(journal: &Path) -> anyhow::Result<Option<Timestamp>> {
    let text = match fs::read_to_string(journal) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", journal.display())),
    };
    // A file that was cut off by a crash says at least that something was told.
    Ok(Some(text.trim().parse().map_or(Timestamp::EPOCH, Timestamp::from_ms)))
}

async fn tell(house: Arc<House>, notifier: Arc<Notifier>, receiver: ReceiverId, message: Message) {
    let state = house.node.state();
    let Some(means) = state.configuration().receiver(&receiver).map(|known| known.means.clone()) else { return };
    drop(state);
    for attempt in 1..=ATTEMPTS_MAX {
        let answer = notifier.deliver(&means, &message, Try { attempt, possibly_double: false }).await;
        match answer {
            Answer::Delivered { said } => {
                tracing::info!(%receiver, said, "told: {}", message.title);
                return;
            }
            Answer::Refused { reason } => {
                tracing::error!(%receiver, reason, "not told, and refused: {}", message.title);
                return;
            }
            Answer::Failed { reason, .. } => tracing::warn!(%receiver, attempt, reason, "not told: {}", message.title),
        }
        tokio::select! {
            () = tokio::time::sleep(control::delivery::backoff(attempt)) => {}
            () = house.stopped() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_known_after_a_restart() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let journal = directory.path().join("cut-off");
        let (since, at) = (Timestamp::from_ms(1_795_000_000_000), Timestamp::from_ms(1_795_000_030_000));
        assert_eq!(read(&journal).expect("no file"), None);
        note(&journal, Notice::CutOff { since, at });
        assert_eq!(read(&journal).expect("a file"), Some(since));
        note(&journal, Notice::Together { since, at });
        assert_eq!(read(&journal).expect("no file"), None);
    }
}
