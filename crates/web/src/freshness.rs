//! Whether what is shown is the present, and under whose name it is shown.

use crate::commands::Contact;
use axum::http::header::Entry;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use model::time::Timestamp;
use std::time::Duration;

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
    /// How far a state of this age is the present, at this time of the wall clock.
    pub(crate) fn of(contact: &Contact, age: Duration, stale_after: Duration, now: Timestamp) -> Self {
        match contact.cut_off_since {
            Some(since) => Self::CutOff { since, is_today: since.day() == now.day() },
            None if age > stale_after => Self::Stale,
            None => Self::Present,
        }
    }

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

/// Writes onto an answer which node made it and from what. `as_of` is the stamp
/// of the state there was when the request came: the answer knows that and
/// perhaps more, unless it was finished before and says itself what it knows.
pub(crate) fn sign(headers: &mut HeaderMap, contact: &Contact, as_of: Option<Timestamp>) {
    if !contact.name.is_empty()
        && let Ok(name) = HeaderValue::from_str(&contact.name)
    {
        headers.insert(NODE, name);
    }
    if let (Some(as_of), Entry::Vacant(place)) = (as_of, headers.entry(AS_OF)) {
        place.insert(stamp(as_of));
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
        for (cut_off_since, age, now, expected) in [
            (None, second, evening, Freshness::Present),
            (None, minute, evening, Freshness::Stale),
            (Some(since), second, evening, Freshness::CutOff { since, is_today: true }),
            (Some(since), minute, evening.plus(second), Freshness::CutOff { since, is_today: false }),
        ] {
            let contact = Contact { cut_off_since, ..Contact::default() };
            let found = Freshness::of(&contact, age, Duration::from_secs(30), now);
            assert_eq!(found, expected);
            assert_eq!(found.is_past(), expected != Freshness::Present);
        }
    }

    #[test]
    fn a_finished_answer_keeps_the_stamp_it_was_made_with() {
        let contact = Contact { name: "london1".into(), ..Contact::default() };
        let mut headers = HeaderMap::new();
        sign(&mut headers, &contact, Some(at("2026-11-20T12:00:00Z")));
        sign(&mut headers, &contact, Some(at("2026-11-20T12:00:05Z")));
        assert_eq!(
            (&headers[AS_OF], &headers[NODE]),
            (&stamp(at("2026-11-20T12:00:00Z")), &HeaderValue::from_static("london1"))
        );
    }

    #[test]
    fn a_node_without_a_name_and_without_a_state_says_nothing() {
        for name in ["", "a\r\nb"] {
            let mut headers = HeaderMap::new();
            sign(&mut headers, &Contact { name: name.into(), ..Contact::default() }, None);
            assert!(headers.is_empty(), "{name:?}");
        }
    }
}
