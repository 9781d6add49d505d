//! BIND with one zone that holds every type of record a check can ask for.

use super::{Daemon, directory, free_port, program, write};
use rustix::process::Signal;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use tempfile::TempDir;

/// The zone, and a zone for names of addresses.
const ZONE: &str = r#"$TTL 60
@ SOA ns1 hostmaster 1 3600 600 86400 60
@ NS ns1
@ MX 10 mail
@ CAA 0 issue "letsencrypt.org"
@ TXT "v=spf1 mx -all"
ns1 A 127.0.0.1
www A 192.0.2.1
www A 192.0.2.2
www AAAA 2001:db8::1
alias CNAME www
mail A 192.0.2.3
_imap._tcp SRV 0 1 143 mail
"#;
const REVERSE: &str = "$TTL 60\n@ SOA ns1.example.test. hostmaster.example.test. 1 3600 600 86400 60\n\
                       @ NS ns1.example.test.\n1 PTR www.example.test.\n";
/// Texts of the name `long`: together far more than fits into one packet.
const LONG_TEXTS: usize = 40;

/// A running server.
pub(crate) struct Named {
    /// Its port on 127.0.0.1, UDP and TCP.
    pub(crate) port: u16,
    _directory: TempDir,
    _daemon: Daemon,
}

/// Starts a server for `example.test`.
pub(crate) fn start() -> Option<Named> {
    let named = program("/usr/sbin/named")?;
    let (directory, port) = (directory(), free_port_of_both());
    let root = directory.path().display();
    let long: String = (0..LONG_TEXTS).map(|i| format!("long TXT \"{i:03} {}\"\n", "x".repeat(200))).collect();
    write(directory.path(), "zone", &format!("{ZONE}{long}"));
    write(directory.path(), "reverse", REVERSE);
    let config = format!(
        "options {{ directory \"{root}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
         recursion no; dnssec-validation no; pid-file none; session-keyfile none; }};\ncontrols {{ }};\n\
         zone \"example.test\" {{ type primary; file \"{root}/zone\"; }};\n\
         zone \"2.0.192.in-addr.arpa\" {{ type primary; file \"{root}/reverse\"; }};\n"
    );
    let config = write(directory.path(), "named.conf", &config);
    let log = directory.path().join("log");
    let mut daemon = Daemon::start(Command::new(named).args(["-g", "-n", "1", "-c"]).arg(config), Signal::TERM, &log);
    daemon.wait_until(&log, || {
        std::fs::read_to_string(&log).unwrap_or_default().lines().any(|line| line.ends_with(" running"))
    });
    Some(Named { port, _directory: directory, _daemon: daemon })
}

/// A port that is free for TCP and UDP.
fn free_port_of_both() -> u16 {
    loop {
        let port = free_port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
