//! From the state to the JSON of `/api/v1/`: plain copies, no judgement.

mod checks;
mod decisions;
mod history;
mod incidents;
mod nodes;
mod ready;
mod services;
mod status;

pub(crate) use checks::{check_detail, checks};
pub(crate) use decisions::{decision, decisions, deliveries};
pub(crate) use history::{result, rollup};
pub(crate) use incidents::{incident, incidents};
pub(crate) use nodes::nodes;
pub(crate) use ready::readiness;
pub(crate) use services::{service, services};
pub(crate) use status::status;

use model::id::{CheckId, ServiceId};
use model::time::Timestamp;

/// Entries of a page of a list when nothing is said.
pub(crate) const LIMIT_DEFAULT: usize = 100;
/// Entries of a page of a list at most.
pub(crate) const LIMIT_MAX: usize = 1_000;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    /// Entries after this one, by id.
    pub(crate) after: Option<String>,
    /// At most so many.
    pub(crate) limit: usize,
}

/// Which decisions are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct DecisionFilter {
    pub(crate) check: Option<CheckId>,
    pub(crate) service: Option<ServiceId>,
    pub(crate) limit: usize,
}

fn text(at: Timestamp) -> String {
    at.to_string()
}
