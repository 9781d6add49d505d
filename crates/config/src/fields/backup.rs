//! The keys about the backups that a node makes by itself.

use super::{Field, Form, Part, default, optional, required};

const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 24 * 3600 * SECOND_MS;

/// The backups that this node makes by itself.
pub(crate) static BACKUP: Part = Part {
    name: "the backup",
    doc: "The backups that this node makes by itself. It concerns the node that has the file: with the same part in the files of three nodes there are three backups.",
    groups: &[FIELDS],
};

const FIELDS: &[Field] = &[
    required(
        "to",
        Form::BackupTarget,
        "Where they go. A relative path starts beside the configuration; what a bucket needs is read from the environment (`AWS_…`).",
    ),
    default(
        "every",
        // Shorter than ten seconds a backup could not be made before the next is due.
        Form::Duration { low_ms: 10 * SECOND_MS, high_ms: 366 * DAY_MS },
        "24h",
        "Time from one to the next.",
    ),
    default(
        "at",
        Form::TimeOfDay,
        "00:00",
        "Hour and minute in UTC from which `every` is counted: with `every: 6h` and `at: \"02:30\"` also at 08:30, 14:30 and 20:30.",
    ),
    default(
        "keep",
        Form::Integer { low: 1, high: 10_000 },
        "14",
        "How many are kept. Older ones that this node made are removed from `to` after the next has been made.",
    ),
    optional("passphrase", Form::Secret, "What they are encrypted with."),
    optional(
        "recipients",
        Form::OneOrList(&Form::AgeRecipient),
        "Public keys of age for which they are encrypted; the secret keys need not be on this machine.",
    ),
];
