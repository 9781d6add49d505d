//! Names to addresses: the hosts file, then the name servers.
//!
//! Nothing is remembered between rounds: a check that looks at a name measures
//! the name servers each time, and a changed address is seen at once.

use super::system::System;
use crate::ProberError;
use crate::round::Trouble;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver, lookup::Lookup};
use model::check::Family;
use model::observation::Cause;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How long IPv6 addresses are waited for once IPv4 ones are there; RFC 8305
/// section 3 recommends 50 ms.
const IPV6_GRACE: Duration = Duration::from_millis(50);
/// How long IPv4 addresses are waited for once IPv6 ones are there. Longer,
/// because a name whose IPv6 is dead is only reachable through them.
const IPV4_GRACE: Duration = Duration::from_secs(2);
/// The resolver of a prober.
pub(super) struct Resolver {
    system: System,
}

impl Resolver {
    /// With the given name servers, or else the system's, and the system's hosts file.
    pub(super) fn new(name_servers: &[SocketAddr]) -> Result<Self, ProberError> {
        Ok(Self { system: System::new(name_servers)? })
    }

    /// The addresses of a name in the order they should be tried: the families
    /// in turn, IPv6 first, as RFC 8305 section 4 has it. Never empty.
    pub(super) async fn addresses(&self, name: &str, family: Family) -> Result<Vec<IpAddr>, Unresolved> {
        let parsed = Name::from_utf8(name)
            .map_err(|_| Unresolved::Said(Trouble::own(format!("{name:?} is not a name that can be looked up"))))?;
        let known = self.system.known();
        if let Some(listed) = listed(&known.hosts, &parsed, family) {
            return Ok(listed);
        }
        let (v6, v4) = match family {
            Family::V4 => (None, Some(known.dns.lookup(parsed, RecordType::A).await)),
            Family::V6 => (Some(known.dns.lookup(parsed, RecordType::AAAA).await), None),
            Family::Any => ask_both(&known.dns, &parsed).await,
        };
        let found = interleave(addresses_of(v6.as_ref()), addresses_of(v4.as_ref()));
        if !found.is_empty() {
            return Ok(found);
        }
        Err(worst(name, family, v6.and_then(Result::err), v4.and_then(Result::err)))
    }

    /// Whether the name servers say anything at all. They are asked for the
    /// root, which each of them knows without asking anybody else.
    pub(super) async fn is_answered(&self) -> bool {
        match self.system.known().dns.lookup(Name::root(), RecordType::NS).await {
            Ok(_) | Err(NetError::Dns(_)) => true,
            Err(_) => false,
        }
    }
}

/// What the hosts file says. A name it knows in one family is not asked about
/// in the other, as with the C library.
fn listed(hosts: &Hosts, name: &Name, family: Family) -> Option<Vec<IpAddr>> {
    let mut fqdn = name.clone();
    fqdn.set_fqdn(true);
    let of = |record_type| hosts.lookup_static_host(&Query::query(fqdn.clone(), record_type));
    let (v6, v4) = (of(RecordType::AAAA), of(RecordType::A));
    if v6.is_none() && v4.is_none() {
        return None;
    }
    let mut found = interleave(v6.iter().flat_map(records).collect(), v4.iter().flat_map(records).collect());
    found.retain(|address| fits(family, *address));
    (!found.is_empty()).then_some(found)
}

/// Asks for both families at once, and once one is there waits only a little
/// for the other.
async fn ask_both(dns: &TokioResolver, name: &Name) -> (Option<Answer>, Option<Answer>) {
    let v6 = dns.lookup(name.clone(), RecordType::AAAA);
    let v4 = dns.lookup(name.clone(), RecordType::A);
    tokio::pin!(v6, v4);
    tokio::select! {
        first = &mut v6 => {
            let rest = match &first {
                Ok(_) => tokio::time::timeout(IPV4_GRACE, v4).await.ok(),
                Err(_) => Some(v4.await),
            };
            (Some(first), rest)
        }
        first = &mut v4 => {
            let rest = match &first {
                Ok(_) => tokio::time::timeout(IPV6_GRACE, v6).await.ok(),
                Err(_) => Some(v6.await),
            };
            (rest, Some(first))
        }
    }
}

type Answer = Result<Lookup, NetError>;

/// Why a name has no addresses for us.
pub(super) enum Unresolved {
    /// For a reason that was given.
    Said(Trouble),
    /// Because no name server said anything.
    Silence,
}

/// The addresses of `localhost`, without asking anybody.
pub(super) fn local(family: Family, port: u16) -> Vec<SocketAddr> {
    [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)]
        .into_iter()
        .filter(|address| fits(family, *address))
        .map(|address| SocketAddr::new(address, port))
        .collect()
}

/// Whether a check of this family may use the address.
pub(super) fn fits(family: Family, address: IpAddr) -> bool {
    match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    }
}

/// A family for people, after "an" or "the check wants".
pub(super) fn family_name(family: Family) -> &'static str {
    match family {
        Family::Any => "an IPv4 or IPv6 address",
        Family::V4 => "an IPv4 address",
        Family::V6 => "an IPv6 address",
    }
}

fn addresses_of(answer: Option<&Answer>) -> Vec<IpAddr> {
    answer.into_iter().flatten().flat_map(records).collect()
}

fn records(lookup: &Lookup) -> Vec<IpAddr> {
    let address = |data: &RData| match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    };
    lookup.answers().iter().filter_map(|record| address(&record.data)).collect()
}

fn interleave(v6: Vec<IpAddr>, v4: Vec<IpAddr>) -> Vec<IpAddr> {
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut out = Vec::new();
    loop {
        let pair = (v6.next(), v4.next());
        out.extend(pair.0);
        out.extend(pair.1);
        if pair == (None, None) {
            return out;
        }
    }
}

/// Why a name has no addresses, from the two answers. What the name servers
/// said about it counts before what they did not say, and that before what we
/// could not ask.
fn worst(name: &str, family: Family, v6: Option<NetError>, v4: Option<NetError>) -> Unresolved {
    let mut explained: Vec<_> = [v4, v6].into_iter().flatten().map(|error| explain(name, &error)).collect();
    explained.sort_by_key(|explained| match explained {
        Explained::Said(_) => 0,
        Explained::Empty => 1,
        Explained::Silence => 2,
        Explained::Own(_) => 3,
    });
    match explained.into_iter().next() {
        Some(Explained::Said(trouble) | Explained::Own(trouble)) => Unresolved::Said(trouble),
        Some(Explained::Silence) => Unresolved::Silence,
        Some(Explained::Empty) | None => Unresolved::Said(Trouble::fail(
            Cause::NameNotFound,
            format!("the name {name} exists, but it does not have {}", family_name(family)),
        )),
    }
}

/// What one answer means.
enum Explained {
    /// Something against the name.
    Said(Trouble),
    /// The name exists and has no such record.
    Empty,
    /// Nothing came.
    Silence,
    /// We could not even ask.
    Own(Trouble),
}

fn explain(name: &str, error: &NetError) -> Explained {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => match response_code {
            ResponseCode::NoError => Explained::Empty,
            ResponseCode::NXDomain => Explained::Said(Trouble::fail(
                Cause::NameNotFound,
                format!("the name {name} does not exist (NXDOMAIN)"),
            )),
            code => Explained::Said(answered(name, *code)),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => Explained::Said(answered(name, *code)),
        NetError::Timeout => Explained::Silence,
        NetError::NoConnections | NetError::Io(_) => {
            Explained::Own(Trouble::own(format!("no name server could be reached to look up {name}: {error}")))
        }
        other => {
            Explained::Said(Trouble::fail(Cause::Resolve, format!("the name {name} could not be resolved: {other}")))
        }
    }
}

fn answered(name: &str, code: ResponseCode) -> Trouble {
    let mnemonic = match code {
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        other => other.to_string(),
    };
    Trouble::fail(Cause::Resolve, format!("the name servers answered {mnemonic} for {name}"))
}
