//! Redis, empty and without files.

use super::{Server, program};
use crate::program::require;
use std::net::SocketAddr;
use std::process::Command;

/// A Redis server without a password.
#[derive(Debug)]
pub struct Redis {
    server: Server,
}

impl Redis {
    /// Starts one, or says that it is skipped.
    pub fn start() -> Option<Self> {
        require("redis-server")?;
        Some(Self {
            server: Server::start(|directory, address| {
                let mut command = Command::new(program("redis-server"));
                command.arg("--port").arg(address.port().to_string()).arg("--dir").arg(directory);
                command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
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
