//! OpenSSH's server, with a host key of its own; nobody can log in.

use super::{Server, prepare_with, program, write};
use crate::program::require;
use std::net::SocketAddr;
use std::process::Command;

/// An SSH server.
#[derive(Debug)]
pub struct Sshd {
    server: Server,
}

impl Sshd {
    /// Starts one, or says that it is skipped.
    pub fn start() -> Option<Self> {
        require("sshd")?;
        require("ssh-keygen")?;
        Some(Self {
            server: Server::start(|directory, address| {
                let key = directory.join("host_key");
                if !key.exists() {
                    prepare_with(
                        Command::new(program("ssh-keygen")).args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key),
                    );
                }
                if rustix::process::geteuid().is_root() {
                    // Debian's service makes it at start; without it sshd refuses.
                    std::fs::create_dir_all("/run/sshd").expect("root can make it");
                }
                let (host, port) = (address.ip(), address.port());
                write(
                    directory,
                    "sshd_config",
                    &format!(
                        "ListenAddress {host}\nPort {port}\nHostKey {}\nPidFile none\nUsePAM no\nStrictModes no\n\
                         PasswordAuthentication no\nMaxStartups 100:30:200\n",
                        key.display()
                    ),
                );
                let mut command = Command::new(program("sshd"));
                command.args(["-D", "-e", "-f"]).arg(directory.join("sshd_config"));
                command
            }),
        })
    }

    /// Its host key, as in `known_hosts`: the kind and the key.
    ///
    /// # Panics
    /// The file of the key is gone.
    pub fn host_key(&self) -> String {
        let line = std::fs::read_to_string(self.server.directory().join("host_key.pub")).expect("made at start");
        line.split(' ').take(2).collect::<Vec<_>>().join(" ")
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
