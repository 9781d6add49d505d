//! Several real nodes on this machine that make one cluster.

use super::client;
use super::delay::Delay;
use super::local::Local;
use super::program::{Core, Program, free_port, on};
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything of a cluster may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// One node.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// Where it serves its page.
    pub(crate) port: u16,
    /// Its directory.
    pub(crate) directory: PathBuf,
    program: Option<Program>,
    _delay: Option<Delay>,
}

/// Nodes that belong together.
#[derive(Debug)]
pub(crate) struct Nodes {
    mainstay: PathBuf,
    directory: PathBuf,
    profile: &'static str,
    one_way: Duration,
    /// All nodes, in the order of their coming.
    pub(crate) members: Vec<Member>,
}

impl Nodes {
    /// Founds a cluster of one with what is replicated, as YAML. The node does not run yet.
    ///
    /// # Errors
    /// Its directory cannot be written.
    pub(crate) fn found(mainstay: &Path, directory: &Path, one_way: Duration, yaml: &str) -> Result<Self> {
        let profile = if one_way.is_zero() { "lan" } else { "wan" };
        let (mainstay, directory) = (mainstay.to_owned(), directory.to_owned());
        let mut nodes = Self { mainstay, directory, profile, one_way, members: Vec::new() };
        let member = nodes.member(yaml)?;
        nodes.members.push(member);
        Ok(nodes)
    }

    /// Lets one more node join and waits until it votes.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn join(&mut self, role: &str) -> Result<()> {
        let body = json!({ "actor": "bench", "key": format!("invite-{}", self.members.len()), "role": role });
        let answer = self.members[0].local()?.post("/api/v1/nodes/invite", &body)?;
        let ticket =
            answer["invitation"]["ticket"].as_str().with_context(|| format!("no ticket in {answer}"))?.to_owned();
        let member = self.member("")?;
        let mut command = self.command(&member);
        // The file is there already; what stands in it is what is said here.
        command.args(["join", &ticket, "--location", "here", "--name", &member.name, "--data", "data", "--address"]);
        command.arg(address(&member)?);
        let output = command.output().context("cannot start mainstay")?;
        if !output.status.success() {
            bail!("{} did not join: {}", member.name, String::from_utf8_lossy(&output.stderr));
        }
        self.members.push(member);
        let last = self.members.len() - 1;
        self.start(last)?;
        self.settle()
    }

    /// Starts a node and waits until it serves its page. Returns how long that took.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn start(&mut self, at: usize) -> Result<Duration> {
        let mut command = self.command(&self.members[at]);
        command.arg("serve");
        let member = &mut self.members[at];
        let begin = Instant::now();
        let log = member.directory.join("output");
        member.program = Some(Program::start("mainstay", &mut command, &log)?);
        while !client::get(member.port, "/").is_ok_and(|answer| answer.status == 200) {
            if begin.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                let end: Vec<&str> = said.lines().rev().take(5).collect();
                bail!("{} serves no page: {}", member.name, end.join(" / "));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(begin.elapsed())
    }

    /// Kills a node.
    ///
    /// # Errors
    /// It has ended already.
    pub(crate) fn kill(&mut self, at: usize) -> Result<()> {
        let program = self.members[at].program.take().context("it does not run")?;
        program.signal(Signal::KILL)
    }

    /// The position of the node that leads.
    ///
    /// # Errors
    /// None comes to lead.
    pub(crate) fn leader(&self) -> Result<usize> {
        self.until("a leader", || {
            let leads = |member: &Member| {
                let status = member.status().ok()?;
                (status["node"]["has_quorum"] == true
                    && is_well(&status, |node| node["is_this_one"] != true || node["is_leader"] == true))
                .then_some(())
            };
            self.members.iter().position(|member| leads(member).is_some())
        })
    }

    /// Waits until all nodes vote, hear each other and lack nothing.
    ///
    /// # Errors
    /// They do not come to that.
    pub(crate) fn settle(&self) -> Result<()> {
        let count = self.members.len();
        self.until("the nodes to settle", || {
            let is_settled = self.members.iter().all(|member| {
                let Ok(status) = member.status() else { return false };
                let is_here = |node: &Value| {
                    node["is_voter"] == true
                        && node["is_present"] == true
                        && node["lag_entries"].as_u64().unwrap_or(0) < 20
                };
                status["node"]["has_quorum"] == true
                    && status["nodes"].as_array().is_some_and(|nodes| nodes.len() == count)
                    && is_well(&status, is_here)
            });
            is_settled.then_some(())
        })
    }

    fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
        let begin = Instant::now();
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if begin.elapsed() > PATIENCE {
                let status = self.members.iter().filter_map(|member| Some(member.status().ok()?["nodes"].clone()));
                bail!("waited in vain for {what}: {:#?}", status.collect::<Vec<_>>());
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn member(&self, rest: &str) -> Result<Member> {
        let name = format!("n{}", self.members.len() + 1);
        let directory = self.directory.join(&name);
        std::fs::create_dir_all(&directory)?;
        let (port, listen) = (free_port()?, free_port()?);
        let delay = (!self.one_way.is_zero()).then(|| Delay::before(listen, self.one_way)).transpose()?;
        let address = delay.as_ref().map_or(listen, |delay| delay.port);
        let text = format!(
            "listen: 127.0.0.1:{port}\ndata: data\nlocation: here\nlog: {{ level: warn }}\n\
             cluster: {{ name: {name}, listen: \"127.0.0.1:{listen}\", address: \"127.0.0.1:{address}\", profile: {} }}\n{rest}",
            self.profile
        );
        std::fs::write(directory.join("mainstay.yaml"), text)?;
        Ok(Member { name, port, directory, program: None, _delay: delay })
    }

    fn command(&self, member: &Member) -> Command {
        let mut command = on(Core::Any, &self.mainstay);
        command.current_dir(&member.directory);
        command
    }
}

impl Member {
    /// A connection to its local socket.
    ///
    /// # Errors
    /// It does not listen.
    pub(crate) fn local(&self) -> Result<Local> {
        Local::connect(&self.directory.join("data/mainstay.sock"), PATIENCE)
    }

    /// As [`Member::local`], with a bound for each answer.
    ///
    /// # Errors
    /// It does not listen.
    pub(crate) fn local_within(&self, bound: Duration) -> Result<Local> {
        Local::connect(&self.directory.join("data/mainstay.sock"), bound)
    }

    /// What it says of everything.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn status(&self) -> Result<Value> {
        self.local_within(Duration::from_secs(2))?.get("/api/v1/status")
    }

    /// Whether it runs.
    pub(crate) fn is_running(&self) -> bool {
        self.program.is_some()
    }
}

fn is_well(status: &Value, is_well: impl Fn(&Value) -> bool) -> bool {
    status["nodes"].as_array().is_some_and(|nodes| nodes.iter().all(is_well))
}

/// Where the others reach it, as its file says.
fn address(member: &Member) -> Result<String> {
    let text = std::fs::read_to_string(member.directory.join("mainstay.yaml"))?;
    let rest = text.split("address: \"").nth(1).context("the file names an address")?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}
