//! Brings the configuration file into the log: at the start, on SIGHUP, and
//! when the file changes. A wrong one is reported, and the old one stays.

use super::House;
use crate::files::{self, Fingerprint, LoadError};
use anyhow::{Context, bail};
use config::Loaded;
use control::state::CommandOutcome;
use model::configuration::Configuration;
use model::entry::{Action, Body, Command, Condition, ConditionKind, Origin};
use model::limits::CONFIGURATION_PART_BYTES;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::Signal;

/// How often the files are looked at for a change.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often the log is asked to take the file that this node started with, while it takes nothing.
const OFFERED_EVERY: Duration = Duration::from_secs(1);

/// Offers the file that this node starts with. A node alone cannot go on
/// without it; one of several starts as it is, and offers it when the others
/// are there.
pub(crate) async fn offer(house: &Arc<House>, loaded: Loaded) -> anyhow::Result<()> {
    if loaded.is_node_only {
        return Ok(());
    }
    let configuration = loaded.configuration;
    if house.node.state().members().count() < 2 {
        return activate(house, configuration).await.context("cannot activate the configuration");
    }
    let house = Arc::clone(house);
    tokio::spawn(async move {
        while let Err(error) = activate(&house, configuration.clone()).await {
            tracing::warn!(error = %crate::chain(&error), "the configuration file could not be offered to the cluster; tried again");
            tokio::select! {
                () = tokio::time::sleep(OFFERED_EVERY) => {}
                () = house.stopped() => return,
            }
        }
    });
    Ok(())
}

/// Makes a configuration the active one, unless this node has offered the same
/// before: a node that comes late with an old file must not turn the others back.
async fn activate(house: &House, configuration: Configuration) -> anyhow::Result<()> {
    let bytes = configuration.encode();
    drop(configuration);
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let (node, state) = (house.node.id(), house.node.state());
    if state.offered_by(node) == Some(digest.as_str()) {
        return Ok(());
    }
    let is_active = state.digest() == digest;
    drop(state);
    let offered_by = Some(node);
    if is_active {
        return command(house, Action::ActivateConfiguration { digest, offered_by }).await;
    }
    let parts = bytes.chunks(CONFIGURATION_PART_BYTES);
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    for (part, bytes) in parts.enumerate() {
        let part = part as u32;
        command(
            house,
            Action::StoreConfiguration { digest: digest.clone(), part, parts: count, bytes: bytes.to_vec() },
        )
        .await?;
    }
    command(house, Action::ActivateConfiguration { digest: digest.clone(), offered_by }).await?;
    tracing::info!(digest = digest.get(..12), "configuration is active");
    Ok(())
}

async fn command(house: &House, action: Action) -> anyhow::Result<()> {
    let command = Command {
        actor: "configuration file".to_owned(),
        origin: Origin::File,
        key: String::new(),
        expected_revision: None,
        action,
    };
    match house.node.propose(Body::Command(command)).await?.applied.outcome {
        CommandOutcome::Accepted => Ok(()),
        CommandOutcome::Refused(why) => bail!(why),
    }
}

/// `seen` is the fingerprint of the files as they were when the active configuration was read.
pub(crate) async fn run(house: Arc<House>, mut hangup: Signal, mut seen: Fingerprint) {
    // The node has just started with what stands there.
    say(&house, None).await;
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
            () = house.stopped() => return,
        };
        let found = files::fingerprint(&house.configuration);
        if asked || found != seen {
            seen = found;
            reload(&house).await;
        }
    }
}

async fn reload(house: &Arc<House>) {
    let path = house.configuration.clone();
    let loaded = tokio::task::spawn_blocking(move || files::load(&path)).await;
    let refused = match loaded {
        Ok(Ok(loaded)) if loaded.is_node_only => None,
        Ok(Ok(loaded)) => activate(house, loaded.configuration).await.err().map(|error| error.to_string()),
        Ok(Err(LoadError::Wrong(mistakes))) => Some(mistakes.to_string()),
        Ok(Err(LoadError::Unreadable(error))) => Some(crate::chain(&error)),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = &refused {
        tracing::error!("the configuration is refused and the one before stays active:\n{why}");
    }
    say(house, refused).await;
}

/// Tells the operator that the file is refused, or right again if it was not.
async fn say(house: &House, refused: Option<String>) {
    let held = house.node.state().condition_holds(ConditionKind::ConfigurationRefused, house.node.id());
    if refused.is_none() && !held {
        return;
    }
    let first_line = refused.as_deref().map(|why| why.lines().next().unwrap_or_default().trim_start_matches("error: "));
    let text = first_line.map_or_else(
        || "The configuration file is right again, and it is active.".to_owned(),
        |why| {
            format!(
                "The configuration file was refused, the one before stays active: {why}. See `mainstay config check`."
            )
        },
    );
    let condition =
        Condition { kind: ConditionKind::ConfigurationRefused, node: house.node.id(), holds: refused.is_some(), text };
    if let Err(error) = house.node.propose(Body::Condition(condition)).await {
        tracing::error!(%error, "the state of the configuration could not be logged");
    }
}
