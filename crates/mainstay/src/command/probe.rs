//! `mainstay probe TARGET`: one round now, and where its time goes.

use super::ConfigurationPath;
use crate::files::{self, LoadError};
use crate::paint::{self, BOLD, DIM};
use anyhow::{anyhow, bail};
use clap::Args;
use config::SourceFile;
use model::check::Check;
use model::id::CheckId;
use model::observation::{CertificateFacts, Outcome, Phases};
use model::time::{Timestamp, humane_duration};
use model::verdict::ServiceStatus;
use probe::{Measured, Prober, ProberOptions};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Width of the bar in characters.
const BAR_WIDTH: u64 = 50;

#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// A URL (http, https, tcp, tls, icmp, dns, ssh, smtp, postgres, redis), a host, or host:port
    #[arg(value_name = "TARGET", required_unless_present = "check")]
    target: Option<String>,
    /// Run a check of the configuration instead
    #[arg(long, value_name = "ID", conflicts_with = "target")]
    check: Option<String>,
    #[command(flatten)]
    path: ConfigurationPath,
    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', long)]
    ipv6: bool,
    /// Longest time the round may take
    #[arg(short, long, default_value = "10s", value_name = "DURATION")]
    timeout: String,
    /// Do not verify certificates
    #[arg(short = 'k', long)]
    insecure: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: Probe) -> anyhow::Result<ExitCode> {
    let check = match &command.check {
        Some(id) => configured(&command, id)?,
        None => adhoc(&command)?,
    };
    let options = ProberOptions { allow_plugins: true, ..ProberOptions::default() };
    let prober = Prober::new(options)?;
    let prepared = prober.prepare(&check)?;
    let measured = prober.probe(&prepared).await;
    if command.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&check, &measured))?);
    } else {
        show(&check, &measured);
    }
    Ok(ExitCode::from(u8::from(matches!(measured.outcome, Outcome::Fail | Outcome::Own))))
}

fn configured(command: &Probe, id: &str) -> anyhow::Result<Check> {
    let loaded = files::load(&command.path.config).map_err(|error| match error {
        LoadError::Wrong(mistakes) => anyhow!("{mistakes}"),
        LoadError::Unreadable(error) => error,
    })?;
    let id = CheckId::new(id)?;
    match loaded.configuration.check(&id) {
        Some((_, check)) => Ok(check.clone()),
        None => bail!("there is no check {id} in {}", command.path.config.display()),
    }
}

/// A check for a target, made by the same reader as a configured one.
fn adhoc(command: &Probe) -> anyhow::Result<Check> {
    let target = command.target.as_deref().unwrap_or_default();
    let (kind, value) = kind_of(target);
    let family = match (command.ipv4, command.ipv6) {
        (true, _) => "ipv4",
        (_, true) => "ipv6",
        _ => "any",
    };
    let quoted = serde_json::to_string(&value)?;
    let timeout = serde_json::to_string(&command.timeout)?;
    let verify = if command.insecure && matches!(kind, "http" | "tls") { ", verify: false" } else { "" };
    let text = format!(
        "services:\n- name: probe\n  checks:\n  - {{ {kind}: {quoted}, every: 24h, timeout: {timeout}, family: {family}{verify} }}\n"
    );
    let source = SourceFile { name: target.to_owned(), text };
    let loaded = config::load(&[source], &|_| None).map_err(|mistakes| {
        let first = mistakes.list().first();
        let allowed = first
            .and_then(|mistake| mistake.allowed.clone())
            .map(|allowed| format!("; allowed: {allowed}"))
            .unwrap_or_default();
        anyhow!("{target} cannot be probed: {}{allowed}", first.map_or("not a target", |mistake| &mistake.message))
    })?;
    let check = loaded.configuration.checks().next().map(|(_, check)| check.clone());
    check.ok_or_else(|| anyhow!("{target} cannot be probed"))
}

/// The kind of check that a target means, and how the check writes the target.
fn kind_of(target: &str) -> (&'static str, String) {
    let Some((scheme, rest)) = target.split_once("://") else {
        let is_address_with_port = model::check::HostPort::parse(target, None).is_some();
        return (if is_address_with_port { "tcp" } else { "icmp" }, target.to_owned());
    };
    let kind = match scheme {
        "tcp" => "tcp",
        "tls" => "tls",
        "icmp" | "ping" => "icmp",
        "dns" => "dns",
        "ssh" => "ssh",
        "smtp" => "smtp",
        "postgres" | "postgresql" => "postgres",
        "redis" => "redis",
        _ => return ("http", target.to_owned()),
    };
    (kind, rest.trim_end_matches('/').to_owned())
}

fn status_of(outcome: Outcome) -> ServiceStatus {
    match outcome {
        Outcome::Pass => ServiceStatus::Up,
        Outcome::Degraded => ServiceStatus::Degraded,
        Outcome::Fail => ServiceStatus::Down,
        Outcome::Own => ServiceStatus::Unknown,
    }
}

const fn word_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "passes",
        Outcome::Degraded => "degraded",
        Outcome::Fail => "fails",
        Outcome::Own => "could not look",
    }
}

/// The phases that were reached, in order, each with its name.
fn phases(phases: &Phases) -> Vec<(&'static str, u32)> {
    let all = [
        ("resolve", phases.resolve_us),
        ("connect", phases.connect_us),
        ("TLS", phases.tls_us),
        ("first byte", phases.first_byte_us),
        ("transfer", phases.transfer_us),
    ];
    all.into_iter().filter_map(|(name, us)| Some((name, us?))).collect()
}

fn show(check: &Check, measured: &Measured) {
    let status = status_of(measured.outcome);
    let style = paint::of(status);
    let evidence = &measured.detail.evidence;
    let said = evidence.status.as_deref().unwrap_or_default();
    anstream::println!(
        "{style}{} {}{style:#}  {BOLD}{}{BOLD:#} {} {said}",
        paint::sign(status),
        word_of(measured.outcome),
        check.kind.name(),
        check.kind.target()
    );
    if let Some(failure) = &measured.detail.failure {
        anstream::println!("  {style}{}{style:#}", failure.sentence);
    }
    for redirect in &evidence.redirects {
        anstream::println!("  {DIM}redirected to {redirect}{DIM:#}");
    }
    for tried in &evidence.addresses {
        let how = tried.error.as_deref().unwrap_or("connected");
        anstream::println!("  {DIM}{} {how} after {}{DIM:#}", tried.address, time(tried.took_us));
    }
    bars(&phases(&measured.detail.phases), measured.latency_us);
    if let Some(certificate) = &evidence.certificate {
        show_certificate(certificate);
    }
    if let Some(performance) = &evidence.performance {
        anstream::println!("  {DIM}performance{DIM:#} {performance}");
    }
    if let (Some(excerpt), true) = (&evidence.excerpt, measured.outcome != Outcome::Pass) {
        anstream::println!("  {DIM}answer{DIM:#}");
        for line in excerpt.lines().take(12) {
            anstream::println!("    {line}");
        }
    }
}

/// One line for each phase: where it begins and how long it takes, to scale.
fn bars(phases: &[(&str, u32)], total_us: u32) {
    let sum: u64 = phases.iter().map(|(_, us)| u64::from(*us)).sum();
    let scale = sum.max(u64::from(total_us)).max(1);
    let mut before = 0u64;
    anstream::println!();
    for (name, us) in phases {
        let start = before * BAR_WIDTH / scale;
        before += u64::from(*us);
        let end = (before * BAR_WIDTH / scale).max(start + 1);
        let style = paint::of(ServiceStatus::Maintenance);
        let bar = "━".repeat((end - start) as usize);
        let blank = " ".repeat(start as usize);
        let rest = " ".repeat((BAR_WIDTH + 1).saturating_sub(end) as usize);
        anstream::println!("  {name:<11}{blank}{style}{bar}{style:#}{rest}{:>10}", time(*us));
    }
    anstream::println!("  {BOLD}{:<11}{}{:>10}{BOLD:#}", "total", " ".repeat(BAR_WIDTH as usize + 1), time(total_us));
}

fn show_certificate(certificate: &CertificateFacts) {
    let left = certificate.not_after.since(now());
    anstream::println!();
    anstream::println!("  {DIM}certificate{DIM:#} {} {DIM}by{DIM:#} {}", certificate.subject, certificate.issuer);
    anstream::println!("  {DIM}for{DIM:#} {}", certificate.names.join(", "));
    anstream::println!("  {DIM}until{DIM:#} {} ({} left)", certificate.not_after, humane_duration(left));
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since)
}

fn time(us: u32) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{}.{:02} ms", us / 1000, us % 1000 / 10),
        10_000..1_000_000 => format!("{} ms", us / 1000),
        _ => humane_duration(Duration::from_micros(u64::from(us))),
    }
}

/// Times in seconds, as curl's `--write-out` and Prometheus give them.
fn as_json(check: &Check, measured: &Measured) -> serde_json::Value {
    let evidence = &measured.detail.evidence;
    let seconds = |us: u32| f64::from(us) / 1e6;
    let phases: serde_json::Map<String, serde_json::Value> = phases(&measured.detail.phases)
        .into_iter()
        .map(|(name, us)| (name.to_lowercase().replace(' ', "_"), seconds(us).into()))
        .collect();
    serde_json::json!({
        "kind": check.kind.name(),
        "target": check.kind.target(),
        "outcome": measured.outcome.name(),
        "seconds": seconds(measured.latency_us),
        "phases_seconds": phases,
        "status": evidence.status,
        "failure": measured.detail.failure.as_ref().map(|failure| serde_json::json!({"cause": failure.cause.name(), "sentence": failure.sentence})),
        "addresses": evidence.addresses.iter().map(|tried| serde_json::json!({"address": tried.address, "seconds": seconds(tried.took_us), "error": tried.error})).collect::<Vec<_>>(),
        "redirects": evidence.redirects,
        "certificate": evidence.certificate.as_ref().map(|c| serde_json::json!({
            "subject": c.subject, "issuer": c.issuer, "names": c.names, "not_before": c.not_before.to_string(),
            "not_after": c.not_after.to_string(), "sha256": c.fingerprint,
        })),
        "excerpt": evidence.excerpt,
        "performance": evidence.performance,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_what_kind_it_is() {
        assert_eq!(kind_of("https://example.org/x"), ("http", "https://example.org/x".to_owned()));
        assert_eq!(kind_of("ssh://example.org:22"), ("ssh", "example.org:22".to_owned()));
        assert_eq!(kind_of("example.org:25"), ("tcp", "example.org:25".to_owned()));
        assert_eq!(kind_of("example.org"), ("icmp", "example.org".to_owned()));
        assert_eq!(kind_of("redis://127.0.0.1:6379/"), ("redis", "127.0.0.1:6379".to_owned()));
    }
}
