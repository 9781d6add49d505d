//! A PostgreSQL cluster of its own, with a password for every login.

use super::certificates::{Certificates, create};
use super::{Daemon, directory, free_port, is_root, program, run, write};
use rustix::process::Signal;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The superuser's password.
pub(crate) const PASSWORD: &str = "open sesame";
/// The superuser, who is also the user of the operating system: PostgreSQL refuses root.
pub(crate) const USER: &str = "postgres";

/// A cluster of data files, with or without a running server.
pub(crate) struct Postgres {
    /// The server's port on 127.0.0.1.
    pub(crate) port: u16,
    /// What the server shows under TLS.
    pub(crate) certificates: Certificates,
    programs: PathBuf,
    directory: TempDir,
    daemon: Option<Daemon>,
}

/// Makes a cluster and starts its server with further settings, as in `&["max_connections=1"]`.
pub(crate) fn start(settings: &[&str]) -> Option<Postgres> {
    let programs = program("/usr/lib/postgresql/15/bin")?;
    let directory = directory();
    let certificates = create(directory.path(), "db.example.test");
    let password = write(directory.path(), "password", PASSWORD);
    if is_root() {
        let (user, group) = ids(USER)?;
        for path in [directory.path(), &certificates.key, &certificates.chain, &password] {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }
    let data = directory.path().join("data");
    let mut initdb = as_user(&programs.join("initdb"), directory.path());
    run(initdb.arg("-D").arg(&data).arg(format!("--pwfile={}", password.display())).args([
        "-A",
        "scram-sha-256",
        "-U",
        USER,
        "-N",
        "-E",
        "UTF8",
        "--locale=C",
    ]));
    let mut postgres = Postgres { port: free_port(), certificates, programs, directory, daemon: None };
    postgres.restart(settings);
    Some(postgres)
}

impl Postgres {
    /// Stops the server, if it runs, and starts it with other settings.
    pub(crate) fn restart(&mut self, settings: &[&str]) {
        self.daemon = None;
        let data = self.directory.path().join("data");
        let log = self.directory.path().join("log");
        let mut command = as_user(&self.programs.join("postgres"), self.directory.path());
        command.arg("-D").arg(&data).args(["-p", &self.port.to_string()]);
        let fixed = [
            "listen_addresses=127.0.0.1".to_owned(),
            "fsync=off".to_owned(),
            format!("unix_socket_directories={}", self.directory.path().display()),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", self.certificates.chain.display()),
            format!("ssl_key_file={}", self.certificates.key.display()),
        ];
        for setting in fixed.iter().map(String::as_str).chain(settings.iter().copied()) {
            command.args(["-c", setting]);
        }
        let mut daemon = Daemon::start(&mut command, Signal::QUIT, &log);
        let is_ready = || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            said.contains("ready to accept") || said.contains("entering standby mode")
        };
        daemon.wait_until(&log, is_ready);
        self.daemon = Some(daemon);
    }

    /// Makes the next start one that waits for a primary that never comes.
    pub(crate) fn make_standby(&self) {
        let signal = write(&self.directory.path().join("data"), "standby.signal", "");
        if let (true, Some((user, group))) = (is_root(), ids(USER)) {
            chown(signal, Some(user), Some(group)).unwrap();
        }
    }
}

/// A command that runs as the server's user where we are root.
fn as_user(program: &Path, directory: &Path) -> Command {
    let mut command = match is_root() {
        true => {
            let mut command = Command::new("/usr/bin/setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--init-groups"]).arg(program);
            command
        }
        false => Command::new(program),
    };
    command.current_dir(directory);
    command
}

/// The numbers of a user and its group.
pub(crate) fn ids(user: &str) -> Option<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.split(':').next() == Some(user));
    let Some(line) = line else { return super::skip(&format!("there is no user {user}")) };
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
