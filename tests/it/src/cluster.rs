//! Several nodes in a world: founded, joined, asked together.

use crate::node::Node;
use crate::wait;
use crate::world::{PlaceNumber, World};
use serde_json::Value;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Joining, electing and catching up take a second or two on an idle machine.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Nodes, each named `n1`, `n2` and so on.
#[derive(Debug)]
pub struct Cluster {
    /// The world they are in.
    pub world: World,
    /// Those that were started, in the order of their start.
    pub nodes: Vec<Node>,
    /// What stands under `cluster:` in each node's file besides name and addresses, such as `, profile: wan`.
    pub keys: String,
    directory: TempDir,
}

impl Cluster {
    /// Starts node `n1` in place 1 with what is replicated. `None` if this
    /// machine cannot make a world, after saying that the test is skipped.
    ///
    /// # Panics
    /// It does not start.
    pub fn found(places: PlaceNumber, location: &str, yaml: impl FnOnce(&World) -> String) -> Option<Self> {
        Self::found_with(places, location, "", yaml)
    }

    /// As [`Cluster::found`], with further keys under `cluster:` of every node.
    pub fn found_with(
        places: PlaceNumber,
        location: &str,
        keys: &str,
        yaml: impl FnOnce(&World) -> String,
    ) -> Option<Self> {
        let world = World::with_places(places)?;
        let yaml = yaml(&world);
        let directory = tempfile::Builder::new().prefix("cluster-").tempdir().expect("a temporary directory");
        let mut cluster = Self { world, nodes: Vec::new(), keys: keys.to_owned(), directory };
        let mut first = cluster.prepare("n1", location, 1);
        first.configure(&cluster.keys, &yaml);
        first.start();
        cluster.nodes.push(first);
        cluster.settle();
        Some(cluster)
    }

    /// A node with an empty directory of its own, in a place, that is not started.
    ///
    /// # Panics
    /// There was a node of this name already.
    pub fn prepare(&self, name: &str, location: &str, place: PlaceNumber) -> Node {
        let directory = self.directory.path().join(name);
        std::fs::create_dir(&directory).expect("each name is used once");
        Node::new(name, location, self.world.place(place), &directory)
    }

    /// Invites a node, lets it join and starts it; waits until all is settled.
    ///
    /// # Panics
    /// Any of this fails.
    pub fn grow(&mut self, name: &str, location: &str, place: PlaceNumber) {
        let node = self.prepare(name, location, place);
        self.admit(node, &["invite"]);
        self.settle();
    }

    /// Lets a node that was prepared join with the ticket of `mainstay node …`,
    /// asked of the first node that runs, and starts it.
    ///
    /// # Panics
    /// Any of this fails.
    pub fn admit(&mut self, mut node: Node, invite: &[&str]) {
        node.configure(&self.keys, "");
        let ticket = self.ticket(invite);
        succeeds(&node.join(&ticket));
        node.start();
        self.nodes.push(node);
    }

    /// Asks the first node that runs for a ticket.
    ///
    /// # Panics
    /// It gives none.
    pub fn ticket(&self, invite: &[&str]) -> String {
        let asked = self.running().next().expect("a node runs");
        let said = succeeds(&asked.command(&[&["node"], invite, &["--json"]].concat()));
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        said["ticket"].as_str().unwrap_or_else(|| panic!("no ticket in {said}")).to_owned()
    }

    /// The nodes that run.
    pub fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    /// A node by its name.
    ///
    /// # Panics
    /// There is none.
    pub fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name() == name).unwrap_or_else(|| panic!("there is no node {name}"))
    }

    /// As [`Cluster::node`].
    ///
    /// # Panics
    /// There is none.
    pub fn node_mut(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.name() == name).unwrap_or_else(|| panic!("there is no node {name}"))
    }

    /// The name of the node that leads and knows that a majority follows it.
    pub fn leader(&self) -> Option<String> {
        let leads = |node: &&Node| {
            node.door
                .status()
                .is_some_and(|status| status["node"]["has_quorum"] == true && own(&status)["is_leader"] == true)
        };
        self.running().find(leads).map(|node| node.name().to_owned())
    }

    /// A node that runs and does not lead.
    ///
    /// # Panics
    /// There is none.
    pub fn follower(&self) -> &Node {
        let leader = self.leader();
        self.running().find(|node| leader.as_deref() != Some(node.name())).expect("a node runs that does not lead")
    }

    /// Waits until the nodes that run are all the members there are, vote, hear
    /// each other, follow one leader and lack nothing.
    ///
    /// # Panics
    /// They do not come to that; the message has what each says and the end of its log.
    pub fn settle(&self) {
        self.settles_within(SETTLE_TIMEOUT);
    }

    /// As [`Cluster::settle`] with another bound; returns how long it took.
    ///
    /// # Panics
    /// As there.
    pub fn settles_within(&self, bound: Duration) -> Duration {
        let begin = Instant::now();
        if wait::until(bound, || self.is_settled().then_some(())).is_none() {
            panic!("the nodes do not settle within {} s:\n{}", bound.as_secs(), self.account());
        }
        begin.elapsed()
    }

    fn is_settled(&self) -> bool {
        let mut names: Vec<&str> = self.running().map(Node::name).collect();
        names.sort_unstable();
        let mut leaders = Vec::new();
        for node in self.running() {
            let Some(status) = node.door.status() else { return false };
            let Some(members) = status["nodes"].as_array() else { return false };
            let mut known: Vec<&str> = members.iter().filter_map(|member| member["name"].as_str()).collect();
            known.sort_unstable();
            let is_well = |member: &Value| {
                let lag = member["lag_entries"].as_u64().unwrap_or(0);
                member["is_present"] == true && member["is_voter"] == true && lag < 20
            };
            if known != names || !members.iter().all(is_well) || status["node"]["has_quorum"] != true {
                return false;
            }
            leaders
                .extend(members.iter().filter(|member| member["is_leader"] == true).map(|leader| leader["id"].clone()));
        }
        leaders.len() == names.len()
            && leaders.iter().all(|leader| *leader == leaders[0])
            && self.running().all(|node| node.door.is_ready())
    }

    /// What every node says, for messages of tests that failed.
    pub fn account(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let status = node.door.status().unwrap_or_default();
            text.push_str(&format!(
                "--- {} {}: {} {:#}\nits log ends:\n{}\n",
                node.name(),
                if node.is_running() { "runs" } else { "does not run" },
                status["node"],
                status["nodes"],
                node.log_tail()
            ));
        }
        text
    }

    /// Where the nodes' directories are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves the directories where they are, to be looked at, and says where.
    pub fn keep(&mut self) -> &Path {
        self.directory.disable_cleanup(true);
        self.directory.path()
    }
}

/// What a node says of itself among the members.
pub fn own(status: &Value) -> Value {
    let mut members = status["nodes"].as_array().into_iter().flatten();
    members.find(|member| member["is_this_one"] == true).cloned().unwrap_or_default()
}

/// What a command printed.
///
/// # Panics
/// It did not succeed; the message has what it printed.
pub fn succeeds(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// What a command said when it failed.
///
/// # Panics
/// It did not fail with 1.
pub fn fails(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(1), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}
