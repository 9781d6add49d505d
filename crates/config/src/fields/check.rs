//! The keys that checks of several kinds share, and the list of kinds.

use super::{Field, Form, Part, default, kinds, optional};

/// A day: a check that runs less often watches nothing.
const DAY_MS: u64 = 86_400_000;
/// An hour: nobody waits longer for one answer.
const HOUR_MS: u64 = 3_600_000;

const ID: Field = optional(
    "id",
    Form::Id,
    "Unique name; when left out the service's id if this is its only check, otherwise that and the kind (\"api-http\").",
);

/// When a round is made and how many decide.
pub(super) const ROUNDS: &[Field] = &[
    default("every", Form::Duration { low_ms: 1000, high_ms: DAY_MS }, "60s", "Time between two rounds."),
    default(
        "timeout",
        Form::Duration { low_ms: 10, high_ms: HOUR_MS },
        "10s",
        "Longest time of one round, name resolution included; never longer than `every`.",
    ),
    default(
        "retry",
        Form::Duration { low_ms: 1000, high_ms: DAY_MS },
        "5s",
        "Time until a failed round is repeated while an outage is not yet confirmed.",
    ),
    default(
        "down_after",
        Form::Integer { low: 1, high: 100 },
        "2",
        "Failed rounds in a row after which a location counts as failing.",
    ),
    default(
        "up_after",
        Form::Integer { low: 1, high: 100 },
        "2",
        "Good rounds in a row after which a location counts as good again.",
    ),
    optional("from", Form::OneOrList(&Form::Name("a location")), "Locations that look; all of them when left out."),
];

/// Which addresses are used.
pub(super) const FAMILY: &[Field] = &[default(
    "family",
    Form::Choice(&["any", "ipv4", "ipv6", "both"]),
    "any",
    "Addresses used. `both` makes two checks, with -ipv4 and -ipv6 behind their ids, that are judged apart.",
)];

/// The name of a check.
pub(super) const NAMED: &[Field] = &[ID];

/// What holds for every check that does not say otherwise.
pub(crate) static DEFAULTS: Part = Part {
    name: "the defaults",
    doc: "What holds for every check that does not say otherwise.",
    groups: &[ROUNDS, FAMILY],
};

/// How TLS trusts, for kinds that may use it.
pub(super) const TRUST: &[Field] = &[
    default(
        "verify",
        Form::Boolean,
        "true",
        "Whether the certificate's chain and name are verified. Its expiry is reported either way.",
    ),
    optional("ca_file", Form::Path, "PEM file with further certificate authorities."),
    optional("client_certificate", Form::Part(&CLIENT_CERTIFICATE), "Certificate that proves who we are."),
    optional("server_name", Form::Host, "Name that is asked for and verified; the host's when left out."),
];

/// Certificate and key of a client.
pub(crate) static CLIENT_CERTIFICATE: Part = Part {
    name: "a client certificate",
    doc: "PEM files.",
    groups: &[&[
        super::required("certificate", Form::Path, "File with the chain."),
        super::required("key", Form::Path, "File with the key."),
    ]],
};

/// TLS as an option of another protocol.
pub(crate) static TLS_OPTION: Part =
    Part { name: "the TLS options", doc: "How TLS is used; `tls: true` stands for all defaults.", groups: &[TRUST] };

/// The form of `tls` where it is an option.
pub(super) const TLS: Form = Form::Either(&Form::Boolean, &Form::Part(&TLS_OPTION));

/// A kind of check.
pub(crate) struct Kind {
    /// The key that makes a check one of this kind.
    pub(crate) name: &'static str,
    /// Its keys.
    pub(crate) part: &'static Part,
}

/// All kinds, in the order they are documented.
pub(crate) static KINDS: [Kind; 11] = [
    Kind { name: "http", part: &kinds::HTTP },
    Kind { name: "tcp", part: &kinds::TCP },
    Kind { name: "icmp", part: &kinds::ICMP },
    Kind { name: "dns", part: &kinds::DNS },
    Kind { name: "tls", part: &kinds::TLS_CHECK },
    Kind { name: "smtp", part: &kinds::SMTP },
    Kind { name: "ssh", part: &kinds::SSH },
    Kind { name: "postgres", part: &kinds::POSTGRES },
    Kind { name: "redis", part: &kinds::REDIS },
    Kind { name: "heartbeat", part: &kinds::HEARTBEAT },
    Kind { name: "plugin", part: &kinds::PLUGIN },
];
