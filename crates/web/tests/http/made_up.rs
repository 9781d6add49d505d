//! A made-up state with all there is to see, and a made-up rest of the house.
//!
//! The state comes about the way real ones do, by applying entries, so it can
//! hold nothing that cannot happen.

use control::{CommandOutcome, State};
use model::check::{
    Check, CheckKind, Family, HeartbeatCheck, HeartbeatSchedule, HttpCheck, HttpExpect, LatencyLimits, Trust,
};
use model::configuration::{Configuration, Page};
use model::entry::{Action, Body, Command, Entry, Origin, Phase};
use model::id::{CheckId, IncidentId, LocationId, MaintenanceId, ReceiverId, ServiceId};
use model::member::{NodeId, Role};
use model::observation::{Batch, Cause, Detail, Evidence, Failure, Observation, Outcome, Phases};
use model::receiver::{Means, Receiver};
use model::service::{Impact, Maintenance, Need, NeedClass, Service};
use model::time::Timestamp;
use std::sync::Mutex;
use std::time::Duration;
use web::commands::{
    BackupRefused, BackupRequest, BackupRun, CommandError, Commands, Contact, Heartbeat, HeartbeatError, HistoryError,
    NodeAnswer, NodeInfo, NodeRequest, NodeStatus, Pending, ResultRange, RollupRange, Sender, StoredResult,
    StoredRollup,
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The present of the made-up state.
pub(crate) const NOW: &str = "2026-11-20T21:59:15Z";
/// Token of the demo's heartbeat.
pub(crate) const TOKEN: &str = "nightly-backup-5f2c8e7a";

/// An instant written as RFC 3339.
pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("a legal time")
}

/// A world that entries are applied to.
pub(crate) struct World {
    /// What came of them.
    pub(crate) state: State,
    index: u64,
    sequence: u64,
    now: Timestamp,
}

impl World {
    /// A world that begins at `now` with this configuration.
    pub(crate) fn new(configuration: &Configuration, now: Timestamp) -> Self {
        let mut world = Self { state: State::default(), index: 0, sequence: 0, now };
        world.configure(configuration, "d1e2f3");
        world
    }

    /// Makes another configuration the active one.
    pub(crate) fn configure(&mut self, configuration: &Configuration, digest: &str) {
        let digest = digest.to_owned();
        let parts: Vec<Vec<u8>> = configuration.encode().chunks(256 << 10).map(<[u8]>::to_vec).collect();
        let count = parts.len() as u32;
        for (part, bytes) in parts.into_iter().enumerate() {
            self.command(Action::StoreConfiguration { digest: digest.clone(), part: part as u32, parts: count, bytes });
        }
        self.command(Action::ActivateConfiguration { digest, offered_by: None });
    }

    /// Moves on to a later instant.
    pub(crate) fn until(&mut self, now: Timestamp) -> &mut Self {
        assert!(now >= self.now, "time does not go back: {} after {now}", self.now);
        self.now = now;
        self
    }

    /// Applies one entry.
    pub(crate) fn apply(&mut self, body: Body) -> CommandOutcome {
        self.index += 1;
        self.state.apply(self.index, &Entry { at: self.now, body }).outcome
    }

    /// Has a command carried out.
    pub(crate) fn command(&mut self, action: Action) {
        let key = format!("key-{}", self.index);
        let command =
            Command { actor: "anna".to_owned(), origin: Origin::CommandLine, key, expected_revision: None, action };
        assert_eq!(self.apply(Body::Command(command)), CommandOutcome::Accepted);
    }

    /// Makes one round of some checks, all with the same outcome.
    pub(crate) fn round(&mut self, checks: &[&str], outcome: Outcome, sentence: &str) {
        let observations = checks.iter().map(|id| self.observation(id, outcome, sentence)).collect();
        self.sequence += 1;
        let location = LocationId::new("london").expect("a legal id");
        self.apply(Body::Results(Batch {
            location,
            node: NodeId(1),
            incarnation: 1,
            sequence: self.sequence,
            observations,
        }));
    }

    fn observation(&self, id: &str, outcome: Outcome, sentence: &str) -> Observation {
        let slot = self.state.slot(&CheckId::new(id).expect("a legal id")).expect("it is configured");
        let failure =
            (outcome != Outcome::Pass).then(|| Failure { cause: Cause::Status, sentence: sentence.to_owned() });
        let phases = Phases {
            resolve_us: Some(1_200),
            connect_us: Some(8_400),
            tls_us: Some(14_900),
            first_byte_us: Some(31_000),
            transfer_us: Some(900),
        };
        let status = if outcome == Outcome::Fail { "HTTP/1.1 503 Service Unavailable" } else { "HTTP/1.1 200 OK" };
        let evidence = Evidence { status: Some(status.to_owned()), ..Evidence::default() };
        let detail = Some(Box::new(Detail { failure, phases, evidence }));
        Observation { slot, scheduled: self.now, outcome, latency_us: 56_400, detail }
    }

    /// An outage of some checks from `from` for some minutes; time is then shortly after its end.
    pub(crate) fn outage(&mut self, checks: &[&str], from: Timestamp, minutes: i64, outcome: Outcome, sentence: &str) {
        self.until(from).round(checks, outcome, sentence);
        // Good rounds enough that one outage is not taken for flapping.
        for round in 0..15 {
            self.until(Timestamp::from_ms(from.as_ms() + (minutes + round) * MINUTE)).round(checks, Outcome::Pass, "");
        }
    }
}

/// An HTTP check.
pub(crate) fn http(id: &str) -> Check {
    let kind = CheckKind::Http(Box::new(HttpCheck {
        url: format!("https://monitor:hunter2@{id}.acme.example/health?key=s3cret"),
        method: "GET".to_owned(),
        headers: Vec::new(),
        basic_auth: None,
        bearer: None,
        body: None,
        redirects: 10,
        proxy: None,
        trust: Trust::default(),
        expect: HttpExpect::default(),
        close_by_reset: false,
    }));
    check(id, kind)
}

fn check(id: &str, kind: CheckKind) -> Check {
    Check {
        id: CheckId::new(id).expect("a legal id"),
        kind,
        every: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        retry: Duration::from_secs(5),
        down_after: 1,
        up_after: 1,
        from: vec![LocationId::new("london").expect("a legal id")],
        family: Family::Any,
        latency: LatencyLimits::default(),
    }
}

/// A heartbeat.
pub(crate) fn heartbeat(id: &str, token: &str) -> Check {
    let expected = HeartbeatSchedule::Period(Duration::from_secs(86_400));
    let grace = Duration::from_secs(3_600);
    let kind = CheckKind::Heartbeat(Box::new(HeartbeatCheck { token: token.to_owned(), expected, grace }));
    Check { every: Duration::from_secs(86_400), ..check(id, kind) }
}

/// A service with its checks.
pub(crate) fn service(id: &str, name: &str, group: Option<&str>, checks: Vec<Check>) -> Service {
    Service {
        id: ServiceId::new(id).expect("a legal id"),
        name: name.to_owned(),
        description: None,
        group: group.map(str::to_owned),
        needs: Vec::new(),
        checks,
        receivers: None,
        is_public: true,
        announces: true,
    }
}

/// A configuration of these services.
pub(crate) fn configuration(services: Vec<Service>) -> Configuration {
    Configuration {
        page: Page {
            name: "Acme Hosting".to_owned(),
            description: Some("Websites, mail and databases for small companies".to_owned()),
            url: Some("https://status.acme.example".to_owned()),
        },
        locations: vec![LocationId::new("london").expect("a legal id")],
        services,
        receivers: vec![Receiver {
            id: ReceiverId::new("ops").expect("a legal id"),
            means: Means::Exec { command: vec!["/usr/bin/page-ops".to_owned()] },
            wants_degraded: true,
            wants_resolved: true,
        }],
        maintenance: Vec::new(),
    }
}

fn demo_services() -> Vec<Service> {
    let (products, mail, platform) = (Some("Products"), Some("Mail"), Some("Platform"));
    let described = |mut service: Service, text: &str| {
        service.description = Some(text.to_owned());
        service
    };
    let mut shop = service("shop", "Customer panel", products, vec![http("shop")]);
    shop.needs = vec![Need { service: ServiceId::new("database").expect("a legal id"), class: NeedClass::Soft }];
    let mut hidden = service("billing", "Billing (internal)", platform, vec![http("billing")]);
    hidden.is_public = false;
    vec![
        described(service("website", "Website", products, vec![http("website")]), "www.acme.example and the blog"),
        service("api", "API", products, vec![http("api")]),
        shop,
        described(service("hosting", "Web hosting", products, vec![http("hosting")]), "All customers' sites"),
        service("smtp-in", "Incoming mail", mail, vec![http("smtp-in")]),
        service("smtp-out", "Outgoing mail", mail, vec![http("smtp-out")]),
        service("imap", "Mailboxes", mail, vec![http("imap")]),
        described(service("webmail", "Webmail", mail, vec![http("webmail")]), "mail.acme.example"),
        service("database", "Databases", platform, vec![http("database")]),
        service("dns", "Name servers", platform, vec![http("dns")]),
        service("network", "Network", platform, vec![http("network")]),
        service("backup", "Backups", platform, vec![heartbeat("backup", TOKEN)]),
        hidden,
    ]
}

/// Checks of the demo that are not heartbeats.
const DEMO_CHECKS: [&str; 12] = [
    "website", "api", "shop", "hosting", "smtp-in", "smtp-out", "imap", "webmail", "database", "dns", "network",
    "billing",
];

/// Twelve public services in three groups, ninety days of varied history, and
/// every state, at [`NOW`].
pub(crate) fn demo() -> State {
    demo_world(at(NOW)).state
}

/// The same at any time.
pub(crate) fn demo_world(now: Timestamp) -> World {
    let back = |days: i64, hours: i64| now.minus(Duration::from_millis((days * DAY + hours * HOUR) as u64));
    let mut services = demo_services();
    services.retain(|service| service.id.as_str() != "backup");
    let mut world = World::new(&configuration(services), back(97, 0));
    world.round(&DEMO_CHECKS, Outcome::Pass, "");
    let (down, slow) = (Outcome::Fail, Outcome::Degraded);
    world.outage(&["hosting"], back(81, 3), 190, down, "connection refused");
    world.outage(&["smtp-in", "smtp-out"], back(74, 9), 26, down, "no connection within 10 s");
    world.outage(&["api"], back(70, 2), 300, slow, "answered after 2.4 s, limit 800 ms");
    plan(&mut world, "storage-1", "New storage for databases", back(62, 4), 150, &["database"], Impact::Outage);
    world.until(back(62, 4)).verify();
    world.outage(&["database"], back(62, 3), 75, down, "connection refused");
    world.until(back(62, 1)).verify();
    world.outage(&["webmail"], back(55, 6), 12, down, "expected status 200-299, got 502 Bad Gateway");
    world.outage(&["shop"], back(47, 1), 540, slow, "answered after 1.9 s, limit 800 ms");
    world.outage(&["website", "hosting", "network"], back(39, 5), 41, down, "no connection within 10 s");
    world.until(back(33, 0)).configure(&configuration(demo_services()), "d4e5f6");
    world.round(&["backup"], Outcome::Pass, "");
    world.outage(&["api"], back(24, 3), 7, down, "reset after 3 ms");
    world.outage(&["imap"], back(17, 7), 66, down, "the certificate has expired on 3 Nov 2026");
    world.outage(&["smtp-out"], back(11, 2), 34, down, "451 4.3.0 Temporary lookup failure");
    world.outage(&["webmail"], back(6, 11), 18, down, "expected status 200-299, got 503 Service Unavailable");
    world.outage(&["api"], back(6, 5), 9, down, "no answer within 10 s");
    world.outage(&["hosting"], back(2, 1), 4, down, "connection refused");
    present(&mut world, now);
    world
}

/// What is going on at `now`.
fn present(world: &mut World, now: Timestamp) {
    let before = |minutes: i64| Timestamp::from_ms(now.as_ms() - minutes * MINUTE);
    world.until(before(31 * 60)).round(&["backup"], Outcome::Pass, "");
    world.verify();
    world.until(before(300)).round(&["backup"], Outcome::Pass, "");
    plan(world, "storage-2", "New storage for databases, second half", before(35), 180, &["database"], Impact::Outage);
    plan(world, "router", "Router replacement in rack 4", before(20), 240, &["network"], Impact::AtRisk);
    let next = now.plus(Duration::from_secs(3 * 86_400));
    plan(world, "webmail-6", "Webmail moves to version 6", next, 60, &["webmail"], Impact::Degraded);
    let seen: Vec<&str> = DEMO_CHECKS.into_iter().filter(|id| *id != "dns").collect();
    world.until(before(60)).round(&seen, Outcome::Pass, "");
    world.apply(Body::Tick);
    world.until(before(47)).round(&["smtp-out"], Outcome::Fail, RELAY);
    world.until(before(34)).round(&["shop"], Outcome::Degraded, SLOW);
    world.until(before(33)).round(&["database"], Outcome::Fail, "connection refused");
    let of_mail = |id: &ServiceId| id.as_str() == "smtp-out";
    let incident = world.state.incidents().rfind(|one| of_mail(&one.service)).expect("the outage opened one").id;
    say(
        world,
        before(31),
        incident,
        Phase::Identified,
        "The certificate of the outgoing relay was replaced by one without its chain. We are putting the right one in place.",
    );
    world.until(before(12)).command(Action::Acknowledge { incident, note: Some("anna is on it".to_owned()) });
    say(
        world,
        before(4),
        incident,
        Phase::Monitoring,
        "The new certificate is in place; mail that waited is being sent.",
    );
    for seconds in [180, 75, 12] {
        world.until(Timestamp::from_ms(now.as_ms() - seconds * 1000)).go_on();
    }
    world.until(now).apply(Body::Tick);
}

const RELAY: &str = "454 4.7.0 TLS not available due to local problem";
const SLOW: &str = "answered after 1.3 s, limit 800 ms";

impl World {
    /// Finds everything well but for what has been silent.
    fn verify(&mut self) {
        self.round(&DEMO_CHECKS, Outcome::Pass, "");
        self.apply(Body::Tick);
    }

    /// One more round of the present.
    pub(crate) fn go_on(&mut self) {
        let bad = ["shop", "smtp-out", "database", "dns"];
        let good: Vec<&str> = DEMO_CHECKS.into_iter().filter(|id| !bad.contains(id)).collect();
        self.round(&good, Outcome::Pass, "");
        self.round(&["shop"], Outcome::Degraded, SLOW);
        self.round(&["smtp-out"], Outcome::Fail, RELAY);
        self.round(&["database"], Outcome::Fail, "connection refused");
        self.apply(Body::Tick);
    }
}

fn say(world: &mut World, when: Timestamp, incident: IncidentId, phase: Phase, text: &str) {
    world.until(when).command(Action::UpdateIncident { incident, phase, text: text.to_owned() });
}

fn plan(world: &mut World, id: &str, title: &str, from: Timestamp, minutes: i64, services: &[&str], impact: Impact) {
    world.command(Action::ScheduleMaintenance(Maintenance {
        id: MaintenanceId::new(id).expect("a legal id"),
        title: title.to_owned(),
        from,
        until: Timestamp::from_ms(from.as_ms() + minutes * MINUTE),
        services: services.iter().map(|id| ServiceId::new(id).expect("a legal id")).collect(),
        impact,
    }));
}

/// Many services with a check each, one in a hundred of them down.
pub(crate) fn many_world(count: usize) -> World {
    let services = (0..count).map(|n| {
        let id = format!("service-{n}");
        let group = format!("Group {}", n % 10);
        service(&id, &format!("Service {n}"), Some(&group), vec![http(&id)])
    });
    let mut world = World::new(&configuration(services.collect()), at("2026-08-01T00:00:00Z"));
    let ids: Vec<String> = (0..count).map(|n| format!("service-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for day in 0..3 {
        let base = at("2026-11-18T10:00:00Z").as_ms() + day * DAY;
        for (part, chunk) in ids.chunks(4_000).enumerate() {
            world.until(Timestamp::from_ms(base + part as i64 * 1_000)).round(chunk, Outcome::Pass, "");
        }
        let bad: Vec<&str> = ids.iter().copied().skip(day as usize).step_by(100).collect();
        for (part, chunk) in bad.chunks(4_000).enumerate() {
            let when = Timestamp::from_ms(base + HOUR + part as i64 * 1_000);
            world.until(when).round(chunk, Outcome::Fail, "connection refused");
        }
    }
    world.until(at(NOW));
    world
}

/// The rest of the house: remembers what it was asked for.
#[derive(Default)]
pub(crate) struct Fake {
    /// Heartbeats taken.
    pub(crate) heartbeats: Mutex<Vec<Heartbeat>>,
    /// Commands taken.
    pub(crate) commands: Mutex<Vec<Command>>,
    /// Wishes about nodes taken.
    pub(crate) node_requests: Mutex<Vec<(Sender, NodeRequest)>>,
    /// Backups asked for.
    pub(crate) backup_requests: Mutex<Vec<BackupRequest>>,
    /// Backups listed.
    pub(crate) backups: Vec<BackupRun>,
    /// Whether everything is refused.
    pub(crate) is_down: bool,
    /// Results given out.
    pub(crate) results: Vec<StoredResult>,
    /// How the node says it is.
    pub(crate) node: Mutex<Option<NodeStatus>>,
}

impl Commands for Fake {
    fn command(&self, command: Command) -> Pending<'_, Result<CommandOutcome, CommandError>> {
        Box::pin(async move {
            if self.is_down {
                return Err(CommandError::NotCommitted { because: "no leader is known".to_owned() });
            }
            let refused = matches!(command.action, Action::Acknowledge { incident: IncidentId(404), .. });
            self.commands.lock().expect("not poisoned").push(command);
            let why = "there is no incident 404; `mainstay status` shows the open ones".to_owned();
            Ok(if refused { CommandOutcome::Refused(why) } else { CommandOutcome::Accepted })
        })
    }

    fn heartbeat(&self, heartbeat: Heartbeat) -> Pending<'_, Result<(), HeartbeatError>> {
        Box::pin(async move {
            if self.is_down {
                return Err(HeartbeatError::NotCommitted { because: "no leader is known".to_owned() });
            }
            self.heartbeats.lock().expect("not poisoned").push(heartbeat);
            Ok(())
        })
    }

    fn node(&self, sender: Sender, request: NodeRequest) -> Pending<'_, Result<NodeAnswer, CommandError>> {
        Box::pin(async move {
            if self.is_down {
                return Err(CommandError::NotCommitted { because: "no leader is known".to_owned() });
            }
            let answer = match &request {
                NodeRequest::Invite { .. } => NodeAnswer::Invited {
                    ticket: "mainstay-ticket-1".to_owned(),
                    node: NodeId(4_711),
                    expires: at("2026-11-20T22:59:15Z"),
                },
                NodeRequest::Remove { node } if node == "none" => {
                    NodeAnswer::Refused { why: "there is no node none; `mainstay node list` shows them".to_owned() }
                }
                NodeRequest::Remove { .. } | NodeRequest::TransferLeadership { .. } | NodeRequest::RotateAuthority => {
                    NodeAnswer::Done { said: "It is done.".to_owned() }
                }
            };
            self.node_requests.lock().expect("not poisoned").push((sender, request));
            Ok(answer)
        })
    }

    fn back_up(&self, request: BackupRequest) -> Pending<'_, Result<u64, BackupRefused>> {
        Box::pin(async move {
            if self.is_down {
                return Err(BackupRefused { why: "another backup is being made".to_owned() });
            }
            self.backup_requests.lock().expect("not poisoned").push(request);
            Ok(1)
        })
    }

    fn backups(&self) -> Vec<BackupRun> {
        self.backups.clone()
    }

    fn results(&self, range: ResultRange) -> Pending<'_, Result<Vec<StoredResult>, HistoryError>> {
        let within = |one: &&StoredResult| range.from <= one.scheduled && one.scheduled < range.to;
        let found = self.results.iter().filter(within).take(range.limit).cloned().collect();
        Box::pin(async move { Ok(found) })
    }

    fn rollups(&self, range: RollupRange) -> Pending<'_, Result<Vec<StoredRollup>, HistoryError>> {
        let to = range.from.plus(Duration::from_secs(86_400));
        let latency_us = Some([900, 1_500, 1_400, 2_800, 9_000]);
        let one = StoredRollup { from: range.from, to, pass: 1_438, degraded: 1, fail: 1, own: 0, latency_us };
        Box::pin(async move { Ok(vec![one]) })
    }

    fn last_failure(&self, _: CheckId) -> Pending<'_, Result<Option<StoredResult>, HistoryError>> {
        let found = self.results.iter().rev().find(|one| one.outcome != Outcome::Pass).cloned();
        Box::pin(async move { Ok(found) })
    }

    fn status(&self) -> NodeStatus {
        self.node.lock().expect("not poisoned").clone().unwrap_or_else(well)
    }

    fn contact(&self) -> Contact {
        let node = self.status();
        Contact { name: node.name.into(), cut_off_since: node.cut_off_since }
    }
}

/// A node that is well, one of three.
pub(crate) fn well() -> NodeStatus {
    NodeStatus {
        history_fill: None,
        name: "london1".to_owned(),
        has_quorum: true,
        cut_off_since: None,
        nodes: vec![
            NodeInfo { is_leader: true, is_this_one: true, ..one_of_three(1, "london1") },
            NodeInfo { lag_entries: Some(3), ..one_of_three(2, "paris1") },
            NodeInfo {
                role: Role::Witness,
                is_present: false,
                since: at("2026-11-20T21:47:02Z"),
                url: None,
                ..one_of_three(3, "frankfurt1")
            },
        ],
        applied_index: 77,
        leader: Some("london1".to_owned()),
        log_refuses: None,
        log_bytes: 1 << 20,
        history_bytes: 1 << 22,
        disk_free_bytes: 1 << 35,
        is_tight: false,
        uptime: Duration::from_secs(3_600),
        rounds: web::commands::RoundCounts { started: 1_203, late: 2, skipped: 1 },
    }
}

fn one_of_three(id: u64, name: &str) -> NodeInfo {
    NodeInfo {
        id: NodeId(id),
        name: name.to_owned(),
        address: format!("{name}.acme.example:8481"),
        location: LocationId::new(name.trim_end_matches('1')).expect("a legal id"),
        role: Role::Full,
        is_voter: true,
        is_leader: false,
        is_present: true,
        since: at("2026-11-02T08:00:00Z"),
        is_this_one: false,
        lag_entries: None,
        version: "0.0.0-test".to_owned(),
        url: Some(format!("https://{name}.acme.example")),
    }
}

/// The same node after it has lost the others.
pub(crate) fn cut_off(since: Timestamp) -> NodeStatus {
    let mut node = NodeStatus { has_quorum: false, cut_off_since: Some(since), leader: None, ..well() };
    for other in &mut node.nodes {
        other.is_present = other.is_this_one;
        other.is_leader = false;
        other.lag_entries = None;
    }
    node
}
