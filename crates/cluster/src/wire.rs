//! What nodes ask of each other, and the form it has on the way.
//!
//! openraft could serialise its messages itself, but then two releases of it
//! might not understand each other. These forms are ours; like entries,
//! **they only ever grow at the end**, and a kind never changes its meaning.

use crate::net::{BULK, JOIN as JOIN_OF_STRANGERS, URGENT};
use crate::row::{Row, RowError};
use crate::stored::{MembersSince, StoredLogId, StoredVote};
use crate::types::{RaftEntry, SnapshotMeta, TypeConfig};
use openraft::raft::{AppendEntriesRequest, InstallSnapshotRequest};
use serde::{Deserialize, Serialize};

/// A node that was invited asks to be let in.
pub(crate) const JOIN: u16 = JOIN_OF_STRANGERS;
/// A candidate asks for a vote.
pub(crate) const VOTE: u16 = URGENT | 2;
/// The leader sends entries, or just shows that it is there.
pub(crate) const APPEND: u16 = URGENT | 3;
/// The leader sends a part of a snapshot.
pub(crate) const SNAPSHOT: u16 = BULK | 4;
/// A node asks whether it would be voted for.
pub(crate) const STAND: u16 = URGENT | 5;
/// The leader asks a node to take over.
pub(crate) const TAKE_OVER: u16 = URGENT | 6;
/// A node asks up to where it must have applied the log to read what is true now.
pub(crate) const READ: u16 = 7;
/// A node passes a proposal on to the leader.
pub(crate) const PROPOSE: u16 = 8;
/// A node looks after another one.
pub(crate) const PULSE: u16 = URGENT | 9;
/// A node asks the leader to hand over.
pub(crate) const HAND_OVER: u16 = 10;
/// A node asks the leader to take a node out.
pub(crate) const REMOVE: u16 = 12;
/// The front door's own requests.
pub(crate) const SERVICE: u16 = BULK | 11;

/// Version of the requests as a whole, said in greetings.
pub(crate) const PROTOCOL: u32 = 1;

/// Why bytes are not what their kind says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The form is another.
    #[error("a message that cannot be read")]
    Form(#[from] postcard::Error),
    /// The lengths in it do not add up.
    #[error("a message whose lengths do not add up")]
    Lengths,
    /// An entry in it cannot be read.
    #[error("an entry in a message cannot be read")]
    Row(#[from] RowError),
}

#[derive(Debug, Serialize, Deserialize)]
struct AppendHead {
    vote: StoredVote,
    previous: Option<StoredLogId>,
    committed: Option<StoredLogId>,
    /// Each entry's place, and the length of its payload.
    rows: Vec<(StoredLogId, u32)>,
}

/// The answer to [`APPEND`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AppendAnswer {
    /// All of it is on disk.
    Taken,
    /// What precedes it is not there.
    Conflict,
    /// There is a later leader or candidate.
    Later(StoredVote),
}

/// Entries as they travel: a head, and behind it the payloads, which are never
/// looked at on the way.
pub(crate) fn append_request(request: &AppendEntriesRequest<TypeConfig>) -> Vec<u8> {
    let rows: Vec<Row> = request.entries.iter().map(Row::of).collect();
    let length = |row: &Row| u32::try_from(row.payload.len()).expect("rows are far below 4 GiB");
    let head = AppendHead {
        vote: request.vote.into(),
        previous: request.prev_log_id.map(Into::into),
        committed: request.leader_commit.map(Into::into),
        rows: rows.iter().map(|row| (row.id, length(row))).collect(),
    };
    let payloads = rows.iter().map(|row| row.payload.as_slice());
    with_head(&head, payloads)
}

pub(crate) fn read_append_request(bytes: &[u8]) -> Result<AppendEntriesRequest<TypeConfig>, WireError> {
    let (head, mut rest): (AppendHead, &[u8]) = postcard::take_from_bytes(bytes)?;
    let mut entries: Vec<RaftEntry> = Vec::with_capacity(head.rows.len().min(1024));
    for (id, length) in head.rows {
        let (payload, after) = rest.split_at_checked(length as usize).ok_or(WireError::Lengths)?;
        rest = after;
        // The count is not needed to read an entry; it follows from it.
        entries.push(Row { id, count: 0, payload: payload.to_vec() }.decode()?);
    }
    Ok(AppendEntriesRequest {
        vote: head.vote.into(),
        prev_log_id: head.previous.map(Into::into),
        entries,
        leader_commit: head.committed.map(Into::into),
    })
}

/// The request [`VOTE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteRequest {
    pub(crate) vote: StoredVote,
    pub(crate) last: Option<StoredLogId>,
}

/// The answer to [`VOTE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteAnswer {
    pub(crate) vote: StoredVote,
    pub(crate) last: Option<StoredLogId>,
    pub(crate) is_granted: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct SnapshotHead {
    vote: StoredVote,
    last: Option<StoredLogId>,
    members: MembersSince,
    id: String,
    offset: u64,
    is_end: bool,
}

/// The answer to [`SNAPSHOT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SnapshotAnswer {
    /// It is kept, or refused for this later vote.
    Vote(StoredVote),
    /// The parts before are not there: begin again.
    FromTheStart,
}

pub(crate) fn snapshot_request(request: &InstallSnapshotRequest<TypeConfig>) -> Vec<u8> {
    let head = SnapshotHead {
        vote: request.vote.into(),
        last: request.meta.last_log_id.map(Into::into),
        members: (&request.meta.last_membership).into(),
        id: request.meta.snapshot_id.clone(),
        offset: request.offset,
        is_end: request.done,
    };
    with_head(&head, [request.data.as_slice()].into_iter())
}

pub(crate) fn read_snapshot_request(bytes: &[u8]) -> Result<InstallSnapshotRequest<TypeConfig>, WireError> {
    let (head, data): (SnapshotHead, &[u8]) = postcard::take_from_bytes(bytes)?;
    let meta = SnapshotMeta {
        last_log_id: head.last.map(Into::into),
        last_membership: head.members.into(),
        snapshot_id: head.id,
    };
    let vote = head.vote.into();
    Ok(InstallSnapshotRequest { vote, meta, offset: head.offset, data: data.to_vec(), done: head.is_end })
}

/// The answer to [`STAND`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StandAnswer {
    /// Yes.
    Yes,
    /// Not within this many milliseconds: it heard the leader just now.
    NotBefore(u64),
    /// Its log has more.
    Behind,
}

/// Makes a body of a value.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("own types always encode")
}

/// Reads a value from a body. What follows it was added by a newer version.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, WireError> {
    Ok(postcard::take_from_bytes(bytes)?.0)
}

fn with_head<'a>(head: &impl Serialize, parts: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let mut bytes = encode(head);
    bytes.reserve(parts.clone().map(<[u8]>::len).sum());
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Group, LogId, Membership, Peer, Vote};
    use model::entry::{Body, Entry};
    use model::time::Timestamp;
    use openraft::{CommittedLeaderId, EntryPayload};
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    fn id(position: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(3, 7), position)
    }

    #[test]
    fn entries_survive_the_way() {
        let entry = Arc::new(Entry { at: Timestamp::from_ms(5), body: Body::Tick });
        let group = Group::new(vec![(Arc::clone(&entry), entry.encode()), (Arc::clone(&entry), entry.encode())]);
        let nodes = BTreeMap::from([(1, Peer { address: "a:1".into() }), (2, Peer::default())]);
        let members = Membership::new(vec![BTreeSet::from([1])], nodes);
        let payloads = [EntryPayload::Blank, EntryPayload::Membership(members), EntryPayload::Normal(group)];
        let entries = (11..).zip(payloads).map(|(at, payload)| RaftEntry { log_id: id(at), payload }).collect();
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(3, 7),
            prev_log_id: Some(id(10)),
            entries,
            leader_commit: None,
        };
        let bytes = append_request(&request);
        let read = read_append_request(&bytes).unwrap();
        assert_eq!(format!("{read:?}"), format!("{request:?}"));
        assert!(read_append_request(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn a_part_of_a_snapshot_survives_the_way() {
        let meta = SnapshotMeta { last_log_id: Some(id(4)), snapshot_id: "3-7-4".into(), ..SnapshotMeta::default() };
        let vote = Vote::new_committed(3, 7);
        let request = InstallSnapshotRequest { vote, meta, offset: 9, data: vec![1, 2, 3], done: true };
        assert_eq!(read_snapshot_request(&snapshot_request(&request)).unwrap(), request);
    }

    #[test]
    fn what_a_newer_node_adds_is_passed_over() {
        let mut bytes = encode(&StandAnswer::NotBefore(7));
        bytes.extend_from_slice(b"more");
        assert_eq!(decode::<StandAnswer>(&bytes).unwrap(), StandAnswer::NotBefore(7));
    }
}
