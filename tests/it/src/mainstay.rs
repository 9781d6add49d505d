//! The real binary: built once, started in a directory of its own, killed and
//! started again as the test likes.

use crate::http::{self, Response};
use crate::process::Process;
use crate::wait;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// Names a binary that is there already; without it, cargo builds one.
const BINARY_VARIABLE: &str = "MAINSTAY_BIN";
/// Generous: the product's own target is a second, the machine may be busy.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The grace period for work in flight, and some more.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often another port is tried.
const TRIES: usize = 4;

/// A running `mainstay serve`. Dropped, it is killed.
#[derive(Debug)]
pub struct Mainstay {
    process: Option<Process>,
    address: SocketAddr,
    directory: TempDir,
    variables: Vec<(String, String)>,
    data: PathBuf,
    listen: Option<String>,
}

impl Mainstay {
    /// Starts one with a configuration and waits until it is ready.
    ///
    /// # Panics
    /// It does not become ready; the message has the end of its log.
    pub fn start(yaml: &str) -> Self {
        Self::start_with(yaml, &[])
    }

    /// As [`Mainstay::start`], with environment variables.
    pub fn start_with(yaml: &str, variables: &[(&str, &str)]) -> Self {
        let mut log = String::new();
        for _ in 0..TRIES {
            let mut mainstay = Self::prepare(yaml);
            mainstay.variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            match mainstay.launch() {
                Ok(()) => return mainstay,
                Err(text) => log = text,
            }
        }
        panic!("mainstay did not become ready; its log ends:\n{log}");
    }

    /// Makes directory and configuration, and starts nothing.
    ///
    /// # Panics
    /// There is no temporary directory.
    pub fn prepare(yaml: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (address, data) = (wait::free_address(), directory.path().join("data"));
        let listen = Some(address.to_string());
        let mainstay = Self { process: None, address, directory, variables: Vec::new(), data, listen };
        mainstay.configure(yaml);
        mainstay
    }

    /// From its next start on it has this environment variable too.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Replaces the configuration file, at once as a careful editor does.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn configure(&self, yaml: &str) {
        let next = self.directory.path().join("mainstay.yaml.next");
        std::fs::write(&next, yaml).expect("the directory is ours");
        std::fs::rename(next, self.configuration()).expect("the directory is ours");
    }

    /// The configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.directory.path().join("mainstay.yaml")
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// From its next start on it uses another one's data directory.
    pub fn shares_data_of(&mut self, other: &Self) {
        self.data = other.data.clone();
    }

    /// From its next start on it listens where its configuration says.
    pub fn listens_as_configured(&mut self) {
        self.listen = None;
    }

    /// Where it serves page, API and metrics.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a page.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks for a page; `None` while nobody answers.
    pub fn get(&self, path: &str) -> Option<Response> {
        http::get(self.address, path)
    }

    /// Runs a subcommand of the same binary against this one and returns what it said.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = self.base_command();
        command.args(arguments).output().expect("the binary is there")
    }

    /// Kills it at once, as a power cut would.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Asks it to end (SIGTERM) and returns how it did.
    ///
    /// # Panics
    /// It is not running, or does not end within the bound.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.take().expect("it is running").stop(STOP_TIMEOUT)
    }

    /// Asks it to read its configuration again (SIGHUP).
    ///
    /// # Panics
    /// It is not running.
    pub fn reload(&self) {
        self.process.as_ref().expect("it is running").signal(Signal::HUP);
    }

    /// Starts it again with the same files, at the same address, and waits
    /// until it is ready.
    ///
    /// # Panics
    /// It runs, or does not become ready; the message has the end of its log.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "it must be stopped or killed first");
        self.launch().unwrap_or_else(|log| panic!("mainstay did not become ready again; its log ends:\n{log}"));
    }

    /// Starts it with the same files and returns how it ended; for starts that must fail.
    ///
    /// # Panics
    /// It still runs after the bound.
    pub fn refuses_to_start(&mut self) -> ExitStatus {
        let mut process = self.spawn();
        let ended = wait::expect("a start that fails", READY_TIMEOUT, || process.ended());
        self.process = None;
        ended
    }

    /// All that it printed, over all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// Its process id.
    ///
    /// # Panics
    /// It is not running.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it is running").id()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn launch(&mut self) -> Result<(), String> {
        let mut process = self.spawn();
        let is_ready = wait::until(READY_TIMEOUT, || match process.ended() {
            Some(_) => Some(false),
            None => self.get("/readyz").is_some_and(|answer| answer.status == 200).then_some(true),
        });
        if is_ready == Some(true) && process.ended().is_none() {
            self.process = Some(process);
            return Ok(());
        }
        Err(process.log_tail())
    }

    fn spawn(&self) -> Process {
        let mut command = self.base_command();
        command.arg("serve").arg("--data").arg(&self.data);
        if let Some(listen) = &self.listen {
            command.arg("--listen").arg(listen);
        }
        Process::start(&mut command, &self.log_file())
    }

    fn base_command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.directory.path()).env_remove("MAINSTAY_LOG");
        // How commands find this server, without repeating it in each.
        command.env("MAINSTAY_CONFIG", self.configuration()).env("MAINSTAY_SOCKET", self.data().join("mainstay.sock"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Returns the binary, building it first if nobody named one.
///
/// # Panics
/// It cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os(BINARY_VARIABLE) {
        Some(path) => path.into(),
        None => build(),
    })
}

/// The joint build of the workspace, since that is the one whose libraries the
/// tests have just built; `--package mainstay` alone would build many anew with
/// fewer switches.
fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tests/it is two below the root");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--workspace", "--bin", "mainstay"])
        .current_dir(root)
        .output()
        .expect("cargo runs this test, so it is there");
    assert!(output.status.success(), "cannot build mainstay: {}", String::from_utf8_lossy(&output.stderr));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("debug/mainstay")
}
