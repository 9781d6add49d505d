//! The first configuration, from what was found on a machine.
//!
//! Short, commented, and running as it is: a check written here passes unless
//! something is really wrong, because a start in red teaches people to ignore
//! red. **Whatever was found, the text loads without mistakes.**

use crate::fields::Form;
use crate::read::text;
use model::check::HostPort;
use model::id::slug;
use std::collections::{BTreeMap, BTreeSet};

/// Characters of a name that is taken over; a line on the page.
const NAME_LENGTH_MAX: usize = 40;

/// Something that listens on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Name for people; things with the same name become one service.
    pub name: String,
    /// The program that listens, if known.
    pub process: Option<String>,
    /// Where it can be reached: `host:port`, `[v6]:port`.
    pub address: String,
    /// What answers there.
    pub kind: FoundKind,
}

/// What answers at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundKind {
    /// HTTP.
    Http {
        /// Over TLS.
        tls: bool,
        /// Whether its certificate is trusted here under this address.
        verify: bool,
    },
    /// TLS with something else inside.
    Tls,
    /// SSH.
    Ssh {
        /// The first line it sent.
        banner: String,
    },
    /// SMTP.
    Smtp,
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
    /// DNS.
    Dns,
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
    /// It takes connections; nothing more is known.
    Tcp,
}

const HEAD: &str = "\
# What Mainstay watches on this machine. Every key: docs/configuration.md
# Look over it with `mainstay config check`; a running server takes changes by itself.

page:
  name: Status

# What holds for every check that does not say otherwise.
# defaults:
#   every: 60s
#   timeout: 10s

services:
";

const OWN_SERVICE: &str = "  \
  # Nothing was found that listens on this machine, so this watches Mainstay itself.
  - name: Mainstay
    checks:
      - http: \"http://127.0.0.1:8480/healthz\"

  # Add what you run. Each line below is a check that can be taken as it is:
  # - name: Website
  #   checks:
  #     - http: https://www.example.org/
  #     - tls: www.example.org
  # - name: Mail
  #   checks:
  #     - smtp: mail.example.org
  # - name: Nightly backup
  #   checks:
  #     - heartbeat: { period: 1d, grace: 2h, token: choose-a-long-random-word }
";

const TAIL: &str = "
# Who is told. Take away the # in front of one of these and put in your own address.
# receivers:
#   - { id: ops, mail: ops@example.org }
#   - { id: phone, ntfy: \"https://ntfy.sh/choose-a-long-random-topic\" }
#   - { id: chat, slack: \"https://hooks.slack.com/services/...\" }

# The mail server that takes the messages; this machine's own when left out.
# mail: { host: mail.example.org, tls: starttls, user: status, password_file: /etc/mainstay/mail-password, from: status@example.org }
";

/// Writes a configuration that watches what was found.
pub fn write_initial(found: &[Found]) -> String {
    let mut services: Vec<(String, Vec<&Found>)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for one in found {
        let name = plain(&one.name);
        let at = *places.entry(name.clone()).or_insert(services.len());
        if at == services.len() {
            services.push((name, Vec::new()));
        }
        services[at].1.push(one);
    }
    let mut out = HEAD.to_owned();
    let mut ids = BTreeSet::new();
    let mut is_empty = true;
    for (name, found) in services {
        let checks: Vec<String> = found.into_iter().filter_map(check).collect();
        if !checks.is_empty() {
            if !is_empty {
                out.push('\n');
            }
            is_empty = false;
            out.push_str(&service(&name, &checks, &mut ids));
        }
    }
    if is_empty {
        out.push_str(OWN_SERVICE);
    }
    out.push_str(TAIL);
    out
}

fn service(name: &str, checks: &[String], ids: &mut BTreeSet<String>) -> String {
    let made = slug(name);
    let mut id = made.clone().unwrap_or_else(|| "service".to_owned());
    let mut number = 1;
    while !ids.insert(id.clone()) {
        number += 1;
        id = format!("service-{number}");
    }
    let mut out = format!("  - name: {}\n", quoted(name));
    if made.as_deref() != Some(id.as_str()) {
        out.push_str(&format!("    id: {id}\n"));
    }
    out.push_str("    checks:\n");
    out.push_str(&checks.concat());
    out
}

/// The lines of a check; `None` if the address cannot be written as one.
fn check(found: &Found) -> Option<String> {
    let target = target(&found.address)?;
    let address = quoted(&target.to_string());
    let lines = match &found.kind {
        FoundKind::Http { tls, verify } => http(&target, *tls, *verify)?,
        FoundKind::Tls => vec![
            format!("tls: {address}"),
            "verify: false  # a certificate is for a name; give it as server_name and remove this line".to_owned(),
        ],
        FoundKind::Ssh { .. } => vec![format!("ssh: {address}")],
        FoundKind::Smtp => vec![format!("smtp: {address}")],
        FoundKind::Postgres => vec![format!("postgres: {address}")],
        FoundKind::Redis => vec![format!("redis: {address}")],
        FoundKind::Dns => {
            vec!["dns: localhost  # a name that this server knows".to_owned(), format!("server: {address}")]
        }
        FoundKind::Imap => vec![format!("tcp: {address}"), "expect: { banner: '^\\* OK' }".to_owned()],
        FoundKind::Pop3 => vec![format!("tcp: {address}"), "expect: { banner: '^\\+OK' }".to_owned()],
        FoundKind::Tcp => vec![format!("tcp: {address}")],
    };
    let mut out = String::new();
    if let Some(comment) = comment(found) {
        out.push_str(&format!("      # {comment}\n"));
    }
    for (index, line) in lines.iter().enumerate() {
        out.push_str(&format!("      {} {line}\n", if index == 0 { "-" } else { " " }));
    }
    Some(out)
}

fn http(target: &HostPort, is_tls: bool, is_verified: bool) -> Option<Vec<String>> {
    let (scheme, port) = if is_tls { ("https", 443) } else { ("http", 80) };
    let full = target.to_string();
    let authority = if target.port == port { full.strip_suffix(&format!(":{port}"))? } else { full.as_str() };
    let url = format!("{scheme}://{authority}/");
    text::judge(&Form::Url, &url).ok()?;
    let mut lines = vec![
        format!("http: {}", quoted(&url)),
        "redirects: 0".to_owned(),
        "expect: { status: 200-499 }  # anything but an error of the server; narrow it as you like".to_owned(),
    ];
    if is_tls && !is_verified {
        lines.push(
            "verify: false  # its certificate is not trusted under this address; its expiry is watched".to_owned(),
        );
    }
    Some(lines)
}

/// The address to connect to: a server that listens everywhere is reached by loopback.
fn target(address: &str) -> Option<HostPort> {
    let mut target = HostPort::parse(address, None)?;
    match target.host.as_str() {
        "0.0.0.0" => target.host = "127.0.0.1".to_owned(),
        "::" => target.host = "::1".to_owned(),
        _ => {}
    }
    Some(target)
}

fn comment(found: &Found) -> Option<String> {
    let banner = match &found.kind {
        FoundKind::Ssh { banner } => Some(plain(banner)),
        _ => None,
    };
    let parts: Vec<String> = found.process.as_deref().map(plain).into_iter().chain(banner).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A name without anything that could end a line or a text.
fn plain(name: &str) -> String {
    let kept: String = name.chars().filter(|c| !c.is_control() && *c != '\u{feff}').take(NAME_LENGTH_MAX).collect();
    // Line and paragraph separators end a line for some readers of YAML.
    let kept = kept.replace(['\u{2028}', '\u{2029}'], " ");
    if kept.trim().is_empty() { "Service".to_owned() } else { kept.trim().to_owned() }
}

/// A text in double quotes; JSON's are YAML's, and a dollar must not begin a variable.
fn quoted(text: &str) -> String {
    serde_json::Value::String(text.replace('$', "$$")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SourceFile, load};
    use proptest::prelude::*;

    fn loads(found: &[Found]) -> usize {
        let text = write_initial(found);
        let file = SourceFile { name: "mainstay.yaml".into(), text: text.clone() };
        match load(&[file], &|_| None) {
            Ok(loaded) => loaded.configuration.checks().count(),
            Err(mistakes) => panic!("{mistakes}\n{text}"),
        }
    }

    fn kinds() -> Vec<FoundKind> {
        vec![
            FoundKind::Http { tls: false, verify: true },
            FoundKind::Http { tls: true, verify: false },
            FoundKind::Tls,
            FoundKind::Ssh { banner: "SSH-2.0-OpenSSH_9.2p1 Debian-2".into() },
            FoundKind::Smtp,
            FoundKind::Postgres,
            FoundKind::Redis,
            FoundKind::Dns,
            FoundKind::Imap,
            FoundKind::Pop3,
            FoundKind::Tcp,
        ]
    }

    #[test]
    fn nothing_found_is_a_useful_start() {
        assert_eq!(loads(&[]), 1);
    }

    #[test]
    fn what_is_commented_out_loads_once_it_is_not() {
        for text in [write_initial(&[]), TAIL.to_owned()] {
            let bare = |line: &str| line.replacen("# ", "", 1);
            let is_yaml = |line: &&str| line.contains(": ") || line.contains(":\"") || line.ends_with(':');
            let sentences = ["# What", "# Look", "  # Nothing", "  # Add", "# Who", "# The mail"];
            let lines = text.lines().filter(|line| !sentences.iter().any(|start| line.starts_with(start)));
            let text: Vec<String> = lines.filter(is_yaml).map(bare).collect();
            let file = SourceFile { name: "mainstay.yaml".into(), text: text.join("\n") };
            if let Err(mistakes) = load(&[file], &|_| None) {
                panic!("{mistakes}\n{}", text.join("\n"));
            }
        }
    }

    #[test]
    fn every_kind_becomes_a_check() {
        let one = |(index, kind): (usize, FoundKind)| Found {
            name: format!("Thing {}", index / 2),
            process: Some("thing".into()),
            address: format!("0.0.0.0:{}", 1000 + index),
            kind,
        };
        let found: Vec<Found> = kinds().into_iter().enumerate().map(one).collect();
        assert_eq!(loads(&found), found.len());
    }

    #[test]
    fn what_init_writes_is_what_is_committed() {
        let one = |name: &str, process: &str, address: &str, kind| Found {
            name: name.into(),
            process: Some(process.into()),
            address: address.into(),
            kind,
        };
        let found = [
            one("Website", "nginx", "0.0.0.0:80", FoundKind::Http { tls: false, verify: true }),
            one("Website", "nginx", "[::]:443", FoundKind::Http { tls: true, verify: false }),
            one("SSH", "sshd", "0.0.0.0:22", FoundKind::Ssh { banner: "SSH-2.0-OpenSSH_9.2p1".into() }),
            one("PostgreSQL", "postgres", "127.0.0.1:5432", FoundKind::Postgres),
            one("DNS", "named", "127.0.0.1:53", FoundKind::Dns),
            one("Mail", "dovecot", "127.0.0.1:143", FoundKind::Imap),
        ];
        let text = write_initial(&found);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/initial.yaml");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &text).expect("the tree can be written");
        }
        assert_eq!(std::fs::read_to_string(path).expect("it is committed"), text);
    }

    proptest! {
        #[test]
        fn whatever_is_found_loads(
            found in proptest::collection::vec(
                (".{0,50}", proptest::option::of(".{0,20}"), "([a-z.]{0,5}|\\[::1?\\]|::|0.0.0.0|\\PC{0,9}):[0-9]{1,5}", 0usize..11, "\\PC{0,30}"),
                0..8,
            )
        ) {
            let found: Vec<Found> = found.into_iter().map(|(name, process, address, kind, banner)| {
                let kind = match kinds().swap_remove(kind) {
                    FoundKind::Ssh { .. } => FoundKind::Ssh { banner },
                    other => other,
                };
                Found { name, process, address, kind }
            }).collect();
            loads(&found);
        }
    }
}
