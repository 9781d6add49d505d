//! What the process logs, and how.

use crate::command::ServeArguments;
use anyhow::{Context, anyhow};
use config::{LogForm, NodeSettings};
use tracing_subscriber::EnvFilter;

/// Starts logging to standard error.
pub(crate) fn start(arguments: &ServeArguments, settings: &NodeSettings) -> anyhow::Result<()> {
    let level = arguments.log.clone().unwrap_or_else(|| settings.log_level.name().to_owned());
    // openraft and fjall tell their own story, which is not the operator's: a node
    // that does not answer is an error to openraft, several times a second.
    let filter = EnvFilter::try_new(format!("openraft=off,fjall=warn,lsm_tree=warn,{level}"))
        .with_context(|| format!("--log {level} is not a filter such as info or probe=debug"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = if arguments.log_json || settings.log_form == LogForm::Json {
        builder.json().flatten_event(true).try_init()
    } else {
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        builder.with_ansi(is_terminal).compact().try_init()
    };
    started.map_err(|error| anyhow!("cannot start logging: {error}"))
}
