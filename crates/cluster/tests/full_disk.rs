//! A full disk is survived: commands are refused, the rest goes on, and it
//! heals when there is room.
//!
//! Needs a small file system of its own, so it needs root; without, it says so
//! and passes, except in CI.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod common;
#[path = "common/together.rs"]
mod together;

use cluster::{Node, Options, ProposeError, Room, SnapshotPolicy};
use common::{Log, note};
use model::entry::{Action, Body, Command, Origin};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn a_leader_whose_disk_is_full_hands_over_and_takes_part_again() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let on_it = disk.0.path().join("data");
    let place = |machine: &mut together::Machine| {
        if machine.name == "a" {
            machine.path.clone_from(&on_it);
        }
    };
    let together = together::Together::of_with(3, place);
    let first = together.machines.iter().position(|machine| machine.name == "a").unwrap();
    assert_eq!(together.leader(), first);
    let other = disk.fill();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut refused = 0;
    for number in 0.. {
        match together.machines[1].propose(together::command(&format!("full {number}"))) {
            Ok(_) if together.leader() != first => break,
            Ok(_) => {}
            Err(error) => {
                refused += 1;
                assert!(matches!(error, ProposeError::DiskFull | ProposeError::Unknown), "{error:?}");
            }
        }
        assert!(Instant::now() < deadline, "{}", together.describe());
    }
    println!("{refused} commands were refused until another node led");
    // Nobody waits for the one without room.
    for number in 0..50 {
        together.machines[2].propose(together::command(&format!("led by another {number}"))).unwrap();
    }
    std::fs::remove_file(other).unwrap();
    together.wait(|machine| machine.node().status().room == Room::Ample, "there is room again");
    together.machines[first].propose(together::command("well again")).unwrap();
    together.check_equal();
}

/// A mounted tmpfs, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let done = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(directory.path())
            .output();
        if done.is_ok_and(|done| done.status.success()) {
            return Some(Self(directory));
        }
        assert!(std::env::var_os("CI").is_none(), "CI must be able to mount a tmpfs");
        eprintln!("skipped: mounting a tmpfs needs root");
        None
    }

    /// Fills the disk to the last byte.
    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("other");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn options() -> Options {
    Options { reserve_bytes: 8 << 20, ..Options::default() }
}

fn command() -> Body {
    Body::Command(Command {
        actor: "test".into(),
        origin: Origin::Api,
        key: "k".into(),
        expected_revision: None,
        action: Action::TestReceivers,
    })
}

/// An entry of a kilobyte with a number in it.
fn large(number: u64) -> Body {
    Body::AttemptBegins { key: format!("{number} {}", "x".repeat(1_000)), attempt: 1, node: model::member::NodeId(1) }
}

/// Waits, but not for ever: a writer that waits for room does.
async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it waits for room that is there")
}

async fn wait_for(node: &Node, room: Room) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while node.status().room != room {
        assert!(Instant::now() < deadline, "{:?}", node.status());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_commands_keeps_the_rest_and_heals() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    let path = disk.0.path().join("data");
    let log = Log::default();
    let node = Node::open(&path, options(), log.clone()).await.unwrap();
    node.propose(command()).await.unwrap();
    let other = disk.fill();

    // The write-ahead log grows until it meets the end of the disk.
    let mut answered = vec![(1, 0)];
    for number in 1..=1500 {
        answered.push((bounded(node.propose(large(number))).await.unwrap().index, number));
    }
    assert_eq!(node.status().room, Room::Tight);
    assert!(node.status().is_tight);
    assert!(!path.join("reserve").exists());
    let error = node.propose(command()).await.unwrap_err();
    assert_eq!(error, ProposeError::DiskFull);
    assert_eq!(
        error.to_string(),
        "the disk of the data directory is full; commands are taken again when there is room"
    );

    std::fs::remove_file(other).unwrap();
    wait_for(&node, Room::Ample).await;
    assert_eq!(std::fs::metadata(path.join("reserve")).unwrap().len(), 8 << 20);
    answered.push((node.propose(command()).await.unwrap().index, 0));
    assert_eq!(log.seen().applied, answered);
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reserve_that_is_used_up_makes_writers_wait_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let path = disk.0.path().join("data");
    let log = Log::default();
    let options = Options { reserve_bytes: 1 << 20, ..options() };
    let node = Node::open(&path, common::again(&options), log.clone()).await.unwrap();
    let other = disk.fill();
    let is_enough = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (node, is_enough) = (node.clone(), Arc::clone(&is_enough));
        async move {
            let mut answered = Vec::new();
            for number in 1.. {
                if is_enough.load(Ordering::Acquire) {
                    break;
                }
                answered.push((node.propose(large(number)).await.unwrap().index, number));
            }
            answered
        }
    });
    wait_for(&node, Room::Exhausted).await;
    // The one that waits is carried out when there is room; it was not refused.
    is_enough.store(true, Ordering::Release);
    assert_eq!(node.propose(note(7)).await.unwrap_err(), ProposeError::DiskFull);
    assert_eq!(node.snapshot_now().await.unwrap_err().to_string().split(" for ").next(), Some("there is no room"));
    std::fs::remove_file(other).unwrap();
    wait_for(&node, Room::Ample).await;
    let answered = bounded(writer).await.unwrap();
    assert!(answered.len() > 100, "{}", answered.len());
    assert_eq!(log.seen().applied[..answered.len()], answered);
    node.propose(command()).await.unwrap();
    node.close().await.unwrap();
    let node = Node::open(&path, options, Log::default()).await.unwrap();
    assert!(node.state().applied_index() > answered.len() as u64);
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_any_room_can_be_closed_and_keeps_what_it_answered() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let path = disk.0.path().join("data");
    let options = Options { reserve_bytes: 0, ..options() };
    let node = Node::open(&path, common::again(&options), Log::default()).await.unwrap();
    let other = disk.fill();
    let writer = tokio::spawn({
        let node = node.clone();
        async move {
            for number in 1.. {
                match node.propose(large(number)).await {
                    Ok(_) => {}
                    Err(error) => return (number, error),
                }
            }
            unreachable!("the disk is small")
        }
    });
    wait_for(&node, Room::Exhausted).await;
    bounded(node.close()).await.unwrap();
    let (number, error) = bounded(writer).await.unwrap();
    assert_eq!(error, ProposeError::Stopped, "nobody can know");
    std::fs::remove_file(other).unwrap();
    let log = Log::default();
    let node = Node::open(&path, options, log.clone()).await.unwrap();
    let applied = log.seen().applied;
    assert!(applied.len() as u64 >= number - 1, "{} of {number}", applied.len());
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_the_log_goes_behind_the_newest_snapshot() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    let path = disk.0.path().join("data");
    let snapshots = SnapshotPolicy { bytes: 8 << 20, ..SnapshotPolicy::default() };
    let options = Options { reserve_bytes: 16 << 20, snapshots, ..options() };
    let node = Node::open(&path, options, Log::default()).await.unwrap();
    disk.fill();
    let deadline = Instant::now() + Duration::from_secs(40);
    // Far more than the reserve would take without purging. The state itself
    // stays small because every entry bears the same number.
    let mut written = 0;
    while written < 24 << 20 {
        match bounded(node.propose(large(1))).await {
            Ok(_) => written += 1_000,
            // Faster than the housekeeper, which looks once a second.
            Err(ProposeError::DiskFull) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(other) => panic!("{other}"),
        }
        // As a real load would, this leaves the housekeeper time for its rounds.
        if written % 1_000_000 == 0 {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert!(Instant::now() < deadline, "{:?}", node.status());
    }
    assert!(node.status().log_bytes < 12 << 20, "{:?}", node.status());
    assert!(node.status().snapshot_index > 0);
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_other_room_the_reserve_opens_a_node() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let path: &Path = &disk.0.path().join("data");
    let node = Node::open(path, options(), Log::default()).await.unwrap();
    node.propose(note(1)).await.unwrap();
    node.close().await.unwrap();
    let other = disk.fill();
    let log = Log::default();
    let node = Node::open(path, options(), log.clone()).await.unwrap();
    assert_eq!(node.status().room, Room::Tight);
    node.propose(note(2)).await.unwrap();
    assert_eq!(log.seen().applied.last(), Some(&(2, 2)));
    std::fs::remove_file(other).unwrap();
    wait_for(&node, Room::Ample).await;
    node.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_can_be_opened_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let path: &Path = &disk.0.path().join("data");
    let node = Node::open(path, options(), Log::default()).await.unwrap();
    node.propose(note(1)).await.unwrap();
    node.close().await.unwrap();
    std::fs::remove_file(path.join("reserve")).unwrap();
    let other = disk.fill();
    // A little is needed all the same: a write-ahead log and its pages.
    std::fs::File::options().write(true).open(&other).unwrap().set_len(18 << 20).unwrap();
    let node = Node::open(path, Options { reserve_bytes: 8 << 20, ..options() }, Log::default()).await.unwrap();
    assert_eq!(node.status().room, Room::Tight);
    node.propose(note(2)).await.unwrap();
    std::fs::remove_file(other).unwrap();
    wait_for(&node, Room::Ample).await;
    node.propose(command()).await.unwrap();
    node.close().await.unwrap();
}
