//! What a node says about itself and its machine, so that somebody notices
//! when two nodes would fall together.

use model::limits::{ADDRESSES_MAX, NODE_FACT_BYTES_MAX};
use model::member::NodeFacts;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Scope of a global address in `/proc/net/if_inet6`.
const IPV6_GLOBAL_SCOPE: &str = "00";

/// Gathers what is known; what cannot be found out is left empty.
pub(crate) fn gather(url: Option<String>) -> NodeFacts {
    let kernel = read("/proc/sys/kernel/osrelease").trim().chars().take(NODE_FACT_BYTES_MAX).collect();
    let mut addresses = ipv4(&read("/proc/net/fib_trie"));
    addresses.extend(ipv6(&read("/proc/net/if_inet6")));
    addresses.truncate(ADDRESSES_MAX);
    NodeFacts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine_version: control::MACHINE_VERSION,
        machine: machine(read("/etc/machine-id").trim()),
        kernel,
        addresses,
        url,
    }
}

/// The name of this machine, as far as it makes a legal name of a node.
pub(crate) fn host_name() -> Option<String> {
    let name = read("/proc/sys/kernel/hostname");
    let name: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    (!name.is_empty()).then_some(name)
}

/// The machine's id is meant to stay on the machine (machine-id(5) asks for a keyed hash), so only a digest is told.
fn machine(id: &str) -> String {
    if id.is_empty() {
        return String::new();
    }
    let digest = Sha256::digest(format!("mainstay node {id}").as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Local addresses of the kernel's routing trie: an address line before a line that says "host LOCAL".
fn ipv4(trie: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line.ends_with("host LOCAL") {
            let usable = last.filter(|address| !address.is_loopback() && !address.is_link_local());
            if let Some(address) = usable.map(IpAddr::V4).filter(|address| !found.contains(address)) {
                found.push(address);
            }
        }
    }
    found
}

/// Global addresses of the kernel's list: address, index, prefix, scope, flags, name.
fn ipv6(list: &str) -> Vec<IpAddr> {
    let global = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        (fields.nth(2)? == IPV6_GLOBAL_SCOPE).then(|| IpAddr::V6(Ipv6Addr::from(address)))
    };
    list.lines().filter_map(global).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lists_are_understood() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.2.0\n        /24 link UNICAST\n     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\nLocal:\n     |-- 10.1.2.3\n        /32 host LOCAL\n";
        assert_eq!(ipv4(trie), [IpAddr::from([10, 1, 2, 3])]);
        let list =
            "fe800000000000005054fffffe123456 02 40 20 80 eth0\n20010db8000000000000000000000007 02 40 00 80 eth0\n";
        assert_eq!(ipv6(list), ["2001:db8::7".parse::<IpAddr>().expect("an address")]);
        assert_eq!((ipv4(""), ipv6("nonsense")), (Vec::new(), Vec::new()));
    }

    #[test]
    fn the_machines_own_id_is_not_told() {
        let id = "0123456789abcdef0123456789abcdef";
        assert!(!machine(id).contains(&id[..8]) && machine(id).len() == 32);
        assert_eq!(machine(""), "");
    }
}
