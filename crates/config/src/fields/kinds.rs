//! The keys of each kind of check.

use super::check::{FAMILY, NAMED, ROUNDS, TLS, TRUST};
use super::{Field, Form, Part, default, expect, optional, required};

/// 366 days: a heartbeat may come once a year.
const YEAR_MS: u64 = 366 * 86_400_000;
const STARTTLS: Form = Form::Choice(&["smtp", "imap", "pop3"]);

/// An HTTP or HTTPS request.
pub(crate) static HTTP: Part = Part {
    name: "an http check",
    doc: "One HTTP or HTTPS request over a new connection.",
    groups: &[HTTP_FIELDS, NAMED, ROUNDS, FAMILY, TRUST],
};

const HTTP_FIELDS: &[Field] = &[
    required("http", Form::Url, "The address."),
    optional("expect", Form::Part(&expect::HTTP), "What the answer must look like."),
    default("method", Form::Method, "GET", "The request's method."),
    optional("headers", Form::TextMap, "Request headers in addition to Host, User-Agent and Accept."),
    optional("basic_auth", Form::Part(&BASIC_AUTH), "User and password for Basic authentication."),
    optional("bearer", Form::Secret, "Token for Bearer authentication."),
    optional("body", Form::LongText, "The request's body."),
    default("redirects", Form::Integer { low: 0, high: 20 }, "10", "Redirects followed; 0 judges the redirect itself."),
    optional("proxy", Form::Url, "An HTTP proxy, as http://host:port."),
    default(
        "close_by_reset",
        Form::Boolean,
        "false",
        "Whether our side closes by reset after a complete answer: it leaves no closing connection behind, but some servers log a reset.",
    ),
];

/// User and password.
pub(crate) static BASIC_AUTH: Part = Part {
    name: "a login",
    doc: "User and password.",
    groups: &[&[required("user", Form::Text, "The user."), required("password", Form::Secret, "The password.")]],
};

/// A TCP connection.
pub(crate) static TCP: Part = Part {
    name: "a tcp check",
    doc: "A TCP connection, with a dialogue if wanted.",
    groups: &[
        &[
            required("tcp", Form::HostPort(None), "Where to connect."),
            optional("tls", TLS, "TLS from the first byte, or from the `starttls` step if the dialogue has one."),
            optional("dialogue", Form::List(&Form::Part(&STEP)), "Steps after connecting, in order."),
            optional("send", Form::LongText, "Short for a dialogue: sent once the banner has come."),
            optional("expect", Form::Part(&expect::TCP), "Short for a dialogue, and limits on time and certificate."),
        ],
        NAMED,
        ROUNDS,
        FAMILY,
    ],
};

/// A step of a dialogue.
pub(crate) static STEP: Part = Part {
    name: "a step of a dialogue",
    doc: "Exactly one of these.",
    groups: &[&[
        optional("send", Form::LongText, "Sends this text as it is; \"\\r\\n\" in double quotes ends a line."),
        optional("expect", Form::Regex, "Waits for a line that matches."),
        optional("starttls", STARTTLS, "Starts TLS in the words of this protocol, greeting included."),
    ]],
};

/// An ICMP echo.
pub(crate) static ICMP: Part = Part {
    name: "an icmp check",
    doc: "A ping.",
    groups: &[
        &[
            required("icmp", Form::Host, "Name or address."),
            default(
                "count",
                Form::Integer { low: 1, high: 20 },
                "1",
                "Echoes in a round; one answer passes, some lost is degraded.",
            ),
            optional("expect", Form::Part(&expect::PLAIN), "Limits on time."),
        ],
        NAMED,
        ROUNDS,
        FAMILY,
    ],
};

/// A DNS query.
pub(crate) static DNS: Part = Part {
    name: "a dns check",
    doc: "A DNS query.",
    groups: &[
        &[
            required("dns", Form::DomainName, "The name asked for."),
            default(
                "type",
                Form::Choice(&["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"]),
                "A",
                "The type of record.",
            ),
            optional("server", Form::HostPort(Some(53)), "The server asked; the system's resolver when left out."),
            optional("expect", Form::Part(&expect::DNS), "What the answer must be."),
        ],
        NAMED,
        ROUNDS,
        FAMILY,
    ],
};

/// A TLS handshake.
pub(crate) static TLS_CHECK: Part = Part {
    name: "a tls check",
    doc: "A TLS handshake: chain, name and expiry of the certificate.",
    groups: &[
        &[
            required("tls", Form::HostPort(Some(443)), "Where to connect."),
            optional("starttls", STARTTLS, "The protocol in whose words TLS is started."),
            optional("expect", Form::Part(&expect::TLS), "Limits on time and certificate."),
        ],
        NAMED,
        ROUNDS,
        FAMILY,
        TRUST,
    ],
};

/// A mail exchanger.
pub(crate) static SMTP: Part = Part {
    name: "an smtp check",
    doc: "A mail server: greeting, EHLO, TLS, and an envelope that is abandoned before any message. An answer of 5xx fails, one of 4xx is degraded.",
    groups: &[
        &[
            required(
                "smtp",
                Form::HostPort(Some(25)),
                "Where to connect; port 465 when left out with `tls: implicit`.",
            ),
            default(
                "tls",
                Form::Choice(&["none", "opportunistic", "starttls", "implicit"]),
                "opportunistic",
                "How TLS is used. `opportunistic` takes STARTTLS if offered and verifies nothing unless `verify: true` is said, as mail servers do among each other.",
            ),
            optional("envelope", Form::Part(&ENVELOPE), "Sender and recipient that are tried."),
            optional("expect", Form::Part(&expect::TLS), "Limits on time and certificate."),
        ],
        NAMED,
        ROUNDS,
        FAMILY,
        TRUST,
    ],
};

/// An envelope.
pub(crate) static ENVELOPE: Part = Part {
    name: "an envelope",
    doc: "Sender and recipient.",
    groups: &[&[
        required("from", Form::MailAddress, "The sender."),
        required("to", Form::MailAddress, "The recipient."),
    ]],
};

/// An SSH server.
pub(crate) static SSH: Part = Part {
    name: "an ssh check",
    doc: "An SSH server: its banner and host key.",
    groups: &[
        &[
            required("ssh", Form::HostPort(Some(22)), "Where to connect."),
            optional("expect", Form::Part(&expect::SSH), "What banner and host key must be."),
        ],
        NAMED,
        ROUNDS,
        FAMILY,
    ],
};

/// A PostgreSQL server.
pub(crate) static POSTGRES: Part = Part {
    name: "a postgres check",
    doc: "A PostgreSQL server: that it takes connections, or what it answers to a query.",
    groups: &[
        &[
            required("postgres", Form::HostPort(Some(5432)), "Where to connect."),
            optional("user", Form::Text, "The user; without one only \"does it take connections?\" is asked."),
            optional("password", Form::Secret, "The user's password."),
            optional("database", Form::Text, "The database; the user's name when left out."),
            optional("query", Form::LongText, "A query that must return a row."),
            optional("tls", TLS, "TLS, required when given."),
            optional(
                "expect",
                Form::Part(&expect::POSTGRES),
                "What the first value must be, and limits on time and certificate.",
            ),
        ],
        NAMED,
        ROUNDS,
        FAMILY,
    ],
};

/// A Redis server.
pub(crate) static REDIS: Part = Part {
    name: "a redis check",
    doc: "A Redis server: PING, or a command and its answer.",
    groups: &[
        &[
            required("redis", Form::HostPort(Some(6379)), "Where to connect."),
            optional("user", Form::Text, "A user of an access control list."),
            optional("password", Form::Secret, "The password."),
            optional("tls", TLS, "TLS."),
            default("command", Form::Command, "PING", "The command."),
            optional(
                "expect",
                Form::Part(&expect::REDIS),
                "What the answer must be, and limits on time and certificate.",
            ),
        ],
        NAMED,
        ROUNDS,
        FAMILY,
    ],
};

/// A sign of life. It has no thresholds: one that comes or fails to come decides.
pub(crate) static HEARTBEAT: Part = Part {
    name: "a heartbeat check",
    doc: "A sign of life that the watched thing sends to us: a request to /ping/ and the token. One that does not come in time is an outage, the next one ends it.",
    groups: &[&[required("heartbeat", Form::Part(&BEAT), "When it is expected.")], NAMED],
};

/// When a sign of life is expected.
pub(crate) static BEAT: Part = Part {
    name: "a heartbeat",
    doc: "Exactly one of `period` and `cron`.",
    groups: &[&[
        required("token", Form::Token, "The secret part of the address."),
        optional("period", Form::Duration { low_ms: 1000, high_ms: YEAR_MS }, "At most this long after the last one."),
        optional("cron", Form::Cron, "At these times."),
        default("time_zone", Form::TimeZone, "UTC", "The time zone of `cron`."),
        default("grace", Form::Duration { low_ms: 0, high_ms: YEAR_MS }, "5m", "How late it may be."),
    ]],
};

/// A Nagios plugin.
pub(crate) static PLUGIN: Part = Part {
    name: "a plugin check",
    doc: "A program that follows the Nagios plugin contract: exit code 0 to 3, status text and performance data on its first line.",
    groups: &[
        &[
            required("plugin", Form::Command, "The program and its arguments, run without a shell."),
            optional("environment", Form::TextMap, "Environment variables in addition to PATH and LANG."),
            optional("expect", Form::Part(&expect::PLAIN), "Limits on time."),
        ],
        NAMED,
        ROUNDS,
    ],
};
