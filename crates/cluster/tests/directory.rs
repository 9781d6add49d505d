//! A data directory that is wrong has one clear error.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod common;

use cluster::{Node, OpenError, Options};
use common::{Log, note};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

async fn refused(path: &Path) -> String {
    let error = Node::open(path, Options::default(), Log::default()).await.unwrap_err();
    let text = error.to_string();
    text.replace(&path.parent().unwrap().display().to_string(), "/tmp/x")
}

async fn founded(path: &Path) {
    let node = Node::open(path, Options::default(), Log::default()).await.unwrap();
    node.propose(note(1)).await.unwrap();
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_parent_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let text = refused(&directory.path().join("missing/data")).await;
    assert_eq!(
        text,
        "cannot make the data directory /tmp/x/data: /tmp/x does not exist; make it, or name another directory"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_its_place_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    std::fs::write(&path, "mine").unwrap();
    assert_eq!(refused(&path).await, "the data directory /tmp/x/data is a file; name a directory");
    assert!(refused(&path.join("below")).await.contains("is a file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_where_nothing_can_be_made_is_refused() {
    // Even root cannot make a directory in /sys.
    let error = Node::open(Path::new("/sys/mainstay"), Options::default(), Log::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot write to the data directory /sys/mainstay; give it to the user"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_on_one_directory_are_refused_and_the_first_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let node = Node::open(&path, Options::default(), Log::default()).await.unwrap();
    let expected = format!(
        "the data directory /tmp/x/data is in use by process {}; stop that one, or name another directory",
        std::process::id()
    );
    assert_eq!(refused(&path).await, expected);
    node.propose(note(1)).await.unwrap();
    node.close().await.unwrap();
    founded(&path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_with_something_else_in_it_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("thesis.tex"), "mine").unwrap();
    let text = refused(&path).await;
    assert_eq!(text, "/tmp/x/data holds \"thesis.tex\" and no Mainstay data; name an empty directory");
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_lost_a_part_never_starts_empty() {
    for (lost, missing) in [("identity", "identity"), ("log.db", "log.db")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        founded(&path).await;
        std::fs::remove_file(path.join(lost)).unwrap();
        let text = refused(&path).await;
        assert!(text.starts_with(&format!("the data directory /tmp/x/data lacks {missing:?}")), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    founded(&path).await;
    let identity = std::fs::read_to_string(path.join("identity")).unwrap();
    std::fs::write(path.join("identity"), identity.replace("format 1", "format 7")).unwrap();
    assert_eq!(
        refused(&path).await,
        "/tmp/x/data/identity has format 7, this program reads up to 1: the directory was written by a newer \
         Mainstay; start that version, or restore a backup made by this one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_another_node_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    founded(&one).await;
    founded(&two).await;
    std::fs::copy(one.join("log.db"), two.join("log.db")).unwrap();
    std::fs::remove_file(two.join("log.db-wal")).unwrap();
    let error = Node::open(&two, Options::default(), Log::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::Mixed { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn founding_that_was_cut_short_begins_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    founded(&path).await;
    let identity = std::fs::read_to_string(path.join("identity")).unwrap();
    let body = identity.split("checksum").next().unwrap().replace("stage founded", "stage founding");
    let checksum = crc32fast::hash(body.as_bytes());
    std::fs::write(path.join("identity"), format!("{body}checksum {checksum:08x}\n")).unwrap();
    let node = Node::open(&path, Options::default(), Log::default()).await.unwrap();
    assert!(node.recovery().is_founded_now);
    assert_eq!(node.state().applied_index(), 0);
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_may_look_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let node = Node::open(&path, Options::default(), Log::default()).await.unwrap();
    node.propose(note(1)).await.unwrap();
    node.snapshot_now().await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let mut names = Vec::new();
    for place in [path.clone(), path.join("snapshots")] {
        for entry in std::fs::read_dir(place).unwrap() {
            let file = entry.unwrap().path();
            let expected = if file.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(&file), expected, "{}", file.display());
            names.push(file.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    names.sort();
    let position = names.remove(0);
    assert!(position.ends_with(".snapshot"), "{position}");
    assert_eq!(names, ["identity", "lock", "log.db", "log.db-wal", "reserve", "snapshots"]);
    node.close().await.unwrap();
}
