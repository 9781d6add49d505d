//! Backups: asking for one, and how they went. On the local socket only, since
//! who asks says where the server writes.

use super::commands::{bad, read_body};
use crate::api::backup::{Backup, BackupRequest, Backups, Begun};
use crate::commands::{self, BackupRun, BackupStage};
use crate::error_page::{Refusal, json};
use crate::shared::Shared;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use axum::routing::get;
use model::secret::Secret;
use std::sync::Arc;

/// Recipients of one backup.
const RECIPIENTS_MAX: usize = 64;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/api/v1/backups", get(list).post(begin))
}

async fn list(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let backups = shared.commands.backups().iter().map(listed).collect();
    json(StatusCode::OK, &Backups { backups })
}

async fn begin(State(shared): State<Arc<Shared>>, body: Body) -> Result<Response<Body>, Refusal> {
    let request: BackupRequest = read_body(body).await?;
    judge(&request).map_err(bad)?;
    let BackupRequest { to, passphrase, recipients } = request;
    let passphrase = passphrase.map(Secret::Inline);
    let begun = shared.commands.back_up(commands::BackupRequest { to, passphrase, recipients }).await;
    let number = begun.map_err(|refused| Refusal::new(StatusCode::CONFLICT, refused.to_string()))?;
    Ok(json(StatusCode::ACCEPTED, &Begun { number }))
}

fn judge(request: &BackupRequest) -> Result<(), String> {
    let is_absolute = |to: &String| to.starts_with('/') || to.contains("://");
    if request.to.as_ref().is_some_and(|to| !is_absolute(to)) {
        return Err("`to` is an absolute path or s3://bucket/prefix; the server works in another directory".to_owned());
    }
    if request.passphrase.as_ref().is_some_and(String::is_empty) {
        return Err("the passphrase is empty".to_owned());
    }
    if request.passphrase.is_some() && !request.recipients.is_empty() {
        return Err("a backup is encrypted with a passphrase or for recipients, not both".to_owned());
    }
    if request.recipients.len() > RECIPIENTS_MAX {
        return Err(format!("a backup has at most {RECIPIENTS_MAX} recipients"));
    }
    Ok(())
}

fn listed(run: &BackupRun) -> Backup {
    let by = if run.is_scheduled { "schedule" } else { "command" };
    let mut backup = Backup {
        number: run.number,
        by: by.to_owned(),
        started: run.started.to_string(),
        to: run.to.clone(),
        encryption: run.encryption.to_owned(),
        state: String::new(),
        phase: None,
        done_bytes: 0,
        total_bytes: 0,
        ended: None,
        place: None,
        bytes: None,
        index: None,
        stamp: None,
        because: None,
    };
    match &run.stage {
        BackupStage::Running { phase, done_bytes, total_bytes } => {
            "running".clone_into(&mut backup.state);
            backup.phase = Some((*phase).to_owned());
            (backup.done_bytes, backup.total_bytes) = (*done_bytes, *total_bytes);
        }
        BackupStage::Done { ended, place, bytes, index, stamp } => {
            "done".clone_into(&mut backup.state);
            backup.ended = Some(ended.to_string());
            backup.place = Some(place.clone());
            (backup.bytes, backup.index, backup.stamp) = (Some(*bytes), Some(*index), Some(stamp.to_string()));
        }
        BackupStage::Failed { ended, because } => {
            "failed".clone_into(&mut backup.state);
            backup.ended = Some(ended.to_string());
            backup.because = Some(because.clone());
        }
    }
    backup
}
