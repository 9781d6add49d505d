//! Services: names, needs, receivers, and the list of their checks.

use super::check::{Defaults, ReadCheck};
use super::path::Path;
use super::section::{At, Section};
use super::{Mention, Mentioned, Reader};
use crate::fields::Part;
use crate::mistake::{Code, Draft, quoted};
use crate::yaml::{Node, Place};
use model::check::{Check, Family};
use model::id::{CheckId, ID_LENGTH_MAX, IdError, ReceiverId, ServiceId, slug};
use model::service::{Need, NeedClass, Service};
use std::collections::{BTreeMap, BTreeSet};

impl Reader {
    /// Reads one service. `None` if it has no usable id; why is noted.
    pub(super) fn service(
        &mut self,
        node: &Node<'_>,
        part: &'static Part,
        path: Path<'_>,
        defaults: &Defaults,
    ) -> Option<Service> {
        let Some(section) = self.section(node, part, path) else {
            self.are_services_partial = true;
            return None;
        };
        let name = section.at("name").and_then(|at| self.text(at));
        let id = self.id_or_slug(&section, name.as_deref(), "name", ServiceId::new);
        let is_second = match &id {
            Some(id) => self.declare_service(id, section.place, path),
            None => {
                self.are_services_partial = true;
                false
            }
        };
        if let (Some(id), Some(at)) = (&id, section.at("needs")) {
            self.need_places.insert(id.as_str().to_owned(), at.node.place);
        }
        let needs = self.needs(&section);
        let receivers = section.at("receivers").map(|at| self.receiver_names(at));
        let text = |reader: &mut Self, name| section.at(name).and_then(|at| reader.text(at));
        let (description, group) = (text(self, "description"), text(self, "group"));
        let is_public = section.at("public").and_then(|at| self.boolean(at)).unwrap_or(true);
        let announces = section.at("announce").and_then(|at| self.boolean(at)).unwrap_or(true);
        let checks = self.checks(&section, id.as_ref(), is_second, defaults);
        Some(Service { id: id?, name: name?, description, group, needs, checks, receivers, is_public, announces })
    }

    /// The id that was given, or one made from a name.
    pub(super) fn id_or_slug<T>(
        &mut self,
        section: &Section<'_, '_>,
        name: Option<&str>,
        name_key: &'static str,
        make: impl Fn(&str) -> Result<T, IdError>,
    ) -> Option<T> {
        if let Some(at) = section.at("id") {
            return self.id(at, make);
        }
        let (name, at) = (name?, section.at(name_key)?);
        let made = slug(name).and_then(|slug| make(&slug).ok());
        if made.is_none() {
            let message = format!("no id can be made from {}", quoted(name));
            let draft = Draft::new(Code::MissingKey, message).help("add an `id` with letters of a-z or digits");
            self.notes.add(at.node.place, at.path, draft);
        }
        made
    }

    /// Returns whether there is one of this id already, which is noted.
    fn declare_service(&mut self, id: &ServiceId, place: Place, path: Path<'_>) -> bool {
        let Some(first) = self.services.insert(id.as_str().to_owned(), place) else { return false };
        let message = format!(
            "a second service {}, the first stands in {}:{}",
            quoted(id.as_str()),
            self.notes.file_name(first.file),
            first.line
        );
        let draft = Draft::new(Code::DuplicateName, message).help("give each an `id` of its own");
        self.notes.add(place, path, draft);
        true
    }

    fn needs(&mut self, section: &Section<'_, '_>) -> Vec<Need> {
        let mut needs: Vec<Need> = Vec::new();
        let mut seen = BTreeSet::new();
        for at in section.items("needs", self) {
            let Some(need) = self.need(at) else { continue };
            if !seen.insert(need.service.clone()) {
                let message = format!("{} is needed twice", quoted(need.service.as_str()));
                self.notes.add(at.node.place, at.path, Draft::new(Code::DuplicateName, message).help("remove one"));
            }
            needs.push(need);
        }
        needs
    }

    fn need(&mut self, at: At<'_, '_>) -> Option<Need> {
        if !at.is_map() {
            return Some(Need { service: self.service_name(at)?, class: NeedClass::Hard });
        }
        let section = self.part(at)?;
        let service = section.at("service").and_then(|at| self.service_name(at));
        let class = match section.at("class").and_then(|at| self.choice(at)) {
            Some("soft") => NeedClass::Soft,
            Some(_) | None => NeedClass::Hard,
        };
        Some(Need { service: service?, class })
    }

    /// The id of a service, which must exist once everything is read.
    pub(super) fn service_name(&mut self, at: At<'_, '_>) -> Option<ServiceId> {
        let at = at.chosen();
        let id = self.id(at, ServiceId::new)?;
        self.mention(at, id.as_str(), Mentioned::Service);
        Some(id)
    }

    fn receiver_names(&mut self, at: At<'_, '_>) -> Vec<ReceiverId> {
        let mut names = Vec::new();
        for at in at.items(self) {
            if let Some(id) = self.id(at, ReceiverId::new) {
                self.mention(at, id.as_str(), Mentioned::Receiver);
                names.push(id);
            }
        }
        names
    }

    fn mention(&mut self, at: At<'_, '_>, name: &str, what: Mentioned) {
        self.mentions.push(Mention { place: at.node.place, path: at.path.to_string(), name: name.to_owned(), what });
    }

    fn checks(
        &mut self,
        section: &Section<'_, '_>,
        service: Option<&ServiceId>,
        is_second: bool,
        defaults: &Defaults,
    ) -> Vec<Check> {
        let mut read = Vec::new();
        for at in section.items("checks", self) {
            read.extend(self.check(at, defaults));
        }
        if read.is_empty() && self.notes.is_clean() {
            let name =
                service.map_or_else(|| "a service".to_owned(), |id| format!("the service {}", quoted(id.as_str())));
            let draft = Draft::new(Code::Doubtful, format!("{name} has no checks")).help("its state stays unknown");
            self.notes.warn(section.place, section.path, draft);
        }
        match service {
            // The ids of a second service's checks would only repeat its mistake.
            Some(service) if !is_second => self.named(read, service.as_str(), section.path),
            Some(_) | None => Vec::new(),
        }
    }

    /// Gives every check its id: the one written, or one made from the service's.
    fn named(&mut self, read: Vec<ReadCheck>, service: &str, path: Path<'_>) -> Vec<Check> {
        let is_only = read.len() == 1;
        let mut names =
            Names { taken: read.iter().filter_map(|check| check.id.clone()).collect(), counts: BTreeMap::new() };
        let mut checks = Vec::new();
        for check in read {
            let path = path.key("checks").item(check.index);
            let base = match &check.id {
                Some(id) => id.clone(),
                None if is_only => service.to_owned(),
                None => names.free(service, check.check.kind.name()),
            };
            if check.is_both {
                for (family, ending) in [(Family::V4, "-ipv4"), (Family::V6, "-ipv6")] {
                    let id = self.declare_check(&joined(&base, ending), check.place, path);
                    checks.push(Check { id, family, ..check.check.clone() });
                }
            } else {
                let id = self.declare_check(&base, check.place, path);
                checks.push(Check { id, ..check.check });
            }
        }
        checks
    }

    fn declare_check(&mut self, id: &str, place: Place, path: Path<'_>) -> CheckId {
        if let Some(first) = self.check_ids.get(id) {
            let message = format!(
                "a second check {}, the first stands in {}:{}",
                quoted(id),
                self.notes.file_name(first.file),
                first.line
            );
            let draft = Draft::new(Code::DuplicateName, message)
                .help("give each an `id` of its own; the ids of checks are unique in the whole configuration");
            self.notes.add(place, path, draft);
        } else {
            self.check_ids.insert(id.to_owned(), place);
        }
        CheckId::new(id).expect("made of legal ids")
    }
}

/// The ids of one service's checks.
struct Names {
    taken: BTreeSet<String>,
    /// The last number tried for each kind.
    counts: BTreeMap<&'static str, usize>,
}

impl Names {
    /// `<service>-<kind>`, with a number if that is taken.
    fn free(&mut self, service: &str, kind: &'static str) -> String {
        let count = self.counts.entry(kind).or_insert(0);
        loop {
            *count += 1;
            let ending = if *count == 1 { format!("-{kind}") } else { format!("-{kind}-{count}") };
            let name = joined(service, &ending);
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// Joins a name and its ending; the name is cut where both together are too long for an id.
fn joined(name: &str, ending: &str) -> String {
    let room = ID_LENGTH_MAX.saturating_sub(ending.len()).min(name.len());
    format!("{}{ending}", &name[..room])
}
