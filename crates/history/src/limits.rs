//! Bounds on everything the store can grow by, each with its reason.

use std::time::Duration;

/// Results held in memory before they are written: about 8 MB, and 80 s of
/// 100,000 checks a minute, whose owner flushes every 10 s. Only a node that
/// makes tens of thousands of checks a second fills it; with a quarter of this
/// the merging of its many small tables cost a tenth of all processor time.
pub const BUFFER_ROWS_MAX: usize = 131_072;
/// Bytes of evidence held in memory before they are written.
pub const BUFFER_EVIDENCE_BYTES_MAX: usize = 4 << 20;
/// Bytes of sealed chunks or roll-ups held before they are written, so that a
/// window of 100,000 checks becomes a handful of tables instead of hundreds.
pub const PENDING_BYTES_MAX: usize = 4 << 20;

/// Details of rounds that did not pass, kept for a check at a location in an
/// hour: the first ones, so that each outage of a day shows how it began.
pub const EVIDENCE_TROUBLE_PER_HOUR: usize = 6;
/// Details of rounds that passed, kept for a check at a location in an hour.
pub const EVIDENCE_PASSED_PER_HOUR: usize = 2;
/// Bytes of evidence kept of one day over all checks, for the day when everything fails.
pub const EVIDENCE_BYTES_PER_DAY_MAX: u64 = 512 << 20;

/// Locations are numbered with 16 bits in keys.
pub const LOCATIONS_MAX: usize = 1 << 16;
/// How far after its entry's stamp a result may be scheduled. A prober with
/// a wrong clock must not create keyspaces all over the future.
pub const FUTURE_MAX: Duration = Duration::from_secs(3600);
/// Time after a window's end until it is sealed, for results on their way.
/// Later ones are still taken; they cost a rewrite of their chunk.
pub const SEAL_AFTER: Duration = Duration::from_secs(600);

/// Gaps remembered. Each comes from a snapshot of another node; a node that
/// gets more of them before it has closed the first is told so less exactly.
pub const GAPS_MAX: usize = 64;

/// Blocks of tables kept in memory. Reads come in bursts of few checks, and
/// the operating system caches the rest.
pub const CACHE_BYTES: u64 = 16 << 20;
/// Open files kept; well below the usual limit of 1,024.
pub const OPEN_FILES_MAX: usize = 256;
/// Bytes of a block of results or roll-ups: about 60 chunks, half as many index
/// entries as the engine's own choice gives for rows.
pub const BLOCK_BYTES: u32 = 16 << 10;
/// Tables of a keyspace waiting to be merged, from which a writer gives the
/// merging a moment. Live load never comes near; a bulk load does.
pub const TABLES_WAITING_MANY: usize = 24;
/// That moment. Applying a batch must not be held up longer, since a verdict may wait behind it.
pub const TABLES_WAIT: Duration = Duration::from_millis(100);
/// Waiting tables at which nothing more is written until some are merged: the
/// engine's list of tables counts them in eight bits.
pub const TABLES_WAITING_MAX: usize = 128;
/// How long a writer waits then, before it gives up and the tables are reopened.
pub const TABLES_WAIT_MAX: Duration = Duration::from_secs(10);

/// Bytes of an exported unit at most, but for a single record that is larger:
/// a caller that pauses between units limits bandwidth and memory by it.
pub const UNIT_BYTES_MAX: usize = 1 << 20;
/// The least size of a unit that can be asked for; smaller ones were mostly overhead.
pub const UNIT_BYTES_MIN: usize = 4 << 10;
/// Bytes of a unit that is read: the largest unit and the largest record.
pub const UNIT_BYTES_READ_MAX: usize = 2 << 20;
/// Results in one record of a unit; a longer series is cut into several. They
/// take below 1 MB even if no two are alike.
pub const RECORD_RESULTS_MAX: usize = 65_536;
/// Results in one unit, however well they compress: unpacking them is work.
pub const UNIT_RESULTS_MAX: usize = 4_000_000;
/// Locations named in one unit; what has more goes into the next.
pub const UNIT_LOCATIONS_MAX: usize = 1_024;
/// Bytes of one detail in a unit: several times what its limits in
/// [`model::limits`] come to.
pub const UNIT_DETAIL_BYTES_MAX: usize = 64 << 10;
/// Spans of which digests are remembered: 30 days of windows, with 256 shards
/// of 16 bytes each 2 MB. Which is only used by who compares them all.
pub const DIGESTS_REMEMBERED_MAX: usize = 512;
