//! Verifying the engine's manifests before it reads them.
//!
//! Each keyspace has a list of its tables (`v<number>`) and a file `current`
//! that names the list in force and holds its checksum. The engine (lsm-tree
//! 3.1) writes that checksum but does not verify it, and it deletes table files
//! that the list does not name: one flipped bit could cost a table for good.
//! Nothing is changed here, so what is refused can still be restored.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Where the keyspaces lie in the engine's directory.
pub(crate) const KEYSPACES_DIRECTORY: &str = "keyspaces";
/// The file that names a keyspace's list of tables in force.
pub(crate) const CURRENT: &str = "current";
/// A number of eight bytes, a checksum of sixteen, and the checksum's kind.
const CURRENT_BYTES: usize = 25;
const KIND_XXH3: u8 = 0;

/// Why the manifests are not sound.
#[derive(Debug)]
pub(crate) enum ManifestError {
    Io(io::Error),
    Damaged(PathBuf),
}

/// Verifies all manifests below an engine's directory. One that does not exist is empty, thus sound.
pub(crate) fn verify(directory: &Path) -> Result<(), ManifestError> {
    let keyspaces = match fs::read_dir(directory.join(KEYSPACES_DIRECTORY)) {
        Ok(keyspaces) => keyspaces,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ManifestError::Io(error)),
    };
    for keyspace in keyspaces {
        verify_keyspace(&keyspace.map_err(ManifestError::Io)?.path())?;
    }
    Ok(())
}

fn verify_keyspace(keyspace: &Path) -> Result<(), ManifestError> {
    let path = keyspace.join(CURRENT);
    // A keyspace whose making or dropping was cut short has none; the engine clears it away.
    let Some(current) = read(&path)? else { return Ok(()) };
    let (Some(list), Some((_, [checksum @ .., KIND_XXH3]))) = (list_of(&current), current.split_first_chunk::<8>())
    else {
        return Err(ManifestError::Damaged(path));
    };
    let list = keyspace.join(list);
    let Some(bytes) = read(&list)? else { return Err(ManifestError::Damaged(path)) };
    if checksum != xxhash_rust::xxh3::xxh3_128(&bytes).to_le_bytes() {
        return Err(ManifestError::Damaged(list));
    }
    Ok(())
}

/// The name of the list that the content of [`CURRENT`] is about.
pub(crate) fn list_of(current: &[u8]) -> Option<String> {
    let (number, _) = current.split_first_chunk().filter(|_| current.len() == CURRENT_BYTES)?;
    Some(format!("v{}", u64::from_le_bytes(*number)))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, ManifestError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(ManifestError::Io(error)),
    }
}
