//! Receivers, and the mail server that mail receivers share.

use super::Reader;
use super::section::{At, Section};
use crate::fields::receiver::MEANS;
use crate::mistake::{Code, Draft, quoted};
use crate::yaml::Place;
use model::id::ReceiverId;
use model::receiver::{MailMeans, MailServer, MailTls, Means, Receiver};
use model::secret::Secret;
use std::collections::BTreeMap;

/// Sender of mails when nothing else is said.
const MAIL_FROM_DEFAULT: &str = "mainstay@localhost";
/// How a signing key of the Standard Webhooks specification begins.
const SIGNING_KEY_START: &str = "whsec_";

impl Reader {
    /// Reads all receivers.
    pub(super) fn receivers(&mut self, section: &Section<'_, '_>) -> Vec<Receiver> {
        let (server, sender) = self.mail_server(section);
        let mut receivers: Vec<Receiver> = Vec::new();
        let mut places: BTreeMap<String, Place> = BTreeMap::new();
        for at in section.items("receivers", self) {
            let Some(opened) = self.part(at) else {
                self.are_receivers_partial = true;
                continue;
            };
            let Some(receiver) = self.receiver(&opened, &server, &sender) else { continue };
            if let Some(first) = places.insert(receiver.id.as_str().to_owned(), opened.place) {
                let id = quoted(receiver.id.as_str());
                let message = format!("a second receiver {id}, the first stands in line {}", first.line);
                let draft = Draft::new(Code::DuplicateName, message).help("give each an `id` of its own");
                self.notes.add(opened.place, at.path, draft);
            }
            receivers.push(receiver);
        }
        receivers
    }

    fn receiver(&mut self, section: &Section<'_, '_>, server: &MailServer, sender: &str) -> Option<Receiver> {
        let names = section.present(&MEANS);
        let means = match names.as_slice() {
            [name] => self.means(name, section, server, sender),
            [] if MEANS.iter().any(|name| section.is_meant(name)) => None,
            [] => {
                let draft = Draft::new(Code::MissingKey, "a receiver needs a means, which says how it is told")
                    .allowed(MEANS.join(", "));
                self.notes.add(section.place, section.path, draft);
                None
            }
            [_, ..] => {
                self.exclude(section, &MEANS, "a receiver has one means; make two receivers of it");
                None
            }
        };
        self.belongs(section, &names, &["secret"], "webhook");
        self.belongs(section, &names, &["token"], "ntfy");
        self.belongs(section, &names, &["url"], "pagerduty");
        let id = match section.at("id") {
            Some(at) => self.id(at, ReceiverId::new),
            None => names.first().and_then(|name| ReceiverId::new(name).ok()),
        };
        self.are_receivers_partial |= id.is_none();
        self.receivers.extend(id.as_ref().map(|id| id.as_str().to_owned()));
        let wants_degraded = section.at("degraded").and_then(|at| self.boolean(at)).unwrap_or(true);
        let wants_resolved = section.at("resolved").and_then(|at| self.boolean(at)).unwrap_or(true);
        Some(Receiver { id: id?, means: means?, wants_degraded, wants_resolved })
    }

    fn means(&mut self, name: &str, section: &Section<'_, '_>, server: &MailServer, sender: &str) -> Option<Means> {
        let text = |reader: &mut Self, name| section.at(name).and_then(|at| reader.text(at));
        let secret = |reader: &mut Self, name| section.at(name).and_then(|at| reader.secret(at));
        Some(match name {
            "mail" => {
                let to = text(self, "mail")?;
                Means::Mail(MailMeans { to, from: sender.to_owned(), server: server.clone() })
            }
            "webhook" => Means::Webhook {
                url: section.at("webhook").and_then(|at| self.url(at))?,
                secret: section.at("secret").and_then(|at| self.signing_key(at)),
            },
            "slack" => Means::Slack { url: section.at("slack").and_then(|at| self.secret_url(at))? },
            "ntfy" => {
                Means::Ntfy { url: section.at("ntfy").and_then(|at| self.url(at))?, token: secret(self, "token") }
            }
            "pagerduty" => Means::PagerDuty {
                routing_key: secret(self, "pagerduty")?,
                url: section.at("url").and_then(|at| self.url(at)).map(|url| url.trim_end_matches('/').to_owned()),
            },
            _ => Means::Exec { command: section.at("exec").and_then(|at| self.command(at))? },
        })
    }

    /// Notes options that belong to another means.
    fn belongs(&mut self, section: &Section<'_, '_>, means: &[&str], options: &[&'static str], owner: &str) {
        for option in options {
            if let Some(at) = section.at(option)
                && !means.contains(&owner)
            {
                let draft = Draft::new(Code::Conflict, format!("{} belongs to {}", quoted(option), quoted(owner)))
                    .help(format!("remove it, or use `{owner}`"));
                self.notes.add(at.node.place, at.path, draft);
            }
        }
    }

    /// An address that is a secret as a whole.
    fn secret_url(&mut self, at: At<'_, '_>) -> Option<Secret> {
        let secret = self.secret(at)?;
        if let Secret::Inline(url) = &secret
            && let Err(why) = super::text::judge(&crate::fields::Form::Url, url)
        {
            let message = format!("{} is not a web address: {why}", quoted(at.path.name()));
            let draft = Draft::new(Code::WrongValue, message).allowed(crate::fields::Form::Url.to_string());
            self.notes.add(at.node.place, at.path, draft);
            return None;
        }
        Some(secret)
    }

    /// The key that signs webhooks.
    fn signing_key(&mut self, at: At<'_, '_>) -> Option<Secret> {
        let secret = self.secret(at)?;
        if let Secret::Inline(key) = &secret
            && (key.trim().is_empty() || !key.split_whitespace().all(is_signing_key))
        {
            let draft = Draft::new(Code::WrongValue, "\"secret\" is not a signing key of Standard Webhooks")
                .allowed(
                    "whsec_ and base64 of 24 to 64 bytes; several of them with spaces between while a key is changed",
                )
                .help("make one with: echo \"whsec_$(openssl rand -base64 32)\"");
            self.notes.add(at.node.place, at.path, draft);
            return None;
        }
        Some(secret)
    }

    /// The mail server and the sender.
    fn mail_server(&mut self, section: &Section<'_, '_>) -> (MailServer, String) {
        let mut server =
            MailServer { host: "localhost".to_owned(), port: 25, tls: MailTls::None, login: None, ca_file: None };
        let mut sender = MAIL_FROM_DEFAULT.to_owned();
        let Some(section) = section.at("mail").and_then(|at| self.part(at)) else { return (server, sender) };
        if let Some(host) = section.at("host").and_then(|at| self.text(at)) {
            server.host = host;
        }
        server.tls = match section.at("tls").and_then(|at| self.choice(at)) {
            Some("none") => MailTls::None,
            Some("starttls") => MailTls::StartTls,
            Some("implicit") => MailTls::Implicit,
            Some(_) | None if is_this_machine(&server.host) => MailTls::None,
            Some(_) | None => MailTls::StartTls,
        };
        let port_default = match server.tls {
            MailTls::None => 25,
            MailTls::StartTls => 587,
            MailTls::Implicit => 465,
        };
        let port = section.at("port").and_then(|at| self.integer(at)).and_then(|port| u16::try_from(port).ok());
        server.port = port.unwrap_or(port_default);
        server.ca_file = section.at("ca_file").and_then(|at| self.text(at));
        if let Some(from) = section.at("from").and_then(|at| self.text(at)) {
            sender = from;
        }
        let user = section.at("user").and_then(|at| self.text(at));
        server.login = user.zip(section.at("password").and_then(|at| self.secret(at)));
        self.needs_key(&section, "user", "password", "a login has both");
        self.needs_key(&section, "password", "user", "a login has both");
        if server.login.is_some() && server.tls == MailTls::None && !is_this_machine(&server.host) {
            let message = format!("the password crosses the network to {} in clear text", quoted(&server.host));
            let draft = Draft::new(Code::Doubtful, message).help("use `tls: starttls` or `tls: implicit`");
            self.notes.warn(section.place, section.path, draft);
        }
        (server, sender)
    }
}

fn is_this_machine(host: &str) -> bool {
    matches!(host, "localhost" | "::1") || host.starts_with("127.")
}

fn is_signing_key(key: &str) -> bool {
    let Some(base64) = key.strip_prefix(SIGNING_KEY_START) else { return false };
    let digits = base64.trim_end_matches('=');
    let is_base64 = digits.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    let is_padded = base64.len().is_multiple_of(4) && base64.len() - digits.len() <= 2;
    is_base64 && is_padded && (24..=64).contains(&(digits.len() * 3 / 4))
}
