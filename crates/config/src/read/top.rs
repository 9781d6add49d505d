//! The top of the file: the page, the defaults, planned work.

use super::check::Defaults;
use super::node::is_node_only;
use super::path::Path;
use super::section::Section;
use super::{Read, Reader};
use crate::fields::top::{SERVICE, TOP};
use crate::mistake::{Code, Draft, quoted};
use crate::node::NodeSettings;
use crate::yaml::{Node, Value};
use model::configuration::{Configuration, LOCATION_DEFAULT, Page};
use model::id::{LocationId, MaintenanceId};
use model::limits::MAINTENANCE_MAX;
use model::service::{Impact, Maintenance};
use std::collections::BTreeMap;

/// Locations of one configuration: more eyes than this see nothing more.
const LOCATIONS_MAX: usize = 256;

impl Reader {
    /// Reads the whole tree, and lets go of it while doing so.
    pub(crate) fn top(&mut self, mut root: Node<'_>) -> Read {
        // Services are nearly all of a large file; each one's tree ends once it is read.
        let services = take_services(&mut root);
        let mut configuration = Configuration::default();
        let Some(section) = self.section(&root, &TOP, Path::TOP) else {
            return Read { configuration, node: NodeSettings::default(), is_node_only: false };
        };
        self.locations = self.read_locations(&section);
        configuration.locations = self.locations.clone();
        configuration.page = self.page(&section);
        let node = self.node(&section);
        let defaults = self.defaults(&section);
        for (index, service) in services.into_iter().enumerate() {
            let path = Path::TOP;
            if let Some(service) = self.service(&service, &SERVICE, path.key("services").item(index), &defaults) {
                configuration.services.push(service);
            }
        }
        // Something else than a list was left where it stood, and is refused here.
        section.items("services", self);
        configuration.receivers = self.receivers(&section);
        configuration.maintenance = self.maintenance(&section);
        self.references(&configuration, section.place);
        Read { configuration, node, is_node_only: is_node_only(&section) }
    }

    fn read_locations(&mut self, section: &Section<'_, '_>) -> Vec<LocationId> {
        let mut locations: Vec<LocationId> = Vec::new();
        for at in section.items("locations", self) {
            if locations.len() == LOCATIONS_MAX {
                let draft = Draft::new(Code::OutOfRange, format!("more than {LOCATIONS_MAX} locations"));
                self.notes.add(at.node.place, at.path, draft.help("remove those that nothing runs from"));
                break;
            }
            let Some(id) = self.id(at, LocationId::new) else {
                self.are_locations_partial = true;
                continue;
            };
            if locations.contains(&id) {
                let message = format!("the location {} is declared twice", quoted(id.as_str()));
                self.notes.add(at.node.place, at.path, Draft::new(Code::DuplicateName, message).help("remove one"));
            } else {
                locations.push(id);
            }
        }
        if locations.is_empty() {
            locations.push(LocationId::new(LOCATION_DEFAULT).expect("a legal constant"));
        }
        locations
    }

    fn page(&mut self, section: &Section<'_, '_>) -> Page {
        let mut page = Configuration::default().page;
        let Some(section) = section.at("page").and_then(|at| self.part(at)) else { return page };
        if let Some(name) = section.at("name").and_then(|at| self.text(at)) {
            page.name = name;
        }
        page.description = section.at("description").and_then(|at| self.text(at));
        page.url = section.at("url").and_then(|at| self.text(at)).map(|url| url.trim_end_matches('/').to_owned());
        page
    }

    fn defaults(&mut self, section: &Section<'_, '_>) -> Defaults {
        let mut defaults = Defaults::new(&self.locations);
        if let Some(section) = section.at("defaults").and_then(|at| self.part(at)) {
            self.rounds(&section, &mut defaults);
        }
        defaults
    }

    fn maintenance(&mut self, section: &Section<'_, '_>) -> Vec<Maintenance> {
        let mut windows: Vec<Maintenance> = Vec::new();
        let mut lines: BTreeMap<String, u32> = BTreeMap::new();
        for at in section.items("maintenance", self) {
            let Some(window) = self.part(at).and_then(|section| self.window(&section)) else { continue };
            if let Some(line) = lines.insert(window.id.as_str().to_owned(), at.node.place.line) {
                let message =
                    format!("a second maintenance window {}, the first in line {line}", quoted(window.id.as_str()));
                let draft = Draft::new(Code::DuplicateName, message).help("give each an `id` of its own");
                self.notes.add(at.node.place, at.path, draft);
            }
            windows.push(window);
        }
        if windows.len() > MAINTENANCE_MAX
            && let Some(at) = section.at("maintenance")
        {
            let message = format!("{} maintenance windows, more than {MAINTENANCE_MAX}", windows.len());
            self.notes.add(
                at.node.place,
                at.path,
                Draft::new(Code::OutOfRange, message).help("remove those that are over"),
            );
        }
        windows
    }

    fn window(&mut self, section: &Section<'_, '_>) -> Option<Maintenance> {
        let title = section.at("title").and_then(|at| self.text(at));
        let (from, until) =
            (section.at("from").and_then(|at| self.time(at)), section.at("until").and_then(|at| self.time(at)));
        if let (Some(from), Some(until), Some(at)) = (from, until, section.at("until"))
            && until <= from
        {
            let message = format!("\"until\" ({until}) is not later than \"from\" ({from})");
            self.notes.add(
                at.node.place,
                at.path,
                Draft::new(Code::Conflict, message).help("the end is the first moment after the work"),
            );
        }
        let mut services = Vec::new();
        for at in section.items("services", self) {
            services.extend(self.service_name(at));
        }
        if let Some(at) = section.at("services").filter(|at| matches!(&at.node.value, Value::List(l) if l.is_empty())) {
            self.wrong(at, Code::WrongValue, "\"services\" is an empty list, so the window touches nothing");
        }
        let impact = match section.at("impact").and_then(|at| self.choice(at)) {
            Some("at-risk") => Impact::AtRisk,
            Some("degraded") => Impact::Degraded,
            Some(_) | None => Impact::Outage,
        };
        let id = self.id_or_slug(section, title.as_deref(), "title", MaintenanceId::new);
        Some(Maintenance { id: id?, title: title?, from: from?, until: until?, services, impact })
    }
}

/// Takes the services out of the tree, and leaves an empty list behind.
fn take_services<'s>(root: &mut Node<'s>) -> Vec<Node<'s>> {
    let Value::Map(pairs) = &mut root.value else { return Vec::new() };
    match pairs.iter_mut().find(|(key, _)| key.name.as_str() == "services") {
        Some((_, Node { value: Value::List(services), .. })) => std::mem::take(services),
        Some(_) | None => Vec::new(),
    }
}
