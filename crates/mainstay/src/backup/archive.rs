//! The archive: a tar of the manifest, the state and the history, sealed.
//!
//! Written in one stream and read in one stream, so that neither needs room
//! for a second copy. The manifest comes first and holds the SHA-256 of
//! everything behind it, which is why parts are read twice when it is made.
//! **Nothing that was read is believed before the end of the file was reached
//! and everything matched.**

use super::manifest::{self, Manifest, Part, Refusal};
use super::progress::{Phase, Progress};
use super::seal::{Encryption, Keys, Sealing, UnsealError, unseal};
use model::time::Timestamp;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Only the owner reads what is restored: the state holds receivers' secrets.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
const BUFFER_BYTES: usize = 256 << 10;
/// Bytes of a manifest that are read: some hundred thousand parts.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// Something that goes into an archive.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its name there.
    pub(crate) name: String,
    /// Where it comes from.
    pub(crate) content: Content,
}

/// Where a part comes from.
#[derive(Debug)]
pub(crate) enum Content {
    /// Memory.
    Bytes(Vec<u8>),
    /// A file, which nobody changes meanwhile.
    File(PathBuf),
}

/// Why an archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("cannot read {name} for the backup")]
    Source {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("{name} changed while it was backed up")]
    Changed { name: String },
    #[error("cannot write the backup")]
    Target(#[source] io::Error),
    #[error("the server is stopping")]
    Stopped,
}

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Unseal(#[from] UnsealError),
    #[error(
        "it was written by a newer Mainstay ({by}; format {found}, this program reads up to {}); restore it with that \
         version",
        manifest::FORMAT
    )]
    Newer { found: u32, by: String },
    #[error("its part {part:?} is damaged: {what}; restore another backup")]
    Damaged { part: String, what: String },
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Reads all parts once and describes them.
///
/// # Errors
/// [`WriteError`], never about the target.
pub(crate) fn describe(sources: &[Source], progress: &Progress) -> Result<Vec<Part>, WriteError> {
    let mut parts = Vec::with_capacity(sources.len());
    for Source { name, content } in sources {
        let mut digest = Hashing::new(io::sink());
        let mut reader = content.open().map_err(|source| WriteError::Source { name: name.clone(), source })?;
        let bytes = copy(&mut reader, &mut digest, progress).map_err(|error| error.reading(name))?;
        parts.push(Part { name: name.clone(), bytes, sha256: digest.hex() });
    }
    Ok(parts)
}

/// Writes an archive; what comes back is complete but not flushed.
///
/// # Errors
/// [`WriteError`]; what was written so far is of no use.
pub(crate) fn write<W: Write>(
    out: W,
    encryption: &Encryption,
    manifest: &Manifest,
    sources: &[Source],
    progress: &Progress,
) -> Result<W, WriteError> {
    let sealing = Sealing::new(out, encryption).map_err(WriteError::Target)?;
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(BUFFER_BYTES, sealing));
    let text = manifest.encode();
    let made = Timestamp::parse_rfc3339(&manifest.made).map_or(0, Timestamp::as_seconds);
    let made = u64::try_from(made).unwrap_or(0);
    append(&mut archive, manifest::NAME, text.len() as u64, made, &mut text.as_slice()).map_err(WriteError::Target)?;
    for (Source { name, content }, part) in sources.iter().zip(&manifest.parts) {
        let reader = content.open().map_err(|source| WriteError::Source { name: name.clone(), source })?;
        let mut reader = Watched { inner: reader, digest: Sha256::new(), left: part.bytes, progress, failed: None };
        let appended = append(&mut archive, name, part.bytes, made, &mut reader);
        reader.judge(name, part)?;
        appended.map_err(WriteError::Target)?;
    }
    let buffered = archive.into_inner().map_err(WriteError::Target)?;
    let sealing = buffered.into_inner().map_err(|error| WriteError::Target(error.into_error()))?;
    sealing.finish().map_err(WriteError::Target)
}

/// Appends a file of so many bytes; `made` is in seconds since 1970.
fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    bytes: u64,
    made: u64,
    reader: &mut dyn Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mtime(made);
    header.set_mode(FILE_MODE);
    header.set_entry_type(tar::EntryType::Regular);
    archive.append_data(&mut header, name, reader)
}

impl Content {
    /// How long it is now.
    pub(crate) fn length(&self) -> io::Result<u64> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
            Self::File(path) => fs::metadata(path).map(|metadata| metadata.len()),
        }
    }

    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(bytes.as_slice()),
            Self::File(path) => Box::new(File::open(path)?),
        })
    }
}

/// A part on its way into the archive: read to the length that the manifest
/// says, and hashed again.
struct Watched<'a, R> {
    inner: R,
    digest: Sha256,
    left: u64,
    progress: &'a Progress,
    failed: Option<io::Error>,
}

impl<R: Read> Watched<'_, R> {
    /// Whether what went into the archive is what the manifest says.
    fn judge(mut self, name: &str, part: &Part) -> Result<(), WriteError> {
        if self.progress.is_stopped() {
            return Err(WriteError::Stopped);
        }
        if let Some(source) = self.failed {
            return Err(WriteError::Source { name: name.to_owned(), source });
        }
        let is_longer = self.left == 0 && self.inner.read(&mut [0]).is_ok_and(|read| read > 0);
        // What is left is the archive's own failure to take it, which has its own error.
        if is_longer || (self.left == 0 && hex(&self.digest.finalize()) != part.sha256) {
            return Err(WriteError::Changed { name: name.to_owned() });
        }
        Ok(())
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.is_stopped() {
            return Err(io::Error::other("stopped"));
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = match self.inner.read(&mut buffer[..room]) {
            Ok(0) if room > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        match read {
            Ok(read) => {
                self.digest.update(&buffer[..read]);
                self.left -= read as u64;
                self.progress.add(read as u64);
                Ok(read)
            }
            Err(error) => {
                let same = io::Error::new(error.kind(), error.to_string());
                self.failed = Some(error);
                Err(same)
            }
        }
    }
}

/// What an archive holds.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) manifest: Manifest,
    /// The stored form of the state.
    pub(crate) state: Vec<u8>,
    /// How the archive was encrypted.
    pub(crate) encryption: &'static str,
}

/// Reads an archive to its end and verifies everything in it; with a directory
/// the history's parts are written there, under their names in the archive.
///
/// # Errors
/// [`ReadError`] names the part. What lies in the directory is of no use then.
pub(crate) fn read(
    source: impl Read,
    keys: &Keys,
    into: Option<&Path>,
    progress: &Progress,
) -> Result<Found, ReadError> {
    let (unsealed, encryption) = unseal(source, keys)?;
    let mut archive = tar::Archive::new(unsealed);
    let mut entries = archive.entries().map_err(|error| damaged(manifest::NAME, &error))?;
    let manifest = read_manifest(entries.next())?;
    progress.begin(Phase::Reading, manifest.bytes());
    if let Some(into) = into {
        manifest.directories.iter().try_for_each(|name| make_directory(&into.join(name)))?;
    }
    let mut state = Vec::new();
    for part in &manifest.parts {
        let entry = entries.next().ok_or_else(|| damage(&part.name, "it is missing"))?;
        let mut entry = entry.map_err(|error| damaged(&part.name, &error))?;
        if *entry.path_bytes() != *part.name.as_bytes() || !entry.header().entry_type().is_file() {
            return Err(damage(&part.name, "something else stands in its place"));
        }
        if part.name == manifest::STATE {
            take(&mut entry, &mut state, part, progress)?;
        } else if let Some(directory) = into {
            extract(&mut entry, directory, part, progress)?;
        } else {
            take(&mut entry, &mut io::sink(), part, progress)?;
        }
    }
    let end = "its end";
    match entries.next() {
        None => {}
        Some(Ok(_)) => return Err(damage(end, "more follows than the manifest names")),
        Some(Err(error)) => return Err(damaged(end, &error)),
    }
    // The checksum of the compressed stream is behind the last byte.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| damaged(end, &error))?;
    Ok(Found { manifest, state, encryption })
}

fn read_manifest<R: Read>(entry: Option<io::Result<tar::Entry<'_, R>>>) -> Result<Manifest, ReadError> {
    let entry = entry.ok_or_else(|| damage(manifest::NAME, "it is missing"))?;
    let mut entry = entry.map_err(|error| damaged(manifest::NAME, &error))?;
    if *entry.path_bytes() != *manifest::NAME.as_bytes() {
        return Err(UnsealError::Foreign.into());
    }
    let mut bytes = Vec::new();
    let length = entry.size();
    if length > MANIFEST_BYTES_MAX {
        return Err(damage(manifest::NAME, &format!("it has {length} bytes")));
    }
    entry.read_to_end(&mut bytes).map_err(|error| damaged(manifest::NAME, &error))?;
    Manifest::decode(&bytes).map_err(|refusal| match refusal {
        Refusal::Newer { found, by } => ReadError::Newer { found, by },
        Refusal::Wrong(what) => damage(manifest::NAME, &what),
    })
}

/// Copies a part and compares it with the manifest.
fn take(entry: &mut impl Read, out: &mut impl Write, part: &Part, progress: &Progress) -> Result<(), ReadError> {
    let mut hashing = Hashing::new(out);
    // One byte more than it should have is enough to tell.
    let mut limited = entry.take(part.bytes.saturating_add(1));
    let bytes = copy(&mut limited, &mut hashing, progress).map_err(|error| match error {
        CopyError::Read(error) => damaged(&part.name, &error),
        CopyError::Write(source) => ReadError::Write { path: PathBuf::from(&part.name), source },
        CopyError::Stopped => damage(&part.name, "reading was interrupted"),
    })?;
    if bytes != part.bytes {
        return Err(damage(&part.name, "it has another length than the manifest says"));
    }
    if hashing.hex() != part.sha256 {
        return Err(damage(&part.name, "it does not match its checksum"));
    }
    Ok(())
}

fn extract(entry: &mut impl Read, directory: &Path, part: &Part, progress: &Progress) -> Result<(), ReadError> {
    // The manifest was refused if the name could lead elsewhere.
    let path = directory.join(&part.name);
    let write = |source| ReadError::Write { path: path.clone(), source };
    make_directory(path.parent().unwrap_or(directory))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path).map_err(write)?;
    take(entry, &mut file, part, progress).map_err(|error| match error {
        ReadError::Write { source, .. } => write(source),
        other => other,
    })?;
    file.sync_all().map_err(write)
}

fn make_directory(path: &Path) -> Result<(), ReadError> {
    let made = fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
    made.map_err(|source| ReadError::Write { path: path.to_owned(), source })
}

fn damage(part: &str, what: &str) -> ReadError {
    ReadError::Damaged { part: part.to_owned(), what: what.to_owned() }
}

fn damaged(part: &str, error: &io::Error) -> ReadError {
    let what =
        if error.kind() == io::ErrorKind::UnexpectedEof { "the file ends in it".to_owned() } else { error.to_string() };
    damage(part, &what)
}

enum CopyError {
    Read(io::Error),
    Write(io::Error),
    Stopped,
}

impl CopyError {
    fn reading(self, name: &str) -> WriteError {
        match self {
            Self::Read(source) => WriteError::Source { name: name.to_owned(), source },
            Self::Write(error) => WriteError::Target(error),
            Self::Stopped => WriteError::Stopped,
        }
    }
}

/// Like [`io::copy`], but tells on which side it failed.
fn copy(from: &mut impl Read, to: &mut impl Write, progress: &Progress) -> Result<u64, CopyError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut copied = 0;
    loop {
        if progress.is_stopped() {
            return Err(CopyError::Stopped);
        }
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        to.write_all(&buffer[..read]).map_err(CopyError::Write)?;
        copied += read as u64;
        progress.add(read as u64);
    }
}

/// Hashes what passes through.
struct Hashing<W> {
    out: W,
    digest: Sha256,
}

impl<W> Hashing<W> {
    fn new(out: W) -> Self {
        Self { out, digest: Sha256::new() }
    }

    fn hex(self) -> String {
        hex(&self.digest.finalize())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
