//! BIND as an authoritative server for `example.test`.

use super::{Server, program, write};
use crate::program::require;
use std::net::SocketAddr;
use std::process::Command;

/// The zone: an address of each kind, a mail exchanger, a text and an alias.
const ZONE: &str = "$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 60\n@ IN NS ns\n@ IN MX 10 mail\n\
                    @ IN TXT \"kept standing\"\nns IN A 127.0.0.1\nmail IN A 192.0.2.25\nwww IN A 192.0.2.80\n\
                    www IN AAAA 2001:db8::80\nalias IN CNAME www\n";

/// A name server for `example.test`, over UDP and TCP.
#[derive(Debug)]
pub struct Named {
    server: Server,
}

impl Named {
    /// Starts one, or says that it is skipped.
    pub fn start() -> Option<Self> {
        require("named")?;
        Some(Self {
            server: Server::start(|directory, address| {
                // A copy, because where AppArmor guards BIND it does so by the
                // program's path and would forbid it our directory.
                let copy = directory.join("named");
                if !copy.exists() {
                    std::fs::copy(program("named"), &copy).expect("the directory is ours");
                }
                write(directory, "zone", ZONE);
                let (place, port) = (directory.display(), address.port());
                write(
                    directory,
                    "named.conf",
                    &format!(
                        "options {{ directory \"{place}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
                         recursion no; dnssec-validation no; pid-file \"{place}/pid\"; session-keyfile \"{place}/key\"; }};\n\
                         controls {{ }};\nzone \"example.test\" {{ type primary; file \"zone\"; }};\n"
                    ),
                );
                let mut command = Command::new(copy);
                command.args(["-g", "-n", "1", "-c"]).arg(directory.join("named.conf"));
                command
            }),
        })
    }

    /// Its address and how to turn it off and on.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}
