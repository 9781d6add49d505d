//! What concerns this node only, and how it meets the others.

use super::Reader;
use super::section::{At, Section};
use crate::mistake::{Code, Draft, quoted};
use crate::node::{ClusterSettings, LogForm, LogLevel, NodeSettings, Profile};
use model::check::HostPort;
use model::id::LocationId;
use std::net::IpAddr;

/// Keys that are replicated; all others concern the node that has the file.
const REPLICATED: [&str; 7] = ["page", "locations", "defaults", "services", "receivers", "mail", "maintenance"];
/// Servers tried to know whether the way out works; more know no better.
const EGRESS_MAX: usize = 16;

impl Reader {
    /// The settings of this node. The places of a file without anything
    /// replicated are those of its cluster, which are not known here.
    pub(super) fn node(&mut self, section: &Section<'_, '_>) -> NodeSettings {
        let mut node = NodeSettings { location: self.locations[0].clone(), ..NodeSettings::default() };
        let location = section.at("location");
        let location = location
            .and_then(|at| if is_node_only(section) { self.id(at, LocationId::new) } else { self.location(at) });
        if let Some(location) = location {
            node.location = location;
        }
        let listen: Vec<_> =
            section.items("listen", self).into_iter().filter_map(|at| self.host_port(at, None)).collect();
        if !listen.is_empty() {
            node.listen = listen;
        }
        if let Some(data) = section.at("data").and_then(|at| self.text(at)) {
            node.data = data;
        }
        if let Some(allow) = section.at("allow_plugins").and_then(|at| self.boolean(at)) {
            node.allow_plugins = allow;
        }
        if let Some(log) = section.at("log").and_then(|at| self.part(at)) {
            if let Some(level) = log.at("level").and_then(|at| self.choice(at)) {
                node.log_level = LogLevel::of(level);
            }
            if let Some(form) = log.at("form").and_then(|at| self.choice(at)) {
                node.log_form = LogForm::of(form);
            }
        }
        if let Some(cluster) = section.at("cluster").and_then(|at| self.part(at)) {
            node.cluster = self.cluster(&cluster);
        }
        node.backup = section.at("backup").and_then(|at| self.part(at)).and_then(|backup| self.backup(&backup));
        node
    }

    fn cluster(&mut self, section: &Section<'_, '_>) -> ClusterSettings {
        let profile = section.at("profile").and_then(|at| self.choice(at));
        let listen = section.at("listen").and_then(|at| self.host_port(at, None));
        ClusterSettings {
            name: section.at("name").and_then(|at| self.text(at)),
            address: self.address(section, listen.as_ref()),
            listen,
            profile: profile.map_or_else(Profile::default, Profile::of),
            egress: self.egress(section),
        }
    }

    /// Where the others reach this node: what is said, or where it listens.
    fn address(&mut self, section: &Section<'_, '_>, listen: Option<&HostPort>) -> Option<HostPort> {
        if let Some(at) = section.at("address") {
            if !section.is_meant("listen") {
                let message = "\"address\" says where the others reach this node, but without \"listen\" it takes no connections of theirs";
                let help = "add `listen`, such as 0.0.0.0:8481, or remove `address`";
                self.notes.add(at.node.place, at.path, Draft::new(Code::Conflict, message).help(help));
            }
            let address = self.host_port(at, None)?;
            if is_wildcard(&address.host) {
                self.wildcard(at, "every address of a machine, so nobody can be told to connect to it");
            }
            return Some(address);
        }
        let listen = listen?;
        if is_wildcard(&listen.host)
            && let Some(at) = section.at("listen")
            && !section.is_meant("address")
        {
            self.wildcard(at, "every address of this machine, and the other nodes must know one of them");
        }
        Some(listen.clone())
    }

    fn wildcard(&mut self, at: At<'_, '_>, what: &str) {
        let message = format!("{} is {}, which stands for {what}", quoted(at.path.name()), at.node.found());
        let help = "write under `address` how the others reach this node, such as node1.example:8481 or 192.0.2.1:8481";
        self.notes.add(at.node.place, at.path, Draft::new(Code::Conflict, message).help(help));
    }

    fn egress(&mut self, section: &Section<'_, '_>) -> Vec<HostPort> {
        let items = section.items("egress", self);
        if let Some(at) = items.get(EGRESS_MAX) {
            let draft = Draft::new(Code::OutOfRange, format!("more than {EGRESS_MAX} servers to try the way out with"));
            self.notes.add(at.node.place, at.path, draft.help("a few that others run and that rarely fail are enough"));
        }
        items.into_iter().take(EGRESS_MAX).filter_map(|at| self.host_port(at, None)).collect()
    }
}

/// Whether a file says nothing of what is replicated. What is there without
/// content counts as left out, here as everywhere.
pub(super) fn is_node_only(top: &Section<'_, '_>) -> bool {
    top.present(&REPLICATED).is_empty()
}

/// Whether a host stands for all addresses of a machine.
fn is_wildcard(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_unspecified())
}
