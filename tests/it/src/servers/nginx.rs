//! nginx, plain and with TLS, serving a directory of files.

use super::{Server, program, write};
use crate::certificates::{Authority, ServerCertificate};
use crate::program::require;
use crate::wait;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A web server. What is written to [`Nginx::root`] is served.
#[derive(Debug)]
pub struct Nginx {
    server: Server,
}

impl Nginx {
    /// Starts one without TLS, or says that it is skipped.
    pub fn plain() -> Option<Self> {
        Self::plain_at(Ipv4Addr::LOCALHOST.into())
    }

    /// As [`Nginx::plain`], at another address of the place where the caller is.
    pub fn plain_at(ip: IpAddr) -> Option<Self> {
        require("nginx")?;
        let prepare = |directory: &Path, address| prepare(directory, address, "");
        Some(Self { server: Server::start_at(ip, prepare, wait::accepts) })
    }

    /// Starts one with TLS, with a certificate for `localhost` and `127.0.0.1`
    /// that an authority of its own signed, or says that it is skipped.
    pub fn tls() -> Option<Self> {
        require("nginx")?;
        Some(Self {
            server: Server::start(|directory, address| {
                if !directory.join("server.pem").exists() {
                    Authority::new().server(directory, &["localhost", "127.0.0.1"]);
                }
                prepare(directory, address, "ssl")
            }),
        })
    }

    /// The directory that is served; `index.html` is there.
    pub fn root(&self) -> PathBuf {
        self.server.directory().join("root")
    }

    /// The files of its certificate, if it has TLS.
    pub fn certificate(&self) -> ServerCertificate {
        let file = |name: &str| self.server.directory().join(name);
        ServerCertificate { chain: file("server.pem"), key: file("server.key"), authority: file("authority.pem") }
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

fn prepare(directory: &Path, address: SocketAddr, ssl: &str) -> Command {
    let root = directory.join("root");
    if !root.exists() {
        std::fs::create_dir(&root).expect("the directory is ours");
        write(&root, "index.html", "<!doctype html><title>It works</title><p>It works.</p>\n");
    }
    let certificate = if ssl.is_empty() { "" } else { "ssl_certificate server.pem; ssl_certificate_key server.key;" };
    // Temporary paths are named because the built-in ones are root's.
    write(
        directory,
        "nginx.conf",
        &format!(
            "daemon off;\npid nginx.pid;\nerror_log stderr notice;\nworker_processes 1;\nevents {{ worker_connections 512; }}\n\
             http {{\n  access_log off;\n  default_type text/plain;\n  types {{ text/html html; application/json json; }}\n\
             client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n\
             server {{ listen {address} {ssl}; server_name localhost; root root; {certificate} }}\n}}\n"
        ),
    );
    let mut command = Command::new(program("nginx"));
    command.arg("-p").arg(directory).args(["-c", "nginx.conf", "-e", "stderr"]);
    command
}
