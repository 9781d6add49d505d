//! Bounds on everything that can grow, each with its reason.

/// Observations in one batch: a second of 5,000 checks, about 70 kB.
pub const BATCH_OBSERVATIONS_MAX: usize = 5_000;
/// Bytes of one batch, as far as [`crate::observation::Observation::weight`] tells: half an entry.
pub const BATCH_BYTES_MAX: usize = 512 << 10;
/// Bytes of one entry: SQLite and the replication both move it whole.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;
/// Bytes of one part of a configuration, well below [`ENTRY_BYTES_MAX`].
pub const CONFIGURATION_PART_BYTES: usize = 256 << 10;
/// Parts of one configuration: 256 MiB, a million checks with room.
pub const CONFIGURATION_PARTS_MAX: u32 = 1024;
/// Bytes of a configuration file: as large as what it may become.
pub const CONFIGURATION_FILE_BYTES_MAX: u64 = 256 << 20;
/// Checks that were ever configured: each keeps its place, because the history
/// that is kept for ever is filed under it. About 1 GB of state.
pub const SLOTS_MAX: usize = 4_000_000;

/// Characters of a failure's sentence: two lines on a terminal and in a mail.
pub const FAILURE_TEXT_LENGTH_MAX: usize = 300;
/// Bytes of an excerpt kept as evidence.
pub const EXCERPT_BYTES_MAX: usize = 1024;
/// Addresses kept as evidence; names with more exist, and more say nothing new.
pub const ADDRESSES_MAX: usize = 8;
/// Names of a certificate kept as evidence.
pub const CERTIFICATE_NAMES_MAX: usize = 10;
/// Bytes of any other text kept as evidence.
pub const EVIDENCE_TEXT_BYTES_MAX: usize = 300;

/// Bytes read of an HTTP body, after decompression: what a check can test.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of an HTTP response head; nginx and Apache refuse requests from 8 kB on.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Headers of an HTTP response.
pub const HEADERS_MAX: usize = 100;
/// Bytes of a line in a text dialogue; RFC 5321 asks for 512, servers send more.
pub const LINE_BYTES_MAX: usize = 4096;
/// Lines read in one step of a dialogue.
pub const DIALOGUE_LINES_MAX: usize = 200;
/// Bytes of output read from a plugin or an executable receiver.
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// Open or recent incidents kept in the state; the oldest closed ones go first.
pub const INCIDENTS_MAX: usize = 1_000;
/// Lines in the timeline of one incident; the middle is dropped, first and last stay.
pub const TIMELINE_MAX: usize = 200;
/// Finished deliveries kept to answer "was this sent?".
pub const DELIVERIES_FINISHED_MAX: usize = 2_000;
/// Deliveries that wait or run. Beyond it nobody is told that an incident began,
/// which is an alarm; the ends of those that were told come on top.
pub const DELIVERIES_OPEN_MAX: usize = 20_000;
/// Decisions kept to answer "why?".
pub const DECISIONS_MAX: usize = 5_000;
/// Keys of commands remembered, so that a repeated one is recognised.
pub const COMMAND_KEYS_MAX: usize = 2_000;
/// Planned work that is not over, declared and by command.
pub const MAINTENANCE_MAX: usize = 1_000;
/// Days of which a service's split of time is kept: the page's bars.
pub const DAYS_KEPT: usize = 90;

/// Members of a cluster: more voters than five make it slower, not safer; the
/// rest is room for replacing several at a time.
pub const MEMBERS_MAX: usize = 9;
/// Invitations that are open at a time.
pub const INVITATIONS_MAX: usize = 16;
/// Authorities that are trusted at a time: the one that signs, the one before,
/// and the one to come.
pub const AUTHORITIES_MAX: usize = 3;
/// Removed nodes remembered for ever, so that none comes back: one a week for 80 years.
pub const REMOVED_NODES_MAX: usize = 4_096;
/// Bytes of a node's name.
pub const NODE_NAME_LENGTH_MAX: usize = 64;
/// Bytes of any other text in what a node says about itself.
pub const NODE_FACT_BYTES_MAX: usize = 255;
/// Bytes of an authority's certificate or sealed key.
pub const AUTHORITY_BYTES_MAX: usize = 4_096;
