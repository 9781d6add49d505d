//! The real `mainstay serve`, as its users run it.

use super::client;
use super::machine;
use super::program::{Core, Program, free_port, on};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a node may take to serve its page.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// What a node is to watch.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    /// How many checks.
    pub(crate) checks: u32,
    /// How many of them make a service.
    pub(crate) in_service: u32,
    /// How often each runs.
    pub(crate) every: Duration,
    /// What they look at, in turn; each adds its own path behind it.
    pub(crate) bases: Vec<String>,
    /// Keys that every check has too, as YAML.
    pub(crate) keys: String,
    /// What stands at the top, as YAML.
    pub(crate) top: String,
}

impl Watch {
    /// HTTP checks of an address.
    pub(crate) fn http(checks: u32, every: Duration, base: String) -> Self {
        Self { checks, in_service: 10, every, bases: vec![base], keys: String::new(), top: String::new() }
    }

    fn yaml(&self, port: u16) -> String {
        let Self { checks, in_service, every, bases, keys, top } = self;
        let (every, timeout) = (every.as_millis(), every.as_millis().min(10_000));
        let mut text = format!(
            "page: {{ name: Bench }}\nlisten: 127.0.0.1:{port}\ndata: data\nlog: {{ level: warn }}\n{top}\n\
             defaults: {{ every: {every}ms, timeout: {timeout}ms }}\nservices:\n"
        );
        for (check, base) in (0..*checks).zip(bases.iter().cycle()) {
            if check % in_service == 0 {
                let _ = writeln!(text, "- id: s{0}\n  name: Service {0}\n  checks:", check / in_service);
            }
            let _ = writeln!(text, "  - {{ id: c{check}, http: \"{base}/c/{check}\"{keys} }}");
        }
        text
    }
}

/// A node in a directory of its own.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where it serves.
    pub(crate) port: u16,
    program: Program,
}

impl Node {
    /// Writes a configuration into a directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn configure(directory: &Path, watch: &Watch) -> Result<Configured> {
        std::fs::create_dir_all(directory)?;
        let port = free_port()?;
        std::fs::write(directory.join("mainstay.yaml"), watch.yaml(port))?;
        Ok(Configured { directory: directory.to_owned(), port })
    }

    /// Its program.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// Numbers of /metrics that are not of single checks or services, labels summed up.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let answer = client::get(self.port, "/metrics")?;
        let text = String::from_utf8_lossy(&answer.body);
        let mut metrics = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("mainstay_") && !line.contains("{service=")) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let name = name.split('{').next().unwrap_or(name);
            *metrics.entry(name.to_owned()).or_insert(0.0) += value.parse::<f64>().unwrap_or(0.0);
        }
        Ok(metrics)
    }

    /// Seconds that each kind of its threads used.
    pub(crate) fn threads(&self) -> BTreeMap<String, f64> {
        machine::used_by_threads(self.program.pid())
    }
}

/// A node that can be started.
#[derive(Debug, Clone)]
pub(crate) struct Configured {
    /// Its directory.
    pub(crate) directory: PathBuf,
    /// Where it will serve.
    pub(crate) port: u16,
}

impl Configured {
    /// Starts it and waits until it serves its page. Returns how long that took.
    ///
    /// # Errors
    /// It does not serve in time.
    pub(crate) fn start(&self, mainstay: &Path, core: Core) -> Result<(Node, Duration)> {
        let begin = Instant::now();
        let mut command = on(core, mainstay);
        command.args(["serve", "--config", "mainstay.yaml"]).current_dir(&self.directory);
        let log = self.directory.join("output");
        let program = Program::start("mainstay", &mut command, &log)?;
        loop {
            if client::get(self.port, "/").is_ok_and(|answer| answer.status == 200) {
                return Ok((Node { port: self.port, program }, begin.elapsed()));
            }
            if begin.elapsed() > STARTS_WITHIN {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                let end: Vec<&str> = said.lines().rev().take(5).collect();
                bail!("mainstay serves no page: {}", end.join(" / "));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Makes up a history in its data directory.
    ///
    /// # Errors
    /// It fails.
    pub(crate) fn fill(&self, mainstay: &Path, arguments: &[&str]) -> Result<()> {
        let mut command = on(Core::Any, mainstay);
        command.args(["bench", "fill", "--config", "mainstay.yaml"]).args(arguments).current_dir(&self.directory);
        let output = command.output().context("cannot start mainstay")?;
        if !output.status.success() {
            bail!("no history was made up: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}
