//! One configuration with every kind of check, against real servers: all are
//! up, all are turned off and down with a sentence that names the target, all
//! are turned on and up again.
//!
//! In a network of its own, because an address can be turned off only there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

use it::mainstay::Mainstay;
use it::network::in_own_network;
use it::program::require;
use it::servers::{Named, Nginx, Postfix, Postgres, Redis, Server, Sshd};
use it::wait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

/// A few rounds of every check, on a busy machine.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(120);
const TOKEN: &str = "0123456789abcdef-kinds";
/// An address for documentation (RFC 5737) that only our own network has.
const HOST: &str = "192.0.2.7";

#[test]
fn every_kind_of_check_is_up_down_and_up_again() {
    if !in_own_network("every_kind_of_check_is_up_down_and_up_again") {
        return;
    }
    let Some(mut machine) = Machine::start() else { return };
    host("add");
    let mainstay = Mainstay::start(&machine.configuration());
    let kinds = machine.targets();
    all_become(&mainstay, "up", &kinds);
    for id in kinds.keys() {
        probed(&mainstay, id, 0, "passes");
    }
    targets_are_probed_without_a_configuration(&mainstay, &machine);

    machine.turn_off();
    let sentences = all_become(&mainstay, "down", &kinds);
    for (id, target) in &kinds {
        let sentence = &sentences[*id];
        assert!(sentence.contains(target.as_str()), "{id}: {target:?} is not in {sentence:?}");
        probed(&mainstay, id, 1, target);
    }

    machine.turn_on();
    all_become(&mainstay, "up", &kinds);
}

/// Everything that is watched.
struct Machine {
    web: Nginx,
    secure: Nginx,
    mail: Postfix,
    names: Named,
    ssh: Sshd,
    postgres: Postgres,
    redis: Redis,
    /// A directory that Debian's `check_disk` looks at.
    directory: tempfile::TempDir,
}

impl Machine {
    fn start() -> Option<Self> {
        for plugin in ["check_disk", "check_http"] {
            require(plugin)?;
        }
        let web = Nginx::plain()?;
        let answer = r#"{ "state": "ok", "waiting": 3, "items": [{ "id": 1 }, { "id": 2 }] }"#;
        fs::write(web.root().join("status.json"), answer).unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("here")).unwrap();
        Some(Self {
            web,
            secure: Nginx::tls()?,
            mail: Postfix::start()?,
            names: Named::start()?,
            ssh: Sshd::start()?,
            postgres: Postgres::start()?,
            redis: Redis::start()?,
            directory,
        })
    }

    /// What the sentence about each check must name.
    fn targets(&self) -> BTreeMap<&'static str, String> {
        let secure = self.secure.address();
        BTreeMap::from([
            ("http", self.web.address().to_string()),
            ("https", secure.to_string()),
            ("tls", secure.to_string()),
            ("tcp", self.mail.address().to_string()),
            ("icmp", HOST.to_owned()),
            ("dns", self.names.address().to_string()),
            ("smtp", self.mail.address().to_string()),
            ("ssh", self.ssh.address().to_string()),
            ("postgres", self.postgres.address().to_string()),
            ("redis", self.redis.address().to_string()),
            ("plugin-disk", self.disk().display().to_string()),
            ("plugin-http", format!("port {}", self.web.address().port())),
        ])
    }

    fn configuration(&self) -> String {
        let (web, secure, mail) = (self.web.address(), self.secure.address(), self.mail.address());
        let (ssh, postgres, redis, names) =
            (self.ssh.address(), self.postgres.address(), self.redis.address(), self.names.address());
        let (authority, mail_authority) = (self.secure.certificate().authority, self.mail.authority());
        let (authority, mail_authority) = (authority.display(), mail_authority.display());
        let (disk, host_key, web_port) = (self.disk(), fingerprint(&self.ssh.host_key()), web.port());
        let disk = disk.display();
        let (user, password) = (Postgres::USER, Postgres::PASSWORD);
        format!(
            r#"
page: {{ name: Every kind }}
defaults: {{ every: 2s, timeout: 2s, retry: 1s }}
services:
- name: Everything
  checks:
  - id: http
    http: "http://{web}/status.json"
    headers: {{ X-Asked-By: a test }}
    expect:
      status: [200, 300-303]
      body: [state, {{ lacks: error }}, {{ matches: '"ok"' }}, {{ matches_not: '^<' }}]
      json:
      - {{ path: $.state, equals: ok }}
      - {{ path: $.waiting, at_least: 1, at_most: 10 }}
      - {{ path: "$.items[1].id", differs: 1 }}
      - {{ path: $.error, exists: false }}
      header: [{{ name: etag }}, {{ name: Content-Type, contains: json }}, {{ name: server, matches: "^nginx" }}]
      latency: {{ degraded: 1900ms }}
  - id: https
    http: "https://localhost:{port}/"
    family: ipv4
    ca_file: {authority}
    expect: {{ body: It works, certificate: {{ days_left: 5 }} }}
  - {{ id: tls, tls: "{secure}", ca_file: {authority}, expect: {{ certificate: {{ days_left: 5 }} }} }}
  - id: tcp
    tcp: "{mail}"
    tls: {{ ca_file: {mail_authority} }}
    dialogue: [{{ starttls: smtp }}, {{ send: "EHLO test\r\n" }}, {{ expect: "^250 " }}, {{ send: "QUIT\r\n" }}, {{ expect: ^221 }}]
  - {{ id: icmp, icmp: {HOST}, count: 2 }}
  - {{ id: dns, dns: example.test, type: MX, server: "{names}", expect: {{ contains: mail.example.test }} }}
  - id: smtp
    smtp: "{mail}"
    tls: starttls
    ca_file: {mail_authority}
    envelope: {{ from: probe@example.org, to: postmaster@example.test }}
  - {{ id: ssh, ssh: "{ssh}", expect: {{ banner: OpenSSH, host_key: "{host_key}" }} }}
  - id: postgres
    postgres: "{postgres}"
    user: {user}
    password: {password}
    database: postgres
    query: select 40 + 2
    expect: {{ value: "42" }}
  - {{ id: redis, redis: "{redis}", command: [ECHO, standing], expect: {{ answer: standing }} }}
  - {{ id: heartbeat, heartbeat: {{ period: 4s, grace: 1s, token: {TOKEN} }} }}
  - {{ id: plugin-disk, plugin: [/usr/lib/nagios/plugins/check_disk, -w, "1", -c, "1", -p, {disk}] }}
  - {{ id: plugin-http, plugin: /usr/lib/nagios/plugins/check_http -H 127.0.0.1 -p {web_port} -s works }}
"#,
            port = secure.port(),
        )
    }

    fn disk(&self) -> PathBuf {
        self.directory.path().join("here")
    }

    fn turn_off(&mut self) {
        self.others().into_iter().for_each(Server::turn_off);
        self.mail.turn_off();
        host("delete");
        fs::rename(self.disk(), self.directory.path().join("away")).unwrap();
    }

    fn turn_on(&mut self) {
        self.others().into_iter().for_each(Server::turn_on);
        self.mail.server().turn_on();
        host("add");
        fs::rename(self.directory.path().join("away"), self.disk()).unwrap();
    }

    /// All servers that are turned off the same way.
    fn others(&mut self) -> [&mut Server; 6] {
        [
            self.web.server(),
            self.secure.server(),
            self.names.server(),
            self.ssh.server(),
            self.postgres.server(),
            self.redis.server(),
        ]
    }
}

/// Waits until all checks are like this, the heartbeat too, which is sent as
/// long as it is to be up. Returns what each check says.
fn all_become(mainstay: &Mainstay, state: &str, kinds: &BTreeMap<&str, String>) -> BTreeMap<String, String> {
    let mut last = Value::Null;
    let found = wait::until(NOTICE_TIMEOUT, || {
        if state == "up" {
            mainstay.get(&format!("/ping/{TOKEN}"))?;
        }
        last = serde_json::from_str(&mainstay.get("/api/v1/checks?limit=100")?.body).ok()?;
        let checks = last["checks"].as_array()?;
        (checks.len() == kinds.len() + 1 && checks.iter().all(|check| check["verdict"] == state)).then_some(())
    });
    let checks = last["checks"].as_array().cloned().unwrap_or_default();
    let others: Vec<_> = checks.iter().filter(|check| check["verdict"] != state).collect();
    assert!(found.is_some(), "not {state}: {others:#?}\nthe log:\n{}", mainstay.log());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    checks.iter().map(|check| (text(&check["id"]), text(&check["failure"]["sentence"]))).collect()
}

/// Probes a configured check, which says these words.
fn probed(mainstay: &Mainstay, id: &str, code: i32, words: &str) {
    let said = printed(&mainstay.command(&["probe", "--check", id]), code);
    assert!(said.contains(words), "{id}: {words:?} is not in {said:?}");
}

fn targets_are_probed_without_a_configuration(mainstay: &Mainstay, machine: &Machine) {
    let (web, secure) = (machine.web.address(), machine.secure.address());
    for (target, arguments, phases) in [
        (format!("http://{web}/"), &[][..], &["connect", "first_byte"][..]),
        (format!("https://{secure}/"), &["--insecure"], &["connect", "tls", "first_byte"]),
        (format!("tls://{secure}"), &["-k"], &["connect", "tls"]),
        (format!("tcp://{web}"), &[], &["connect"]),
        (web.to_string(), &["-4"], &["connect"]),
        (HOST.to_owned(), &[], &[]),
        (format!("smtp://{}", machine.mail.address()), &[], &["connect"]),
        (format!("ssh://{}", machine.ssh.address()), &[], &["connect"]),
        (format!("postgres://{}", machine.postgres.address()), &[], &["connect"]),
        (format!("redis://{}", machine.redis.address()), &[], &["connect"]),
    ] {
        let asked = [&["probe", "--json", target.as_str()], arguments].concat();
        let said: Value = serde_json::from_str(&printed(&mainstay.command(&asked), 0)).unwrap();
        assert_eq!(said["outcome"], "pass", "{target}: {said:#}");
        for phase in phases {
            assert!(said["phases_seconds"][phase].is_number(), "{target} has no {phase}: {said:#}");
        }
    }
    // Without trust the certificate is what fails.
    let said = printed(&mainstay.command(&["probe", &format!("https://{secure}/")]), 1);
    assert!(said.contains("certificate"), "{said}");
}

/// The fingerprint of a host key, as OpenSSH itself prints it.
fn fingerprint(key: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pub");
    fs::write(&file, key).unwrap();
    let said = printed(&Command::new("ssh-keygen").arg("-lf").arg(&file).output().unwrap(), 0);
    said.split(' ').find(|word| word.starts_with("SHA256:")).expect("it prints one").to_owned()
}

/// Gives the machine its further address, or takes it away.
fn host(act: &str) {
    // The way to it stays: an address without a way is our own trouble, not the target's.
    for arguments in [["route", "replace"], ["address", act]] {
        let done = Command::new("ip").args(arguments).args([&format!("{HOST}/32"), "dev", "lo"]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

fn printed(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
