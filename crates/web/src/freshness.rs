//! Whether what is shown is the present, and under whose name it is shown.
//!
//! A node is asked how it is far more often than that can change, because
//! every page says it; so its answer is kept for an instant.

use crate::commands::NodeStatus;
use axum::http::header::Entry;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use model::time::Timestamp;
use std::time::{Duration, Instant};

/// How long a node's word about itself is taken for true: short beside the
/// second in which a change must be seen, long beside the time between two
/// requests of many visitors.
const TRUE_FOR: Duration = Duration::from_millis(100);

/// The header that holds the stamp of the state from which an answer was made.
pub(crate) const AS_OF: HeaderName = HeaderName::from_static("mainstay-as-of");
/// The header that names the node which answered.
pub(crate) const NODE: HeaderName = HeaderName::from_static("mainstay-node");

/// How far what is shown is the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// It is.
    Present,
    /// No entry has been applied for too long.
    Stale,
    /// The node has no contact with the others.
    CutOff {
        /// Since when.
        since: Timestamp,
        /// Whether that was on the present day, for which people need no date.
        is_today: bool,
    },
}

impl Freshness {
    /// Whether what is shown may be out of date; nothing may be green then.
    pub(crate) const fn is_past(self) -> bool {
        match self {
            Self::Present => false,
            Self::Stale | Self::CutOff { .. } => true,
        }
    }

    /// Since when the node has had no contact, if it has none.
    pub(crate) const fn cut_off_since(self) -> Option<Timestamp> {
        match self {
            Self::Present | Self::Stale => None,
            Self::CutOff { since, .. } => Some(since),
        }
    }
}

/// What every answer says of the node.
pub(crate) struct Glance {
    asked: Instant,
    name: Option<HeaderValue>,
    cut_off_since: Option<Timestamp>,
}

impl Glance {
    pub(crate) fn of(node: &NodeStatus) -> Self {
        let name = HeaderValue::from_str(&node.name).ok().filter(|name| !name.is_empty());
        Self { asked: Instant::now(), name, cut_off_since: node.cut_off_since }
    }

    /// Whether the node need not be asked again yet.
    pub(crate) fn is_good(&self) -> bool {
        self.asked.elapsed() < TRUE_FOR
    }

    /// How far a state of this age is the present, at this time of the wall clock.
    pub(crate) fn freshness(&self, age: Duration, stale_after: Duration, now: Timestamp) -> Freshness {
        match self.cut_off_since {
            Some(since) => Freshness::CutOff { since, is_today: since.day() == now.day() },
            None if age > stale_after => Freshness::Stale,
            None => Freshness::Present,
        }
    }

    /// Writes onto an answer which node made it and from what. `as_of` is the
    /// state there was when the request came: the answer knows that and perhaps
    /// more, unless it was finished before and says itself what it knows.
    pub(crate) fn sign(&self, headers: &mut HeaderMap, as_of: Option<Timestamp>) {
        if let Some(name) = &self.name {
            headers.insert(NODE, name.clone());
        }
        if let (Some(as_of), Entry::Vacant(place)) = (as_of, headers.entry(AS_OF)) {
            place.insert(stamp(as_of));
        }
    }
}

/// A stamp as the value of a header.
pub(crate) fn stamp(as_of: Timestamp) -> HeaderValue {
    HeaderValue::from_str(&as_of.to_string()).expect("digits and signs are legal")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("a time")
    }

    #[test]
    fn being_cut_off_is_said_before_being_stale() {
        let since = at("2026-11-20T12:03:00Z");
        let evening = at("2026-11-20T23:59:59Z");
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let glance = |cut_off_since| Glance::of(&NodeStatus { cut_off_since, ..NodeStatus::default() });
        for (cut_off_since, age, now, expected) in [
            (None, second, evening, Freshness::Present),
            (None, minute, evening, Freshness::Stale),
            (Some(since), second, evening, Freshness::CutOff { since, is_today: true }),
            (Some(since), minute, evening.plus(second), Freshness::CutOff { since, is_today: false }),
        ] {
            let found = glance(cut_off_since).freshness(age, Duration::from_secs(30), now);
            assert_eq!(found, expected);
            assert_eq!(found.is_past(), expected != Freshness::Present);
        }
    }

    #[test]
    fn a_finished_answer_keeps_the_stamp_it_was_made_with() {
        let glance = Glance::of(&NodeStatus { name: "london1".to_owned(), ..NodeStatus::default() });
        let mut headers = HeaderMap::new();
        glance.sign(&mut headers, Some(at("2026-11-20T12:00:00Z")));
        glance.sign(&mut headers, Some(at("2026-11-20T12:00:05Z")));
        assert_eq!(
            (&headers[AS_OF], &headers[NODE]),
            (&HeaderValue::from_static("2026-11-20T12:00:00Z"), &HeaderValue::from_static("london1"))
        );
        let mut headers = HeaderMap::new();
        Glance::of(&NodeStatus { name: "a\r\nb".to_owned(), ..NodeStatus::default() }).sign(&mut headers, None);
        assert!(headers.is_empty(), "no name and no state, nothing to say");
    }
}
