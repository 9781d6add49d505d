//! YAML text in; a validated [`Configuration`] and the settings of this node
//! out, or *all* mistakes at once, each with file, line, column, a caret, what
//! was found, what is allowed and what to do.
//!
//! ```text
//! SourceFile… ──> yaml (tree with places) ──> merge ──> read (held against fields) ──> Loaded
//!                        │                                  │
//!                        └────────── mistakes ──────────────┴──> Mistakes
//! fields (the one table) ──> schema, reference page
//! ```
//!
//! The caller reads files and variables; this room has no clock, no files, no
//! network. It does not know what a check does, only what may be written. **A
//! configuration with one mistake is refused as a whole.**
//!
//! Reading order: [`fields`], [`yaml`], [`mistake`], [`read`], [`node`],
//! [`schema`], [`reference`], [`initial`], [`nearest`], [`words`].

mod fields;
mod initial;
mod mistake;
mod nearest;
mod node;
mod read;
mod reference;
mod schema;
mod words;
mod yaml;

pub use initial::{Found, FoundKind, write_initial};
pub use mistake::{Code, Colour, Mistake, Mistakes, Severity};
pub use node::{
    BackupSettings, CLUSTER_PORT_DEFAULT, ClusterSettings, DATA_DEFAULT, LISTEN_PORT_DEFAULT, LogForm, LogLevel,
    NodeSettings, Profile,
};
pub use reference::reference;
pub use schema::schema;

use mistake::{Draft, Notes};
use model::configuration::Configuration;
use model::limits::CONFIGURATION_FILE_BYTES_MAX;
use yaml::build::{Built, build};
use yaml::{Node, Place};

/// Files of one configuration.
const FILES_MAX: usize = 10_000;

/// A configuration file, read by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name as people shall see it in a mistake.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// A configuration without mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What is replicated.
    pub configuration: Configuration,
    /// What concerns this node only.
    pub node: NodeSettings,
    /// Whether the file says nothing of what is replicated. Such a file never
    /// replaces what the cluster has, and its `location` is one of the cluster's.
    pub is_node_only: bool,
    /// What is legal but probably not meant so, sorted by file and line.
    pub warnings: Vec<Mistake>,
}

/// Loads a configuration from one file, or from several that are merged in the
/// order given: lists are joined, maps are merged, any other value stands once.
/// `environment` answers for `${VARIABLES}`.
///
/// # Errors
/// [`Mistakes`] holds all of them; show them and keep the configuration that runs.
pub fn load(files: &[SourceFile], environment: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Mistakes> {
    let mut notes = Notes::new(files);
    let Some(root) = tree(files, environment, &mut notes) else { return Err(refused(notes, files)) };
    let mut reader = read::Reader::new(notes);
    let read::Read { configuration, node, is_node_only } = reader.top(root);
    match reader.notes.finish(files) {
        (warnings, None) => Ok(Loaded { configuration, node, is_node_only, warnings }),
        (_, Some(mistakes)) => Err(mistakes),
    }
}

fn refused(notes: Notes, files: &[SourceFile]) -> Mistakes {
    notes.finish(files).1.expect("a file that is not read has a mistake")
}

/// The merged tree of all files; `None` with a mistake noted if any cannot be read.
fn tree<'s>(
    files: &'s [SourceFile],
    environment: &dyn Fn(&str) -> Option<String>,
    notes: &mut Notes,
) -> Option<Node<'s>> {
    let mut merged: Option<Node<'s>> = None;
    let mut is_broken = false;
    for (index, file) in files.iter().enumerate() {
        let place = Place { file: u16::try_from(index).unwrap_or(u16::MAX), line: 0, column: 1, length: 1 };
        if let Some(draft) = unfit(index, file) {
            notes.add(place, "", draft);
            is_broken = true;
            continue;
        }
        match build(place.file, &file.text, environment, notes) {
            Built::Broken => is_broken = true,
            Built::Nothing => {}
            Built::Tree(tree) => match &mut merged {
                Some(merged) => yaml::merge::merge(merged, tree, notes),
                None => merged = Some(tree),
            },
        }
    }
    if merged.is_none() && !is_broken {
        notes.add(Place { file: 0, line: 0, column: 1, length: 1 }, "", nothing(files));
    }
    merged.filter(|_| !is_broken)
}

/// Why a file is not even parsed.
fn unfit(index: usize, file: &SourceFile) -> Option<Draft> {
    if index >= FILES_MAX {
        let draft = Draft::new(Code::TooLarge, format!("more than {FILES_MAX} configuration files"));
        return Some(draft.help("join some of them"));
    }
    let size = file.text.len() as u64;
    (size > CONFIGURATION_FILE_BYTES_MAX).then(|| {
        Draft::new(Code::TooLarge, format!("the file has {size} bytes"))
            .allowed(format!("{CONFIGURATION_FILE_BYTES_MAX} bytes"))
            .help("split it into several files of one directory")
    })
}

fn nothing(files: &[SourceFile]) -> Draft {
    let message = match files {
        [] => "there is no configuration file",
        [_] => "the configuration file says nothing",
        [_, _, ..] => "none of the configuration files says anything",
    };
    Draft::new(Code::Empty, message).help("`mainstay init` writes one that fits this machine")
}
