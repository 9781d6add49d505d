//! The keys of `expect`, for each kind of check.

use super::{Field, Form, Part, default, optional, required};

/// An hour, the longest timeout.
const HOUR_MS: u64 = 3_600_000;
/// Ten years: nobody issues certificates for longer that a client would take.
const DAYS_MAX: u32 = 3660;

const LATENCY: &[Field] =
    &[optional("latency", Form::Part(&LATENCY_PART), "Times from which a round is slow or has failed.")];
const CERTIFICATE: &[Field] =
    &[optional("certificate", Form::Part(&CERTIFICATE_PART), "What is expected of the server's certificate.")];

/// Limits on time.
pub(crate) static LATENCY_PART: Part = Part {
    name: "the latency limits",
    doc: "Times from which a round is slow or has failed.",
    groups: &[&[
        optional("degraded", Form::Duration { low_ms: 1, high_ms: HOUR_MS }, "From here on the check is degraded."),
        optional("down", Form::Duration { low_ms: 1, high_ms: HOUR_MS }, "From here on the round has failed."),
    ]],
};

/// What is expected of a certificate.
pub(crate) static CERTIFICATE_PART: Part = Part {
    name: "the certificate's expectation",
    doc: "What is expected of the server's certificate.",
    groups: &[&[default(
        "days_left",
        Form::Integer { low: 0, high: DAYS_MAX },
        "14",
        "Days left from which the check is degraded; 0 switches it off.",
    )]],
};

const TEXT_TEST_FIELDS: &[Field] = &[
    optional("contains", Form::LongText, "It holds this text."),
    optional("lacks", Form::LongText, "It does not hold this text."),
    optional("matches", Form::Regex, "This regular expression matches somewhere in it."),
    optional("matches_not", Form::Regex, "This regular expression matches nowhere in it."),
];

/// A test of a text.
pub(crate) static TEXT_TEST: Part =
    Part { name: "a test of a text", doc: "A text alone stands for `contains`.", groups: &[TEXT_TEST_FIELDS] };

const TEST: Form = Form::Either(&Form::LongText, &Form::Part(&TEXT_TEST));

/// A test of a header.
pub(crate) static HEADER_TEST: Part = Part {
    name: "a test of a header",
    doc: "With the name alone the header must be there.",
    groups: &[&[required("name", Form::HeaderName, "The header, in any case.")], TEXT_TEST_FIELDS],
};

/// A test of a JSON document.
pub(crate) static JSON_TEST: Part = Part {
    name: "a test of JSON",
    doc: "At least one condition on the first value that the path selects; with the path alone it must exist.",
    groups: &[&[
        required("path", Form::JsonPath, "Where to look."),
        optional("equals", Form::Json, "It is equal to this."),
        optional("differs", Form::Json, "It is not equal to this."),
        optional("at_least", Form::Number, "A number that is not smaller than this."),
        optional("at_most", Form::Number, "A number that is not larger than this."),
        optional("matches", Form::Regex, "A text that this regular expression matches."),
        optional("exists", Form::Boolean, "Whether it is there."),
    ]],
};

/// `expect` where only time is limited.
pub(crate) static PLAIN: Part = Part { name: "an expectation", doc: "Limits on time.", groups: &[LATENCY] };

/// `expect` where time and a certificate are limited.
pub(crate) static TLS: Part =
    Part { name: "a tls expectation", doc: "Limits on time and certificate.", groups: &[CERTIFICATE, LATENCY] };

/// `expect` of an http check.
pub(crate) static HTTP: Part = Part {
    name: "an http expectation",
    doc: "What an HTTP answer must look like.",
    groups: &[
        &[
            default("status", Form::OneOrList(&Form::Status), "200-299", "Accepted status codes."),
            optional("body", Form::OneOrList(&TEST), "Tests of the body as text."),
            optional("json", Form::OneOrList(&Form::Part(&JSON_TEST)), "Tests of the body as JSON."),
            optional("header", Form::OneOrList(&Form::Part(&HEADER_TEST)), "Tests of response headers."),
        ],
        CERTIFICATE,
        LATENCY,
    ],
};

/// `expect` of a tcp check.
pub(crate) static TCP: Part = Part {
    name: "a tcp expectation",
    doc: "A short dialogue.",
    groups: &[
        &[
            optional("banner", Form::Regex, "A line that the server sends by itself."),
            optional("answer", Form::Regex, "A line of its answer to `send`."),
        ],
        CERTIFICATE,
        LATENCY,
    ],
};

/// `expect` of a dns check.
pub(crate) static DNS: Part = Part {
    name: "a dns expectation",
    doc: "What a DNS answer must be.",
    groups: &[
        &[
            default(
                "code",
                Form::Choice(&["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"]),
                "NOERROR",
                "The response code.",
            ),
            optional(
                "answers",
                Form::OneOrList(&Form::Text),
                "Each of these is among the answers, as `dig +short` writes them.",
            ),
            optional("contains", Form::OneOrList(&Form::Text), "Some answer holds this text."),
            optional("matches", Form::OneOrList(&Form::Regex), "This regular expression matches some answer."),
        ],
        LATENCY,
    ],
};

/// `expect` of an ssh check.
pub(crate) static SSH: Part = Part {
    name: "an ssh expectation",
    doc: "What an SSH server says.",
    groups: &[
        &[
            optional("banner", TEST, "A test of the banner line."),
            optional("host_key", Form::Fingerprint, "The host key's fingerprint."),
        ],
        LATENCY,
    ],
};

/// `expect` of a postgres check.
pub(crate) static POSTGRES: Part = Part {
    name: "a postgres expectation",
    doc: "What a query returns.",
    groups: &[
        &[optional("value", TEST, "A test of the first column of the first row, as text.")],
        CERTIFICATE,
        LATENCY,
    ],
};

/// `expect` of a redis check.
pub(crate) static REDIS: Part = Part {
    name: "a redis expectation",
    doc: "What a command answers.",
    groups: &[&[optional("answer", TEST, "A test of the answer, as text.")], CERTIFICATE, LATENCY],
};
