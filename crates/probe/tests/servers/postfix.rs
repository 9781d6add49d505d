//! A Postfix that takes mail for one domain and does nothing with it.

use super::certificates::{Certificates, create};
use super::postgres::ids;
use super::{Daemon, directory, free_port, is_root, program, skip, write};
use rustix::process::Signal;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A recipient who gets mail.
pub(crate) const GOOD: &str = "good@example.test";
/// A recipient who is answered with 550.
pub(crate) const GONE: &str = "gone@example.test";
/// A recipient who is answered with 450.
pub(crate) const BUSY: &str = "busy@example.test";

/// A running server.
pub(crate) struct Postfix {
    /// The port with STARTTLS.
    pub(crate) port: u16,
    /// The port with TLS from the first byte.
    pub(crate) port_implicit: u16,
    /// A port without TLS.
    pub(crate) port_plain: u16,
    /// A port that greets with 554.
    pub(crate) port_refusing: u16,
    /// A port that greets with 450.
    pub(crate) port_postponing: u16,
    /// What it shows under TLS.
    pub(crate) certificates: Certificates,
    program: PathBuf,
    directory: TempDir,
    _daemon: Daemon,
}

/// Starts a server.
pub(crate) fn start() -> Option<Postfix> {
    let postfix = program("/usr/sbin/postfix")?;
    if !is_root() {
        return skip("Postfix starts only as root");
    }
    let (user, _) = ids("postfix")?;
    let directory = directory();
    let certificates = create(directory.path(), "mx.example.test");
    let ports: [u16; 5] = std::array::from_fn(|_| free_port());
    let config = directory.path().join("config");
    for name in ["config", "queue", "data"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    chown(directory.path().join("data"), Some(user), None).unwrap();
    let root = directory.path().display();
    let (chain, key) = (certificates.chain.display(), certificates.key.display());
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {root}/queue\ndata_directory = {root}/data\n\
         command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n\
         setgid_group = postdrop\nmyhostname = mx.example.test\nmydestination = example.test\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nlocal_recipient_maps =\nmynetworks = 127.0.0.0/8\n\
         alias_maps =\nalias_database =\nmaillog_file_prefixes = {root}\nmaillog_file = {root}/log\n\
         smtpd_tls_cert_file = {chain}\nsmtpd_tls_key_file = {key}\nsmtpd_tls_security_level = may\n\
         smtpd_recipient_restrictions = check_recipient_access inline:{{ {{{GONE} = 550 5.1.1 no such user}}, \
         {{{BUSY} = 450 4.2.1 mailbox busy}} }}, permit_mynetworks, reject\n"
    );
    write(&config, "main.cf", &main);
    write(&config, "master.cf", &master(ports));
    let log = directory.path().join("output");
    let mut command = Command::new(&postfix);
    let mut daemon = Daemon::start(command.arg("-c").arg(&config).arg("start-fg"), Signal::TERM, &log);
    for port in ports {
        daemon.wait_for_port(port, &log);
    }
    let [port, port_implicit, port_plain, port_refusing, port_postponing] = ports;
    Some(Postfix {
        port,
        port_implicit,
        port_plain,
        port_refusing,
        port_postponing,
        certificates,
        program: postfix,
        directory,
        _daemon: daemon,
    })
}

fn master(ports: [u16; 5]) -> String {
    let [starttls, implicit, plain, refusing, postponing] = ports;
    let options = [
        (starttls, ""),
        (implicit, "-o smtpd_tls_wrappermode=yes"),
        (plain, "-o smtpd_tls_security_level=none"),
        (refusing, "-o smtpd_delay_reject=no -o smtpd_client_restrictions=reject"),
        (postponing, "-o smtpd_delay_reject=no -o smtpd_client_restrictions=defer"),
    ];
    let mut out = String::new();
    for (port, options) in options {
        out.push_str(&format!("127.0.0.1:{port} inet n - n - - smtpd\n  -o syslog_name=postfix/{port} {options}\n"));
    }
    for service in [
        // Postfix refuses a limit on the processes of this one.
        "cleanup unix n - n - 0 cleanup",
        "tlsmgr unix - - n - 1 tlsmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "anvil unix - - n - 1 anvil",
        "postlog unix-dgram n - n - 1 postlogd",
        "proxymap unix - - n - - proxymap",
    ] {
        out.push_str(service);
        out.push('\n');
    }
    out
}

impl Postfix {
    /// How many messages wait in the queue.
    pub(crate) fn queued(&self) -> usize {
        let queue = self.directory.path().join("queue");
        ["maildrop", "incoming", "active", "deferred"]
            .iter()
            .map(|name| std::fs::read_dir(queue.join(name)).map_or(0, Iterator::count))
            .sum()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // The master runs in a session of its own and hears only of this.
        let config = self.directory.path().join("config");
        let _ = Command::new(&self.program).arg("-c").arg(config).arg("abort").output();
    }
}
