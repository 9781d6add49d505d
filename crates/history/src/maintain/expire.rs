//! Dropping what is older than it is kept, whole spans of time at once.

use super::Call;
use crate::error::WriteError;
use crate::keys::{day_of_window, month_of};
use crate::store::{Options, Shared, Store, Writer};
use crate::tables::{TableId, Tables};
use model::time::Timestamp;

/// What is still kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The first day with single results and evidence.
    pub(crate) raw_from: i64,
    /// The first month with 5-minute roll-ups.
    pub(crate) five_from: i64,
}

impl Shared {
    /// What is still kept; `None` if there are no results to tell by.
    ///
    /// Age is counted from the given time or, if that is earlier, from the day
    /// after the latest result: a clock that jumps ahead by a year must not
    /// empty the store.
    pub(crate) fn kept(&self, options: &Options, now: Timestamp) -> Option<Kept> {
        let today = now.day().min(self.newest_day()? + 1);
        let raw_from = today - i64::from(options.raw_days);
        let five_from = month_of((today - i64::from(options.five_minute_days)).max(0));
        Some(Kept { raw_from, five_from })
    }
}

impl Store {
    /// The first instant whose results are still kept at `now`. What is older
    /// has been dropped by some nodes and not yet by others.
    pub fn kept_from(&self, now: Timestamp) -> Timestamp {
        let kept = self.shared().kept(&self.options, now);
        Timestamp::of_day(kept.map_or(now.day() - i64::from(self.options.raw_days), |kept| kept.raw_from).max(0))
    }

    /// Drops every span of time that has expired.
    pub(super) fn expire(&self, writer: &mut Writer, call: &mut Call) -> Result<(), WriteError> {
        let expired = {
            let shared = self.shared();
            let Some(Kept { raw_from, five_from }) = shared.kept(&self.options, call.now) else { return Ok(()) };
            let is_expired = |id: &TableId| match *id {
                TableId::Head(head) => day_of_window(head.window) < raw_from,
                TableId::Raw(day) => day < raw_from && shared.state.has_final_rollups(day),
                TableId::Evidence(day) => day < raw_from,
                TableId::Five(month) => month < five_from,
                TableId::Days(_) => false,
            };
            shared.tables.iter().flat_map(Tables::ids).filter(is_expired).collect::<Vec<_>>()
        };
        if expired.is_empty() {
            return Ok(());
        }
        self.prepare_write(writer)?;
        for id in expired {
            self.drop_table(id)?;
            call.report.expired += 1;
            if let TableId::Raw(day) = id {
                self.change_state(|state| {
                    state.sealed.retain(|window| day_of_window(*window) > day);
                    state.unrolled.retain(|unrolled| *unrolled > day);
                })?;
            }
        }
        Ok(())
    }
}
