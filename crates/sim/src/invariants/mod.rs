//! What must hold in every run, one file for each property.
//!
//! Some are looked at with each entry, when the first node applies it, some
//! each second, some when everything has worked again for long enough. **No
//! property trusts what it is about**: what is concluded is held against the
//! rounds that were logged, what was told against what receivers took, what a
//! node believes against the lines as they are.

pub(crate) mod a_cut_off_node_tells_once;
pub(crate) mod acknowledged_commands_survive;
mod bounds_hold;
pub(crate) mod checks_are_made;
mod every_delivery_ends;
mod everything_settles;
mod files_do_not_turn_back;
mod history_is_equal;
mod late_results_change_nothing;
mod messages_of_a_thread_come_in_order;
mod no_alarm_without_a_failure;
mod nothing_contradicts;
mod nothing_is_doubled_unmarked;
mod nothing_stays_open_when_all_is_well;
mod only_who_looks_is_set_aside;
mod outages_are_found;
pub(crate) mod replicas_agree;
pub(crate) mod results_are_kept;
mod time_adds_up;
mod verdicts_have_their_quorum;

use crate::Violation;
use crate::record::Record;
use crate::world::World;
use control::{Applied, State};
use model::entry::Entry;

/// An entry at the moment when the first node has applied it.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    pub(crate) index: u64,
    pub(crate) entry: &'a Entry,
    pub(crate) applied: &'a Applied,
    pub(crate) state: &'a State,
    pub(crate) now_ms: u64,
}

/// What the properties keep in mind.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    pub(crate) replicas_agree: replicas_agree::Watch,
    pub(crate) checks_are_made: checks_are_made::Watch,
    pub(crate) acknowledged_commands_survive: acknowledged_commands_survive::Watch,
    pub(crate) a_cut_off_node_tells_once: a_cut_off_node_tells_once::Watch,
    pub(crate) results_are_kept: results_are_kept::Watch,
    verdicts_have_their_quorum: verdicts_have_their_quorum::Watch,
    late_results_change_nothing: late_results_change_nothing::Watch,
    no_alarm_without_a_failure: no_alarm_without_a_failure::Watch,
    files_do_not_turn_back: files_do_not_turn_back::Watch,
    only_who_looks_is_set_aside: only_who_looks_is_set_aside::Watch,
    outages_are_found: outages_are_found::Watch,
}

impl Watches {
    /// Looks at what must hold with each entry.
    pub(crate) fn entry(&mut self, record: &mut Record, moment: &Moment<'_>) {
        self.checks_are_made.entry(moment);
        self.outages_are_found.entry(moment);
        self.acknowledged_commands_survive.entry(moment);
        record.hold("results_are_kept", self.results_are_kept.entry(moment));
        let late = self.late_results_change_nothing.entry(moment, &mut record.story);
        record.hold("late_results_change_nothing", late);
        record.hold("verdicts_have_their_quorum", self.verdicts_have_their_quorum.entry(moment));
        let alarm = self.no_alarm_without_a_failure.entry(moment, &mut record.story);
        record.hold("no_alarm_without_a_failure", alarm);
        record.hold("files_do_not_turn_back", self.files_do_not_turn_back.entry(moment));
        record.hold("only_who_looks_is_set_aside", self.only_who_looks_is_set_aside.entry(moment));
        record.hold("nothing_contradicts", nothing_contradicts::entry(moment));
        record.hold("bounds_hold", bounds_hold::entry(moment));
    }
}

/// Whether a stored state can be read back as it was.
pub(crate) fn stored_state_is_the_same(state: &State, bytes: &[u8]) -> Result<(), String> {
    match State::decode(bytes) {
        Ok(read) if read == *state => Ok(()),
        Ok(_) => Err("a state that was stored and read back is another one".to_owned()),
        Err(error) => Err(format!("a stored state cannot be read back: {error}")),
    }
}

/// Looks at what must hold at every second.
pub(crate) fn each_second(world: &mut World) {
    let now_ms = world.outside.now;
    let mut watches = std::mem::take(&mut world.outside.record.watches);
    let made = watches.checks_are_made.second(world, now_ms);
    let told = watches.a_cut_off_node_tells_once.second(world, now_ms);
    let found = watches.outages_are_found.second(world, &watches.checks_are_made, now_ms);
    let record = &mut world.outside.record;
    record.watches = watches;
    record.hold("checks_are_made", made);
    record.hold("a_cut_off_node_tells_once", told);
    record.hold("outages_are_found", found);
}

type Property = fn(&World) -> Result<(), String>;

/// What must hold when everything has worked again for long enough; each is
/// one that may take its time, or one that only the end can tell.
const AT_END: [(&str, Property); 11] = [
    ("everything_settles", everything_settles::holds),
    ("nothing_stays_open_when_all_is_well", nothing_stays_open_when_all_is_well::holds),
    ("every_delivery_ends", every_delivery_ends::holds),
    ("messages_of_a_thread_come_in_order", messages_of_a_thread_come_in_order::holds),
    ("nothing_is_doubled_unmarked", nothing_is_doubled_unmarked::holds),
    ("acknowledged_commands_survive", acknowledged_commands_survive::holds),
    ("history_is_equal", history_is_equal::holds),
    ("results_are_kept", results_are_kept::holds),
    ("replicas_agree", replicas_agree::holds),
    ("time_adds_up", time_adds_up::holds),
    ("a_cut_off_node_tells_once", a_cut_off_node_tells_once::holds),
];

/// Looks at what must hold at the end.
///
/// # Errors
/// The first property that does not.
pub(crate) fn at_end(world: &World) -> Result<(), Violation> {
    AT_END.into_iter().try_for_each(|(property, holds)| holds(world).map_err(|found| world.violation(property, found)))
}
