//! Dovecot's IMAP and POP3 servers with STARTTLS.

use super::certificates::{Certificates, create};
use super::postgres::ids;
use super::{Daemon, directory, free_port, is_root, program, skip, write};
use rustix::process::Signal;
use std::os::unix::fs::chown;
use std::process::Command;
use tempfile::TempDir;

/// A running server.
pub(crate) struct Dovecot {
    /// The IMAP port with STARTTLS.
    pub(crate) imap: u16,
    /// The POP3 port with STLS.
    pub(crate) pop3: u16,
    /// What it shows under TLS.
    pub(crate) certificates: Certificates,
    _directory: TempDir,
    _daemon: Daemon,
}

/// Starts a server that knows the user `test` with the password `test`.
pub(crate) fn start() -> Option<Dovecot> {
    let dovecot = program("/usr/sbin/dovecot")?;
    program("/usr/lib/dovecot/imap-login")?;
    program("/usr/lib/dovecot/pop3-login")?;
    if !is_root() {
        return skip("Dovecot starts only as root");
    }
    let directory = directory();
    let certificates = create(directory.path(), "mail.example.test");
    let (imap, pop3) = (free_port(), free_port());
    // The users' part, in which Dovecot works as the user of mail.
    let home = directory.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let (user, group) = ids("mail").expect("Debian's base system has the user `mail`");
    chown(&home, Some(user), Some(group)).unwrap();
    let root = directory.path().display();
    let (chain, key) = (certificates.chain.display(), certificates.key.display());
    let config = format!(
        "base_dir = {root}/run\nstate_dir = {root}/state\nprotocols = imap pop3\nlisten = 127.0.0.1\n\
         log_path = {root}/dovecot.log\nfirst_valid_uid = 1\nfirst_valid_gid = 1\nssl = required\nssl_cert = <{chain}\nssl_key = <{key}\n\
         mail_location = maildir:{root}/home/mail\n\
         passdb {{\n  driver = static\n  args = password=test\n}}\n\
         userdb {{\n  driver = static\n  args = uid=mail gid=mail home={root}/home\n}}\n\
         service imap-login {{\n  inet_listener imap {{\n    port = {imap}\n  }}\n  inet_listener imaps {{\n    port = 0\n  }}\n}}\n\
         service pop3-login {{\n  inet_listener pop3 {{\n    port = {pop3}\n  }}\n  inet_listener pop3s {{\n    port = 0\n  }}\n}}\n"
    );
    let config = write(directory.path(), "dovecot.conf", &config);
    let log = directory.path().join("output");
    let mut daemon = Daemon::start(Command::new(dovecot).arg("-F").arg("-c").arg(config), Signal::TERM, &log);
    daemon.wait_for_port(imap, &log);
    daemon.wait_for_port(pop3, &log);
    Some(Dovecot { imap, pop3, certificates, _directory: directory, _daemon: daemon })
}
