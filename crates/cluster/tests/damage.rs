//! Damage on the disk is refused with what to do; what was never acknowledged
//! is cut.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod common;

use cluster::{Node, Options};
use common::{Log, note, open_patiently, run_abruptly};
use std::path::{Path, PathBuf};

const HEADER: usize = 32;
const FRAME: usize = 24 + 4096;

/// Makes a log with so many entries in its write-ahead log, not closed.
fn unclean(path: &Path, entries: u64) {
    run_abruptly(move || async move {
        let node = Node::open(path, Options::default(), Log::default()).await.unwrap();
        for number in 1..=entries {
            node.propose(note(number)).await.unwrap();
        }
    });
    // The thread that writes the log may still be closing its files.
    let lock = std::fs::File::open(path.join("lock")).unwrap();
    lock.lock().unwrap();
}

fn wal(path: &Path) -> PathBuf {
    path.join("log.db-wal")
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { std::fs::copy(&path, &target).map(drop).unwrap() }
    }
}

/// Offsets behind the frames of the write-ahead log that end a transaction.
fn commits(bytes: &[u8]) -> Vec<usize> {
    (0..(bytes.len() - HEADER) / FRAME)
        .map(|frame| HEADER + frame * FRAME)
        .filter(|at| bytes[at + 4..at + 8] != [0; 4])
        .map(|at| at + FRAME)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_frame_before_the_last_transaction_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let origin = directory.path().join("origin");
    unclean(&origin, 12);
    let bytes = std::fs::read(wal(&origin)).unwrap();
    let ends = commits(&bytes);
    let last = ends[ends.len() - 2];
    let mut tried = 0;
    // In each frame: page number, commit mark, salt, checksum, page.
    for frame in (HEADER..last).step_by(FRAME) {
        for field in [2, 6, 9, 17, 24 + 100, 24 + 4000] {
            let path = directory.path().join("copy");
            copy(&origin, &path);
            flip(&wal(&path), frame + field);
            let before = std::fs::read(wal(&path)).unwrap();
            let error = Node::open(&path, Options::default(), Log::default()).await.unwrap_err().to_string();
            let expected = format!(
                "{} is damaged (the frame at byte {frame} is wrong, but whole transactions follow it); restore the \
                 directory from a backup, or, if this node has peers, replace it by a new node; do not delete the \
                 file, it may hold entries that were acknowledged and are nowhere else",
                wal(&path).display()
            );
            assert_eq!(error, expected, "field {field}");
            assert_eq!(std::fs::read(wal(&path)).unwrap(), before, "what is refused is left as it was");
            std::fs::remove_dir_all(&path).unwrap();
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_last_transaction_is_cut_and_the_rest_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let origin = directory.path().join("origin");
    unclean(&origin, 8);
    let bytes = std::fs::read(wal(&origin)).unwrap();
    let ends = commits(&bytes);
    let (last, end) = (ends[ends.len() - 2], ends[ends.len() - 1]);
    // Cut in the middle of it, and lost in its first frame with the rest there.
    let mut cases: Vec<(usize, Vec<u8>)> = (last + 1..end).step_by(1500).map(|at| (at, bytes[..at].to_vec())).collect();
    for at in (last..end).step_by(512) {
        let mut torn = bytes[..end].to_vec();
        let sector_end = (at + 512).min(end);
        torn[at..sector_end].fill(0);
        if torn != bytes[..end] {
            cases.push((at, torn));
        }
    }
    // A transaction of one frame only remembers the commit index.
    let kept = if end - last > FRAME { 7 } else { 8 };
    for (at, torn) in cases {
        let path = directory.path().join("copy");
        copy(&origin, &path);
        std::fs::write(wal(&path), torn).unwrap();
        let log = Log::default();
        let node = open_patiently(&path, Options::default(), log.clone()).await;
        let expected: Vec<_> = (1..=kept).map(|number| (number, number)).collect();
        let applied = log.seen().applied;
        assert_eq!(applied, expected, "cut at {at}");
        // What is written next takes the place of what was cut.
        assert_eq!(node.propose(note(99)).await.unwrap().index, kept + 1);
        node.close().await.unwrap();
        std::fs::remove_dir_all(&path).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_ahead_log_that_somebody_deleted_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    unclean(&path, 3);
    std::fs::remove_file(wal(&path)).unwrap();
    let error = Node::open(&path, Options::default(), Log::default()).await.unwrap_err().to_string();
    assert!(error.contains("it is missing although Mainstay did not end cleanly"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_end_may_lose_its_empty_write_ahead_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let node = Node::open(&path, Options::default(), Log::default()).await.unwrap();
    node.propose(note(1)).await.unwrap();
    node.close().await.unwrap();
    assert_eq!(std::fs::metadata(wal(&path)).unwrap().len(), 0);
    std::fs::remove_file(wal(&path)).unwrap();
    let node = Node::open(&path, Options::default(), Log::default()).await.unwrap();
    assert_eq!(node.state().applied_index(), 1);
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_header_of_the_write_ahead_log_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    unclean(&path, 3);
    let whole = std::fs::read(wal(&path)).unwrap();
    let first_commit = commits(&whole)[0];
    for (at, length) in [(2, whole.len()), (17, whole.len()), (26, whole.len()), (17, first_commit)] {
        std::fs::write(wal(&path), &whole[..length]).unwrap();
        flip(&wal(&path), at);
        let error = Node::open(&path, Options::default(), Log::default()).await.unwrap_err().to_string();
        assert!(error.contains("the frame at byte 0 is wrong"), "{error}");
    }
}

/// A closed log whose entries are all in the database file.
async fn closed(path: &Path, entries: u64) {
    let node = Node::open(path, Options { durable_history: Some(0), ..Options::default() }, Log::default());
    let node = node.await.unwrap();
    for number in 1..=entries {
        // Long enough that most of the file is payload.
        let key = format!("{number} {}", "x".repeat(3000));
        node.propose(model::entry::Body::AttemptBegins { key, attempt: 1, node: model::member::NodeId(1) })
            .await
            .unwrap();
    }
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn any_flipped_bit_in_the_database_is_refused_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let origin = directory.path().join("origin");
    closed(&origin, 30).await;
    let length = std::fs::metadata(origin.join("log.db")).unwrap().len() as usize;
    let expected: Vec<_> = (1..=30).map(|number| (number, number)).collect();
    let (mut refused, mut harmless) = (0, 0);
    // A stride that is no divisor of the page, so that all kinds of places are met.
    for at in (0..length).step_by(1021) {
        let path = directory.path().join("copy");
        copy(&origin, &path);
        flip(&path.join("log.db"), at);
        let log = Log::default();
        let options = Options { durable_history: Some(0), ..Options::default() };
        match Node::open(&path, options, log.clone()).await {
            Ok(node) => {
                let seen = log.seen();
                assert_eq!(seen.repeated, expected, "byte {at}: nothing is lost, changed or invented");
                node.close().await.unwrap();
                harmless += 1;
            }
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("is damaged") || text.contains("cannot"), "byte {at}: {text}");
                refused += 1;
            }
        }
        std::fs::remove_dir_all(&path).unwrap();
    }
    assert!(refused > 60, "{refused} refused, {harmless} harmless");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_set_aside_for_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let node = Node::open(&path, Options::default(), Log::default()).await.unwrap();
    for number in 1..=30 {
        node.propose(note(number)).await.unwrap();
        if number % 10 == 0 {
            node.snapshot_now().await.unwrap();
        }
    }
    let before = node.state();
    node.close().await.unwrap();
    let snapshots = |suffix: &str| -> Vec<PathBuf> {
        let all = std::fs::read_dir(path.join("snapshots")).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<_> = all.filter(|path| path.extension().unwrap() == suffix).collect();
        found.sort();
        found
    };
    assert_eq!(snapshots("snapshot").len(), 2);
    let newest = snapshots("snapshot").pop().unwrap();
    flip(&newest, std::fs::metadata(&newest).unwrap().len() as usize / 2);

    let log = Log::default();
    let node = Node::open(&path, Options::default(), log.clone()).await.unwrap();
    assert_eq!(node.state(), before);
    assert_eq!(node.recovery().snapshot_index, 20);
    assert_eq!(node.recovery().damaged_snapshots, snapshots("damaged"));
    assert_eq!(log.seen().applied.len(), 10);
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_a_snapshot_to_begin_from_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let node = Node::open(&path, Options::default(), Log::default()).await.unwrap();
    for number in 1..=600 {
        node.propose(note(number)).await.unwrap();
        if number % 300 == 0 {
            node.snapshot_now().await.unwrap();
        }
    }
    let full = node.status().log_bytes;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while node.status().log_bytes >= full {
        assert!(std::time::Instant::now() < deadline, "nothing was purged");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    node.close().await.unwrap();
    for entry in std::fs::read_dir(path.join("snapshots")).unwrap() {
        flip(&entry.unwrap().path(), 40);
    }
    let error = Node::open(&path, Options::default(), Log::default()).await.unwrap_err().to_string();
    assert!(error.contains("no whole snapshot reaches that far"), "{error}");
    assert!(error.contains("restore the directory from a backup"), "{error}");
}
