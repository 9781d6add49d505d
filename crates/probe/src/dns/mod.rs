//! The DNS check: one question to one server, and what its answer must be.
//!
//! It speaks to the server itself, over UDP and where the answer is too long
//! over TCP, because a resolver library hides what an operator wants to see:
//! which server answered, with which code, after which time. A lost packet is
//! no failure; the question is repeated, with the next server if there are several.

mod wire;

use crate::net::{Host, Target, io_trouble, is_own, reason};
use crate::round::{Round, Stage, Trouble};
use crate::text::{Test, quoted};
use crate::{PrepareError, Prober, whole_us};
use model::check::{DnsCheck, RecordType};
use model::limits::ADDRESSES_MAX;
use model::observation::Cause;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use wire::{Answer, Question, Reading, canonical};

/// How long one server is waited for before the question is repeated. The C
/// library's resolver waits 5 s; half of the default timeout would leave no third try.
const PATIENCE: Duration = Duration::from_secs(2);
/// Answers to a question of ours that came to be ignored before the socket is
/// given up: somebody is guessing at it.
const FOREIGN_MAX: usize = 64;
/// Bytes of a packet that are read: more than we ask for, since some servers
/// answer with what they like. It is part of every question under way.
const UDP_SPACE_BYTES: usize = 4096;
/// Records named in a sentence.
const RECORDS_SHOWN: usize = 4;

/// A DNS check, ready to run.
pub(crate) struct DnsPlan {
    question: Question,
    name: String,
    record_type: RecordType,
    servers: Servers,
    response_code: String,
    answers: Box<[String]>,
    tests: Box<[Test]>,
}

/// Whom to ask.
enum Servers {
    /// A server of the check's choice.
    Chosen { target: Target, name: String },
    /// The resolvers this machine uses.
    System(Box<[SocketAddr]>),
}

/// How one attempt ended without an answer.
enum Miss {
    /// No answer in time.
    Silence,
    /// The network said no.
    Error(io::Error),
    /// Our own host could not ask.
    Own(io::Error),
}

impl DnsPlan {
    /// Makes the check ready. Reads which resolvers the machine uses.
    pub(crate) fn prepare(prober: &Prober, check: &DnsCheck) -> Result<Self, PrepareError> {
        let question = Question::new(&check.name, check.record_type).ok_or_else(|| PrepareError::Word {
            what: "the name",
            text: check.name.clone(),
            reason: "it is not a domain name",
        })?;
        let servers = match &check.server {
            Some(server) => Servers::Chosen { target: Target::of(server)?, name: server.host.clone() },
            None => Servers::System(system_servers(prober)),
        };
        Ok(Self {
            question,
            name: check.name.trim_end_matches('.').to_owned(),
            record_type: check.record_type,
            servers,
            response_code: check.response_code.to_ascii_uppercase(),
            answers: check.answers.clone().into(),
            tests: Test::compile_all(&check.tests)?,
        })
    }

    /// Asks once, however many packets that takes.
    pub(crate) async fn run(&self, prober: &Prober, round: &mut Round) -> Result<(), Trouble> {
        let servers = match &self.servers {
            Servers::Chosen { target, .. } => prober.net.resolve(target, round).await?,
            Servers::System(servers) if servers.is_empty() => {
                return Err(Trouble::own("this machine has no name server in /etc/resolv.conf"));
            }
            Servers::System(servers) => servers.to_vec(),
        };
        let (server, answer) = self.ask(prober, round, &servers).await?;
        round.evidence.status = Some(answer.response_code.clone());
        round.keep_excerpt(answer.shown.as_bytes());
        self.judge(&self.called(server), &answer)
    }

    /// What a server is called in a sentence.
    fn called(&self, server: SocketAddr) -> String {
        match &self.servers {
            Servers::Chosen { name, .. } => name.clone(),
            Servers::System(_) => format!("the resolver {}", server.ip()),
        }
    }

    /// Asks the servers in turn until one answers or every one has refused.
    async fn ask(
        &self,
        prober: &Prober,
        round: &mut Round,
        servers: &[SocketAddr],
    ) -> Result<(SocketAddr, Answer), Trouble> {
        let servers = &servers[..servers.len().min(ADDRESSES_MAX)];
        let mut refused: Vec<Miss> = Vec::new();
        // The round's timeout ends this; a server that refuses is not asked again.
        let mut open: Vec<SocketAddr> = servers.to_vec();
        for turn in 0.. {
            if open.is_empty() {
                break;
            }
            let server = open[turn % open.len()];
            round.target = self.called(server);
            round.stage = Stage::Silent;
            let number = round.attempt_started(server.ip());
            let asked = Instant::now();
            match self.ask_one(prober, round, server).await? {
                Ok(answer) => {
                    round.attempt_succeeded(number, server);
                    // Nothing is connected over UDP; the time is that of the answer.
                    round.phases.connect_us = None;
                    round.phases.first_byte_us = Some(whole_us(asked.elapsed()));
                    return Ok((server, answer));
                }
                Err(Miss::Silence) => round.attempt_failed(number, "no answer".to_owned()),
                Err(miss @ (Miss::Error(_) | Miss::Own(_))) => {
                    round.attempt_failed(number, miss.text());
                    refused.push(miss);
                    open.retain(|other| *other != server);
                }
            }
        }
        Err(self.all_refused(&refused, servers))
    }

    /// Asks one server over UDP, and over TCP if the answer is too long.
    async fn ask_one(
        &self,
        prober: &Prober,
        round: &mut Round,
        server: SocketAddr,
    ) -> Result<Result<Answer, Miss>, Trouble> {
        let id = random_id();
        match tokio::time::timeout(PATIENCE, self.exchange(server, id)).await {
            Err(_) => Ok(Err(Miss::Silence)),
            Ok(Err(miss)) => Ok(Err(miss)),
            Ok(Ok(Reading::Answer(answer))) => Ok(Ok(answer)),
            Ok(Ok(Reading::Truncated)) => self.ask_by_tcp(prober, round, server, id).await.map(Ok),
            Ok(Ok(Reading::Foreign | Reading::Broken)) => Err(self.unreadable(server)),
        }
    }

    async fn exchange(&self, server: SocketAddr, id: u16) -> Result<Reading, Miss> {
        let local: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        // A socket for each question: a new port makes forged answers harder.
        let socket = UdpSocket::bind((local, 0)).await.map_err(Miss::Own)?;
        socket.connect(server).await.map_err(Miss::Own)?;
        socket.send(&self.question.bytes(id)).await.map_err(Miss::of)?;
        let mut space = [0u8; UDP_SPACE_BYTES];
        for _ in 0..FOREIGN_MAX {
            let length = socket.recv(&mut space).await.map_err(Miss::of)?;
            match self.question.read(id, &space[..length]) {
                Reading::Foreign => {}
                reading @ (Reading::Answer(_) | Reading::Truncated | Reading::Broken) => return Ok(reading),
            }
        }
        Ok(Reading::Foreign)
    }

    async fn ask_by_tcp(
        &self,
        prober: &Prober,
        round: &mut Round,
        server: SocketAddr,
        id: u16,
    ) -> Result<Answer, Trouble> {
        let scope = if let SocketAddr::V6(v6) = server { v6.scope_id() } else { 0 };
        let target = Target { host: Host::Address(server.ip(), scope), port: server.port() };
        let mut stream = prober.net.connect(&target, round).await?;
        round.stage = Stage::Answer;
        let broken = |error: io::Error| io_trouble(&error, &server.to_string(), "asking over TCP");
        let question = self.question.bytes(id);
        let length = u16::try_from(question.len()).expect("a question is short").to_be_bytes();
        stream.write_all(&[&length[..], &question].concat()).await.map_err(broken)?;
        let mut length = [0u8; 2];
        stream.read_exact(&mut length).await.map_err(broken)?;
        let mut bytes = vec![0u8; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut bytes).await.map_err(broken)?;
        match self.question.read(id, &bytes) {
            Reading::Answer(answer) => Ok(answer),
            Reading::Truncated | Reading::Foreign | Reading::Broken => Err(self.unreadable(server)),
        }
    }

    fn unreadable(&self, server: SocketAddr) -> Trouble {
        let sentence = format!("{} sent an answer that cannot be read", self.called(server));
        Trouble::fail(Cause::Protocol, sentence)
    }

    fn all_refused(&self, refused: &[Miss], servers: &[SocketAddr]) -> Trouble {
        let name = match &self.servers {
            Servers::Chosen { target, .. } => target.to_string(),
            Servers::System(_) => servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
        };
        match refused.iter().find(|miss| matches!(miss, Miss::Error(_))).or(refused.first()) {
            Some(Miss::Error(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Trouble::fail(Cause::Refused, format!("no name server listens on {name} ({})", reason(error)))
            }
            Some(Miss::Error(error)) => {
                Trouble::fail(Cause::Unreachable, format!("{name} cannot be reached: {}", reason(error)))
            }
            Some(Miss::Own(error)) => Trouble::own(format!("cannot ask {name} from here: {}", reason(error))),
            Some(Miss::Silence) | None => Trouble::own(format!("{name} was not asked")),
        }
    }

    fn judge(&self, server: &str, answer: &Answer) -> Result<(), Trouble> {
        let fail = |sentence| Err(Trouble::fail(Cause::Answer, sentence));
        let (name, record_type) = (&self.name, self.record_type.name());
        if answer.response_code != self.response_code {
            let (got, expected) = (&answer.response_code, &self.response_code);
            return fail(format!("{server} answered {got} for {name}, expected {expected}"));
        }
        if answer.records.is_empty() && self.response_code == "NOERROR" {
            return fail(format!("{server} has no {record_type} record for {name}"));
        }
        let found: Vec<String> = answer.records.iter().map(|text| canonical(self.record_type, text)).collect();
        if let Some(missing) = self.answers.iter().find(|text| !found.contains(&canonical(self.record_type, text))) {
            // What is missing comes first: a long answer would push it out of the sentence.
            let (missing, shown) = (quoted(missing), shown(&answer.records));
            return fail(format!("{server} did not answer {missing} for {record_type} of {name}, but {shown}"));
        }
        for test in &self.tests {
            let complaints: Vec<String> = answer.records.iter().filter_map(|text| test.complaint(text)).collect();
            let count = answer.records.len();
            match complaints.as_slice() {
                [only] if count == 1 => {
                    return fail(format!("the {record_type} record of {name} at {server} {only}"));
                }
                [first, ..] if complaints.len() == count => {
                    let records = format!("none of {count} {record_type} records of {name} passes");
                    return fail(format!("{server}: {records}: the first {first}"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Miss {
    /// An error after the question was on its way: usually a router's or the server's.
    fn of(error: io::Error) -> Self {
        if is_own(&error) { Self::Own(error) } else { Self::Error(error) }
    }

    fn text(&self) -> String {
        match self {
            Self::Silence => "no answer".to_owned(),
            Self::Error(error) | Self::Own(error) => reason(error),
        }
    }
}

fn shown(records: &[String]) -> String {
    let mut shown: Vec<String> = records.iter().take(RECORDS_SHOWN).map(|text| quoted(text)).collect();
    if records.len() > RECORDS_SHOWN {
        shown.push(format!("{} more", records.len() - RECORDS_SHOWN));
    }
    shown.join(", ")
}

/// The name servers given to the prober, or else the machine's.
fn system_servers(prober: &Prober) -> Box<[SocketAddr]> {
    if !prober.options.name_servers.is_empty() {
        return prober.options.name_servers.as_slice().into();
    }
    let Ok((config, _)) = hickory_resolver::system_conf::read_system_conf() else { return Box::default() };
    let port = |connections: &[hickory_resolver::config::ConnectionConfig]| {
        connections.first().map_or(53, |connection| connection.port)
    };
    config.name_servers().iter().map(|server| SocketAddr::new(server.ip, port(&server.connections))).collect()
}

/// An id that cannot be foretold: half of what a forged answer has to guess,
/// the other half being the port.
fn random_id() -> u16 {
    (RandomState::new().hash_one(Instant::now()) >> 48) as u16
}
