//! The first minutes: what runs on a machine is found, written down, accepted
//! and watched, and a machine on which nothing runs gets a useful start too.
//!
//! Each test has a network of its own, so that it finds its servers and not
//! those of other tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

use it::http;
use it::mainstay::{Mainstay, binary};
use it::network::in_own_network;
use it::process::Process;
use it::servers::{Nginx, Postfix, Postgres, Redis, Sshd};
use it::wait;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// A first round of every check, on a busy machine.
const UP_TIMEOUT: Duration = Duration::from_secs(90);

#[test]
fn init_finds_real_servers_and_all_of_them_pass() {
    if !in_own_network("init_finds_real_servers_and_all_of_them_pass") {
        return;
    }
    let (Some(web), Some(secure), Some(ssh)) = (Nginx::plain(), Nginx::tls(), Sshd::start()) else { return };
    let (Some(redis), Some(postgres), Some(mail)) = (Redis::start(), Postgres::start(), Postfix::start()) else {
        return;
    };
    let mut mainstay = Mainstay::prepare("");
    fs::remove_file(mainstay.configuration()).unwrap();
    let found = [
        (web.address(), "Website of nginx", "nginx", "http:"),
        (secure.address(), "Website (HTTPS) of nginx", "nginx", "http: \"https://"),
        (ssh.address(), "SSH", "sshd", "ssh:"),
        (redis.address(), "Redis", "redis-server", "redis:"),
        (postgres.address(), "PostgreSQL", "postgres", "postgres:"),
        (mail.address(), "Mail (SMTP)", "master", "smtp:"),
    ];

    let said = printed(&mainstay.command(&["init"]), 0);
    let text = fs::read_to_string(mainstay.configuration()).unwrap();
    for (address, name, process, check) in found {
        let line = said.lines().find(|line| line.contains(&address.to_string()));
        let line = line.unwrap_or_else(|| panic!("{address} ({name}) is not in:\n{said}"));
        assert!(line.contains(name) && line.contains(process), "{line}");
        let at = address.to_string();
        assert!(text.lines().any(|line| line.contains(check) && line.contains(&at)), "no {check} {at} in:\n{text}");
    }
    assert_eq!(printed(&mainstay.command(&["init", "--print"]), 0), text);
    let checked = printed(&mainstay.command(&["config", "check"]), 0);
    assert!(checked.contains(&format!("{} checks", found.len())), "{checked}");

    mainstay.restart();
    all_checks_are_up(&mainstay, found.len() as u64);
}

#[test]
fn an_existing_configuration_is_not_overwritten() {
    if !in_own_network("an_existing_configuration_is_not_overwritten") {
        return;
    }
    let mut mainstay = Mainstay::prepare("# mine\npage: { name: Mine }\n");
    let output = mainstay.command(&["init"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("exists already; it is not overwritten") && said.contains("--print"), "{said}");
    mainstay.restart();
    assert!(mainstay.get("/").unwrap().body.contains("Mine"));
    assert_eq!(fs::read_to_string(mainstay.configuration()).unwrap(), "# mine\npage: { name: Mine }\n");
}

#[test]
fn serve_without_a_configuration_looks_around_first() {
    if !in_own_network("serve_without_a_configuration_looks_around_first") {
        return;
    }
    let Some(redis) = Redis::start() else { return };
    let mut mainstay = Mainstay::prepare("");
    fs::remove_file(mainstay.configuration()).unwrap();
    mainstay.restart();
    let log = mainstay.log();
    assert!(log.contains("There is no configuration") && log.contains("Found on this machine"), "{log}");
    all_checks_are_up(&mainstay, 1);
    assert!(mainstay.get("/").unwrap().body.contains("Redis"));

    let text = fs::read_to_string(mainstay.configuration()).unwrap();
    assert!(text.contains(&redis.address().to_string()), "{text}");
    let longer = format!("{text}# my remark\n");
    mainstay.configure(&longer);
    mainstay.stop();
    mainstay.restart();
    assert_eq!(fs::read_to_string(mainstay.configuration()).unwrap(), longer);
}

#[test]
fn a_machine_on_which_nothing_listens_gets_a_running_start() {
    if !in_own_network("a_machine_on_which_nothing_listens_gets_a_running_start") {
        return;
    }
    // As in the first screen of the README: no argument, everything in its default place.
    let directory = tempfile::tempdir().unwrap();
    let address: SocketAddr = "127.0.0.1:8480".parse().unwrap();
    let mut serve = Command::new(binary());
    let mut process = Process::start(serve.arg("serve").current_dir(&directory), &directory.path().join("log"));
    let page = wait::expect("the page", UP_TIMEOUT, || {
        assert_eq!(process.ended(), None, "{}", process.log());
        http::get(address, "/")
    });
    assert_eq!(page.status, 200);
    assert!(process.log().contains("Nothing listens on this machine"), "{}", process.log());
    assert!(process.log().contains("serves http://127.0.0.1:8480/"), "{}", process.log());
    let status = wait::until(UP_TIMEOUT, || {
        let status: Value = serde_json::from_slice(&in_directory(&directory, &["status", "--json"]).stdout).ok()?;
        (status["services"]["up"] == 1).then_some(status)
    });
    assert!(status.is_some(), "it watches itself, and is up; the log:\n{}", process.log());
    assert!(printed(&in_directory(&directory, &["config", "check"]), 0).contains("is right"));
    let text = fs::read_to_string(directory.path().join("mainstay.yaml")).unwrap();
    assert!(text.contains("# - name: Website"), "it shows how to go on: {text}");
}

fn all_checks_are_up(mainstay: &Mainstay, count: u64) {
    let mut last = Value::Null;
    let up = wait::until(UP_TIMEOUT, || {
        last = serde_json::from_slice(&mainstay.command(&["status", "--json"]).stdout).ok()?;
        (last["checks"]["up"] == count).then_some(())
    });
    assert!(up.is_some(), "not all checks pass: {last:#}\nthe log:\n{}", mainstay.log());
}

fn in_directory(directory: &impl AsRef<Path>, arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).current_dir(directory).output().unwrap()
}

fn printed(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
