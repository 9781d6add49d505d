//! A data centre is lost while something else really fails: three sites, one
//! node each, two thousand checks from all of them, mail and webhooks.
//!
//! The cut lasts a minute; `MAINSTAY_CUT_SECONDS` makes it longer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

use it::cluster::Cluster;
use it::door::{Door, work};
use it::node::Node;
use it::program::require;
use it::servers::{Nginx, Postfix};
use it::webhook::{Mood, Receiver};
use it::world::{HERE, Place, PlaceNumber};
use it::{http, wait, wall};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the site is cut off when nothing else is said.
const CUT_SECONDS_DEFAULT: u64 = 60;
/// Checks that are made from every site.
const CHECKS: usize = 2_000;
/// How often most of them run.
const EVERY: Duration = Duration::from_secs(30);
/// How often those of the services that will fail run.
const OFTEN: Duration = Duration::from_secs(5);
/// From the moment a server is gone until somebody is told: one interval, a
/// second round right behind it, the vote over distances, the message.
const TOLD_WITHIN: Duration = Duration::from_secs(10);
/// How long a server is down after somebody was told.
const MENDED_AFTER: Duration = Duration::from_secs(8);
/// Everything else, on a busy machine.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(90);
/// The product's own target for the page.
const PAGE_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks of a customer at the page.
const CUSTOMER_RESTS: Duration = Duration::from_millis(250);
/// What a mail says that may be there twice.
const DOUBLE: &str = "You may have this twice";
/// Where customers are.
const CUSTOMERS: PlaceNumber = 4;
/// Each way, in milliseconds, between sites and to everything else.
const DISTANCES_MS: [(PlaceNumber, PlaceNumber, u64); 6] =
    [(1, 2, 10), (1, 3, 15), (2, 3, 20), (HERE, 1, 5), (HERE, 2, 8), (HERE, 3, 12)];

#[test]
fn the_loss_of_a_data_centre_costs_no_alert_no_command_and_no_result() {
    let Some(mut town) = Town::build() else { return };
    let usual = town.outage_of("shop");
    println!("an outage with all sites there is told after {:.1} s", usual.as_secs_f64());
    town.everything_is_up();

    let lost = town.cluster.leader().expect("a settled cluster has one");
    let place = town.cluster.node(&lost).place();
    let survivors: Vec<Door> = doors(&town.cluster, |node| node.name() != lost);
    let pages: Vec<SocketAddr> = town.cluster.nodes.iter().filter(|node| node.name() != lost).map(Node::page).collect();
    let customers = town.cluster.world.place(CUSTOMERS).clone();
    let is_over = AtomicBool::new(false);
    let (planned, looks, during) = std::thread::scope(|scope| {
        let people = scope.spawn(|| plan(&survivors, &is_over));
        let looking = scope.spawn(|| look_at(&customers, &pages, &is_over));
        // Whoever waits for these two must not wait for ever if something fails in between.
        let _over = Over(&is_over);
        let begin = Instant::now();
        town.cut_off(place);
        wait::expect("the others to have a leader", NOTICE_TIMEOUT, || {
            town.cluster.leader().filter(|name| *name != lost)
        });
        println!("{lost} led and is cut off; the others have a leader after {} ms", begin.elapsed().as_millis());
        let during = town.outage_of("forum");
        while begin.elapsed() < cut_length() {
            std::thread::sleep(Duration::from_millis(100));
        }
        town.cluster.world.links().mend();
        println!("well again {:.1} s after the cut", town.cluster.settles_within(NOTICE_TIMEOUT).as_secs_f64());
        is_over.store(true, Ordering::SeqCst);
        (people.join().unwrap(), looking.join().unwrap(), during)
    });
    println!("an outage while a site is lost is told after {:.1} s", during.as_secs_f64());
    println!("{looks} looks at the page, {} commands", planned.len());
    assert!(usual <= TOLD_WITHIN && during <= TOLD_WITHIN, "{usual:?} and {during:?}");
    town.no_command_is_lost(&planned);
    town.everybody_was_told_once();
    town.history_is_complete_and_equal();
    town.uptime_is_equal();
}

/// The nodes, what they watch, and who is told.
struct Town {
    cluster: Cluster,
    servers: BTreeMap<&'static str, Nginx>,
    office: Receiver,
    post: Postfix,
    begin: u64,
}

impl Town {
    fn build() -> Option<Self> {
        require("nginx")?;
        let mut parts = None;
        let cluster = Cluster::found_with(CUSTOMERS, "london", ", profile: wan", |world| {
            for (a, b, milliseconds) in DISTANCES_MS {
                world.links().delay(a, b, Duration::from_millis(milliseconds), Duration::ZERO);
            }
            world.here(|| {
                let ip = world.place(HERE).address();
                let start = |name| Some((name, Nginx::plain_at(ip)?));
                let servers = ["steady", "shop", "forum"].into_iter().filter_map(start).collect();
                let (office, post) = (Receiver::start_at(ip, Mood::Takes), Postfix::start_at(ip)?);
                parts = Some((servers, office, post));
                Some(())
            });
            parts.as_ref().map(|(servers, office, post)| configuration(servers, office, post)).unwrap_or_default()
        });
        let (mut cluster, (servers, office, post)) = (cluster?, parts?);
        cluster.grow("n2", "paris", 2);
        cluster.grow("n3", "rome", 3);
        let town = Self { cluster, servers, office, post, begin: wall::now_ms() };
        town.checks_are_up(&["shop", "forum"]);
        Some(town)
    }

    /// Turns a server off, waits until everybody is told, and turns it on
    /// again; returns how long it took until the first was told.
    fn outage_of(&mut self, service: &str) -> Duration {
        let place = self.cluster.world.place(HERE).clone();
        let server = self.servers.get_mut(service).unwrap().server();
        let begin = Instant::now();
        place.inside(|| server.turn_off());
        self.told(service, "incident.opened");
        let took = begin.elapsed();
        // Whoever mends it needs a while; nothing is told again meanwhile.
        std::thread::sleep(MENDED_AFTER);
        let server = self.servers.get_mut(service).unwrap().server();
        place.inside(|| server.turn_on());
        self.told(service, "incident.resolved");
        took
    }

    fn told(&self, service: &str, kind: &str) {
        let kind_field = format!("\"type\":\"{kind}\"");
        let is_it = |body: &str| body.contains(&kind_field) && body.contains(&title(service));
        let told = wait::until(NOTICE_TIMEOUT, || {
            self.office.arrived().iter().any(|message| is_it(&message.body)).then_some(())
        });
        assert!(told.is_some(), "nobody is told of {kind} of {service}:\n{}", self.cluster.account());
    }

    fn checks_are_up(&self, services: &[&str]) {
        let door = &self.cluster.nodes[0].door;
        wait::expect("the first rounds", NOTICE_TIMEOUT, || {
            let is_up = |service: &&str| {
                let found = door.ask(&format!("/api/v1/services/{service}"));
                found.is_some_and(|found| found["status"] == "up")
            };
            services.iter().all(is_up).then_some(())
        });
    }

    /// Every check has been made from every site that it is made from.
    fn everything_is_up(&self) {
        let up = wait::until(NOTICE_TIMEOUT, || {
            (self.cluster.nodes[0].door.status()?["checks"]["up"] == CHECKS as u64).then_some(())
        });
        assert!(up.is_some(), "not all checks pass:\n{}", self.cluster.account());
    }

    /// Nothing reaches the site any more, and nothing leaves it.
    fn cut_off(&self, place: PlaceNumber) {
        let all: Vec<PlaceNumber> = std::iter::once(HERE).chain(self.cluster.world.numbers()).collect();
        let others: Vec<PlaceNumber> = all.into_iter().filter(|other| *other != place).collect();
        self.cluster.world.links().part(&[place], &others);
    }

    fn no_command_is_lost(&self, planned: &BTreeSet<String>) {
        assert!(planned.len() > 20, "{}", planned.len());
        for node in &self.cluster.nodes {
            let status = node.door.status().unwrap();
            let all = status["maintenance"].as_array().into_iter().flatten();
            let found: BTreeSet<&str> = all.filter_map(|work| work["id"].as_str()).collect();
            let lost: Vec<_> = planned.iter().filter(|id| !found.contains(id.as_str())).collect();
            assert!(lost.is_empty(), "{} lacks {lost:?}", node.name());
        }
    }

    /// Begin and end of both outages, by webhook and by mail, and of nothing else that customers see.
    fn everybody_was_told_once(&self) {
        wait::expect("all deliveries to end", NOTICE_TIMEOUT, || {
            (self.cluster.nodes[0].door.status()?["deliveries_open"] == 0).then_some(())
        });
        let mut came: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for message in self.office.arrived() {
            came.entry(message.id).or_default().push(message.body);
        }
        let mut mails: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for mail in self.post.mails() {
            let key = mail.lines().find_map(|line| line.strip_prefix("X-Mainstay-Delivery: ")).unwrap_or("none");
            mails.entry(key.trim().to_owned()).or_default().push(mail);
        }
        for (key, copies) in came.iter().chain(&mails) {
            let is_marked = |copy: &&String| copy.contains("\"possibly_double\":true") || copy.contains(DOUBLE);
            let unmarked = copies.len() - copies.iter().filter(is_marked).count();
            assert!(unmarked <= 1, "{key} came {} times: {copies:#?}", copies.len());
        }
        let about = |kind: &str| -> Vec<&String> {
            let field = format!("\"type\":\"{kind}\"");
            came.values().map(|copies| &copies[0]).filter(|body| body.contains(&field)).collect()
        };
        for kind in ["incident.opened", "incident.resolved"] {
            let bodies = about(kind);
            assert_eq!(bodies.len(), 2, "{kind}: {bodies:#?}");
            for service in ["shop", "forum"] {
                assert!(bodies.iter().any(|body| body.contains(&title(service))), "{kind} of {service}");
            }
        }
        for service in ["shop", "forum"] {
            // On a busy machine it may be seen to worsen, or to come and go; that is told besides.
            let is_end = |key: &str| key.ends_with("-opened") || key.ends_with("-resolved");
            let count = mails.iter().filter(|(key, mails)| is_end(key) && mails[0].contains(&title(service))).count();
            assert_eq!(count, 2, "mails about {service}: {:?}\n{}", mails.keys(), self.why(service));
        }
    }

    /// What was concluded about a service, for messages of tests that failed.
    fn why(&self, service: &str) -> String {
        let found = self.cluster.nodes[0].door.ask(&format!("/api/v1/decisions?service={service}&limit=200"));
        let found = found.unwrap_or_default();
        let line = |decision: &Value| format!("{} {} {}", decision["at"], decision["check"], decision["text"]);
        found["decisions"].as_array().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Every check was looked at from every site all the time, the lost one
    /// included, and every node has the same results.
    fn history_is_complete_and_equal(&self) {
        let until = wall::now_ms() - 2_000;
        let sample: Vec<String> = (0..CHECKS).step_by(29).map(check_id).collect();
        for id in &sample {
            // What the lost site has kept is handed in after it is back.
            let mut missing = String::new();
            let complete = wait::until(NOTICE_TIMEOUT, || {
                let all: Vec<_> = self.cluster.nodes.iter().map(|node| results(node, id, self.begin, until)).collect();
                missing = what_is_missing(&all, until);
                missing.is_empty().then_some(())
            });
            assert!(complete.is_some(), "{id}: {missing}");
        }
        println!("{} checks compared, all rounds of all sites on all nodes", sample.len());
    }

    /// The same split of time on every node.
    fn uptime_is_equal(&self) {
        let mut last = Vec::new();
        let equal = wait::until(NOTICE_TIMEOUT, || {
            last = self.cluster.nodes.iter().map(|node| not_up(&node.door)).collect();
            last.windows(2).all(|pair| pair[0] == pair[1] && !pair[0].is_empty()).then_some(())
        });
        assert!(equal.is_some(), "the nodes count differently: {last:#?}");
        for service in ["shop", "forum"] {
            let down = last[0][service][0];
            assert!(down > 0, "{service} was down");
        }
    }
}

/// Tells the others that it is over when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn cut_length() -> Duration {
    let seconds = std::env::var("MAINSTAY_CUT_SECONDS").ok().map(|text| text.parse().expect("seconds"));
    Duration::from_secs(seconds.unwrap_or(CUT_SECONDS_DEFAULT))
}

fn title(service: &str) -> String {
    format!("The {service}")
}

fn check_id(number: usize) -> String {
    format!("c{number}")
}

/// Ten checks for each of the services that will fail, the others in services of twenty.
fn configuration(servers: &BTreeMap<&'static str, Nginx>, office: &Receiver, post: &Postfix) -> String {
    let (steady, smtp) = (servers["steady"].address(), post.address());
    let mut yaml = format!(
        "page: {{ name: Town }}\nlocations: [london, paris, rome]\n\
         defaults: {{ every: {}s, timeout: 3s, retry: 1s, up_after: 1 }}\n\
         mail: {{ host: {}, port: {}, tls: none, from: mainstay@example.test }}\n\
         receivers: [ {{ id: office, webhook: \"{}\" }}, {{ id: people, mail: people@example.test }} ]\nservices:\n",
        EVERY.as_secs(),
        smtp.ip(),
        smtp.port(),
        office.url()
    );
    let mut number = 0..CHECKS;
    for service in ["shop", "forum"] {
        let address = servers[service].address();
        let _ = writeln!(yaml, "- id: {service}\n  name: {}\n  checks:", title(service));
        for id in number.by_ref().take(10).map(check_id) {
            let every = OFTEN.as_secs();
            let _ = writeln!(yaml, "  - {{ id: {id}, every: {every}s, http: \"http://{address}/?{id}\" }}");
        }
    }
    for at in number {
        if at % 20 == 0 {
            let _ = writeln!(yaml, "- id: s{at}\n  name: Service {at}\n  checks:");
        }
        let id = check_id(at);
        let _ = match at % 10 {
            0 => writeln!(yaml, "  - {{ id: {id}, tcp: \"{steady}\" }}"),
            _ => writeln!(yaml, "  - {{ id: {id}, http: \"http://{steady}/?{id}\" }}"),
        };
    }
    yaml
}

fn doors(cluster: &Cluster, is_wanted: impl Fn(&Node) -> bool) -> Vec<Door> {
    cluster.nodes.iter().filter(|node| is_wanted(node)).map(|node| node.door.clone()).collect()
}

/// Plans work until it is over; returns what was acknowledged.
fn plan(doors: &[Door], is_over: &AtomicBool) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    for (number, door) in doors.iter().cycle().enumerate() {
        // As many as the cluster keeps, and some more that it refuses.
        if is_over.load(Ordering::SeqCst) || acknowledged.len() > 900 {
            break;
        }
        let id = format!("work-{number}");
        if door.act(&id, &work(&id, "Work", "shop")).is_accepted() {
            acknowledged.insert(id);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    acknowledged
}

/// Looks at the pages until it is over, each time within the bound; returns how often.
fn look_at(from: &Place, pages: &[SocketAddr], is_over: &AtomicBool) -> usize {
    from.inside(|| {
        let mut looks = 0;
        while !is_over.load(Ordering::SeqCst) {
            for page in pages {
                let begin = Instant::now();
                let answer = http::get_within(*page, "/", PAGE_WITHIN);
                let is_good = answer.is_some_and(|answer| answer.status == 200 && answer.body.contains("Town"));
                assert!(is_good, "{page} does not show the page, {} ms", begin.elapsed().as_millis());
                looks += 1;
            }
            std::thread::sleep(CUSTOMER_RESTS);
        }
        looks
    })
}

/// In words what the results of one check on each node lack; empty if nothing.
fn what_is_missing(all: &[BTreeSet<Result>], until: u64) -> String {
    if all.windows(2).any(|pair| pair[0] != pair[1]) {
        return format!("the nodes have {:?} results, not the same", all.iter().map(BTreeSet::len).collect::<Vec<_>>());
    }
    for site in ["london", "paris", "rome"] {
        let mut at: Vec<u64> = all[0].iter().filter(|(_, place, _)| place == site).map(|(at, ..)| *at).collect();
        at.push(until);
        let gap = at.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(u64::MAX);
        if gap > EVERY.as_millis() as u64 * 5 / 4 {
            return format!("{site} has nothing for {gap} ms: {at:?}");
        }
    }
    String::new()
}

type Result = (u64, String, String);

fn results(node: &Node, check: &str, from_ms: u64, until_ms: u64) -> BTreeSet<Result> {
    let path = format!("/api/v1/checks/{check}/results?from={from_ms}&to={until_ms}&limit=10000");
    let found = node.door.ask(&path).unwrap_or_default();
    let all = found["results"].as_array().into_iter().flatten();
    let text = |result: &Value, key: &str| result[key].as_str().unwrap_or_default().to_owned();
    all.map(|result| (wall::read_ms(&text(result, "at")), text(result, "location"), text(result, "outcome"))).collect()
}

/// Milliseconds down, degraded and unknown of every service: what does not
/// grow while all is well, and so can be read from one node after the other.
fn not_up(door: &Door) -> BTreeMap<String, [u64; 3]> {
    let mut all = BTreeMap::new();
    let mut path = "/api/v1/services?limit=1000".to_owned();
    while let Some(found) = door.ask(&path) {
        for service in found["services"].as_array().into_iter().flatten() {
            let part = |key: &str| service["split"][key].as_u64().unwrap_or(u64::MAX);
            let split = ["down_ms", "degraded_ms", "unknown_ms"].map(part);
            all.insert(service["id"].as_str().unwrap_or_default().to_owned(), split);
        }
        match found["next"].as_str() {
            Some(next) => path = format!("/api/v1/services?limit=1000&after={next}"),
            None => break,
        }
    }
    all
}
