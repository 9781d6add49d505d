//! The keys at the top of a file, and those of services and planned work.

use super::{Field, Form, Part, backup, check, cluster, default, optional, receiver, required};

const LISTEN: Form = Form::HostPort(Some(8480));
const NEED: Form = Form::Either(&Form::Name("a service"), &Form::Part(&NEED_PART));

/// The whole file.
pub(crate) static TOP: Part = Part {
    name: "the configuration",
    doc: "The top of the file. Everything may be left out; a file with one service is a useful start.",
    groups: &[&[
        optional("page", Form::Part(&PAGE), "What the public page says about itself."),
        default("locations", Form::List(&Form::Id), "[local]", "Every place from which checks may be made."),
        optional(
            "location",
            Form::Name("a location"),
            "The place where this node stands; the first of `locations` when left out. In a file that concerns the node only, any place of the cluster.",
        ),
        default(
            "listen",
            Form::OneOrList(&LISTEN),
            "127.0.0.1:8480",
            "Where the page, the API and the metrics are served.",
        ),
        default(
            "data",
            Form::Path,
            "mainstay-data",
            "Directory for everything that is kept; a relative path starts beside the configuration.",
        ),
        optional("log", Form::Part(&LOG), "What this node logs about itself."),
        default(
            "allow_plugins",
            Form::Boolean,
            "true",
            "Whether this node runs the programs that `plugin` checks and `exec` receivers name.",
        ),
        optional("cluster", Form::Part(&cluster::CLUSTER), "How this node and the other nodes meet."),
        optional("backup", Form::Part(&backup::BACKUP), "The backups that this node makes by itself."),
        optional("defaults", Form::Part(&check::DEFAULTS), "What holds for every check that does not say otherwise."),
        optional("services", Form::List(&Form::Part(&SERVICE)), "What is watched, in the order of the page."),
        optional("receivers", Form::List(&Form::Part(&receiver::RECEIVER)), "Who is told."),
        optional("mail", Form::Part(&receiver::MAIL), "The mail server that takes messages for `mail` receivers."),
        optional("maintenance", Form::List(&Form::Part(&MAINTENANCE)), "Planned work."),
    ]],
};

/// What the public page says about itself.
pub(crate) static PAGE: Part = Part {
    name: "the page",
    doc: "The public page.",
    groups: &[&[
        default("name", Form::Text, "Status", "Name at the head of the page."),
        optional("description", Form::Text, "One sentence below the name."),
        optional("url", Form::Url, "Public address of the page, for links in messages."),
    ]],
};

/// What a node logs.
pub(crate) static LOG: Part = Part {
    name: "the log",
    doc: "What this node logs about itself on its standard error.",
    groups: &[&[
        default(
            "level",
            Form::Choice(&["error", "warn", "info", "debug", "trace"]),
            "info",
            "The least important events that are logged.",
        ),
        default("form", Form::Choice(&["text", "json"]), "text", "Lines for people, or one JSON object a line."),
    ]],
};

/// What customers see.
pub(crate) static SERVICE: Part =
    Part { name: "a service", doc: "What customers see: one line on the page.", groups: &[SERVICE_FIELDS] };

const SERVICE_FIELDS: &[Field] = &[
    optional("id", Form::Id, "Unique name; made from the name when left out (\"Acme API\" gives \"acme-api\")."),
    required("name", Form::Text, "Name for people."),
    optional("group", Form::Text, "Heading under which it stands on the page."),
    optional("description", Form::Text, "One sentence for customers."),
    optional(
        "needs",
        Form::OneOrList(&NEED),
        "Services without which it does not work: an outage of theirs explains one of this.",
    ),
    optional(
        "receivers",
        Form::OneOrList(&Form::Name("a receiver")),
        "Who is told about it; every receiver when left out.",
    ),
    default("public", Form::Boolean, "true", "Whether it stands on the public page."),
    default(
        "announce",
        Form::Boolean,
        "true",
        "Whether a confirmed outage opens an incident on the public page by itself.",
    ),
    optional("checks", Form::List(&Form::Check), "How it is watched."),
];

/// A dependency.
pub(crate) static NEED_PART: Part = Part {
    name: "a need",
    doc: "A service that another needs; the id alone stands for a hard need.",
    groups: &[&[
        required("service", Form::Name("a service"), "The service needed."),
        default(
            "class",
            Form::Choice(&["hard", "soft"]),
            "hard",
            "`hard`: down when the other is down. `soft`: works without, if less well.",
        ),
    ]],
};

/// Planned work.
pub(crate) static MAINTENANCE: Part = Part {
    name: "a maintenance window",
    doc: "Planned work. Checks go on meanwhile; alerts within the announced impact are held and judged again at its end.",
    groups: &[&[
        optional("id", Form::Id, "Unique name; made from the title when left out."),
        required("title", Form::Text, "What is done, for customers."),
        required("from", Form::Time, "First moment."),
        required("until", Form::Time, "End; later than `from`."),
        required("services", Form::OneOrList(&Form::Name("a service")), "What it touches."),
        default(
            "impact",
            Form::Choice(&["outage", "degraded", "at-risk"]),
            "outage",
            "The worst that is announced; anything worse is shown and alerted.",
        ),
    ]],
};
