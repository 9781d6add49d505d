//! The ICMP check: echoes, answered or lost.
//!
//! One answered echo is enough to pass, lost ones degrade. A round is not
//! repeated here when its only echo is lost: failed rounds are confirmed by
//! further rounds, and that is decided elsewhere. The latency of a round is
//! the mean of its round trips, not the time it took to send them all.

mod engine;
mod packet;
mod socket;

pub(crate) use engine::Pinger;

use crate::net::{Host, Target};
use crate::round::{Round, Stage, Trouble};
use crate::{PrepareError, Prober, whole_us};
use engine::{Answer, Echo, EchoError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use model::check::IcmpCheck;
use model::limits::ADDRESSES_MAX;
use model::observation::Cause;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Time between two echoes of a round: far enough apart that one full queue
/// does not swallow several, close enough that twenty take less than half a second.
const SPACING: Duration = Duration::from_millis(20);
/// Time an address has for itself before the next one of the same name is
/// tried as well; what RFC 8305 recommends for connections.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// How long a lost echo is waited for when others were answered, unless three
/// times the slowest answer is longer.
const LINGER_MIN: Duration = Duration::from_secs(1);

/// An ICMP check, ready to run.
pub(crate) struct IcmpPlan {
    target: Target,
    name: String,
    count: usize,
}

/// What became of the echoes of a round.
#[derive(Debug, Default)]
struct Tally {
    sent: usize,
    trips: Vec<Duration>,
    undeliverable: Option<(IpAddr, &'static str)>,
    not_sent: Option<i32>,
}

/// An echo and the number of the address it goes to.
struct Numbered {
    number: usize,
    echo: Echo,
}

impl Future for Numbered {
    type Output = (usize, Answer);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let number = self.number;
        Pin::new(&mut self.echo).poll(cx).map(|answer| (number, answer))
    }
}

impl IcmpPlan {
    /// Makes the check ready.
    pub(crate) fn prepare(_prober: &Prober, check: &IcmpCheck) -> Result<Self, PrepareError> {
        // The port is not used; addresses carry one because connections need it.
        let target = Target { host: Host::parse(&check.host)?, port: 0 };
        Ok(Self { target, name: check.host.clone(), count: usize::from(check.count.max(1)) })
    }

    /// Sends the echoes of one round.
    pub(crate) async fn run(&self, prober: &Prober, round: &mut Round) -> Result<(), Trouble> {
        let addresses = prober.net.resolve(&self.target, round).await?;
        round.target.clone_from(&self.name);
        round.stage = Stage::Silent;
        let mut tally = Tally::default();
        let address = match addresses.as_slice() {
            [single] => {
                round.attempt_started(single.ip());
                *single
            }
            several => self.first_that_answers(prober, round, several, &mut tally).await?,
        };
        if self.count == 1 && tally.sent == 0 {
            let echo = prober.pinger.echo(address).map_err(|error| not_queued(&error))?;
            tally.sent = 1;
            tally.note(echo.await);
        } else {
            self.send_rest(prober, address, &mut tally).await?;
        }
        self.judge(round, address, &tally)
    }

    /// Tries the addresses of a name, each a little after the one before it,
    /// and returns the first that answers an echo.
    async fn first_that_answers(
        &self,
        prober: &Prober,
        round: &mut Round,
        addresses: &[SocketAddr],
        tally: &mut Tally,
    ) -> Result<SocketAddr, Trouble> {
        let mut waiting = addresses.iter().take(ADDRESSES_MAX).enumerate();
        let mut under_way = FuturesUnordered::new();
        let mut attempts = Vec::new();
        loop {
            if let Some((number, address)) = waiting.next() {
                attempts.push(round.attempt_started(address.ip()));
                match prober.pinger.echo(*address) {
                    Ok(echo) => under_way.push(Numbered { number, echo }),
                    Err(error) => round.attempt_failed(attempts[number], error.to_string()),
                }
            }
            let ended = tokio::select! {
                biased;
                ended = under_way.next() => ended,
                () = tokio::time::sleep(NEXT_ADDRESS_AFTER), if waiting.len() > 0 => continue,
            };
            match ended {
                Some((number, answer @ Answer::Back(_))) => {
                    round.attempt_succeeded(attempts[number], addresses[number]);
                    tally.sent += 1;
                    tally.note(answer);
                    return Ok(addresses[number]);
                }
                Some((number, answer)) => {
                    round.attempt_failed(attempts[number], answer.text());
                    tally.note(answer);
                }
                None if waiting.len() > 0 => {}
                None => return Err(self.all_in_vain(tally)),
            }
        }
    }

    /// Sends what is left of the round's echoes to one address and waits for them.
    async fn send_rest(&self, prober: &Prober, address: SocketAddr, tally: &mut Tally) -> Result<(), Trouble> {
        let mut under_way = FuturesUnordered::new();
        let mut send_next = Instant::now();
        loop {
            if tally.sent < self.count && Instant::now() >= send_next {
                under_way.push(prober.pinger.echo(address).map_err(|error| not_queued(&error))?);
                tally.sent += 1;
                send_next += SPACING;
                continue;
            }
            let all_sent = tally.sent == self.count;
            if all_sent && under_way.is_empty() {
                return Ok(());
            }
            // Without any answer there is no hurry: the round's own timeout ends it.
            let patience = tally.trips.iter().max().map(|slowest| (*slowest * 3).max(LINGER_MIN));
            let until = if all_sent { patience.map(|patience| send_next + patience) } else { Some(send_next) };
            let time = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(answer) = under_way.next() => tally.note(answer),
                () = time => if all_sent {
                    return Ok(());
                },
            }
        }
    }

    fn judge(&self, round: &mut Round, address: SocketAddr, tally: &Tally) -> Result<(), Trouble> {
        if tally.trips.is_empty() {
            return Err(self.all_in_vain(tally));
        }
        let answered = u32::try_from(tally.trips.len()).unwrap_or(u32::MAX);
        let mean = tally.trips.iter().sum::<Duration>() / answered;
        // The commonest round has one attempt, and it succeeded just now.
        round.attempt_succeeded(0, address);
        round.phases.connect_us = Some(whole_us(mean));
        round.latency = Some(mean);
        let lost = tally.sent - tally.trips.len();
        if lost > 0 {
            round.degrade(Cause::Loss, || format!("{lost} of {} echoes to {} were lost", tally.sent, self.name));
        }
        Ok(())
    }

    fn all_in_vain(&self, tally: &Tally) -> Trouble {
        match (tally.undeliverable, tally.not_sent) {
            (Some((by, reason)), _) => {
                Trouble::fail(Cause::Unreachable, format!("{} cannot be reached: {reason}, says {by}", self.name))
            }
            (None, Some(number)) => {
                Trouble::own(format!("cannot send echoes to {}: {}", self.name, error_text(number)))
            }
            (None, None) => Trouble::fail(Cause::Timeout, format!("{} answered no echo", self.name)),
        }
    }
}

impl Tally {
    fn note(&mut self, answer: Answer) {
        match answer {
            Answer::Back(took) => self.trips.push(took),
            Answer::Undeliverable { by, reason } => {
                self.undeliverable = Some((by, reason));
            }
            Answer::NotSent(number) => {
                self.not_sent = Some(number);
            }
        }
    }
}

impl Answer {
    fn text(&self) -> String {
        match self {
            Self::Back(took) => format!("answered after {took:?}"),
            Self::Undeliverable { by, reason } => format!("{reason}, says {by}"),
            Self::NotSent(number) => error_text(*number),
        }
    }
}

fn not_queued(error: &EchoError) -> Trouble {
    Trouble::own(error.to_string())
}

fn error_text(number: i32) -> String {
    crate::net::reason(&std::io::Error::from_raw_os_error(number))
}
