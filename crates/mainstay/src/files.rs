//! Reads configuration files and resolves the paths of a server.

use anyhow::{Context, bail};
use config::{Loaded, Mistakes, SourceFile};
use std::fs;
use std::path::{Path, PathBuf};

/// Why no configuration could be had.
pub(crate) enum LoadError {
    /// The files are readable, but wrong.
    Wrong(Mistakes),
    /// The files could not be read.
    Unreadable(anyhow::Error),
}

/// Loads the file, or all `*.yaml` and `*.yml` files of the directory.
pub(crate) fn load(path: &Path) -> Result<Loaded, LoadError> {
    let sources = read(path).map_err(LoadError::Unreadable)?;
    config::load(&sources, &|name| std::env::var(name).ok()).map_err(LoadError::Wrong)
}

fn read(path: &Path) -> anyhow::Result<Vec<SourceFile>> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read the configuration {}", path.display()))?;
    if !metadata.is_dir() {
        return Ok(vec![read_one(path)?]);
    }
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))? {
        let path = entry.with_context(|| "cannot list the configuration directory".to_owned())?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        bail!("{} holds no *.yaml file", path.display());
    }
    paths.sort();
    paths.iter().map(|path| read_one(path)).collect()
}

fn read_one(path: &Path) -> anyhow::Result<SourceFile> {
    let length = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if length > model::limits::CONFIGURATION_FILE_BYTES_MAX {
        bail!(
            "{} has {length} bytes; at most {} are allowed",
            path.display(),
            model::limits::CONFIGURATION_FILE_BYTES_MAX
        );
    }
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8 text", path.display()))?;
    Ok(SourceFile { name: path.display().to_string(), text })
}

/// What tells one version of the files from another without reading them:
/// names, lengths and times of change.
pub(crate) type Fingerprint = Vec<(PathBuf, u64, Option<std::time::SystemTime>)>;

/// The fingerprint of the files as they are.
pub(crate) fn fingerprint(path: &Path) -> Fingerprint {
    let of = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok();
        let length = metadata.as_ref().map_or(0, fs::Metadata::len);
        (path, length, metadata.and_then(|metadata| metadata.modified().ok()))
    };
    if !path.is_dir() {
        return vec![of(path.to_owned())];
    }
    let mut found: Vec<_> = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| of(entry.path())).collect();
    found.sort();
    found
}

/// The data directory: as given, or beside the configuration.
pub(crate) fn data_directory(configuration: &Path, data: &str) -> PathBuf {
    let data = Path::new(data);
    if data.is_absolute() {
        return data.to_owned();
    }
    let base = if configuration.is_dir() { Some(configuration) } else { configuration.parent() };
    base.unwrap_or(Path::new("")).join(data)
}

/// Where the log of a data directory is.
pub(crate) fn log(data: &Path) -> PathBuf {
    data.join("log")
}

/// Where the history of a data directory is.
pub(crate) fn history(data: &Path) -> PathBuf {
    data.join("history")
}

/// The local socket of the server that owns a data directory.
pub(crate) fn socket(data: &Path) -> PathBuf {
    data.join("mainstay.sock")
}

/// The file that says that this node keeps no history and makes no checks.
const WITNESS: &str = "witness";

/// Whether a data directory belongs to a witness.
pub(crate) fn is_witness(data: &Path) -> bool {
    data.join(WITNESS).exists()
}

/// Says in a data directory that it belongs to a witness.
pub(crate) fn mark_witness(data: &Path) -> std::io::Result<()> {
    fs::write(data.join(WITNESS), "This node votes, but keeps no history and makes no checks.\n")
}

/// Where batches wait that the cluster could not take.
pub(crate) fn spool(data: &Path) -> PathBuf {
    data.join("spool")
}

/// What this node has told the owners on its own while it was cut off.
pub(crate) fn cut_off(data: &Path) -> PathBuf {
    data.join("cut-off")
}
