//! Echoes of all checks over one socket for each runtime and address family.
//!
//! ```text
//! check ── echo ──► outgoing ──► driver ── sendmmsg ──► network
//! check ◄─ wake ─── slot     ◄── driver ◄─ recvmmsg ─── network
//! ```
//!
//! A check takes a slot, queues its echo and wakes the driver. On a runtime
//! with one thread the driver comes after all checks that are ready, so echoes
//! gather into batches by themselves and nobody waits for a batch to fill. The
//! number of the slot is the sequence number on the wire.
//!
//! It knows no timeouts: whoever drops an [`Echo`] gives its slot back.
//! **A slot in use has its token, and a packet without the token is ignored.**

use super::packet::{Incoming, PacketFamily};
use super::socket::{BATCH, Buffers, EchoSocket, OpenError, Outgoing, Received, realtime_ns};
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::future::{Future, poll_fn};
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, Id};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

/// Echoes under way on one socket: sequence numbers have 16 bits.
const SLOTS_MAX: usize = 1 << 16;
/// Batches handled before other tasks of the runtime get their turn.
const BATCHES_IN_A_TURN: usize = 64;
/// How long to wait when the kernel takes no more packets. Its buffer empties
/// in microseconds; watching for writability instead would cost an event for
/// every packet sent.
const SEND_AGAIN_AFTER: Duration = Duration::from_millis(1);

/// Sends echoes; one for a prober. Opens its sockets when first needed.
pub(crate) struct Pinger {
    engines: Mutex<Vec<Engine>>,
}

/// One socket and the task that drives it.
struct Engine {
    runtime: Id,
    family: PacketFamily,
    shared: Arc<Shared>,
    driver: JoinHandle<()>,
}

/// What the checks and the driver share.
struct Shared {
    socket: AsyncFd<EchoSocket>,
    state: Mutex<State>,
}

struct State {
    slots: Vec<Slot>,
    free: Vec<u16>,
    /// Slots to be sent, each with its token, because a slot may be given back while it waits.
    outgoing: VecDeque<(u16, u64)>,
    token_next: u64,
    driver: Option<Waker>,
}

/// One echo.
struct Slot {
    /// 0 when the slot is free.
    token: u64,
    to: SocketAddr,
    /// `None` while it waits to be sent.
    sent: Option<Instant>,
    sent_realtime_ns: i64,
    waker: Option<Waker>,
    answer: Option<Answer>,
}

/// How an echo ended.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// It came back after this time.
    Back(Duration),
    /// Somebody on the way says that it cannot be delivered.
    Undeliverable {
        /// Who says so.
        by: IpAddr,
        /// In which words.
        reason: &'static str,
    },
    /// Our own host did not send it; the number of the error.
    NotSent(i32),
}

/// Why an echo could not even be queued.
#[derive(Debug, thiserror::Error)]
pub(super) enum EchoError {
    /// There is no socket for it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Every sequence number is in use.
    #[error("{SLOTS_MAX} echoes are under way already")]
    Full,
}

/// An echo under way. Resolves when it came back or cannot; dropped, it is forgotten.
pub(super) struct Echo {
    shared: Arc<Shared>,
    slot: u16,
    token: u64,
}

impl Pinger {
    /// Makes a pinger without sockets.
    pub(crate) fn new() -> Self {
        Self { engines: Mutex::new(Vec::new()) }
    }

    /// Queues an echo. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`EchoError`], all of which are ours.
    pub(super) fn echo(&self, to: SocketAddr) -> Result<Echo, EchoError> {
        let shared = self.shared(PacketFamily::of(to.ip()))?;
        let (slot, token) = shared.lock().take(to).ok_or(EchoError::Full)?;
        Ok(Echo { shared, slot, token })
    }

    /// The socket of this runtime and family, opened if there is none that lives.
    fn shared(&self, family: PacketFamily) -> Result<Arc<Shared>, OpenError> {
        let handle = Handle::current();
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |engine: &&Engine| engine.runtime == handle.id() && engine.family == family;
        if let Some(engine) = engines.iter().find(wanted).filter(|engine| !engine.driver.is_finished()) {
            return Ok(Arc::clone(&engine.shared));
        }
        engines.retain(|engine| !engine.driver.is_finished());
        let random = RandomState::new().hash_one(family as u8);
        let socket = EchoSocket::open(family, (random >> 48) as u16)?;
        let shared = Arc::new(Shared { socket: socket.registered()?, state: Mutex::new(State::new(random | 1)) });
        let driver = handle.spawn(drive(Arc::clone(&shared)));
        engines.push(Engine { runtime: handle.id(), family, shared: Arc::clone(&shared), driver });
        Ok(shared)
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        for engine in self.engines.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            engine.driver.abort();
        }
    }
}

impl Future for Echo {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut state = self.shared.lock();
        let slot = &mut state.slots[usize::from(self.slot)];
        debug_assert_eq!(slot.token, self.token, "an echo owns its slot until it is dropped");
        if let Some(answer) = slot.answer.take() {
            return Poll::Ready(answer);
        }
        if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.shared.lock().give_back(self.slot);
    }
}

impl State {
    fn new(token_first: u64) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), outgoing: VecDeque::new(), token_next: token_first, driver: None }
    }

    /// Takes a slot, queues its echo and wakes the driver. `None` when all are in use.
    fn take(&mut self, to: SocketAddr) -> Option<(u16, u64)> {
        let token = self.token_next;
        // Zero marks a free slot, so it is left out when the numbers come round.
        self.token_next = self.token_next.checked_add(1).unwrap_or(1);
        let taken = Slot { token, to, sent: None, sent_realtime_ns: 0, waker: None, answer: None };
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[usize::from(number)] = taken;
                number
            }
            None => {
                let number = u16::try_from(self.slots.len()).ok()?;
                self.slots.push(taken);
                number
            }
        };
        self.outgoing.push_back((number, token));
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
        Some((number, token))
    }

    fn give_back(&mut self, number: u16) {
        let slot = &mut self.slots[usize::from(number)];
        slot.token = 0;
        slot.waker = None;
        slot.answer = None;
        self.free.push(number);
    }

    /// Takes the next batch from the queue and stamps it as sent.
    fn next_batch(&mut self, into: &mut Vec<Outgoing>) {
        into.clear();
        if self.outgoing.is_empty() {
            return;
        }
        let (sent, sent_realtime_ns) = (Instant::now(), realtime_ns());
        while into.len() < BATCH {
            let Some((number, token)) = self.outgoing.pop_front() else { return };
            let slot = &mut self.slots[usize::from(number)];
            if slot.token == token {
                (slot.sent, slot.sent_realtime_ns) = (Some(sent), sent_realtime_ns);
                into.push(Outgoing { to: slot.to, sequence: number, token });
            }
        }
    }

    /// Puts what was not sent back to the front of the queue, in order.
    fn put_back(&mut self, packets: &[Outgoing]) {
        for packet in packets.iter().rev() {
            self.outgoing.push_front((packet.sequence, packet.token));
        }
    }

    fn not_sent(&mut self, packet: &Outgoing, error: &io::Error) {
        if self.slots[usize::from(packet.sequence)].token == packet.token {
            self.answer(packet.sequence, Answer::NotSent(error.raw_os_error().unwrap_or(0)));
        }
    }

    fn answer(&mut self, number: u16, answer: Answer) {
        let slot = &mut self.slots[usize::from(number)];
        // The first answer counts: a doubled packet must not change it.
        if slot.answer.is_none() {
            slot.answer = Some(answer);
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }

    /// Matches a received packet with the echo it is about.
    fn received(&mut self, packet: &Received, now: Instant) {
        let sequence = match packet.incoming {
            Incoming::Reply { sequence, .. } | Incoming::Undeliverable { sequence, .. } => sequence,
        };
        let Some(slot) = self.slots.get(usize::from(sequence)).filter(|slot| slot.token != 0) else { return };
        match packet.incoming {
            Incoming::Reply { token, .. } if token == slot.token && packet.from == slot.to.ip() => {
                let took = round_trip(slot, packet.at_realtime_ns, now);
                self.answer(sequence, Answer::Back(took));
            }
            Incoming::Undeliverable { destination, reason, .. } if destination == slot.to.ip() => {
                self.answer(sequence, Answer::Undeliverable { by: packet.from, reason });
            }
            Incoming::Reply { .. } | Incoming::Undeliverable { .. } => {}
        }
    }
}

/// The time between sending and the kernel's receive time. That clock may be
/// set while the echo is away, so the monotonic clock bounds the result.
fn round_trip(slot: &Slot, at_realtime_ns: Option<i64>, now: Instant) -> Duration {
    let at_most = now.saturating_duration_since(slot.sent.unwrap_or(now));
    at_realtime_ns
        .and_then(|at| u64::try_from(at - slot.sent_realtime_ns).ok())
        .map(Duration::from_nanos)
        .filter(|took| *took <= at_most)
        .unwrap_or(at_most)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves plain data behind, every step of which is valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one batch.
    fn send(&self, scratch: &mut Scratch) -> Sent {
        let packets = &mut scratch.packets;
        self.lock().next_batch(packets);
        if packets.is_empty() {
            return Sent::Nothing;
        }
        match self.socket.get_ref().send(packets) {
            Ok(sent) => {
                if sent < packets.len() {
                    self.lock().put_back(&packets[sent..]);
                }
                Sent::Some
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR)) => {
                self.lock().put_back(packets);
                Sent::Blocked
            }
            // A pending error of an earlier echo comes back from the next call;
            // the error queue says whose it is, and these packets are still to be sent.
            Err(_) if self.receive_errors(&mut scratch.received) => {
                self.lock().put_back(packets);
                Sent::Some
            }
            Err(error) => {
                // The error is the first packet's; the others were not tried.
                let mut state = self.lock();
                state.put_back(&packets[1..]);
                state.not_sent(&packets[0], &error);
                Sent::Some
            }
        }
    }

    /// Receives one batch. Returns whether there may be more.
    fn receive(&self, scratch: &mut Scratch) -> bool {
        scratch.received.clear();
        let more = match self.socket.get_ref().receive(&mut scratch.buffers, &mut scratch.received) {
            Ok(count) => count == BATCH,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // The pending error of some echo, cleared by being returned.
            Err(_) => true,
        };
        self.match_received(&scratch.received);
        more
    }

    /// Takes reported errors. Returns whether there were any.
    fn receive_errors(&self, received: &mut Vec<Received>) -> bool {
        received.clear();
        self.socket.get_ref().receive_errors(received);
        self.match_received(received);
        !received.is_empty()
    }

    fn match_received(&self, received: &[Received]) {
        if !received.is_empty() {
            let now = Instant::now();
            let mut state = self.lock();
            for packet in received {
                state.received(packet, now);
            }
        }
    }

    /// One turn of the driver.
    fn turn(&self, scratch: &mut Scratch, cx: &mut Context<'_>) {
        {
            let mut state = self.lock();
            if !state.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.driver = Some(cx.waker().clone());
            }
        }
        if let Some(pause) = &mut scratch.pause
            && pause.as_mut().poll(cx).is_ready()
        {
            scratch.pause = None;
        }
        for _ in 0..BATCHES_IN_A_TURN {
            let sent = if scratch.pause.is_some() { Sent::Nothing } else { self.send(scratch) };
            match sent {
                Sent::Some => {
                    // Often the replies are here already; looking costs less than being told.
                    self.receive(scratch);
                    continue;
                }
                Sent::Blocked => {
                    let mut pause = Box::pin(tokio::time::sleep(SEND_AGAIN_AFTER));
                    if pause.as_mut().poll(cx).is_pending() {
                        scratch.pause = Some(pause);
                    }
                }
                Sent::Nothing => {}
            }
            match self.socket.poll_read_ready(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(mut guard)) => {
                    if !self.receive(scratch) && !self.receive_errors(&mut scratch.received) {
                        guard.clear_ready();
                    }
                }
                // Only a runtime that shuts down says so; it drops this task next.
                Poll::Ready(Err(_)) => return,
            }
        }
        cx.waker().wake_by_ref();
    }
}

/// What became of a batch.
enum Sent {
    /// There was none.
    Nothing,
    /// At least one packet was dealt with.
    Some,
    /// The kernel takes none at the moment.
    Blocked,
}

/// What the driver keeps between turns.
struct Scratch {
    buffers: Buffers,
    packets: Vec<Outgoing>,
    received: Vec<Received>,
    pause: Option<Pin<Box<Sleep>>>,
}

async fn drive(shared: Arc<Shared>) {
    let mut scratch = Scratch {
        buffers: Buffers::new(),
        packets: Vec::with_capacity(BATCH),
        received: Vec::with_capacity(2 * BATCH),
        pause: None,
    };
    poll_fn(|cx| {
        shared.turn(&mut scratch, cx);
        Poll::<()>::Pending
    })
    .await;
}
