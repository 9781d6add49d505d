//! Dropping what is older than it is kept, whole spans of time at once.

use super::Call;
use crate::error::WriteError;
use crate::keys::{day_of_window, month_of};
use crate::store::{Store, Writer};
use crate::tables::{TableId, Tables};

impl Store {
    /// Drops every span of time that has expired.
    ///
    /// Age is counted from maintenance's time or, if that is earlier, from the
    /// day after the latest result: a clock that jumps ahead by a year must
    /// not empty the store.
    pub(super) fn expire(&self, writer: &mut Writer, call: &mut Call) -> Result<(), WriteError> {
        let expired = {
            let shared = self.shared();
            let Some(newest) = shared.newest_day() else { return Ok(()) };
            let today = call.now.day().min(newest + 1);
            let raw_from = today - i64::from(self.options.raw_days);
            let five_from = month_of((today - i64::from(self.options.five_minute_days)).max(0));
            let rolled = shared.state.rolled_through;
            let is_expired = |id: &TableId| match *id {
                TableId::Head(head) => day_of_window(head.window) < raw_from,
                TableId::Raw(day) => day < raw_from && rolled.is_some_and(|through| day <= through),
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
