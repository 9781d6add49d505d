//! The first file of a backup: what it is, of whom, of when, and what belongs
//! to it.
//!
//! JSON, so that a person with standard tools can read it in ten years. **The
//! format is read before anything else**, so that a newer one is refused by
//! name instead of being misread.

use control::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Component, Path};

/// Version of the whole archive: its order, its names, its manifest.
pub(crate) const FORMAT: u32 = 1;
/// Name of the manifest in the archive.
pub(crate) const NAME: &str = "manifest.json";
/// Name of the part that holds the state.
pub(crate) const STATE: &str = "state";
/// What the names of the history's parts begin with.
pub(crate) const HISTORY: &str = "history/";

/// What a backup says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// [`FORMAT`] of the program that wrote it.
    pub(crate) format: u32,
    /// Version of Mainstay that wrote it.
    pub(crate) mainstay: String,
    /// The cluster it is of.
    pub(crate) cluster: String,
    /// The node that made it, in hexadecimal as everywhere people see it.
    pub(crate) node: String,
    /// Index of the last entry in the state.
    pub(crate) index: u64,
    /// Stamp of that entry, RFC 3339.
    pub(crate) stamp: String,
    /// When it was made, RFC 3339. Later than the stamp where nothing happened.
    pub(crate) made: String,
    /// What is inside, for people.
    pub(crate) contents: Contents,
    /// Spans of results that the node did not have, because it had not got them
    /// from the others yet.
    pub(crate) lacks: Vec<Span>,
    /// Directories of the history: the store wants them also where they hold nothing.
    pub(crate) directories: Vec<String>,
    /// What follows, in this order.
    pub(crate) parts: Vec<Part>,
}

/// What is inside, for people; nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    /// Name of the page.
    pub(crate) page: String,
    /// Services that are configured.
    pub(crate) services: u64,
    /// Their checks.
    pub(crate) checks: u64,
    /// Incidents that are kept.
    pub(crate) incidents: u64,
    /// Those of them that are not over.
    pub(crate) incidents_open: u64,
    /// Deliveries that wait or run.
    pub(crate) deliveries_open: u64,
    /// Rounds that were judged since the data directory was begun; single
    /// results of them are kept for the days the configuration says.
    pub(crate) results: u64,
}

/// From one moment until before another, RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) from: String,
    pub(crate) upto: String,
}

/// One file of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Its name in the archive.
    pub(crate) name: String,
    /// Its length.
    pub(crate) bytes: u64,
    /// SHA-256 of its content, in hexadecimal.
    pub(crate) sha256: String,
}

/// What every format has, also those to come.
#[derive(Deserialize)]
struct Preface {
    format: u32,
    #[serde(default)]
    mainstay: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has a newer format.
    Newer {
        /// The format found.
        found: u32,
        /// The version of Mainstay that wrote it.
        by: String,
    },
    /// It is not what any version writes.
    Wrong(String),
}

impl Contents {
    /// What a state holds.
    pub(crate) fn of(state: &State) -> Self {
        let count = |number: usize| number as u64;
        Self {
            page: state.configuration().page.name.clone(),
            services: count(state.services().count()),
            checks: count(state.slots().count()),
            incidents: count(state.incidents().count()),
            incidents_open: count(state.incidents().filter(|incident| incident.resolved.is_none()).count()),
            deliveries_open: count(state.deliveries().filter(|delivery| !delivery.state.is_finished()).count()),
            results: state.result_counts().values().sum(),
        }
    }
}

impl Manifest {
    /// Bytes of all parts.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// The parts of the history.
    pub(crate) fn history(&self) -> &[Part] {
        self.parts.get(1..).unwrap_or_default()
    }

    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("own types always encode")
    }

    /// Reads the stored form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let wrong = |error: serde_json::Error| Refusal::Wrong(error.to_string());
        let preface: Preface = serde_json::from_slice(bytes).map_err(wrong)?;
        if preface.format > FORMAT {
            return Err(Refusal::Newer { found: preface.format, by: preface.mainstay });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(wrong)?;
        manifest.check_names().map_err(Refusal::Wrong)?;
        Ok(manifest)
    }

    /// A name leads into the restored directory and nowhere else, and stands
    /// for one file only.
    fn check_names(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        let is_plain = |name: &str| {
            let is_normal = |part| matches!(part, Component::Normal(_));
            Path::new(name).components().all(is_normal) && !name.ends_with('/')
        };
        let is_below = |name: &str| name.strip_prefix(HISTORY).is_some_and(|rest| !rest.is_empty());
        if let Some(name) = self.directories.iter().find(|name| !is_plain(name) || !is_below(name)) {
            return Err(format!("it names a directory {name:?}"));
        }
        for Part { name, .. } in &self.parts {
            if !is_plain(name) || (name != STATE && !is_below(name)) {
                return Err(format!("it names a part {name:?}"));
            }
            if !seen.insert(name) {
                return Err(format!("it names {name:?} twice"));
            }
        }
        if self.parts.first().is_none_or(|part| part.name != STATE) {
            return Err("the state is not its first part".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(names: &[&str]) -> Manifest {
        let part = |name: &&str| Part { name: (*name).to_owned(), bytes: 3, sha256: "00".to_owned() };
        Manifest {
            format: FORMAT,
            mainstay: "0.1.0".to_owned(),
            cluster: "c".to_owned(),
            node: "1".to_owned(),
            index: 7,
            stamp: "2026-11-20T02:30:00Z".to_owned(),
            made: "2026-11-20T02:30:00Z".to_owned(),
            contents: Contents::of(&State::default()),
            lacks: Vec::new(),
            directories: vec!["history/tables".to_owned()],
            parts: names.iter().map(part).collect(),
        }
    }

    #[test]
    fn a_manifest_survives_its_stored_form() {
        let written = manifest(&[STATE, "history/state", "history/tables/1/2"]);
        assert_eq!(Manifest::decode(&written.encode()), Ok(written));
    }

    #[test]
    fn a_newer_format_is_refused_whatever_else_it_says() {
        let text = br#"{"format": 2, "mainstay": "9.0.0", "parts": "elsewhere"}"#;
        assert_eq!(Manifest::decode(text), Err(Refusal::Newer { found: 2, by: "9.0.0".to_owned() }));
    }

    #[test]
    fn a_part_that_leads_elsewhere_is_refused() {
        for name in ["../x", "/etc/passwd", "history/../../x", "history/", "", "other", "./state", "history/x/"] {
            let decoded = Manifest::decode(&manifest(&[STATE, name]).encode());
            assert!(matches!(decoded, Err(Refusal::Wrong(_))), "{name:?}: {decoded:?}");
        }
        for name in ["history/..", "elsewhere", "history/", "/history/x"] {
            let directories = vec![name.to_owned()];
            let decoded = Manifest::decode(&Manifest { directories, ..manifest(&[STATE]) }.encode());
            assert!(matches!(decoded, Err(Refusal::Wrong(_))), "{name:?}: {decoded:?}");
        }
        for names in [&[][..], &["history/x"], &[STATE, STATE]] {
            assert!(matches!(Manifest::decode(&manifest(names).encode()), Err(Refusal::Wrong(_))), "{names:?}");
        }
    }
}
