//! The keys of receivers and of the mail server.

use super::{Form, Part, default, optional};

/// Who is told.
pub(crate) static RECEIVER: Part = Part {
    name: "a receiver",
    doc: "Who is told, by exactly one of `mail`, `webhook`, `slack`, `ntfy`, `pagerduty` and `exec`.",
    groups: &[&[
        optional("id", Form::Id, "Unique name; the means when left out (\"mail\")."),
        optional("mail", Form::MailAddress, "A mail address. The server stands under `mail` at the top."),
        optional(
            "webhook",
            Form::Url,
            "An address that gets each message as JSON, signed by Standard Webhooks if there is a `secret`.",
        ),
        optional(
            "secret",
            Form::Secret,
            "For `webhook`: whsec_ and base64 of 24 to 64 bytes; several with spaces between while a key is changed.",
        ),
        optional(
            "slack",
            Form::Secret,
            "An incoming webhook of Slack, Mattermost, Rocket.Chat or Discord (its address with /slack behind it).",
        ),
        optional("ntfy", Form::Url, "A topic on an ntfy server, such as https://ntfy.sh/my-topic."),
        optional("token", Form::Secret, "For `ntfy`: an access token."),
        optional("pagerduty", Form::Secret, "The integration key of a PagerDuty service (Events v2)."),
        optional("url", Form::Url, "For `pagerduty`: another events endpoint, without a path."),
        optional(
            "exec",
            Form::Command,
            "A program that gets the message as JSON on its standard input, run without a shell.",
        ),
        default(
            "degraded",
            Form::Boolean,
            "true",
            "Whether it is told about degraded services as well as about outages.",
        ),
        default("resolved", Form::Boolean, "true", "Whether it is told when an incident is over."),
    ]],
};

/// The means a receiver may have, each a key of its own.
pub(crate) const MEANS: [&str; 6] = ["mail", "webhook", "slack", "ntfy", "pagerduty", "exec"];

/// The mail server.
pub(crate) static MAIL: Part = Part {
    name: "the mail server",
    doc: "The server that takes messages for `mail` receivers.",
    groups: &[&[
        default("host", Form::Host, "localhost", "Name or address."),
        optional(
            "port",
            Form::Integer { low: 1, high: 65535 },
            "TCP port; 25 for `tls: none`, 587 for `starttls`, 465 for `implicit` when left out.",
        ),
        optional(
            "tls",
            Form::Choice(&["none", "starttls", "implicit"]),
            "How TLS is used; `none` for this machine itself and `starttls` for any other when left out.",
        ),
        optional("user", Form::Text, "User, if the server wants a login."),
        optional("password", Form::Secret, "The user's password."),
        default("from", Form::Mailbox, "mainstay@localhost", "Sender of the messages."),
        optional("ca_file", Form::Path, "PEM file with further certificate authorities."),
    ]],
};
