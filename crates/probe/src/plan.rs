//! One entry for each kind of check: how it is prepared and how it is run.
//!
//! Every kind is a module with a plan type that has the same two functions:
//! `prepare(prober, check) -> Result<Self, PrepareError>`, called once, and
//! `run(&self, prober, round) -> Result<(), Trouble>`, called in every round.
//! Kinds are boxed so that [`Plan`] stays small, and the futures of all but
//! HTTP are boxed so that the commonest round does not carry the largest.

use crate::dns::DnsPlan;
use crate::http::HttpPlan;
use crate::icmp::IcmpPlan;
use crate::plugin::PluginPlan;
use crate::postgres::PostgresPlan;
use crate::redis::RedisPlan;
use crate::round::{Round, Trouble};
use crate::smtp::SmtpPlan;
use crate::ssh::SshPlan;
use crate::tcp::TcpPlan;
use crate::tls::check::TlsPlan;
use crate::{PrepareError, Prober};
use model::check::{Check, CheckKind};

/// A check of some kind, ready to run.
pub(crate) enum Plan {
    /// See [`crate::http`].
    Http(Box<HttpPlan>),
    /// See [`crate::tls::check`].
    Tls(Box<TlsPlan>),
    /// See [`crate::tcp`].
    Tcp(Box<TcpPlan>),
    /// See [`crate::icmp`].
    Icmp(Box<IcmpPlan>),
    /// See [`crate::dns`].
    Dns(Box<DnsPlan>),
    /// See [`crate::smtp`].
    Smtp(Box<SmtpPlan>),
    /// See [`crate::ssh`].
    Ssh(Box<SshPlan>),
    /// See [`crate::postgres`].
    Postgres(Box<PostgresPlan>),
    /// See [`crate::redis`].
    Redis(Box<RedisPlan>),
    /// See [`crate::plugin`].
    Plugin(Box<PluginPlan>),
}

impl Plan {
    /// Makes a check ready.
    pub(crate) fn prepare(prober: &Prober, check: &Check) -> Result<Self, PrepareError> {
        match &check.kind {
            CheckKind::Http(kind) => Ok(Self::Http(Box::new(HttpPlan::prepare(prober, kind)?))),
            CheckKind::Tls(kind) => Ok(Self::Tls(Box::new(TlsPlan::prepare(prober, kind)?))),
            CheckKind::Heartbeat(_) => Err(PrepareError::Heartbeat),
            CheckKind::Plugin(_) if !prober.options.allow_plugins => Err(PrepareError::PluginsNotAllowed),
            CheckKind::Tcp(kind) => Ok(Self::Tcp(Box::new(TcpPlan::prepare(prober, kind)?))),
            CheckKind::Icmp(kind) => Ok(Self::Icmp(Box::new(IcmpPlan::prepare(prober, kind)?))),
            CheckKind::Dns(kind) => Ok(Self::Dns(Box::new(DnsPlan::prepare(prober, kind)?))),
            CheckKind::Smtp(kind) => Ok(Self::Smtp(Box::new(SmtpPlan::prepare(prober, kind)?))),
            CheckKind::Ssh(kind) => Ok(Self::Ssh(Box::new(SshPlan::prepare(prober, kind)?))),
            CheckKind::Postgres(kind) => Ok(Self::Postgres(Box::new(PostgresPlan::prepare(prober, kind)?))),
            CheckKind::Redis(kind) => Ok(Self::Redis(Box::new(RedisPlan::prepare(prober, kind)?))),
            CheckKind::Plugin(kind) => Ok(Self::Plugin(Box::new(PluginPlan::prepare(prober, kind)?))),
        }
    }

    /// Carries out one round. What went well and what was seen is in `round`.
    pub(crate) async fn run(&self, prober: &Prober, round: &mut Round) -> Result<(), Trouble> {
        match self {
            Self::Http(plan) => plan.run(prober, round).await,
            Self::Tls(plan) => Box::pin(plan.run(prober, round)).await,
            Self::Tcp(plan) => Box::pin(plan.run(prober, round)).await,
            Self::Icmp(plan) => Box::pin(plan.run(prober, round)).await,
            Self::Dns(plan) => Box::pin(plan.run(prober, round)).await,
            Self::Smtp(plan) => Box::pin(plan.run(prober, round)).await,
            Self::Ssh(plan) => Box::pin(plan.run(prober, round)).await,
            Self::Postgres(plan) => Box::pin(plan.run(prober, round)).await,
            Self::Redis(plan) => Box::pin(plan.run(prober, round)).await,
            Self::Plugin(plan) => Box::pin(plan.run(prober, round)).await,
        }
    }
}
