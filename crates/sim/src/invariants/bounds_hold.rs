//! Everything that can grow stays within its bound.

use super::Moment;
use model::limits::{
    COMMAND_KEYS_MAX, DECISIONS_MAX, DELIVERIES_FINISHED_MAX, DELIVERIES_OPEN_MAX, INCIDENTS_MAX, INVITATIONS_MAX,
    MAINTENANCE_MAX, MEMBERS_MAX, TIMELINE_MAX,
};

/// How often a state is measured.
const MEASURED_EVERY: u64 = 64;
/// Bytes of a state of a run: a handful of services, and everything that is
/// remembered of them at its bound.
const STATE_BYTES_MAX: usize = 4 << 20;
/// Bytes of it that may come with each entry, so that growth without a bound
/// shows in a run of some thousand entries.
const BYTES_AN_ENTRY: usize = 400;
/// Bytes of a state before its first entry.
const BYTES_AT_FIRST: usize = 64 << 10;

pub(super) fn entry(moment: &Moment<'_>) -> Result<(), String> {
    if !moment.index.is_multiple_of(MEASURED_EVERY) {
        return Ok(());
    }
    let state = moment.state;
    let timeline = state.incidents().map(|incident| incident.timeline.len()).max().unwrap_or(0);
    let bytes_max = STATE_BYTES_MAX.min(BYTES_AT_FIRST + BYTES_AN_ENTRY * moment.index as usize);
    for (what, found, bound) in [
        ("members", state.members().count(), MEMBERS_MAX),
        ("invitations", state.invitations().count(), INVITATIONS_MAX),
        ("decisions", state.decisions().count(), DECISIONS_MAX),
        ("incidents", state.incidents().count(), INCIDENTS_MAX),
        ("deliveries", state.deliveries().count(), DELIVERIES_FINISHED_MAX + DELIVERIES_OPEN_MAX),
        ("pieces of planned work", state.maintenance().count(), MAINTENANCE_MAX),
        ("lines of a timeline", timeline, TIMELINE_MAX),
        ("bytes", state.encode().len(), bytes_max),
    ] {
        if found > bound {
            return Err(format!("{found} {what} after {} entries, at most {bound} are allowed", moment.index));
        }
    }
    const { assert!(COMMAND_KEYS_MAX > 0, "keys are remembered") };
    Ok(())
}
