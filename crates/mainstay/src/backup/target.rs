//! Where backups go: a file, a directory, or a bucket of an S3-compatible store.
//!
//! **A backup has its final name only when it is whole and on disk.** In a
//! directory it is written beside that name, flushed and renamed; in a bucket
//! the upload is completed as the last step. What a dead process left behind
//! is cleared away by the next backup of the same node.

use super::bucket::{Bucket, Upload};
use super::name::{Maker, UNFINISHED};
use anyhow::{Context, bail};
use model::time::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A backup is as secret as the data directory.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Where backups go.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// Exactly this file.
    File(PathBuf),
    /// A directory, under a name of the maker.
    Directory(PathBuf),
    /// Below a prefix of a bucket, under a name of the maker.
    Bucket(Bucket),
}

/// What is being written.
pub(crate) enum Sink {
    Local(Local),
    Remote(Box<Upload>),
}

/// A file beside its final name.
pub(crate) struct Local {
    file: File,
    beside: PathBuf,
    path: PathBuf,
    bytes: u64,
    is_kept: bool,
}

/// A backup that is whole, where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// How people name it: a path, or `s3://bucket/key`.
    pub(crate) place: String,
    /// Its length.
    pub(crate) bytes: u64,
}

impl Target {
    /// Reads what somebody wrote. A relative path begins at `base`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str, base: &Path) -> anyhow::Result<Self> {
        if let Some(rest) = text.strip_prefix("s3://") {
            return Bucket::parse(rest).map(Self::Bucket);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            bail!("backups do not go to {scheme}://; name a file, a directory, or s3://bucket/prefix");
        }
        let path = base.join(text);
        Ok(if text.ends_with('/') || path.is_dir() { Self::Directory(path) } else { Self::File(path) })
    }

    /// As [`Self::parse`], for many backups: a path is a directory, whether or not it is there yet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse_directory(text: &str, base: &Path) -> anyhow::Result<Self> {
        Ok(match Self::parse(text, base)? {
            Self::File(path) => Self::Directory(path),
            other => other,
        })
    }

    /// Begins a backup.
    ///
    /// # Errors
    /// Nothing can be written there, or something stands there already.
    pub(crate) fn begin(&self, maker: &Maker, name: &str) -> anyhow::Result<Sink> {
        match self {
            Self::File(path) => Local::create(path.clone()).map(Sink::Local),
            Self::Directory(directory) => {
                make_directory(directory)?;
                clear_unfinished(directory, maker)?;
                Local::create(directory.join(name)).map(Sink::Local)
            }
            Self::Bucket(bucket) => bucket.upload(name).map(Box::new).map(Sink::Remote),
        }
    }

    /// The backups of a maker that are there, with the moment of each, oldest first.
    ///
    /// # Errors
    /// The place cannot be listed. A directory that does not exist yet is empty.
    pub(crate) fn list(&self, maker: &Maker) -> anyhow::Result<Vec<(Timestamp, String)>> {
        let names = match self {
            Self::File(_) => Vec::new(),
            Self::Directory(directory) => names(directory)?,
            Self::Bucket(bucket) => bucket.list()?,
        };
        let mut found: Vec<_> = names.into_iter().filter_map(|name| Some((maker.made(&name)?, name))).collect();
        found.sort();
        Ok(found)
    }

    /// Removes a backup that [`Self::list`] named.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove(&self, name: &str) -> anyhow::Result<()> {
        match self {
            Self::File(_) => Ok(()),
            Self::Directory(directory) => {
                let path = directory.join(name);
                fs::remove_file(&path).with_context(|| format!("cannot remove the old backup {}", path.display()))
            }
            Self::Bucket(bucket) => bucket.remove(name),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) | Self::Directory(path) => path.display().fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl Sink {
    /// Gives it its final name, and says where it is.
    ///
    /// # Errors
    /// It is not there then.
    pub(crate) fn finish(self) -> anyhow::Result<Kept> {
        match self {
            Self::Local(local) => local.finish(),
            Self::Remote(upload) => upload.finish(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Local(local) => {
                let written = local.file.write(bytes)?;
                local.bytes += written as u64;
                Ok(written)
            }
            Self::Remote(upload) => upload.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Local(local) => local.file.flush(),
            Self::Remote(upload) => upload.flush(),
        }
    }
}

impl Local {
    fn create(path: PathBuf) -> anyhow::Result<Self> {
        let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
        if path.symlink_metadata().is_ok() {
            bail!("{} exists already; name another file, or a directory", path.display());
        }
        let beside = path.with_file_name(format!(".{}{UNFINISHED}", name.to_string_lossy()));
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&beside);
        let file = file.with_context(|| match beside.try_exists() {
            Ok(true) => format!("{} exists: another backup is being written, or died; remove it", beside.display()),
            _ => format!("cannot write to {}", parent(&path).display()),
        })?;
        Ok(Self { file, beside, path, bytes: 0, is_kept: false })
    }

    fn finish(mut self) -> anyhow::Result<Kept> {
        let path = self.path.clone();
        let finishing = || format!("cannot finish {}", path.display());
        self.file.sync_all().with_context(finishing)?;
        // Somebody may have put something there meanwhile, which is not ours to replace.
        let renamed = renameat_with(CWD, &self.beside, CWD, &self.path, RenameFlags::NOREPLACE);
        match renamed {
            Ok(()) => {}
            // File systems on a network often cannot promise that.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if self.path.symlink_metadata().is_err() => {
                fs::rename(&self.beside, &self.path).with_context(finishing)?;
            }
            Err(error) => return Err(io::Error::from(error)).with_context(finishing),
        }
        self.is_kept = true;
        let directory = parent(&self.path);
        File::open(directory).and_then(|directory| directory.sync_all()).with_context(finishing)?;
        Ok(Kept { place: self.path.display().to_string(), bytes: self.bytes })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = fs::remove_file(&self.beside)
        {
            tracing::warn!(file = %self.beside.display(), %error, "what was written of a backup cannot be removed");
        }
    }
}

/// Opens a backup to read it, wherever it is.
///
/// # Errors
/// It is not there, or cannot be read.
pub(crate) fn open(text: &str) -> anyhow::Result<Box<dyn Read>> {
    if let Some(rest) = text.strip_prefix("s3://") {
        return Bucket::parse(rest)?.download();
    }
    let file = File::open(text).with_context(|| format!("cannot open the backup {text}"))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        bail!("{text} is a directory; name one of the backups in it");
    }
    Ok(Box::new(file))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn make_directory(directory: &Path) -> anyhow::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().mode(DIRECTORY_MODE).create(directory);
    made.with_context(|| format!("cannot make the directory for backups {}", directory.display()))
}

fn clear_unfinished(directory: &Path, maker: &Maker) -> anyhow::Result<()> {
    for name in names(directory)?.into_iter().filter(|name| maker.is_unfinished(name)) {
        let path = directory.join(name);
        fs::remove_file(&path).with_context(|| format!("cannot remove the unfinished backup {}", path.display()))?;
    }
    Ok(())
}

fn names(directory: &Path) -> anyhow::Result<Vec<String>> {
    let listing = || format!("cannot list the backups in {}", directory.display());
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(listing)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // What is no text was not named by us.
        names.extend(entry.with_context(listing)?.file_name().into_string().ok());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_ms(1_795_141_800_123);

    fn maker() -> Maker {
        Maker::new("3f2a91bc00112233", 7)
    }

    fn listed(directory: &Path) -> Vec<String> {
        let mut names = names(directory).expect("a directory");
        names.sort();
        names
    }

    #[test]
    fn a_backup_has_its_name_only_when_it_is_finished() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let target = Target::parse("new", directory.path()).expect("a path");
        assert!(matches!(target, Target::File(_)), "a path that is not there is a file");
        let target = Target::parse_directory("new", directory.path()).expect("a path");
        let name = maker().name(AT, false);
        let mut sink = target.begin(&maker(), &name).expect("room");
        sink.write_all(b"whole").expect("room");
        let inside = directory.path().join("new");
        assert_eq!(listed(&inside), [format!(".{name}.part")]);
        let kept = sink.finish().expect("room");
        assert_eq!((listed(&inside), kept.bytes), (vec![name.clone()], 5));
        assert_eq!(target.list(&maker()).expect("a list"), [(AT, name.clone())]);
        target.remove(&name).expect("ours");
        assert_eq!(listed(&inside), [""; 0]);
    }

    #[test]
    fn what_was_not_finished_goes_and_what_is_not_ours_stays() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let target = Target::parse("./", directory.path()).expect("a path");
        let (ours, name) = (maker().name(AT, false), maker().name(AT.plus(std::time::Duration::from_secs(1)), false));
        let others = format!(".{}.part", Maker::new("other", 7).name(AT, false));
        for left in [format!(".{ours}.part"), others.clone(), "notes.part".to_owned()] {
            fs::write(directory.path().join(left), "x").expect("a file");
        }
        let sink = target.begin(&maker(), &name).expect("room");
        drop(sink);
        assert_eq!(listed(directory.path()), [others, "notes.part".to_owned()], "an abandoned one goes too");
    }

    #[test]
    fn nothing_that_is_there_is_replaced() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let target = Target::parse("mine.tar.zst", directory.path()).expect("a path");
        let sink = target.begin(&maker(), "unused").expect("room");
        assert!(target.begin(&maker(), "unused").is_err(), "another one is being written");
        fs::write(directory.path().join("mine.tar.zst"), "precious").expect("a file");
        let error = sink.finish().expect_err("something is there");
        assert!(format!("{error:#}").contains("File exists"), "{error:#}");
        let error = target.begin(&maker(), "unused").err().expect("something is there");
        assert!(error.to_string().contains("exists already"), "{error}");
        assert_eq!(fs::read(directory.path().join("mine.tar.zst")).expect("a file"), b"precious");
        assert_eq!(listed(directory.path()), ["mine.tar.zst"]);
    }

    #[test]
    fn a_place_that_is_none_is_refused() {
        let base = Path::new("/nonexistent");
        for text in ["ftp://host/path", "s3://", "s3:///prefix"] {
            assert!(Target::parse(text, base).is_err(), "{text}");
        }
        let missing = Target::parse_directory("backups", base).expect("a path");
        assert_eq!(missing.list(&maker()).expect("nothing there"), []);
        assert!(missing.begin(&maker(), "x").is_err());
    }
}
