//! Makes one backup: gathers what is of one moment, describes it, writes it.
//!
//! **The history holds every result that the state counts.** It may hold later
//! ones, by as long as copying took; they are true and are kept, and nothing
//! is concluded from them. Runs on a thread of its own, with what is left of
//! the processor.

use super::archive::{self, Content, Source};
use super::manifest::{self, Contents, Manifest, Span};
use super::name::Maker;
use super::progress::{Phase, Progress};
use super::seal::Encryption;
use super::target::{Kept, Target};
use crate::serve::House;
use anyhow::{Context, bail};
use control::State;
use model::time::Timestamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Handle;

/// Where the copy of the history lies while it is written into the archive: in
/// the data directory, where tables can be linked. No name that somebody would
/// give to a directory of his own.
const COPY: &str = ".backup-under-way";
/// How long the history may take to catch up with the state.
const CATCH_UP: Duration = Duration::from_secs(120);
/// Tries to find a moment at which the configuration stays as it is.
const TRIES: usize = 5;
/// How much less this is worth than checking, for the system's scheduler.
const NICENESS: i32 = 10;

/// What is wanted.
pub(crate) struct Order {
    pub(crate) target: Target,
    pub(crate) encryption: Encryption,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) kept: Kept,
    /// Index and stamp of the last entry in the state.
    pub(crate) index: u64,
    pub(crate) stamp: Timestamp,
}

/// Makes a backup. Blocks for as long as that takes.
///
/// # Errors
/// Nothing stands under the backup's final name then.
pub(crate) fn make(
    house: &House,
    data: &Path,
    maker: &Maker,
    order: &Order,
    progress: &Progress,
) -> anyhow::Result<Made> {
    give_way();
    progress.begin(Phase::Gathering, 0);
    let copy = HistoryCopy::begin(data)?;
    let (state, lacks) = gather(house, &copy, progress)?;
    let mut sources = vec![Source { name: manifest::STATE.to_owned(), content: Content::Bytes(state.encode()) }];
    let directories = copy.add_to(&mut sources)?;
    let bytes = sources.iter().map(|source| source.content.length()).sum::<io::Result<u64>>();
    let bytes = bytes.context("cannot read what is to be backed up")?;
    progress.begin(Phase::Describing, bytes);
    let parts = archive::describe(&sources, progress)?;
    let made = house.now();
    let manifest = Manifest {
        format: manifest::FORMAT,
        mainstay: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: house.node.recovery().cluster.to_string(),
        node: format!("{:014x}", house.node.id().0),
        index: state.applied_index(),
        stamp: state.now().to_string(),
        made: made.to_string(),
        contents: Contents::of(&state),
        lacks,
        directories,
        parts,
    };
    progress.begin(Phase::Writing, bytes);
    let name = maker.name(made, !matches!(order.encryption, Encryption::None));
    let sink = order.target.begin(maker, &name)?;
    let kept = archive::write(sink, &order.encryption, &manifest, &sources, progress)?.finish()?;
    Ok(Made { kept, index: state.applied_index(), stamp: state.now() })
}

/// Takes a state and copies the history, so that the history has everything
/// that the state counts and both speak of the same checks.
fn gather(house: &House, copy: &HistoryCopy, progress: &Progress) -> anyhow::Result<(State, Vec<Span>)> {
    let history = house.history.as_ref();
    let history = history.context("this node is a witness and keeps no history; back up another node")?;
    for _ in 0..TRIES {
        let state = house.node.state();
        wait_for_history(house, progress)?;
        // Asked first: what is filled meanwhile is said to be missing, never the other way round.
        let gaps = history.gaps();
        copy.clear()?;
        history.backup(&copy.history()).context("cannot copy the history")?;
        // A check that came meanwhile has a number that the state does not know,
        // and would give to another one.
        if house.node.state().revision() == state.revision() {
            let span = |gap: &history::Gap| Span { from: gap.from.to_string(), upto: gap.upto.to_string() };
            return Ok((state, gaps.iter().map(span).collect()));
        }
    }
    bail!("the configuration changed {TRIES} times while the history was copied")
}

fn wait_for_history(house: &House, progress: &Progress) -> anyhow::Result<()> {
    let waited = Handle::current().block_on(async {
        tokio::select! {
            waited = tokio::time::timeout(CATCH_UP, house.tide.caught_up()) => Some(waited.is_ok()),
            () = house.stopped() => None,
        }
    });
    match waited {
        Some(true) if !progress.is_stopped() => Ok(()),
        Some(true) | None => bail!("the server is stopping"),
        Some(false) => bail!("the history has not caught up with the log for {} s", CATCH_UP.as_secs()),
    }
}

/// Checks come first.
fn give_way() {
    // On Linux this concerns the calling thread alone, which ends with the backup.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the backup runs at the same priority as everything else");
    }
}

/// The copy of the history, gone when it is dropped.
struct HistoryCopy(PathBuf);

impl HistoryCopy {
    /// Begins with nothing; what a dead process left is removed.
    fn begin(data: &Path) -> anyhow::Result<Self> {
        let copy = Self(data.join(COPY));
        copy.clear()?;
        Ok(copy)
    }

    fn history(&self) -> PathBuf {
        self.0.join("history")
    }

    fn clear(&self) -> anyhow::Result<()> {
        remove(&self.0)?;
        fs::create_dir(&self.0).with_context(|| format!("cannot make {}", self.0.display()))
    }

    /// Names every file of it as a part, in an order that is always the same,
    /// and returns its directories.
    fn add_to(&self, sources: &mut Vec<Source>) -> anyhow::Result<Vec<String>> {
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        let listed = list(&self.history(), &mut files, &mut directories);
        listed.with_context(|| format!("cannot list {}", self.0.display()))?;
        files.sort();
        directories.sort();
        for path in files {
            sources.push(Source { name: self.name(&path)?, content: Content::File(path) });
        }
        directories.iter().map(|path| self.name(path)).collect()
    }

    fn name(&self, path: &Path) -> anyhow::Result<String> {
        let below = path.strip_prefix(&self.0).context("a file of the copy lies beside it")?;
        Ok(below.to_str().with_context(|| format!("{} has no legal name", path.display()))?.to_owned())
    }
}

impl Drop for HistoryCopy {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(error = %crate::chain(&error), "the next backup removes it");
        }
    }
}

/// Removes what an earlier process left behind when it died in a backup.
pub(crate) fn remove_leftovers(data: &Path) -> anyhow::Result<()> {
    remove(&data.join(COPY))
}

fn remove(directory: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

fn list(directory: &Path, files: &mut Vec<PathBuf>, directories: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files, directories)?;
            directories.push(path);
        } else {
            files.push(path);
        }
    }
    Ok(())
}
