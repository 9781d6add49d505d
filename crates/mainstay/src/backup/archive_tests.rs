//! What an archive promises, tried without a server.

use super::*;
use crate::backup::manifest::Contents;
use control::State;
use std::io::Cursor;

struct Made {
    _directory: tempfile::TempDir,
    sources: Vec<Source>,
    manifest: Manifest,
}

/// A state, two small files and one that does not compress.
fn made() -> Made {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let noise: Vec<u8> = (0u32..100_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut sources =
        vec![Source { name: manifest::STATE.to_owned(), content: Content::Bytes(State::default().encode()) }];
    let deep = format!("history/tables/{}/7", "keyspace-".repeat(20));
    for (name, content) in [("history/state", &b"small"[..]), ("history/tables/empty", b""), (&deep, &noise)] {
        let path = directory.path().join(name.replace('/', "_"));
        fs::write(&path, content).expect("a file");
        sources.push(Source { name: name.to_owned(), content: Content::File(path) });
    }
    let parts = describe(&sources, &Progress::default()).expect("files that can be read");
    let manifest = Manifest {
        format: manifest::FORMAT,
        mainstay: "0.1.0".to_owned(),
        cluster: "cluster".to_owned(),
        node: "node".to_owned(),
        index: 7,
        stamp: "2026-11-20T02:30:00Z".to_owned(),
        made: "2026-11-20T02:30:00Z".to_owned(),
        contents: Contents::of(&State::default()),
        lacks: Vec::new(),
        directories: vec!["history/tables/nothing".to_owned()],
        parts,
    };
    Made { _directory: directory, sources, manifest }
}

impl Made {
    fn bytes(&self) -> Vec<u8> {
        write(Vec::new(), &Encryption::None, &self.manifest, &self.sources, &Progress::default())
            .expect("memory takes everything")
    }
}

fn read_all(bytes: &[u8], into: Option<&Path>) -> Result<Found, ReadError> {
    read(Cursor::new(bytes), &Keys::default(), into, &Progress::default())
}

#[test]
fn an_archive_gives_back_what_went_into_it() {
    let made = made();
    let into = tempfile::tempdir().expect("a temporary directory");
    let found = read_all(&made.bytes(), Some(into.path())).expect("a whole archive");
    assert_eq!((&found.manifest, found.encryption), (&made.manifest, "none"));
    assert_eq!(found.state, State::default().encode());
    for Source { name, content } in &made.sources[1..] {
        let Content::File(path) = content else { panic!("the history is in files") };
        let (restored, original) = (fs::read(into.path().join(name)), fs::read(path));
        assert_eq!(restored.expect("a restored file"), original.expect("its original"), "{name}");
    }
    assert!(into.path().join("history/tables/nothing").is_dir());
    assert!(!into.path().join(manifest::STATE).exists(), "the state is handed over, not written");
}

#[test]
fn an_archive_that_is_cut_anywhere_is_refused() {
    let bytes = made().bytes();
    let cuts = (0..bytes.len()).step_by(997).chain(bytes.len() - 40..bytes.len());
    for length in cuts {
        read_all(&bytes[..length], None).expect_err("a cut archive");
    }
}

#[test]
fn no_flipped_bit_changes_what_is_read() {
    let bytes = made().bytes();
    let whole = read_all(&bytes, None).expect("a whole archive");
    let near_the_ends = (0..60).chain(bytes.len() - 60..bytes.len());
    let (mut tried, mut unnoticed) = (0, 0);
    for at in near_the_ends.chain((60..bytes.len() - 60).step_by(499)) {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            tried += 1;
            // The same content has more than one compressed form: the head of a frame has a bit
            // without meaning, and zeros can be copied from here or from there.
            if let Ok(found) = read_all(&flipped, None) {
                assert_eq!((&found.manifest, &found.state), (&whole.manifest, &whole.state), "{at} {bit}");
                unnoticed += 1;
            }
        }
    }
    assert!(unnoticed * 20 < tried, "{unnoticed} of {tried} flipped bits go unnoticed");
}

#[test]
fn a_damaged_part_is_named() {
    let mut made = made();
    made.manifest.parts[1].sha256 = "00".repeat(32);
    let sources = std::mem::take(&mut made.sources);
    // Written by hand, because writing compares too.
    let error = read_all(&by_hand(&made.manifest, &sources), None).expect_err("a wrong checksum");
    assert!(matches!(&error, ReadError::Damaged { part, .. } if part == "history/state"), "{error}");
}

#[test]
fn a_missing_or_a_further_part_is_refused() {
    let mut made = made();
    let whole = made.manifest.clone();
    let last = made.sources.pop().expect("four parts");
    let error = read_all(&by_hand(&whole, &made.sources), None).expect_err("a missing part");
    assert!(matches!(&error, ReadError::Damaged { part, .. } if *part == last.name), "{error}");

    made.manifest.parts.pop();
    made.sources.push(last);
    let error = read_all(&by_hand(&made.manifest, &made.sources), None).expect_err("a further part");
    assert!(error.to_string().contains("more follows"), "{error}");
}

#[test]
fn a_newer_archive_is_refused_as_newer() {
    let mut made = made();
    made.manifest.format += 1;
    let error = read_all(&by_hand(&made.manifest, &made.sources), None).expect_err("a newer format");
    assert!(matches!(error, ReadError::Newer { found: 2, .. }), "{error}");
}

#[test]
fn a_file_that_changes_meanwhile_fails_the_backup() {
    let made = made();
    let Content::File(path) = &made.sources[1].content else { panic!("the history is in files") };
    for content in ["other", "smaller than before, or larger", "x"] {
        fs::write(path, content).expect("a file");
        let written = write(Vec::new(), &Encryption::None, &made.manifest, &made.sources, &Progress::default());
        let error = written.expect_err("a changed file");
        assert!(error.to_string().contains("history/state"), "{error}");
    }
}

#[test]
fn a_full_disk_is_told_from_a_damaged_part() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let made = made();
    let written = write(Full, &Encryption::None, &made.manifest, &made.sources, &Progress::default());
    assert!(matches!(written.err(), Some(WriteError::Target(error)) if error.kind() == io::ErrorKind::StorageFull));
}

#[test]
fn a_backup_that_is_stopped_says_so() {
    let made = made();
    let progress = Progress::default();
    progress.stop();
    let written = write(Vec::new(), &Encryption::None, &made.manifest, &made.sources, &progress);
    assert!(matches!(written.err(), Some(WriteError::Stopped)));
    assert!(matches!(describe(&made.sources, &progress), Err(WriteError::Stopped)));
}

fn by_hand(manifest: &Manifest, sources: &[Source]) -> Vec<u8> {
    let sealing = Sealing::new(Vec::new(), &Encryption::None).expect("memory takes everything");
    let mut archive = tar::Builder::new(sealing);
    let text = manifest.encode();
    append(&mut archive, manifest::NAME, text.len() as u64, 0, &mut text.as_slice()).expect("memory takes everything");
    for source in sources {
        let mut content = Vec::new();
        source.content.open().and_then(|mut reader| reader.read_to_end(&mut content)).expect("a file");
        append(&mut archive, &source.name, content.len() as u64, 0, &mut content.as_slice())
            .expect("memory takes everything");
    }
    archive.into_inner().and_then(Sealing::finish).expect("memory takes everything")
}
