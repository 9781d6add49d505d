//! Restores a backup: verifies it, and founds a new cluster where the old one was.
//!
//! ```text
//!  archive ─▶ verify ─▶ DIR/restoring/{history,log} ─▶ open once ─▶ DIR/{history,log}
//! ```
//!
//! **Nothing stands in its final place before everything was verified and
//! opened.** The log comes last, so that what a dying process leaves behind is
//! refused by name and never taken for a new data directory. The new cluster
//! has an id of its own, and so has its node: the old ones may still live, and
//! must not be taken for it.

use super::archive::{self, Found};
use super::manifest::Manifest;
use super::progress::{Phase, Progress};
use super::seal::Keys;
use super::target;
use crate::files;
use anyhow::{Context, bail, ensure};
use control::State;
use control::state::{Transplant, Unsent};
use model::configuration::DecodeError;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where everything lies until it is whole.
const UNFINISHED: &str = "restoring";
/// What mkfs puts into the root of a new file system.
const LOST_AND_FOUND: &str = "lost+found";

/// What is to be restored, and how.
pub(crate) struct RestoreWish<'a> {
    /// A path, or `s3://bucket/key`.
    pub(crate) backup: &'a str,
    pub(crate) keys: &'a Keys,
    /// Who wants it.
    pub(crate) actor: &'a str,
    pub(crate) unsent: Unsent,
}

/// What a backup holds.
pub(crate) struct Inside {
    pub(crate) manifest: Manifest,
    pub(crate) encryption: &'static str,
}

/// What was founded from it.
pub(crate) struct Founded {
    pub(crate) inside: Inside,
    pub(crate) cluster: String,
    pub(crate) node: String,
}

/// Verifies a backup to its last byte and changes nothing.
///
/// # Errors
/// It cannot be restored, and why.
pub(crate) fn verify(wish: &RestoreWish<'_>, progress: &Progress) -> anyhow::Result<Inside> {
    let (inside, _) = read(wish, None, progress)?;
    Ok(inside)
}

/// Restores a backup into an empty or missing directory.
///
/// # Errors
/// The directory is as it was then.
pub(crate) fn restore(wish: &RestoreWish<'_>, data: &Path, progress: &Progress) -> anyhow::Result<Founded> {
    refuse_what_is_there(data)?;
    cluster::prepare(data)?;
    let beside = Beside::make(data)?;
    let (inside, state) = read(wish, Some(&beside.path), progress)?;
    let how = Transplant { from: &inside.manifest.cluster, actor: wish.actor, unsent: wish.unsent };
    let founded = cluster::transplant(&files::log(&beside.path), &state.transplanted(&how))?;
    history::Store::restored(&files::history(&beside.path), state.applied_index())
        .context("the history in the backup cannot be used")?;
    beside.become_final(data)?;
    Ok(Founded { inside, cluster: founded.cluster.to_string(), node: format!("{:014x}", founded.node) })
}

/// Says what stands in the way of restoring into a directory.
///
/// # Errors
/// It is not empty.
pub(crate) fn refuse_what_is_there(data: &Path) -> anyhow::Result<()> {
    let entries = match fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("cannot look into {}", data.display()))?,
    };
    for entry in entries {
        let name = entry.with_context(|| format!("cannot look into {}", data.display()))?.file_name();
        if name == UNFINISHED {
            return Err(unfinished(data));
        }
        if name != LOST_AND_FOUND {
            bail!(
                "{} is not empty (it holds {:?}); a backup is restored into a new or empty directory only. Move away \
                 what is there, or name another directory",
                data.display(),
                name.to_string_lossy()
            );
        }
    }
    Ok(())
}

/// Refuses a data directory in which a restore did not come to its end.
///
/// # Errors
/// What to do.
pub(crate) fn refuse_unfinished(data: &Path) -> anyhow::Result<()> {
    if data.join(UNFINISHED).exists() { Err(unfinished(data)) } else { Ok(()) }
}

fn unfinished(data: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "a backup was being restored into {}, and that did not come to its end: remove the directory and restore again",
        data.display()
    )
}

fn read(wish: &RestoreWish<'_>, into: Option<&Path>, progress: &Progress) -> anyhow::Result<(Inside, State)> {
    progress.begin(Phase::Reading, 0);
    let source = target::open(wish.backup)?;
    let cannot = || format!("{} cannot be restored", wish.backup);
    let Found { manifest, state, encryption } =
        archive::read(source, wish.keys, into, progress).with_context(cannot)?;
    let state = State::decode(&state).map_err(unreadable).with_context(cannot)?;
    ensure!(
        state.applied_index() == manifest.index,
        "{} cannot be restored: its state ends at entry {}, its manifest says {}",
        wish.backup,
        state.applied_index(),
        manifest.index
    );
    Ok((Inside { manifest, encryption }, state))
}

fn unreadable(error: DecodeError) -> anyhow::Error {
    match error {
        DecodeError::Newer { found, supported } => anyhow::anyhow!(
            "its state was written by a newer Mainstay (version {found}, this program reads up to {supported}); restore \
             it with that version"
        ),
        other => anyhow::Error::new(other).context("its state cannot be read"),
    }
}

/// What is restored, until it is whole; gone when it is dropped before that.
struct Beside {
    path: PathBuf,
}

impl Beside {
    fn make(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(UNFINISHED);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }

    fn become_final(self, data: &Path) -> anyhow::Result<()> {
        for of in [files::history, files::log] {
            let (from, to) = (of(&self.path), of(data));
            fs::rename(&from, &to).with_context(|| format!("cannot move {} to its place", to.display()))?;
            sync(data)?;
        }
        fs::remove_dir(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))?;
        sync(data)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(directory = %self.path.display(), %error, "what was restored so far cannot be removed");
            }
            _ => {}
        }
    }
}

fn sync(directory: &Path) -> anyhow::Result<()> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.with_context(|| format!("cannot write {}", directory.display()))
}
