//! From the failing check to page, API and first attempt to tell somebody.
//!
//! A server is turned off; its check fails until that counts as down. Time is
//! counted from the moment the confirming round was *due*, which is before it
//! ended: what is told is a few milliseconds too long, never too short.

use super::figure::{Figure, Target};
use super::machine::wall;
use super::node::{Node, Watch};
use super::program::{Core, need};
use super::server::Server;
use super::target::{AccessLog, Nginx};
use super::{Bench, client};
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};

/// Outages. Each has a server and a service of its own, because a check that
/// goes up and down ten times in a minute is flapping, and nobody is told.
const OUTAGES: u32 = 10;
/// How often each check runs.
const EVERY: Duration = Duration::from_secs(1);
/// How long an outage may take to be noticed.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

/// Seconds after the confirming round.
#[derive(Debug, Clone, Copy)]
struct Noticed {
    page: f64,
    api: f64,
    told: f64,
}

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    need(&["nginx"])?;
    let mut targets = (0..OUTAGES)
        .map(|number| Nginx::start(&bench.directory.join(format!("n{number}")), Core::Any, AccessLog::Off, None))
        .collect::<Result<Vec<_>>>()?;
    let receiver = Server::start()?;
    let watch = Watch {
        in_service: 1,
        bases: targets.iter().map(|nginx| format!("http://127.0.0.1:{}", nginx.port)).collect(),
        keys: ", retry: 1s".to_owned(),
        top: format!("receivers: [ {{ id: hook, webhook: \"http://127.0.0.1:{}/\" }} ]", receiver.port),
        ..Watch::http(OUTAGES, EVERY, String::new())
    };
    let configured = Node::configure(&bench.directory.join("node"), &watch)?;
    let (node, _) = configured.start(&bench.binaries.mainstay, Core::Any)?;
    wait_until_up(&node)?;
    bench.show.begin("down: outages", u64::from(OUTAGES));
    let mut noticed = Vec::new();
    for (number, target) in targets.iter_mut().enumerate() {
        noticed.push(one_outage(&node, &receiver, target, number)?);
        bench.show.step();
    }
    let mut found = |name: &str, of: fn(&Noticed) -> f64| {
        let samples: Vec<f64> = noticed.iter().map(of).collect();
        bench.found(Figure::of("down", name, &samples, "s", Target::AtMost(1.0)));
    };
    found("page", |noticed| noticed.page);
    found("API", |noticed| noticed.api);
    found("first attempt to deliver", |noticed| noticed.told);
    Ok(())
}

fn wait_until_up(node: &Node) -> Result<()> {
    let deadline = Instant::now() + NOTICED_WITHIN;
    loop {
        let status = client::json(node.port, "/api/v1/status")?;
        if status["checks"]["up"].as_u64() == Some(u64::from(OUTAGES)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the checks do not come up: {}", status["checks"]);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn one_outage(node: &Node, receiver: &Server, target: &mut Nginx, number: usize) -> Result<Noticed> {
    receiver.take();
    target.turn_off();
    let deadline = Instant::now() + NOTICED_WITHIN;
    let (mut page, mut api, mut told) = (None, None, None);
    while page.is_none() || api.is_none() || told.is_none() {
        if page.is_none() && shows_incident(node, number)? {
            page = Some(wall());
        }
        if api.is_none() && is_down(node, number)? {
            api = Some(wall());
        }
        if told.is_none() {
            let is_about_it = |text: &str| text.contains(&format!("Service {number}"));
            told = receiver.take().iter().find(|came| is_about_it(&came.text)).map(|came| came.at);
        }
        if Instant::now() > deadline {
            bail!("outage {number} was not noticed: page {page:?}, API {api:?}, told {told:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let confirmed = confirmed(node, number)?;
    let after = |at: Option<Duration>| at.map_or(f64::NAN, |at| at.as_secs_f64() - confirmed.as_secs_f64());
    Ok(Noticed { page: after(page), api: after(api), told: after(told) })
}

/// The title of an incident is the name of its service, in a link to it.
fn shows_incident(node: &Node, number: usize) -> Result<bool> {
    let answer = client::get(node.port, "/")?;
    let text = String::from_utf8_lossy(&answer.body);
    let wanted = format!("Service {number}");
    Ok(text
        .split("<h3><a href=\"incidents/")
        .skip(1)
        .any(|rest| rest.split("</a>").next().is_some_and(|title| title.contains(&wanted))))
}

fn is_down(node: &Node, number: usize) -> Result<bool> {
    let check = client::json(node.port, &format!("/api/v1/checks/c{number}"))?;
    Ok(check["check"]["verdict"] == "down")
}

/// When the second failed round was due, since 1970.
fn confirmed(node: &Node, number: usize) -> Result<Duration> {
    // Results reach the history a moment after they are judged.
    std::thread::sleep(Duration::from_millis(500));
    let found = client::json(node.port, &format!("/api/v1/checks/c{number}/results"))?;
    let results = found["results"].as_array().context("no results")?;
    let failed: Vec<&str> =
        results.iter().filter(|one| one["outcome"] == "fail").filter_map(|one| one["at"].as_str()).collect();
    since_1970(failed.get(1).context("fewer than two failed rounds")?)
}

/// Reads `2026-11-20T21:23:00.250Z` with the system's `date`: no library for one place.
fn since_1970(text: &str) -> Result<Duration> {
    let said = super::program::output(std::process::Command::new("date").args(["--date", text, "+%s.%N"]))?;
    let seconds: f64 = said.trim().parse().with_context(|| format!("{text} is no time: {said}"))?;
    Ok(Duration::from_secs_f64(seconds))
}
