//! What a backup's file is called, and which files in a place are ours.
//!
//! `mainstay-3f2a91bc-0b1c2d3e4f5061-20261120T023000.123Z.tar.zst.age`: the
//! begin of the cluster's id, the node's id, the moment, the formats. **Only a
//! name that this node could have given is ever counted or removed.**

use model::time::Timestamp;

const PREFIX: &str = "mainstay-";
const SUFFIX: &str = ".tar.zst";
const SUFFIX_ENCRYPTED: &str = ".tar.zst.age";
/// Letters of the cluster's id: enough for people; the node's id is unique by itself.
const CLUSTER_LETTERS: usize = 8;

/// Who makes backups: what their names begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Maker(String);

impl Maker {
    /// The maker that a node of a cluster is.
    pub(crate) fn new(cluster: &str, node: u64) -> Self {
        let cluster = cluster.get(..CLUSTER_LETTERS).unwrap_or(cluster);
        Self(format!("{PREFIX}{cluster}-{node:014x}-"))
    }

    /// The name of a backup that is made at a moment.
    pub(crate) fn name(&self, at: Timestamp, is_encrypted: bool) -> String {
        let suffix = if is_encrypted { SUFFIX_ENCRYPTED } else { SUFFIX };
        format!("{}{}{suffix}", self.0, compact(at))
    }

    /// When a file was made, if it is a backup of this maker.
    pub(crate) fn made(&self, name: &str) -> Option<Timestamp> {
        let rest = name.strip_prefix(&self.0)?;
        let stamp = rest.strip_suffix(SUFFIX_ENCRYPTED).or_else(|| rest.strip_suffix(SUFFIX))?;
        expand(stamp).filter(|at| compact(*at) == stamp)
    }

    /// Whether a file could only be a backup of this maker that was not finished.
    pub(crate) fn is_unfinished(&self, name: &str) -> bool {
        let finished = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(UNFINISHED));
        finished.is_some_and(|name| self.made(name).is_some())
    }
}

/// What the name of a file ends with while it is written; it begins with a point then.
pub(crate) const UNFINISHED: &str = ".part";

/// RFC 3339 without what separates, always with milliseconds: sorts by time, and no file system objects.
fn compact(at: Timestamp) -> String {
    let (year, month, day, hour, minute, second, ms) = at.civil();
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{ms:03}Z")
}

fn expand(stamp: &str) -> Option<Timestamp> {
    let part = |from: usize, to: usize| stamp.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, rest) = (part(9, 11)?, part(11, 13)?, stamp.get(13..)?);
    Timestamp::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_ms(1_795_141_800_123);

    #[test]
    fn a_name_tells_its_maker_when_it_was_made() {
        let maker = Maker::new("3f2a91bc00112233", 0x0b1c_2d3e_4f50);
        let name = maker.name(AT, true);
        assert_eq!(name, "mainstay-3f2a91bc-000b1c2d3e4f50-20261120T023000.123Z.tar.zst.age");
        assert_eq!(maker.made(&name), Some(AT));
        assert_eq!(maker.made(&maker.name(AT, false)), Some(AT));
        assert!(maker.is_unfinished(&format!(".{name}{UNFINISHED}")));
    }

    #[test]
    fn what_another_made_is_not_ours() {
        let maker = Maker::new("3f2a91bc00112233", 7);
        let ours = maker.name(AT, false);
        let others = [
            Maker::new("3f2a91bc00112233", 8).name(AT, false),
            Maker::new("4f2a91bc00112233", 7).name(AT, false),
            format!("old-{ours}"),
            format!("{ours}.bak"),
            ours.replace(".tar.zst", ".tar"),
            ours.replace("T0", "T9"),
            ours.replace("123Z", "1234Z"),
            "mainstay-.tar.zst".to_owned(),
            String::new(),
        ];
        for name in others {
            assert_eq!(maker.made(&name), None, "{name}");
            assert!(!maker.is_unfinished(&name), "{name}");
        }
        assert!(!maker.is_unfinished(&ours));
    }

    #[test]
    fn names_sort_by_time() {
        let maker = Maker::new("c", 7);
        let later = AT.plus(std::time::Duration::from_millis(900));
        assert!(maker.name(AT, false) < maker.name(later, false));
    }
}
