//! One node of a cluster: the real binary in a place of a world, with a
//! directory, a configuration and a log of its own.

use crate::door::Door;
use crate::mainstay::binary;
use crate::process::Process;
use crate::wait;
use crate::world::{Place, PlaceNumber};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

/// Generous: the product's own target is a second, the machine may be busy.
const SERVES_TIMEOUT: Duration = Duration::from_secs(40);
/// The grace period for work in flight, and some more.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);
/// Port of page and API.
const PAGE_PORT: u16 = 8480;
/// Port for the other nodes.
const PEER_PORT: u16 = 8481;
/// Its data directory, below its own one.
const DATA: &str = "data";

/// A node. Dropped, it is killed; its files stay with whoever gave the directory.
#[derive(Debug)]
pub struct Node {
    /// Its local socket.
    pub door: Door,
    name: String,
    location: String,
    place: Place,
    directory: PathBuf,
    process: Option<Process>,
    variables: Vec<(String, String)>,
}

impl Node {
    /// A node that does not run yet, with an empty directory that is there
    /// already and stays when the node is dropped.
    pub fn new(name: &str, location: &str, place: &Place, directory: &Path) -> Self {
        let (name, location) = (name.to_owned(), location.to_owned());
        Self {
            door: Door::of(&name, &directory.join(DATA)),
            name,
            location,
            place: place.clone(),
            directory: directory.to_owned(),
            process: None,
            variables: Vec::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn place(&self) -> PlaceNumber {
        self.place.number()
    }

    /// Its location, in Mainstay's sense.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Where it serves its page.
    pub fn page(&self) -> SocketAddr {
        SocketAddr::new(self.place.address(), PAGE_PORT)
    }

    /// Where the other nodes reach it.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.place.address(), PEER_PORT)
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join(DATA)
    }

    /// Its configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("mainstay.yaml")
    }

    /// All that it printed, over all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// From its next configuration and start on it is in another place.
    pub fn moves_to(&mut self, place: &Place) {
        self.place = place.clone();
    }

    /// From its next start on it has this environment variable too.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Writes its configuration: the part that concerns the node, with what
    /// `cluster` adds to the keys of that name, and `rest` behind it.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn configure(&self, cluster: &str, rest: &str) {
        let Self { name, location, .. } = self;
        let text = format!(
            "listen: \"{}\"\ndata: {DATA}\nlocation: {location}\n\
             cluster: {{ name: {name}, listen: \"{peer}\", address: \"{peer}\"{cluster} }}\n{rest}",
            self.page(),
            peer = self.peer(),
        );
        let next = self.directory.join("mainstay.yaml.next");
        std::fs::write(&next, text).expect("the directory is ours");
        std::fs::rename(next, self.configuration()).expect("the directory is ours");
    }

    /// Joins a cluster with a ticket; the node must not run. Returns what was said.
    ///
    /// # Panics
    /// The binary cannot be started.
    pub fn join(&self, ticket: &str) -> Output {
        self.place.inside(|| self.join_command(ticket).output().expect("the binary is there"))
    }

    /// As [`Node::join`], and waits for nothing.
    ///
    /// # Panics
    /// The binary cannot be started.
    pub fn spawn_join(&self, ticket: &str) -> Process {
        let log = self.directory.join("join.log");
        self.place.inside(|| Process::start(&mut self.join_command(ticket), &log))
    }

    fn join_command(&self, ticket: &str) -> Command {
        let (peer, page) = (self.peer().to_string(), self.page().to_string());
        let mut command = self.base_command();
        command.args(["join", ticket, "--address", &peer, "--cluster-listen", &peer, "--listen", &page]);
        command.args(["--location", &self.location, "--name", &self.name, "--data", DATA]);
        command
    }

    /// Runs a subcommand in its place and returns what was said.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn command(&self, arguments: &[&str]) -> Output {
        self.place.inside(|| self.base_command().args(arguments).output().expect("the binary is there"))
    }

    /// Starts it and waits until it answers at all; whether it is ready is another question.
    ///
    /// # Panics
    /// It runs already, or does not answer in time; the message has the end of its log.
    pub fn start(&mut self) {
        let ended = self.start_or_end();
        assert!(ended.is_none(), "{} ended with {ended:?}; its log ends:\n{}", self.name, self.log_tail());
    }

    /// As [`Node::start`], and returns how it ended if it does not stay.
    ///
    /// # Panics
    /// It runs already, or neither answers nor ends in time.
    pub fn start_or_end(&mut self) -> Option<ExitStatus> {
        self.launch();
        let known = wait::until(SERVES_TIMEOUT, || match self.ended() {
            Some(status) => Some(Some(status)),
            None => self.door.get("/healthz").is_some_and(|answer| answer.status == 200).then_some(None),
        });
        known.unwrap_or_else(|| panic!("{} does not answer; its log ends:\n{}", self.name, self.log_tail()))
    }

    /// Starts it and waits for nothing.
    ///
    /// # Panics
    /// It runs already.
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "{} must be stopped or killed first", self.name);
        let log = self.log_file();
        let process = self.place.inside(|| Process::start(self.base_command().arg("serve"), &log));
        self.process = Some(process);
    }

    /// How it ended, if it was started and has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.process.as_mut()?.ended();
        if ended.is_some() {
            self.process = None;
        }
        ended
    }

    /// Whether it was started and not stopped or killed since.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
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

    /// Sends it a signal, such as STOP and CONT. Nothing happens if it does not run.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// The last lines it printed.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn base_command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(&self.directory).env_remove("MAINSTAY_LOG").env_remove("NOTIFY_SOCKET");
        command.env("MAINSTAY_CONFIG", self.configuration()).env("MAINSTAY_SOCKET", self.door.socket());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}
