//! Names to addresses, and addresses to connections.
//!
//! All kinds of checks go through here, so that "whose fault is it?" is decided
//! once: what the target or its name servers did is a failure, what our own
//! host could not do is [`Trouble::own`].

mod connect;
mod error;
mod resolve;
mod system;

pub(crate) use error::{io_trouble, is_own, reason};

use crate::round::{Round, Stage, Trouble};
use crate::{PrepareError, ProberError};
use model::check::HostPort;
use resolve::Unresolved;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use tokio::net::TcpStream;

/// The way out: the resolver and what it was told.
pub(crate) struct Net {
    resolver: resolve::Resolver,
}

/// A host and port, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whom.
    pub(crate) host: Host,
    /// TCP or UDP port.
    pub(crate) port: u16,
}

/// A host as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// An address; the number is the IPv6 scope, 0 for none.
    Address(IpAddr, u32),
    /// `localhost` or a name below it, never asked of a name server (RFC 6761).
    Local,
    /// Anything else.
    Name(Box<str>),
}

impl Target {
    /// Reads a host and port.
    ///
    /// # Errors
    /// [`PrepareError::Host`] if it is neither a name nor an address.
    pub(crate) fn of(target: &HostPort) -> Result<Self, PrepareError> {
        Ok(Self { host: Host::parse(&target.host)?, port: target.port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address, scope) => write!(f, "{}", socket_address(*address, *scope, self.port)),
            Host::Local => write!(f, "localhost:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl Host {
    /// Reads a name, an IPv4 address, or an IPv6 address with or without
    /// brackets and with an interface as its scope (`fe80::1%eth0`).
    ///
    /// # Errors
    /// [`PrepareError::Host`] if it is none of them.
    pub(crate) fn parse(text: &str) -> Result<Self, PrepareError> {
        let wrong = || PrepareError::Host { host: text.to_owned() };
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Address(address, 0));
        }
        if let Some((address, scope)) = bare.split_once('%') {
            let address: Ipv6Addr = address.parse().map_err(|_| wrong())?;
            return Ok(Self::Address(IpAddr::V6(address), interface_index(scope).ok_or_else(wrong)?));
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if bare.is_empty() || bare.len() > 254 || !bare.chars().all(legal) || bare.split('.').any(|l| l.len() > 63) {
            return Err(wrong());
        }
        let name = bare.strip_suffix('.').unwrap_or(bare);
        let last = name.rsplit('.').next().unwrap_or(name);
        if last.eq_ignore_ascii_case("localhost") {
            return Ok(Self::Local);
        }
        Ok(Self::Name(bare.into()))
    }
}

impl Net {
    /// Reads the system's resolver configuration, unless name servers are given.
    pub(crate) fn new(name_servers: &[SocketAddr]) -> Result<Self, ProberError> {
        Ok(Self { resolver: resolve::Resolver::new(name_servers)? })
    }

    /// Returns the addresses of a host in the order they should be tried, never
    /// an empty list. Measures the resolve phase if anybody was asked.
    ///
    /// # Errors
    /// `NameNotFound` or `Resolve` for the target, `Own` if no name server could be reached.
    pub(crate) async fn resolve(&self, target: &Target, round: &mut Round) -> Result<Vec<SocketAddr>, Trouble> {
        let family = round.family;
        match &target.host {
            Host::Address(address, scope) => {
                let address = socket_address(*address, *scope, target.port);
                resolve::fits(family, address.ip()).then(|| vec![address]).ok_or_else(|| {
                    Trouble::own(format!(
                        "the check wants {}, but {} is not",
                        resolve::family_name(family),
                        address.ip()
                    ))
                })
            }
            Host::Local => Ok(resolve::local(family, target.port)),
            Host::Name(name) => {
                let found = Box::pin(self.look_up(name, round)).await?;
                Ok(found.into_iter().map(|address| SocketAddr::new(address, target.port)).collect())
            }
        }
    }

    /// Looks a name up. When that is slow, the name servers are also asked for
    /// the root, so that their silence can be told from that of the servers of
    /// this one name: the former is our own trouble.
    async fn look_up(&self, name: &str, round: &mut Round) -> Result<Vec<IpAddr>, Trouble> {
        round.stage = Stage::Resolving;
        round.target = name.to_owned();
        let asked = std::time::Instant::now();
        let mut lookup = std::pin::pin!(self.resolver.addresses(name, round.family));
        let slow_after = round.deadline().saturating_duration_since(asked) / 3;
        let found = match tokio::time::timeout(slow_after, &mut lookup).await {
            Ok(found) => found,
            Err(_) => tokio::select! {
                found = &mut lookup => found,
                answered = self.resolver.is_answered() => {
                    round.name_servers_answer = answered;
                    lookup.await
                }
            },
        };
        round.phases.resolve_us = Some(crate::whole_us(asked.elapsed()));
        match found {
            Ok(found) => Ok(found),
            Err(Unresolved::Said(trouble)) => Err(trouble),
            Err(Unresolved::Silence) => {
                round.name_servers_answer = round.name_servers_answer || self.resolver.is_answered().await;
                Err(round.not_resolved(asked.elapsed()))
            }
        }
    }

    /// Resolves a host and connects to the first of its addresses that answers.
    /// Sets the resolve and connect phases and notes every address tried.
    ///
    /// # Errors
    /// As [`Net::resolve`]; `Refused`, `Unreachable`, `ConnectTimeout` or
    /// `Reset` if no address connects, and `Own` only if our own host is the
    /// reason at every one of them.
    pub(crate) async fn connect(&self, target: &Target, round: &mut Round) -> Result<TcpStream, Trouble> {
        // The commonest target is one literal address; it needs no list.
        if let Host::Address(address, scope) = &target.host
            && resolve::fits(round.family, *address)
        {
            return connect::connect_one(socket_address(*address, *scope, target.port), round).await;
        }
        let addresses = self.resolve(target, round).await?;
        round.target = target.to_string();
        match addresses.as_slice() {
            [single] => connect::connect_one(*single, round).await,
            several => connect::connect_first(several, round).await,
        }
    }
}

fn socket_address(address: IpAddr, scope: u32, port: u16) -> SocketAddr {
    match address {
        IpAddr::V4(_) => SocketAddr::new(address, port),
        IpAddr::V6(v6) => SocketAddr::V6(SocketAddrV6::new(v6, port, 0, scope)),
    }
}

/// The number of a network interface, given as a number or a name. The kernel
/// lists names below `/sys/class/net`, which spares a system call wrapper.
fn interface_index(scope: &str) -> Option<u32> {
    if let Ok(number) = scope.parse() {
        return Some(number);
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    if scope.is_empty() || scope.starts_with('.') || !scope.chars().all(legal) {
        return None;
    }
    std::fs::read_to_string(format!("/sys/class/net/{scope}/ifindex")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_localhost_or_a_name() {
        let of = |text: &str| Host::parse(text).ok();
        assert_eq!(of("127.0.0.1"), Some(Host::Address(IpAddr::from([127, 0, 0, 1]), 0)));
        assert_eq!(of("[::1]"), Some(Host::Address(IpAddr::V6(Ipv6Addr::LOCALHOST), 0)));
        assert_eq!(of("fe80::1%7").map(|h| matches!(h, Host::Address(_, 7))), Some(true));
        assert_eq!(of("fe80::1%lo").map(|h| matches!(h, Host::Address(_, 1))), Some(true));
        assert_eq!((of("LocalHost."), of("a.localhost")), (Some(Host::Local), Some(Host::Local)));
        assert_eq!(of("_dmarc.example.org."), Some(Host::Name("_dmarc.example.org.".into())));
        for wrong in ["", "a b", "a/b", "ä.example", "1.2.3.4%eth0", "::1%../x", &"a".repeat(64), &"a.".repeat(128)] {
            assert!(Host::parse(wrong).is_err(), "{wrong}");
        }
    }
}
