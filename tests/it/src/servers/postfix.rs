//! Postfix with a queue of its own, delivering `example.test` into a mailbox.

use super::{Server, program, write};
use crate::certificates::Authority;
use crate::program::{require, require_root, user};
use crate::wait;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mail server that takes mail for anybody at `example.test`, offers
/// STARTTLS and delivers everything into one mailbox.
#[derive(Debug)]
pub struct Postfix {
    server: Server,
}

impl Postfix {
    /// Starts one, or says that it is skipped.
    pub fn start() -> Option<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into())
    }

    /// As [`Postfix::start`], at another address of the place where the caller is.
    pub fn start_at(ip: IpAddr) -> Option<Self> {
        require("postfix")?;
        if !require_root() {
            return None;
        }
        Some(Self { server: Server::start_at(ip, prepare, wait::accepts) })
    }

    /// All mails delivered so far, with their headers, oldest first.
    pub fn mails(&self) -> Vec<String> {
        let directory = self.server.directory().join("mail/inbox/new");
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    }

    /// The authority that signed its certificate, PEM.
    pub fn authority(&self) -> PathBuf {
        self.server.directory().join("authority.pem")
    }

    /// Turns it off at once; [`Server::turn_on`] turns it on again.
    pub fn turn_off(&mut self) {
        self.abort();
        self.server.turn_off();
    }

    /// Its address and how to turn it on. Turning it off takes more than that
    /// of other servers, see [`Postfix::turn_off`].
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its daemons put themselves into groups of their own; its own command
    /// knows how to find them all.
    fn abort(&self) {
        let etc = self.server.directory().join("etc");
        // It may have been turned off before.
        let _ = Command::new(program("postfix")).arg("-c").arg(etc).arg("abort").output();
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.abort();
    }
}

fn prepare(directory: &Path, address: SocketAddr) -> Command {
    let etc = directory.join("etc");
    if !etc.exists() {
        make_directories(directory);
    }
    let (mail_uid, mail_gid) = user("nobody").expect("every Debian has it");
    let (place, ip) = (directory.display(), address.ip());
    write(
        &etc,
        "main.cf",
        &format!(
            "compatibility_level = 3.6\nqueue_directory = {place}/spool\ndata_directory = {place}/data\n\
             maillog_file = {place}/postfix.log\nmaillog_file_prefixes = {place}\n\
             myhostname = mail.example.test\nmydestination =\ninet_interfaces = {ip}\ninet_protocols = ipv4\n\
             virtual_mailbox_domains = example.test\nvirtual_mailbox_base = {place}/mail\n\
             virtual_mailbox_maps = static:inbox/\nvirtual_uid_maps = static:{mail_uid}\nvirtual_gid_maps = static:{mail_gid}\n\
             virtual_minimum_uid = 1\nmynetworks = 127.0.0.0/8 10.0.0.0/8\nsmtpd_tls_security_level = may\n\
             smtpd_tls_cert_file = {place}/server.pem\nsmtpd_tls_key_file = {place}/server.key\n\
             smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nalias_maps =\n"
        ),
    );
    write(
        &etc,
        "master.cf",
        &format!(
            "{address} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\n\
             qmgr unix n - n 300 1 qmgr\ntlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\n\
             bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
             verify unix - - n - 1 verify\nproxymap unix - - n - - proxymap\nvirtual unix - n n - - virtual\n\
             smtp unix - - n - - smtp\nerror unix - - n - - error\nretry unix - - n - - error\n\
             discard unix - - n - - discard\nanvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n\
             postlog unix-dgram n - n - 1 postlogd\n"
        ),
    );
    let mut command = Command::new(program("postfix"));
    command.arg("-c").arg(etc).arg("start-fg");
    command
}

fn make_directories(directory: &Path) {
    for name in ["etc", "spool", "data", "mail"] {
        std::fs::create_dir(directory.join(name)).expect("the directory is ours");
    }
    Authority::new().server(directory, &["mail.example.test", "localhost", "127.0.0.1"]);
    let give = |name: &str, owner: &str| {
        let (uid, gid) = user(owner).expect("the package made it");
        std::os::unix::fs::chown(directory.join(name), Some(uid), Some(gid)).expect("root may give it away");
    };
    give("data", "postfix");
    give("mail", "nobody");
}
