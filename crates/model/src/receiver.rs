//! Who is told, and by which means.

use crate::id::ReceiverId;
use crate::secret::Secret;
use serde::{Deserialize, Serialize};

/// Somebody or something that is told about incidents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    /// Unique name.
    pub id: ReceiverId,
    /// By which means.
    pub means: Means,
    /// Whether it is told about degraded services as well as about outages.
    pub wants_degraded: bool,
    /// Whether it is told when an incident is over.
    pub wants_resolved: bool,
}

/// The means of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Means {
    /// Mail by SMTP.
    Mail(MailMeans),
    /// A signed webhook by the Standard Webhooks specification.
    Webhook {
        /// `http://` or `https://`.
        url: String,
        /// `whsec_` and base64 of 24 to 64 bytes; unsigned when `None`.
        secret: Option<Secret>,
    },
    /// An incoming webhook in Slack's shape (also Mattermost, Rocket.Chat, Discord's `/slack`).
    Slack {
        /// Its address, which is a secret.
        url: Secret,
    },
    /// A topic on an ntfy server.
    Ntfy {
        /// Address of the topic.
        url: String,
        /// Access token.
        token: Option<Secret>,
    },
    /// PagerDuty Events v2.
    PagerDuty {
        /// Integration key.
        routing_key: Secret,
        /// Address of the events endpoint, without a path; PagerDuty's own when `None`.
        url: Option<String>,
    },
    /// A program that gets the message as JSON on its standard input.
    Exec {
        /// Program and arguments, run without a shell; never empty.
        command: Vec<String>,
    },
}

impl Means {
    /// The name in configuration and as metric label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Mail(_) => "mail",
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::Ntfy { .. } => "ntfy",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Exec { .. } => "exec",
        }
    }
}

/// Mail to one address through one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailMeans {
    /// Recipient.
    pub to: String,
    /// Sender.
    pub from: String,
    /// The server that takes it.
    pub server: MailServer,
}

/// A mail server that takes our messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailServer {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How TLS is used.
    pub tls: MailTls,
    /// User name and password.
    pub login: Option<(String, Secret)>,
    /// PEM file of additional certificate authorities.
    pub ca_file: Option<String>,
}

/// How TLS is used towards a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailTls {
    /// Never; only sensible for this machine itself.
    None,
    /// STARTTLS is required.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}
