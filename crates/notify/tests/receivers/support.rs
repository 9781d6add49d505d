//! Messages to deliver and the rule for programs that are not installed.

use model::entry::Answer;
use model::id::{IncidentId, ServiceId};
use model::message::{Message, Step};
use model::receiver::Means;
use model::time::Timestamp;
use model::verdict::ServiceStatus;
use notify::{Notifier, Options, Proxy, Try};
use std::time::Duration;

/// A first attempt.
pub(crate) const FIRST: Try = Try { attempt: 1, possibly_double: false };

/// Long enough for a slow machine, for deliveries that shall succeed.
pub(crate) const PATIENT: Duration = Duration::from_secs(15);

/// Delivers a message with the first attempt.
pub(crate) async fn deliver(means: &Means, message: &Message) -> Answer {
    notifier(PATIENT).deliver(means, message, FIRST).await
}

/// A notifier that never uses a proxy: receivers here are on this machine.
pub(crate) fn notifier(time_limit: Duration) -> Notifier {
    Notifier::new(Options { time_limit, proxy: Proxy::Never, ..Options::default() }).expect("a notifier")
}

/// The first message of an incident.
pub(crate) fn opened() -> Message {
    Message {
        key: "incident-42-ops-opened".into(),
        thread: "incident-42".into(),
        incident: Some(IncidentId(42)),
        step: Step::Opened,
        service: Some((ServiceId::new("website").unwrap(), "Website".into())),
        status: ServiceStatus::Down,
        title: "Website is down".into(),
        text: "london: connection refused by 192.0.2.10:443\nparis: connection refused by 192.0.2.10:443\n\n\
               Größe & <Folge> bleiben."
            .into(),
        started: Timestamp::parse_rfc3339("2026-11-20T21:23:00Z").unwrap(),
        at: Timestamp::parse_rfc3339("2026-11-20T21:23:01.250Z").unwrap(),
        url: Some("https://status.acme.example".into()),
    }
}

/// The last message of the same incident.
pub(crate) fn resolved() -> Message {
    Message {
        key: "incident-42-ops-resolved".into(),
        step: Step::Resolved,
        status: ServiceStatus::Up,
        title: "Website works again".into(),
        text: "It was down for 4 min 10 s.".into(),
        at: Timestamp::parse_rfc3339("2026-11-20T21:27:10Z").unwrap(),
        ..opened()
    }
}

/// A word about Mainstay itself.
pub(crate) fn own() -> Message {
    Message {
        key: "own-3-boss-begins".into(),
        thread: "own-3".into(),
        incident: None,
        step: Step::Own,
        service: None,
        status: ServiceStatus::Degraded,
        title: "Receiver ops cannot be reached".into(),
        text: "Three messages wait for it.".into(),
        ..opened()
    }
}

/// A test somebody asked for.
pub(crate) fn test_message() -> Message {
    Message {
        key: "test-7-ops".into(),
        thread: "test-7".into(),
        incident: None,
        step: Step::Test,
        service: None,
        status: ServiceStatus::Up,
        title: "This is a test".into(),
        text: "Nothing is wrong.".into(),
        url: None,
        ..opened()
    }
}

/// Says why a test does nothing here. Where everything is installed on purpose,
/// doing nothing would be a lie.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    println!("skipped: {reason}");
}

/// Whether a program can be found.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain([std::path::PathBuf::from("/usr/sbin")]);
    directories.into_iter().any(|directory| directory.join(program).is_file())
}

#[track_caller]
pub(crate) fn said(answer: Answer) -> String {
    match answer {
        Answer::Delivered { said } => said,
        Answer::Failed { .. } | Answer::Refused { .. } => panic!("not delivered: {answer:?}"),
    }
}

#[track_caller]
pub(crate) fn failure(answer: Answer) -> (String, Option<u32>) {
    match answer {
        Answer::Failed { reason, retry_after_seconds } => (reason, retry_after_seconds),
        Answer::Delivered { .. } | Answer::Refused { .. } => panic!("not a failure: {answer:?}"),
    }
}

#[track_caller]
pub(crate) fn refusal(answer: Answer) -> String {
    match answer {
        Answer::Refused { reason } => reason,
        Answer::Delivered { .. } | Answer::Failed { .. } => panic!("not a refusal: {answer:?}"),
    }
}
