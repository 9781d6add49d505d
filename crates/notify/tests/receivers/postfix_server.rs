//! A Postfix of our own: in a temporary directory, on ports of its own, with
//! Dovecot to check passwords, delivering into mailboxes that tests read.

use crate::support::{is_installed, skip};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// Owner of the mailboxes: `nobody` on Debian. Postfix delivers to no system user.
const MAILBOX_OWNER: u32 = 65534;
/// The only user that may log in.
pub(crate) const USER: &str = "mainstay";
/// Its password.
pub(crate) const PASSWORD: &str = "correct-horse";

/// A running mail server.
pub(crate) struct Postfix {
    // In the order in which they end: Postfix first, its files last.
    running: Running,
    _dovecot: Dovecot,
    directory: tempfile::TempDir,
    /// Plain, with STARTTLS offered.
    pub(crate) port: u16,
    /// TLS from the first byte.
    pub(crate) tls_port: u16,
    /// Takes mail only behind STARTTLS and a login.
    pub(crate) login_port: u16,
}

impl Postfix {
    /// The server that all tests share while any of them holds it; `None` where
    /// there can be none, which has then been said.
    pub(crate) fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Postfix>> = Mutex::new(Weak::new());
        for program in ["postfix", "dovecot"] {
            if !is_installed(program) {
                skip(&format!("{program} is not installed"));
                return None;
            }
        }
        if !rustix::process::geteuid().is_root() {
            skip("Postfix can only be started by root");
            return None;
        }
        // A test that fails while it starts the server must not fail all others.
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let started = Arc::new(Self::start());
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    /// The authority that signed the server's certificate.
    pub(crate) fn ca_file(&self) -> String {
        self.path("ca.pem").to_str().unwrap().to_owned()
    }

    /// Waits for `count` mails in a mailbox and returns them, oldest first.
    pub(crate) async fn mails(&self, mailbox: &str, count: usize) -> Vec<Vec<u8>> {
        let directory = self.path("mail").join(mailbox).join("new");
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let mut files: Vec<PathBuf> =
                std::fs::read_dir(&directory).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
            if files.len() >= count {
                // Maildir names begin with the second; a later mail of the same
                // second has a later modification time.
                files.sort_by_key(|file| file.metadata().unwrap().modified().unwrap());
                return files.iter().map(|file| std::fs::read(file).unwrap()).collect();
            }
            assert!(Instant::now() < deadline, "{} of {count} mails for {mailbox}\n{}", files.len(), self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.running.0.join("log/postfix.log")).unwrap_or_default()
    }

    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::set_permissions(root, PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["etc", "queue", "data", "mail", "log", "dovecot"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        chown(root.join("mail"), Some(MAILBOX_OWNER), Some(MAILBOX_OWNER)).unwrap();
        write_certificates(root);
        let [port, tls_port, login_port] = free_ports();
        std::fs::write(root.join("etc/main.cf"), main_cf(root)).unwrap();
        std::fs::write(root.join("etc/master.cf"), master_cf(port, tls_port, login_port)).unwrap();
        std::fs::write(root.join("users"), format!("{USER}:{{PLAIN}}{PASSWORD}\n")).unwrap();
        std::fs::write(root.join("dovecot.conf"), dovecot_conf(root)).unwrap();
        let owned = Command::new("chown").arg("postfix").arg(root.join("data")).status().unwrap();
        assert!(owned.success());
        let dovecot = Dovecot::start(root);
        let running = Running::start(root);
        Self { running, _dovecot: dovecot, directory, port, tls_port, login_port }
    }
}

/// A started Postfix; stopped when dropped.
struct Running(PathBuf);

impl Running {
    fn start(root: &Path) -> Self {
        let running = Self(root.to_owned());
        let output = running.say("start");
        let log = std::fs::read_to_string(root.join("log/postfix.log")).unwrap_or_default();
        assert!(output.status.success(), "{}{log}", String::from_utf8_lossy(&output.stderr));
        running
    }

    fn say(&self, verb: &str) -> Output {
        Command::new("/usr/sbin/postfix").arg("-c").arg(self.0.join("etc")).arg(verb).output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.say("abort");
    }
}

/// A started Dovecot; stopped when dropped.
struct Dovecot(Child);

impl Dovecot {
    fn start(root: &Path) -> Self {
        let mut command = Command::new("/usr/sbin/dovecot");
        command.args(["-F", "-c"]).arg(root.join("dovecot.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let dovecot = Self(command.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !root.join("sasl").exists() {
            assert!(Instant::now() < deadline, "Dovecot does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        dovecot
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Asked and not killed, so that it takes its children along.
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// Ports that were free a moment ago: Postfix cannot be asked to choose its own.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn write_certificates(root: &Path) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Acme Test Authority");
    let certificate = authority.self_signed(&authority_key).unwrap();
    std::fs::write(root.join("ca.pem"), certificate.pem()).unwrap();

    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(root.join("certificate.pem"), certificate.pem()).unwrap();
    std::fs::write(root.join("key.pem"), key.serialize_pem()).unwrap();
}

fn main_cf(root: &Path) -> String {
    let root = root.display();
    format!(
        "compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/log/postfix.log
maillog_file_prefixes = {root}
myhostname = mx.acme.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtpd_delay_reject = yes
smtpd_relay_restrictions =
smtpd_recipient_restrictions =
    check_recipient_access inline:{{
        {{ busy@acme.example = 450 4.2.0 mailbox is busy }},
        {{ gone@acme.example = 550 5.1.1 nobody of that name here }} }},
    reject_unauth_destination
virtual_mailbox_domains = acme.example
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = inline:{{ thread@acme.example=thread/, tls@acme.example=tls/, login@acme.example=login/,
    injected@acme.example=injected/, double@acme.example=double/ }}
virtual_minimum_uid = {MAILBOX_OWNER}
virtual_uid_maps = static:{MAILBOX_OWNER}
virtual_gid_maps = static:{MAILBOX_OWNER}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {root}/certificate.pem
smtpd_tls_key_file = {root}/key.pem
smtpd_tls_auth_only = yes
smtpd_tls_received_header = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {root}/sasl
"
    )
}

fn master_cf(port: u16, tls_port: u16, login_port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{tls_port} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
127.0.0.1:{login_port} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"
    )
}

fn dovecot_conf(root: &Path) -> String {
    let root = root.display();
    format!(
        "base_dir = {root}/dovecot
log_path = {root}/log/dovecot.log
protocols =
ssl = no
auth_mechanisms = plain login
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = {root}/users
}}
userdb {{
  driver = static
  args = uid={MAILBOX_OWNER} gid={MAILBOX_OWNER} home=/nonexistent
}}
service auth {{
  unix_listener {root}/sasl {{
    mode = 0666
  }}
}}
"
    )
}
