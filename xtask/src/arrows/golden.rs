//! The golden file `arrows.toml`, the arrows the manifests really have, and
//! the comparison of the two.

use crate::report::Report;
use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The page that says who may know whom.
pub(super) const FILE: &str = "arrows.toml";

type Table = BTreeMap<String, BTreeSet<String>>;

/// What `arrows.toml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Golden {
    rooms: Table,
    #[serde(default)]
    tests: Table,
    kinds: Kinds,
    /// What a pure room must be without.
    pub(super) purity: Purity,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kinds {
    pure: BTreeSet<String>,
    hands: BTreeSet<String>,
    front_door: BTreeSet<String>,
    development: BTreeSet<String>,
}

/// What a pure room must be without.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Purity {
    /// Libraries, by the beginning of their names.
    pub(super) libraries: BTreeSet<String>,
    /// Switches of libraries that are allowed otherwise.
    pub(super) features: Table,
}

/// The arrows between the crates of the workspace.
#[derive(Debug, Default)]
pub(super) struct Arrows {
    rooms: Table,
    tests: Table,
}

impl Arrows {
    /// Reads them from the manifests, without touching the network.
    pub(super) fn of_manifests(root: &Path) -> Result<Self> {
        let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
        let names: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
        let mut arrows = Self::default();
        for package in &metadata.packages {
            let from = |kinds: &[DependencyKind]| -> BTreeSet<String> {
                let of_kind = package.dependencies.iter().filter(|dependency| kinds.contains(&dependency.kind));
                of_kind.map(|dependency| dependency.name.clone()).filter(|name| names.contains(name.as_str())).collect()
            };
            let used = from(&[DependencyKind::Normal, DependencyKind::Build]);
            let tested: BTreeSet<String> = from(&[DependencyKind::Development]).difference(&used).cloned().collect();
            arrows.rooms.insert(package.name.to_string(), used);
            if !tested.is_empty() {
                arrows.tests.insert(package.name.to_string(), tested);
            }
        }
        Ok(arrows)
    }
}

impl Golden {
    /// Reads `arrows.toml`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(root.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
        toml::from_str(&text).with_context(|| format!("{FILE} is not what it should be"))
    }

    /// The rooms that know no world.
    pub(super) fn pure_rooms(&self) -> impl Iterator<Item = &str> {
        self.kinds.pure.iter().map(String::as_str)
    }

    /// Says where the manifests differ from the golden tables.
    pub(super) fn compare(&self, real: &Arrows, report: &mut Report) {
        compare_table("rooms", &self.rooms, &real.rooms, report);
        compare_table("tests", &self.tests, &real.tests, report);
        for room in real.rooms.keys().filter(|room| self.kinds_of(room) != 1) {
            report.mistakes.push(format!("{FILE}: [kinds] must name `{room}` exactly once"));
        }
    }

    /// Says which arrows break a law, whatever the golden tables allow.
    pub(super) fn laws(&self, real: &Arrows, report: &mut Report) {
        for (room, known) in &real.rooms {
            for other in known {
                if let Some(law) = self.broken_law(room, other) {
                    report.mistakes.push(format!("crates/{room}/Cargo.toml: `{room}` uses `{other}`, but {law}"));
                }
            }
        }
    }

    fn broken_law(&self, room: &str, other: &str) -> Option<&'static str> {
        let Kinds { pure, hands, front_door, development } = &self.kinds;
        if pure.contains(room) && !pure.contains(other) {
            Some("a pure room knows pure rooms only")
        } else if hands.contains(room) && hands.contains(other) {
            Some("hands never see one another")
        } else if !front_door.contains(room) && front_door.contains(other) {
            Some("nobody knows the front door")
        } else if !development.contains(room) && development.contains(other) {
            Some("what is for development is not part of the product")
        } else {
            None
        }
    }

    fn kinds_of(&self, room: &str) -> usize {
        let Kinds { pure, hands, front_door, development } = &self.kinds;
        [pure, hands, front_door, development].into_iter().filter(|kind| kind.contains(room)).count()
    }
}

fn compare_table(table: &str, golden: &Table, real: &Table, report: &mut Report) {
    let rooms: BTreeSet<&String> = golden.keys().chain(real.keys()).collect();
    for room in rooms {
        if golden.get(room) != real.get(room) {
            let line = match real.get(room) {
                Some(known) => format!("{room} = {known:?}"),
                None => format!("no line for {room}"),
            };
            report.mistakes.push(format!(
                "{FILE}: [{table}] differs from the manifests, which say: {line}; a new arrow needs an ADR too"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_that_is_not_in_the_golden_file_is_a_mistake() {
        check("web = [\"model\"]", &[("web", &["model", "control"])], &["[rooms] differs"]);
    }

    #[test]
    fn an_arrow_that_went_away_is_a_mistake() {
        check("web = [\"model\", \"control\"]", &[("web", &["model"])], &["[rooms] differs"]);
    }

    #[test]
    fn a_hand_that_knows_a_hand_is_a_mistake_even_if_the_golden_file_says_so() {
        check("web = [\"probe\"]", &[("web", &["probe"])], &["hands never see one another"]);
    }

    #[test]
    fn a_pure_room_that_knows_a_hand_is_a_mistake_even_if_the_golden_file_says_so() {
        check("control = [\"probe\"]", &[("control", &["probe"])], &["a pure room knows pure rooms only"]);
    }

    #[test]
    fn a_room_that_knows_the_front_door_is_a_mistake() {
        check("web = [\"mainstay\"]", &[("web", &["mainstay"])], &["nobody knows the front door"]);
    }

    #[test]
    fn a_room_of_no_kind_is_a_mistake() {
        check("attic = []", &[("attic", &[])], &["[kinds] must name `attic` exactly once"]);
    }

    #[test]
    fn what_agrees_is_no_mistake() {
        check("web = [\"model\"]\nmodel = []", &[("web", &["model"]), ("model", &[])], &[]);
    }

    /// Each expected text must be in some mistake; no expectation, no mistake.
    fn check(rooms: &str, real: &[(&str, &[&str])], expected: &[&str]) {
        let golden: Golden = toml::from_str(&format!(
            "[rooms]\n{rooms}\n[kinds]\npure = [\"model\", \"control\"]\nhands = [\"probe\", \"web\"]\n\
             front_door = [\"mainstay\"]\ndevelopment = []\n[purity]\nlibraries = []\nfeatures = {{}}\n"
        ))
        .unwrap();
        let owned = |known: &&[&str]| known.iter().map(|name| (*name).to_owned()).collect();
        let rooms = real.iter().map(|(room, known)| ((*room).to_owned(), owned(known))).collect();
        let mut report = Report::default();
        let real = Arrows { rooms, tests: Table::new() };
        golden.compare(&real, &mut report);
        golden.laws(&real, &mut report);
        let text = report.mistakes.join("\n");
        assert_eq!(report.mistakes.is_empty(), expected.is_empty(), "{text}");
        assert!(expected.iter().all(|part| text.contains(part)), "{text}");
    }
}
