//! One entry for each kind of check: how it is prepared and how it is run.
//!
//! Every kind is a module with a plan type that has the same two functions:
//! `prepare(prober, check) -> Result<Self, PrepareError>`, called once, and
//! `run(&self, prober, round) -> Result<(), Trouble>`, called in every round.
//! Kinds are boxed so that [`Plan`] stays small, and the futures of all but
//! HTTP are boxed so that the commonest round does not carry the largest.

use crate::round::{Round, Trouble};
use crate::tls::check::TlsPlan;
use crate::{PrepareError, Prober};
use model::check::{Check, CheckKind};

/// A check of some kind, ready to run.
pub(crate) enum Plan {
    /// See [`crate::tls::check`].
    Tls(Box<TlsPlan>),
}

impl Plan {
    /// Makes a check ready.
    pub(crate) fn prepare(prober: &Prober, check: &Check) -> Result<Self, PrepareError> {
        match &check.kind {
            CheckKind::Tls(kind) => Ok(Self::Tls(Box::new(TlsPlan::prepare(prober, kind)?))),
            CheckKind::Heartbeat(_) => Err(PrepareError::Heartbeat),
            CheckKind::Plugin(_) if !prober.options.allow_plugins => Err(PrepareError::PluginsNotAllowed),
            CheckKind::Http(_)
            | CheckKind::Tcp(_)
            | CheckKind::Icmp(_)
            | CheckKind::Dns(_)
            | CheckKind::Smtp(_)
            | CheckKind::Ssh(_)
            | CheckKind::Postgres(_)
            | CheckKind::Redis(_)
            | CheckKind::Plugin(_) => Err(PrepareError::Word {
                what: "the kind",
                text: check.kind.name().to_owned(),
                reason: "this version does not carry it out",
            }),
        }
    }

    /// Carries out one round. What went well and what was seen is in `round`.
    pub(crate) async fn run(&self, prober: &Prober, round: &mut Round) -> Result<(), Trouble> {
        match self {
            Self::Tls(plan) => Box::pin(plan.run(prober, round)).await,
        }
    }
}
