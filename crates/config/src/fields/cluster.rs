//! The keys about the cluster that this node belongs to.

use super::{Field, Form, Part, default, optional};

const NODES: Form = Form::HostPort(Some(8481));

/// How this node and the others meet.
pub(crate) static CLUSTER: Part = Part {
    name: "the cluster",
    doc: "How this node and the others meet. It concerns this node alone: which nodes there are is said by `mainstay node` and `mainstay join`.",
    groups: &[FIELDS],
};

const FIELDS: &[Field] = &[
    optional("name", Form::NodeName, "What people call this node; the machine's host name when left out."),
    optional(
        "listen",
        NODES,
        "Where this node takes connections of the others, which prove by certificates who they are; without it, it takes none and stays alone.",
    ),
    optional(
        "address",
        NODES,
        "Under which host and port the others reach this node; `listen` when left out, which must then not stand for every address of the machine.",
    ),
    default(
        "profile",
        Form::Choice(&["lan", "wan"]),
        "lan",
        "How far the nodes are from each other: `lan` for a few milliseconds; `wan` for more, with four times the patience before another leader is elected. The same on every node.",
    ),
    optional(
        "egress",
        Form::OneOrList(&Form::HostPort(None)),
        "Servers of others that this node connects to every 30 s, and at once when much fails, to know whether its own way out works; while none answers, what it sees counts as silence. Not watched when left out.",
    ),
];
