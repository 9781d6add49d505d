//! The backups that a node makes by itself.

use super::Reader;
use super::section::Section;
use super::text;
use crate::node::BackupSettings;
use std::time::Duration;

/// Recipients of one backup; each adds some hundred bytes to it.
const RECIPIENTS_MAX: usize = 64;

impl Reader {
    pub(super) fn backup(&mut self, section: &Section<'_, '_>) -> Option<BackupSettings> {
        self.exclude(
            section,
            &["passphrase", "recipients"],
            "a passphrase for whoever knows it, or `recipients` for whoever has a key",
        );
        let to = section.at("to").and_then(|at| self.text(at));
        let every = section.at("every").and_then(|at| self.duration(at));
        let at = section.at("at").and_then(|at| self.text(at)).and_then(|text| text::time_of_day(&text).ok());
        let keep = section.at("keep").and_then(|at| self.integer(at));
        let passphrase = section.at("passphrase").and_then(|at| self.secret(at));
        let items = section.items("recipients", self);
        let recipients = items.into_iter().take(RECIPIENTS_MAX).filter_map(|at| self.text(at)).collect();
        Some(BackupSettings {
            to: to?,
            every: every.unwrap_or(BackupSettings::EVERY_DEFAULT),
            at: at.unwrap_or(Duration::ZERO),
            keep: keep.unwrap_or(BackupSettings::KEEP_DEFAULT),
            passphrase,
            recipients,
        })
    }
}
