//! PostgreSQL with an empty database cluster and a user with a password.

use super::{Server, prepare_with, program, write};
use crate::program::{require, user};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A server that is up answers at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A PostgreSQL server; [`Postgres::USER`] may log in to the database
/// `postgres` with [`Postgres::PASSWORD`].
#[derive(Debug)]
pub struct Postgres {
    server: Server,
}

impl Postgres {
    /// The database user.
    pub const USER: &str = "watcher";
    /// Its password.
    pub const PASSWORD: &str = "not a secret";

    /// Starts one, or says that it is skipped.
    pub fn start() -> Option<Self> {
        require("initdb")?;
        Some(Self { server: Server::start_until(prepare, asks_for_a_password) })
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

fn prepare(directory: &Path, address: SocketAddr) -> Command {
    if !directory.join("data").exists() {
        make_cluster(directory);
    }
    let mut command = as_owner(directory, "postgres");
    command.arg("-D").arg(directory.join("data")).arg("-p").arg(address.port().to_string());
    // The tests turn it off without warning anyway.
    command.args(["-h", "127.0.0.1", "-c", "fsync=off", "-c", "unix_socket_directories="]);
    command
}

/// While it starts, PostgreSQL accepts connections and answers each with an
/// error (`E`); when it is ready, with a request for authentication (`R`).
fn asks_for_a_password(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        // A start-up message of protocol 3.0: length, version, user, end.
        stream.write_all(b"\0\0\0\x16\0\x03\0\0user\0watcher\0\0")?;
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        Ok(kind[0])
    };
    ask().is_ok_and(|kind| kind == b'R')
}

fn make_cluster(directory: &Path) {
    write(directory, "password", Postgres::PASSWORD);
    if let Some((uid, gid)) = owner() {
        std::os::unix::fs::chown(directory, Some(uid), Some(gid)).expect("root may give it away");
        std::os::unix::fs::chown(directory.join("password"), Some(uid), Some(gid)).expect("root may give it away");
    }
    let mut command = as_owner(directory, "initdb");
    command.arg("-D").arg(directory.join("data")).arg("--pwfile").arg(directory.join("password"));
    command.args([
        "-U",
        Postgres::USER,
        "-A",
        "scram-sha-256",
        "--no-sync",
        "--no-instructions",
        "-E",
        "UTF8",
        "--locale=C",
    ]);
    prepare_with(&mut command);
}

/// PostgreSQL refuses to run as root; Debian's user for it does.
fn as_owner(directory: &Path, name: &str) -> Command {
    let mut command = Command::new(program(name));
    command.current_dir(directory);
    if let Some((uid, gid)) = owner() {
        command.uid(uid).gid(gid);
    }
    command
}

fn owner() -> Option<(u32, u32)> {
    if rustix::process::geteuid().is_root() { user("postgres") } else { None }
}
