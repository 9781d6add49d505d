//! What is watched: an nginx of our own, with and without TLS.

use super::client;
use super::program::{Core, Program, free_port, on, wait_for_port};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long nginx may take to start.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// What nginx writes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessLog {
    /// Nothing.
    Off,
    /// The path of each request, in a file for [`Nginx::paths_asked`].
    Paths,
}

/// A running nginx with one worker.
#[derive(Debug)]
pub(crate) struct Nginx {
    directory: PathBuf,
    core: Core,
    program: Option<Program>,
    /// Port of plain HTTP.
    pub(crate) port: u16,
    /// Port of HTTPS, if it was given a certificate.
    pub(crate) tls_port: u16,
}

impl Nginx {
    /// Starts it in a directory of its own.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(directory: &Path, core: Core, log: AccessLog, chain: Option<&Chain>) -> Result<Self> {
        let directory = directory.join("nginx");
        std::fs::create_dir_all(&directory)?;
        let (port, tls_port) = (free_port()?, free_port()?);
        let text = configuration(port, log, chain.map(|chain| (tls_port, chain)));
        std::fs::write(directory.join("nginx.conf"), text)?;
        let mut nginx = Self { directory, core, program: None, port, tls_port };
        nginx.turn_on()?;
        Ok(nginx)
    }

    /// Starts it again after [`Nginx::turn_off`].
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn turn_on(&mut self) -> Result<()> {
        let mut command = on(self.core, "nginx");
        command.arg("-p").arg(&self.directory).args(["-c", "nginx.conf", "-e", "stderr"]);
        self.program = Some(Program::start("nginx", &mut command, &self.directory.join("output"))?);
        wait_for_port(self.port, STARTS_WITHIN)
    }

    /// Turns it off; nobody listens when this returns.
    pub(crate) fn turn_off(&mut self) {
        self.program = None;
    }

    /// Requests answered since it was started.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn requests(&self) -> Result<u64> {
        let answer = client::get(self.port, "/-/requests")?;
        let text = String::from_utf8_lossy(&answer.body);
        // "server accepts handled requests", and the numbers on the next line.
        let numbers = text.lines().nth(2).context("nginx tells no numbers")?;
        numbers.split_whitespace().nth(2).and_then(|word| word.parse().ok()).context("nginx tells no requests")
    }

    /// How often each path was asked for.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn paths_asked(&self) -> Result<Vec<String>> {
        let text = std::fs::read_to_string(self.directory.join("paths"))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

fn configuration(port: u16, log: AccessLog, tls: Option<(u16, &Chain)>) -> String {
    let log = match log {
        AccessLog::Off => "access_log off;",
        AccessLog::Paths => "log_format path '$uri'; access_log paths path buffer=64k flush=1s;",
    };
    let mut text = format!(
        "daemon off; worker_processes 1; pid nginx.pid; worker_rlimit_nofile 20000;\n\
         events {{ worker_connections 16000; }}\n\
         http {{\n{log}\nclient_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;\n\
         server {{ listen 127.0.0.1:{port} backlog=4096;\n\
         location /-/requests {{ stub_status; access_log off; }}\n\
         location / {{ default_type text/plain; return 200 \"it works\\n\"; }} }}\n"
    );
    if let Some((port, Chain { certificate, key, .. })) = tls {
        let (certificate, key) = (certificate.display(), key.display());
        // No resumption: each handshake must be a full one on both sides of the comparison.
        let _ = write!(
            text,
            "server {{ listen 127.0.0.1:{port} ssl backlog=4096; ssl_certificate {certificate}; ssl_certificate_key {key};\n\
             ssl_protocols TLSv1.3; ssl_session_cache off; ssl_session_tickets off;\n\
             location / {{ default_type text/plain; return 200 \"it works\\n\"; }} }}\n"
        );
    }
    text.push_str("}\n");
    text
}

/// An ECDSA P-256 certificate for 127.0.0.1 with the chain above it.
#[derive(Debug)]
pub(crate) struct Chain {
    /// The root, which clients trust.
    pub(crate) root: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Chain {
    /// Makes root, intermediate and leaf with openssl.
    ///
    /// # Errors
    /// openssl fails.
    pub(crate) fn make(directory: &Path) -> Result<Self> {
        let directory = directory.join("chain");
        std::fs::create_dir_all(&directory)?;
        let authority = "basicConstraints=critical,CA:TRUE";
        // The system's own configuration would make every certificate an authority.
        std::fs::write(directory.join("openssl.cnf"), "[req]\ndistinguished_name = name\n[name]\n")?;
        issue(&directory, "root", None, authority)?;
        issue(&directory, "intermediate", Some("root"), authority)?;
        issue(&directory, "leaf", Some("intermediate"), "subjectAltName=IP:127.0.0.1")?;
        let read = |name: &str| std::fs::read_to_string(directory.join(name));
        let certificate = directory.join("sent.pem");
        std::fs::write(&certificate, read("leaf.pem")? + &read("intermediate.pem")?)?;
        Ok(Self { root: directory.join("root.pem"), certificate, key: directory.join("leaf.key") })
    }
}

fn issue(directory: &Path, name: &str, by: Option<&str>, extension: &str) -> Result<()> {
    let mut command = Command::new("openssl");
    command.current_dir(directory).args([
        "req",
        "-x509",
        "-config",
        "openssl.cnf",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    command.args(["-nodes", "-days", "365", "-subj", &format!("/CN=bench {name}"), "-addext", extension]);
    command.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
    if let Some(by) = by {
        command.args(["-CA", &format!("{by}.pem"), "-CAkey", &format!("{by}.key")]);
    }
    let output = command.output().context("cannot start openssl")?;
    if !output.status.success() {
        bail!("openssl made no certificate: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
