//! Listening TCP sockets and the processes that own them, from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// State "LISTEN" in `/proc/net/tcp`, from the kernel's `tcp_states.h`.
const STATE_LISTEN: &str = "0A";

/// The process id of the first process, which manages the others.
const SERVICE_MANAGER: u32 = 1;

/// A port on which something listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    /// An address at which it can be asked from here.
    pub(crate) address: IpAddr,
    /// Its port.
    pub(crate) port: u16,
    /// The name of the process, if we may see it.
    pub(crate) process: Option<String>,
}

impl Listener {
    /// Address and port as a check writes them.
    pub(crate) fn address_text(&self) -> String {
        match self.address {
            IpAddr::V4(address) => format!("{address}:{}", self.port),
            IpAddr::V6(address) => format!("[{address}]:{}", self.port),
        }
    }
}

/// All listening ports, each once, by port. Empty where `/proc` cannot be read.
pub(crate) fn listeners() -> Vec<Listener> {
    let owners = socket_owners();
    let mut by_port: BTreeMap<u16, Listener> = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for (address, port, inode) in text.lines().skip(1).filter_map(row) {
            let process = owners.get(&inode).cloned();
            let listener = Listener { address: reachable(address), port, process };
            // IPv4 comes first and stays: every tool understands its form.
            by_port.entry(port).or_insert(listener);
        }
    }
    by_port.into_values().collect()
}

/// The address at which a socket bound to "any" can be asked from this machine.
fn reachable(bound: IpAddr) -> IpAddr {
    match bound {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => bound,
    }
}

/// Reads one line of `/proc/net/tcp`: local address, port and inode of a listening socket.
fn row(line: &str) -> Option<(IpAddr, u16, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != STATE_LISTEN {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some((parse_address(address)?, u16::from_str_radix(port, 16).ok()?, fields.get(9)?.parse().ok()?))
}

/// Addresses are 32-bit words in the machine's own byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0u8; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

/// The process name of each socket, by inode, as far as we may look.
///
/// A socket often belongs to several: to the process that opened it and to
/// those that it has started since. The oldest is named, so that the name does
/// not change with every connection; but not a service manager that opened the
/// socket on behalf of another.
fn socket_owners() -> BTreeMap<u64, String> {
    let mut owners = BTreeMap::new();
    let Ok(processes) = fs::read_dir("/proc") else {
        return owners;
    };
    let number = |process: &fs::DirEntry| process.file_name().to_str()?.parse().ok();
    let mut processes: Vec<(u32, fs::DirEntry)> =
        processes.flatten().filter_map(|process| Some((number(&process)?, process))).collect();
    processes.sort_by_key(|(number, _)| (*number == SERVICE_MANAGER, *number));
    for (_, process) in processes {
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default().trim().to_owned();
        for descriptor in descriptors.flatten() {
            let target = fs::read_link(descriptor.path()).unwrap_or_default();
            let target = target.to_string_lossy();
            let inode = target
                .strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'))
                .and_then(|inode| inode.parse().ok());
            if let (Some(inode), false) = (inode, name.is_empty()) {
                owners.entry(inode).or_insert_with(|| name.clone());
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_row_is_read_in_both_families() {
        let v4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0";
        assert_eq!(row(v4), Some((IpAddr::V4(Ipv4Addr::LOCALHOST), 8080, 12345)));
        let v6 = "   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1";
        assert_eq!(row(v6), Some((IpAddr::V6(Ipv6Addr::LOCALHOST), 22, 77)));
        assert_eq!(row(&v4.replace(" 0A ", " 01 ")), None);
        assert_eq!(row("garbage"), None);
    }

    #[test]
    fn our_own_listener_is_found_with_our_name() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("a bound socket").port();
        let found = listeners().into_iter().find(|listener| listener.port == port).expect("it listens");
        assert_eq!(found.address, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(found.process.is_some(), "our own descriptors can be read");
    }
}
