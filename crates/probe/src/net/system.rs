//! What this machine knows about names: its name servers and its hosts file,
//! followed as they change.
//!
//! A prober runs for months, and meanwhile a lease is renewed or a tunnel comes
//! up and the name servers are others. **A file that becomes unreadable changes
//! nothing: what was known last is used on.**

use crate::ProberError;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, TokioResolver};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the files are looked at: a change counts soon, and looking costs
/// nothing beside a lookup.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Queries that may be under way to one name server; the library's 32 would
/// make checks wait for each other.
const ACTIVE_QUERIES_MAX: usize = 4096;
/// The machine's knowledge of names.
pub(super) struct System {
    files: Files,
    /// Name servers to ask instead of the machine's.
    given: Vec<SocketAddr>,
    current: Mutex<Current>,
}

/// What was read.
pub(super) struct Known {
    /// Asks the name servers.
    pub(super) dns: TokioResolver,
    /// Names that need no asking.
    pub(super) hosts: Hosts,
}

/// Where it is read.
struct Files {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    look_every: Duration,
}

struct Current {
    known: Arc<Known>,
    state: State,
    looked: Instant,
}

/// The files as they were when they were read; `None` for one that is not there.
type State = [Option<(u64, u64, i64, i64)>; 2];

impl System {
    /// With the given name servers, or else the machine's, and its hosts file.
    ///
    /// # Errors
    /// [`ProberError`] if no resolver can be made of them.
    pub(super) fn new(given: &[SocketAddr]) -> Result<Self, ProberError> {
        let files =
            Files { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into(), look_every: LOOK_EVERY };
        Self::follow(files, given)
    }

    fn follow(files: Files, given: &[SocketAddr]) -> Result<Self, ProberError> {
        let state = files.state();
        let known = files.read(given).map_err(|error| ProberError::Resolver(Box::new(error)))?;
        let current = Current { known: Arc::new(known), state, looked: Instant::now() };
        Ok(Self { files, given: given.to_vec(), current: Mutex::new(current) })
    }

    /// What the machine knows at this moment, give or take [`LOOK_EVERY`].
    pub(super) fn known(&self) -> Arc<Known> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked.elapsed() >= self.files.look_every {
            current.looked = Instant::now();
            let state = self.files.state();
            if state != current.state {
                current.state = state;
                match self.files.read(&self.given) {
                    Ok(known) => current.known = Arc::new(known),
                    Err(error) => tracing::warn!(%error, "the changed resolver configuration cannot be used"),
                }
            }
        }
        Arc::clone(&current.known)
    }
}

impl Files {
    fn state(&self) -> State {
        [&self.resolv_conf, &self.hosts].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
        })
    }

    fn read(&self, given: &[SocketAddr]) -> Result<Known, NetError> {
        let (config, mut options) =
            if given.is_empty() { configured(&self.resolv_conf)? } else { (servers(given), ResolverOpts::default()) };
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.max_active_requests = ACTIVE_QUERIES_MAX;
        options.os_port_selection = true;
        let dns = TokioResolver::builder_with_config(config, Default::default()).with_options(options).build()?;
        let mut hosts = Hosts::default();
        // A machine without a hosts file is unusual, not broken.
        if let Ok(file) = std::fs::File::open(&self.hosts) {
            hosts.read_hosts_conf(file)?;
        }
        Ok(Known { dns, hosts })
    }
}

/// What `resolv.conf` says. Where it is missing or names no server, the one on
/// this machine is asked, as the C library does.
fn configured(path: &Path) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    let mut text = std::fs::read_to_string(path).unwrap_or_default();
    if !text.lines().any(|line| line.trim_start().starts_with("nameserver")) {
        text.push_str("\nnameserver 127.0.0.1\n");
    }
    parse_resolv_conf(text)
}

fn servers(addresses: &[SocketAddr]) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.into())
    };
    ResolverConfig::from_name_servers(addresses.iter().map(server).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::Query;
    use hickory_resolver::proto::rr::{Name, RecordType};

    fn follow(directory: &Path) -> System {
        let files = Files {
            resolv_conf: directory.join("resolv.conf"),
            hosts: directory.join("hosts"),
            look_every: Duration::ZERO,
        };
        System::follow(files, &[]).expect("it can be followed")
    }

    fn lists(system: &System, name: &str) -> bool {
        let name = Name::from_ascii(name).expect("a name");
        system.known().hosts.lookup_static_host(&Query::query(name, RecordType::A)).is_some()
    }

    #[test]
    fn a_changed_file_counts_and_a_lost_one_is_survived() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("resolv.conf"), "nameserver 192.0.2.1\noptions ndots:2\n").expect("it is written");
        std::fs::write(path("hosts"), "192.0.2.7 one.test\n").expect("it is written");
        let system = follow(directory.path());
        assert!(lists(&system, "one.test.") && !lists(&system, "two.test."));
        assert_eq!(system.known().dns.options().ndots, 2);

        std::fs::write(path("hosts"), "192.0.2.7 one.test\n192.0.2.8 two.test\n").expect("it is written");
        std::fs::write(path("resolv.conf"), "nameserver 192.0.2.1\noptions ndots:3\n# longer\n")
            .expect("it is written");
        assert!(lists(&system, "two.test."));
        assert_eq!(system.known().dns.options().ndots, 3);

        std::fs::remove_file(path("resolv.conf")).expect("it was there");
        assert!(lists(&system, "two.test."));
    }

    #[test]
    fn a_machine_without_any_configuration_asks_itself() {
        let directory = tempfile::tempdir().expect("a directory");
        let (config, _) = configured(&directory.path().join("resolv.conf")).expect("it is made up");
        assert_eq!(
            config.name_servers().iter().map(|server| server.ip).collect::<Vec<_>>(),
            [std::net::IpAddr::from([127, 0, 0, 1])]
        );
        assert!(!lists(&follow(directory.path()), "one.test."));
    }
}
