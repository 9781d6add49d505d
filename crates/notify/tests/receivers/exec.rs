//! Programs as receivers.

use crate::support::{FIRST, PATIENT, deliver, failure, notifier, opened, refusal, said};
use model::entry::Answer;
use model::message::Message;
use model::receiver::Means;
use notify::{Notifier, Options, Proxy, Try};
use std::path::Path;
use std::time::{Duration, Instant};

fn shell(script: &str) -> Means {
    Means::Exec { command: vec!["/bin/sh".into(), "-c".into(), script.into()] }
}

async fn run(script: &str) -> Answer {
    deliver(&shell(script), &opened()).await
}

#[tokio::test]
async fn a_program_gets_the_message_as_json_and_as_variables() {
    let directory = tempfile::tempdir().unwrap();
    let (input, variables) = (directory.path().join("input"), directory.path().join("variables"));
    let script = format!("cat > {}; env | grep ^MAINSTAY_ | sort > {}", input.display(), variables.display());
    let message = Message { text: "one line".into(), title: "Website\nis down\0".into(), ..opened() };
    let this = Try { attempt: 3, possibly_double: true };
    assert_eq!(said(notifier(PATIENT).deliver(&shell(&script), &message, this).await), "exit 0");

    let event: serde_json::Value = serde_json::from_slice(&std::fs::read(input).unwrap()).unwrap();
    assert_eq!(event["type"], "incident.opened");
    assert_eq!(event["data"]["service"]["name"], "Website");
    assert_eq!(event["data"]["delivery"]["possibly_double"], true);
    insta::assert_snapshot!("exec_variables", std::fs::read_to_string(variables).unwrap());
}

#[tokio::test]
async fn the_exit_code_decides() {
    assert_eq!(said(run("echo queued as 7; exit 0").await), "exit 0: queued as 7");
    assert_eq!(failure(run("echo no route >&2; exit 75").await).0, "/bin/sh ended with exit 75: no route");
    assert_eq!(
        failure(run("echo >&2; echo first >&2; echo second >&2; exit 1").await).0,
        "/bin/sh ended with exit 1: first"
    );
    assert_eq!(refusal(run("echo bad address; exit 78").await), "/bin/sh refused with exit 78: bad address");
    assert_eq!(failure(run("kill -9 $$").await).0, "/bin/sh was ended by signal 9");
}

#[tokio::test]
async fn a_program_that_is_missing_fails() {
    let means = Means::Exec { command: vec!["/nonexistent/receiver".into()] };
    let (reason, _) = failure(deliver(&means, &opened()).await);
    assert!(reason.starts_with("could not start /nonexistent/receiver"), "{reason}");
}

#[tokio::test]
async fn a_node_that_runs_no_programs_refuses() {
    let options = Options { proxy: Proxy::Never, runs_programs: false, ..Options::default() };
    let notifier = Notifier::new(options).unwrap();
    let reason = refusal(notifier.deliver(&shell("exit 0"), &opened(), FIRST).await);
    assert!(reason.contains("allow_plugins"), "{reason}");
}

#[tokio::test]
async fn at_the_time_limit_the_whole_group_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pids");
    let script = format!("sleep 100 & echo $! > {0}; echo $$ >> {0}; wait", file.display());
    let started = Instant::now();
    let answer = notifier(Duration::from_millis(600)).deliver(&shell(&script), &opened(), FIRST).await;
    assert_eq!(failure(answer).0, "/bin/sh had not ended at the time limit and was killed");
    assert!(started.elapsed() < Duration::from_secs(2), "took {:?}", started.elapsed());
    let pids = std::fs::read_to_string(file).unwrap();
    assert_eq!(pids.lines().count(), 2);
    for pid in pids.lines() {
        wait_until_gone(pid).await;
    }
}

#[tokio::test]
async fn an_attempt_that_is_dropped_leaves_no_program() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let means = shell(&format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 100", file.display()));
    let notifier = notifier(PATIENT);
    let message = opened();
    let appeared = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        answer = notifier.deliver(&means, &message, FIRST) => panic!("it ended: {answer:?}"),
        () = appeared => {}
    }
    wait_until_gone(std::fs::read_to_string(file).unwrap().trim()).await;
}

#[tokio::test]
async fn endless_output_and_unread_input_do_no_harm() {
    let message = Message { text: "x".repeat(1 << 20), ..opened() };
    assert_eq!(
        said(deliver(&shell("exec <&-; head -c 5000000 /dev/zero | tr '\\0' y"), &message).await).chars().count(),
        208
    );
}

#[tokio::test]
async fn something_left_running_does_not_delay_the_answer() {
    let started = Instant::now();
    assert_eq!(said(run("sleep 5 & echo done").await), "exit 0: done");
    assert!(started.elapsed() < Duration::from_secs(4), "took {:?}", started.elapsed());
}

/// A killed process whose parent is gone is reaped by the first process of the
/// system, when that gets to it; a zombie does nothing any more.
async fn wait_until_gone(pid: &str) {
    let is_running = || match std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) => false,
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    while is_running() {
        assert!(Instant::now() < deadline, "process {pid} is still running");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
