//! Bounds on what the network can make us keep, wait for, or do.

use std::time::Duration;

/// Bytes of a request or an answer between members: eight entries of the largest size.
pub(super) const FRAME_BYTES_MAX: usize = 8 << 20;
/// Bytes of a stranger's request: a token, a signing request and some facts take 2 kB.
pub(super) const STRANGER_BYTES_MAX: usize = 64 << 10;
/// Bytes of a greeting; a newer version may say more than we do.
pub(super) const GREETING_BYTES_MAX: usize = 64 << 10;
/// Bytes of a refusal's or a failure's sentence.
pub(super) const SENTENCE_BYTES_MAX: usize = 4 << 10;
/// Bytes up to which a request does not delay the ones behind it noticeably:
/// 0.5 ms at 1 Gbit/s.
pub(super) const SMALL_BYTES_MAX: usize = 64 << 10;

/// Requests of one connection that are handled at a time; with all taken, no
/// more are read, and the peer feels it.
pub(super) const IN_FLIGHT_MAX: usize = 256;
/// Bytes of body that go with one of [`IN_FLIGHT_MAX`]; a larger request takes
/// several. So the bodies in flight take at most 32 MiB a connection.
pub(super) const IN_FLIGHT_BYTES: usize = 128 << 10;
/// Requests that wait to be sent on one connection; callers wait in front of a
/// full queue, each for its own time.
pub(super) const QUEUE_MAX: usize = 256;
/// Bytes put together before they are encrypted and sent: a few TLS records.
pub(super) const BUFFER_BYTES: usize = 64 << 10;

/// Connections on which a peer may come in, for each lane: the one it uses, and
/// what it or the network has not closed yet. With more the oldest is closed.
pub(super) const CONNECTIONS_FOR_EACH_LANE_MAX: usize = 4;
/// Connections that have not shown who they are. With more the oldest is
/// closed: it had the longest time to, so a flood does not keep members out.
pub(super) const UNKNOWN_MAX: usize = 64;
/// Strangers at a time; more are turned away.
pub(super) const STRANGERS_MAX: usize = 16;
/// How long a newcomer may take to be known, and a stranger to ask.
pub(super) const INTRODUCTION_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the answer to a stranger may take: a join waits for a majority.
pub(super) const STRANGER_ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
/// The time between two strangers' requests. A token has 256 bits, so this is
/// not what keeps it from being guessed; it keeps guessers from being a load.
pub(super) const STRANGER_INTERVAL: Duration = Duration::from_millis(100);

/// How long a TCP connection may take to come about: ten round trips to the
/// far side of a continent.
pub(super) const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);
/// How long TLS and greeting may take; a peer whose disk is slow writes a mark meanwhile.
pub(super) const GREETING_TIME_MAX: Duration = Duration::from_secs(3);
/// How long a name may take to be resolved.
pub(super) const RESOLVE_TIME_MAX: Duration = Duration::from_secs(1);
/// Addresses of one name that are tried.
pub(super) const ADDRESSES_TRIED_MAX: usize = 4;
/// The pause after a first failed attempt. It doubles with each further one.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause between attempts: how much later than it could be a peer
/// that came back is found.
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(400);

/// How long sent bytes may stay unconfirmed before the connection counts as
/// broken (`TCP_USER_TIMEOUT`): longer than the retransmission of a packet or
/// two, shorter than people's patience.
pub(super) const UNCONFIRMED_TIME_MAX: Duration = Duration::from_secs(2);
/// How long a connection may be silent before the kernel asks whether the peer is there.
pub(super) const SILENCE_BEFORE_QUESTION: Duration = Duration::from_secs(5);
/// The time between the kernel's questions.
pub(super) const QUESTION_INTERVAL: Duration = Duration::from_secs(1);

/// How long requests may go on after their connection broke.
pub(super) const FINISH_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a closing handshake may take; without it the peer sees a break.
pub(super) const GOODBYE_TIME_MAX: Duration = Duration::from_secs(1);
