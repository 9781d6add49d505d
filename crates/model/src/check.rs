//! What is checked, how often, from where, and what is expected.
//!
//! A [`Check`] is a definition; carrying it out is a probe. The defaults are
//! those people have in their fingers: every 60 s, a timeout of 10 s, down
//! after two failed rounds, up after two good ones.

use crate::cron::Cron;
use crate::id::{CheckId, LocationId};
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often a check runs when nothing else is said.
pub const EVERY_DEFAULT: Duration = Duration::from_secs(60);
/// How long a check may take when nothing else is said.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Wait before a failed round is repeated to confirm it, when nothing else is said.
pub const RETRY_DEFAULT: Duration = Duration::from_secs(5);
/// Redirects followed when nothing else is said; the number curl's users and the peers use.
pub const REDIRECTS_DEFAULT: u8 = 10;

/// One definition of something to watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Unique name.
    pub id: CheckId,
    /// What is done.
    pub kind: CheckKind,
    /// Time between two regular rounds.
    pub every: Duration,
    /// Longest time one round may take, name resolution included.
    pub timeout: Duration,
    /// Time until a round that failed is repeated while the verdict is not yet confirmed.
    pub retry: Duration,
    /// Failed rounds in a row, from 1, before a location counts as failing.
    pub down_after: u8,
    /// Good rounds in a row, from 1, before a location counts as good again.
    pub up_after: u8,
    /// Where it runs; never empty.
    pub from: Vec<LocationId>,
    /// Which addresses of a name are used.
    pub family: Family,
    /// Limits on the time of a round that passed otherwise.
    pub latency: LatencyLimits,
}

/// Which address family a probe uses. "Both judged apart" is two checks, one of each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Either, trying the next address when one does not connect.
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// Times from which a round counts as slow or as failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyLimits {
    /// From here on the check is degraded.
    pub degraded: Option<Duration>,
    /// From here on the check has failed.
    pub down: Option<Duration>,
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckKind {
    /// An HTTP or HTTPS request.
    Http(Box<HttpCheck>),
    /// A TCP connection, with a dialogue if wanted.
    Tcp(Box<TcpCheck>),
    /// An ICMP echo.
    Icmp(IcmpCheck),
    /// A DNS query.
    Dns(Box<DnsCheck>),
    /// A TLS handshake: chain, name and expiry of the certificate.
    Tls(Box<TlsCheck>),
    /// A mail exchanger.
    Smtp(Box<SmtpCheck>),
    /// An SSH server.
    Ssh(Box<SshCheck>),
    /// A PostgreSQL server.
    Postgres(Box<PostgresCheck>),
    /// A Redis server.
    Redis(Box<RedisCheck>),
    /// A sign of life that the watched thing sends to us.
    Heartbeat(Box<HeartbeatCheck>),
    /// A program that follows the Nagios plugin contract.
    Plugin(Box<PluginCheck>),
}

impl CheckKind {
    /// The name of the kind as written in a configuration and as metric label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Icmp(_) => "icmp",
            Self::Dns(_) => "dns",
            Self::Tls(_) => "tls",
            Self::Smtp(_) => "smtp",
            Self::Ssh(_) => "ssh",
            Self::Postgres(_) => "postgres",
            Self::Redis(_) => "redis",
            Self::Heartbeat(_) => "heartbeat",
            Self::Plugin(_) => "plugin",
        }
    }

    /// What is watched, for people: a URL, a host and port, a command. Never holds a secret.
    pub fn target(&self) -> String {
        match self {
            Self::Http(c) => c.url.clone(),
            Self::Tcp(c) => c.target.to_string(),
            Self::Icmp(c) => c.host.clone(),
            Self::Dns(c) => format!("{} {}", c.name, c.record_type.name()),
            Self::Tls(c) => c.target.to_string(),
            Self::Smtp(c) => c.target.to_string(),
            Self::Ssh(c) => c.target.to_string(),
            Self::Postgres(c) => c.target.to_string(),
            Self::Redis(c) => c.target.to_string(),
            Self::Heartbeat(_) => "heartbeat".to_owned(),
            Self::Plugin(c) => c.command.first().cloned().unwrap_or_default(),
        }
    }
}

/// A host name or address with a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPort {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// TCP or UDP port, from 1.
    pub port: u16,
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl HostPort {
    /// Reads `host:port`, `[v6]:port`, or `host` with the given default port.
    /// `None` if there is no host, the port is not 1 to 65535, or no port is known.
    pub fn parse(text: &str, port_default: Option<u16>) -> Option<Self> {
        let (host, port_text) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']')?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return None,
            }
        } else if text.matches(':').count() > 1 {
            (text, None)
        } else {
            text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
        };
        let port = match port_text {
            Some(port) => port.parse().ok()?,
            None => port_default?,
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || host.len() > 253 || port == 0 || !host.chars().all(legal) {
            return None;
        }
        Some(Self { host: host.to_owned(), port })
    }
}

/// An HTTP request and what its answer must look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// `http://` or `https://`.
    pub url: String,
    /// Request method, upper case.
    pub method: String,
    /// Request headers in addition to Host, User-Agent and Accept.
    pub headers: Vec<(String, String)>,
    /// User name and password for Basic authentication.
    /// Boxed, like all that few checks have, because there may be 100,000 of them.
    pub basic_auth: Option<Box<(String, Secret)>>,
    /// Token for Bearer authentication.
    pub bearer: Option<Box<Secret>>,
    /// Request body.
    pub body: Option<String>,
    /// Redirects followed, 0 to 20; 0 judges the redirect itself.
    pub redirects: u8,
    /// An HTTP proxy as `http://host:port`.
    pub proxy: Option<String>,
    /// Trust in the server's certificate.
    pub trust: Trust,
    /// What the answer must look like.
    pub expect: HttpExpect,
    /// Whether our side closes by reset after a complete answer, which leaves
    /// no TIME_WAIT behind but shows as "connection reset" in some servers' logs.
    pub close_by_reset: bool,
}

/// Whom a TLS client trusts and who it says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// Whether the chain and the name are verified. When not, expiry is still reported.
    pub verify: bool,
    /// PEM file of additional certificate authorities; the system's when `None`.
    pub ca_file: Option<String>,
    /// PEM files of a client certificate chain and its key.
    pub client_certificate: Option<Box<(String, String)>>,
    /// Name sent in SNI and verified, when it is not the host's.
    pub server_name: Option<String>,
    /// Days left from which an expiring certificate makes the check degraded; 0 switches it off.
    pub days_left: u32,
}

/// Days left on a certificate from which a check is degraded, when nothing else is said.
pub const DAYS_LEFT_DEFAULT: u32 = 14;

impl Default for Trust {
    fn default() -> Self {
        Self { verify: true, ca_file: None, client_certificate: None, server_name: None, days_left: DAYS_LEFT_DEFAULT }
    }
}

/// What an HTTP answer must look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpExpect {
    /// Inclusive ranges of accepted status codes; never empty.
    pub status: Vec<(u16, u16)>,
    /// Tests of the body as text.
    pub body: Vec<TextTest>,
    /// Tests of the body as JSON.
    pub json: Vec<JsonTest>,
    /// Tests of response headers.
    pub headers: Vec<HeaderTest>,
}

impl Default for HttpExpect {
    fn default() -> Self {
        Self { status: vec![(200, 299)], body: Vec::new(), json: Vec::new(), headers: Vec::new() }
    }
}

/// A test of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextTest {
    /// The text holds this.
    Contains(String),
    /// The text does not hold this.
    Lacks(String),
    /// The text matches this regular expression somewhere.
    Matches(String),
    /// The text matches this regular expression nowhere.
    MatchesNot(String),
}

/// A test of a JSON document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JsonTest {
    /// RFC 9535 JSONPath; the test looks at the first node it selects.
    pub path: String,
    /// What that node must be.
    pub test: JsonCondition,
}

/// What a JSON value must be. Values are held as JSON text, so that numbers
/// keep the form they were written in and equality stays exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JsonCondition {
    /// Equal to this JSON value.
    Equals(String),
    /// Different from this JSON value.
    Differs(String),
    /// A number greater than or equal to this one.
    AtLeast(String),
    /// A number less than or equal to this one.
    AtMost(String),
    /// A string, or the JSON text, that matches this regular expression.
    Matches(String),
    /// There (true) or not there (false).
    Exists(bool),
}

/// A test of a response header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderTest {
    /// Header name, any case.
    pub name: String,
    /// Test of its value; a header that is not there fails `Contains` and `Matches`.
    pub test: TextTest,
}

/// A TCP connection with an optional dialogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpCheck {
    /// Where to connect.
    pub target: HostPort,
    /// TLS from the first byte.
    pub tls: Option<Trust>,
    /// Steps after connecting, in order.
    pub dialogue: Vec<DialogueStep>,
}

/// One step of a TCP dialogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DialogueStep {
    /// Sends this text as it is.
    Send(String),
    /// Waits for a line that matches this regular expression.
    Expect(String),
    /// Starts TLS in the words of a protocol, greeting included.
    StartTls(StartTls, Trust),
}

/// A protocol's words for changing to TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartTls {
    /// RFC 3207.
    Smtp,
    /// RFC 3501 section 6.2.1.
    Imap,
    /// RFC 2595 section 4.
    Pop3,
}

/// An ICMP echo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IcmpCheck {
    /// Name or address.
    pub host: String,
    /// Echoes sent in a round, 1 to 20; the round passes when one is answered
    /// and is degraded when some are lost.
    pub count: u8,
}

/// A DNS query and its expected answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsCheck {
    /// The name asked for.
    pub name: String,
    /// The type asked for.
    pub record_type: RecordType,
    /// The server asked; the system's resolver when `None`.
    pub server: Option<HostPort>,
    /// Expected response code, "NOERROR" when not said otherwise.
    pub response_code: String,
    /// Each of these must be among the answers, in presentation format.
    pub answers: Vec<String>,
    /// Tests of each answer in presentation format; one answer that passes is enough.
    pub tests: Vec<TextTest>,
}

/// A DNS record type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordType {
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Certification authority authorisation.
    Caa,
    /// Alias.
    Cname,
    /// Mail exchanger.
    Mx,
    /// Name server.
    Ns,
    /// Pointer.
    Ptr,
    /// Start of authority.
    Soa,
    /// Service.
    Srv,
    /// Text.
    Txt,
}

impl RecordType {
    /// All types, in the order they are listed to people.
    pub const ALL: [Self; 10] =
        [Self::A, Self::Aaaa, Self::Caa, Self::Cname, Self::Mx, Self::Ns, Self::Ptr, Self::Soa, Self::Srv, Self::Txt];

    /// The type's mnemonic.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Caa => "CAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Ptr => "PTR",
            Self::Soa => "SOA",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        }
    }
}

/// A TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsCheck {
    /// Where to connect.
    pub target: HostPort,
    /// Protocol spoken before TLS.
    pub start_tls: Option<StartTls>,
    /// Whom to trust.
    pub trust: Trust,
}

/// A mail exchanger: greeting, EHLO, TLS if wanted, and optionally an envelope
/// that is abandoned before any message is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmtpCheck {
    /// Where to connect.
    pub target: HostPort,
    /// How TLS is used.
    pub tls: SmtpTls,
    /// Whom to trust.
    pub trust: Trust,
    /// The envelope tried, sender and recipient. Any 5xx answer in the whole
    /// dialogue fails the check, because senders give mail up on it at once; a
    /// 4xx answer is degraded, because the mail is kept and comes later.
    pub envelope: Option<(String, String)>,
}

/// How an SMTP check uses TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SmtpTls {
    /// Not at all.
    None,
    /// STARTTLS when it is offered.
    Opportunistic,
    /// STARTTLS must be offered and work.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// An SSH server: its banner and host key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshCheck {
    /// Where to connect.
    pub target: HostPort,
    /// Test of the banner line.
    pub banner: Option<TextTest>,
    /// Expected host key fingerprint as `SHA256:…`, as `ssh-keygen -l` prints it.
    pub host_key: Option<String>,
}

/// A PostgreSQL server: that it takes connections, or the answer of a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresCheck {
    /// Where to connect.
    pub target: HostPort,
    /// User; without one only "is it taking connections?" is asked.
    pub user: Option<String>,
    /// Password of the user.
    pub password: Option<Secret>,
    /// Database; the user's name when `None`.
    pub database: Option<String>,
    /// A query that must return at least one row.
    pub query: Option<String>,
    /// Test of the first column of the first row, as text.
    pub test: Option<TextTest>,
    /// TLS, required when given.
    pub tls: Option<Trust>,
}

/// A Redis server: PING, or a command and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisCheck {
    /// Where to connect.
    pub target: HostPort,
    /// User of an access control list; the default user when `None`.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// TLS, used when given.
    pub tls: Option<Trust>,
    /// Command words; `PING` when empty.
    pub command: Vec<String>,
    /// Test of the answer as text.
    pub test: Option<TextTest>,
}

/// A sign of life that must arrive in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatCheck {
    /// The secret part of the address that is called, at least 16 characters.
    pub token: String,
    /// When it is expected.
    pub expected: HeartbeatSchedule,
    /// How late it may be.
    pub grace: Duration,
}

/// When a heartbeat is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeartbeatSchedule {
    /// At most this long after the last one.
    Period(Duration),
    /// At the times of a cron expression in a time zone (IANA name).
    Cron {
        /// When.
        cron: Cron,
        /// Time zone, an IANA name that exists in the bundled database.
        time_zone: String,
    },
}

/// A program that follows the Nagios plugin contract: exit code 0 to 3, status
/// text and performance data on its first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginCheck {
    /// Program and arguments, run without a shell; never empty.
    pub command: Vec<String>,
    /// Environment in addition to PATH and LANG=C.UTF-8.
    pub environment: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_port_reads_both_families() {
        let of = |text| HostPort::parse(text, Some(22)).map(|t| t.to_string());
        assert_eq!(of("example.org:80").as_deref(), Some("example.org:80"));
        assert_eq!(of("example.org").as_deref(), Some("example.org:22"));
        assert_eq!(of("::1").as_deref(), Some("[::1]:22"));
        assert_eq!(of("[::1]:2222").as_deref(), Some("[::1]:2222"));
        for wrong in ["", ":80", "a:0", "a:65536", "a:b", "[::1", "[::1]x", "a b:1", "a/b:1"] {
            assert_eq!(HostPort::parse(wrong, None), None, "{wrong}");
        }
        assert_eq!(HostPort::parse("example.org", None), None);
    }
}
