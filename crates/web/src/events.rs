//! Server-sent events: every decision of the machine as one line of JSON.
//!
//! What is new is found by comparing the decisions of two published states, so
//! no other room has to know that somebody listens. A subscriber that cannot
//! keep up is told how much it missed and goes on with the present; a new one
//! can name the last event it saw and gets what is still kept after it.
//! **Neither the number of subscribers nor what waits for one of them grows
//! without bound.**

use crate::operator;
use crate::published::Published;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response};
use control::State;
use control::decision::Decision;
use futures_util::stream::{self, Stream};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

/// Events that may wait for a slow subscriber: a few seconds of a large outage.
const WAITING_MAX: usize = 1_024;
/// A comment is sent in silence, so that proxies and readers see life.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(15);

/// The hub between the publisher and the subscribers.
pub(crate) struct Events {
    sender: broadcast::Sender<Bytes>,
    places: Arc<Semaphore>,
    closing: watch::Sender<bool>,
}

impl Events {
    pub(crate) fn new(subscribers_max: usize) -> Self {
        Self {
            sender: broadcast::Sender::new(WAITING_MAX),
            places: Arc::new(Semaphore::new(subscribers_max)),
            closing: watch::Sender::new(false),
        }
    }

    /// Tells the subscribers what was decided between two states. What was
    /// decided before the first published state is no news.
    pub(crate) fn publish(&self, before: Option<&Published>, after: &State) {
        let Some(before) = before else {
            return;
        };
        if self.sender.receiver_count() == 0 {
            return;
        }
        for decision in later_than(after, before.state.applied_index()) {
            // Fails only when the last subscriber has left meanwhile.
            let _ = self.sender.send(line(decision));
        }
    }

    /// Ends all streams.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// The stream of one more subscriber, from after the entry `seen` if that
    /// is given; `None` when all places are taken.
    pub(crate) fn subscribe(&self, state: &State, seen: Option<u64>) -> Option<Response<Body>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut waiting = VecDeque::from([Bytes::from_static(b": mainstay\n\n")]);
        // Subscribed before the past is read, so that nothing falls between;
        // a decision that is in both is told twice, and its id says so.
        let receiver = self.sender.subscribe();
        if let Some(seen) = seen {
            waiting.extend(later_than(state, seen).map(line));
        }
        let subscriber = Subscriber { waiting, receiver, closing: self.closing.subscribe(), _place: place };
        let mut response = Response::new(Body::from_stream(subscriber.stream()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Proxies that buffer would hold events back.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        Some(response)
    }
}

struct Subscriber {
    waiting: VecDeque<Bytes>,
    receiver: broadcast::Receiver<Bytes>,
    closing: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Subscriber {
    fn stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, async |mut subscriber| {
            let next = subscriber.next().await?;
            Some((Ok(next), subscriber))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(waiting) = self.waiting.pop_front() {
            return Some(waiting);
        }
        tokio::select! {
            biased;
            // An error means that the hub is gone, which is the end as well.
            _ = self.closing.wait_for(|closing| *closing) => None,
            received = self.receiver.recv() => match received {
                Ok(event) => Some(event),
                Err(RecvError::Lagged(missed)) => Some(Bytes::from(format!("event: missed\ndata: {missed}\n\n"))),
                Err(RecvError::Closed) => None,
            },
            () = tokio::time::sleep(SIGN_OF_LIFE_EVERY) => Some(Bytes::from_static(b": alive\n\n")),
        }
    }
}

/// Decisions made by entries after `index`, oldest first.
fn later_than(state: &State, index: u64) -> impl Iterator<Item = &Arc<Decision>> {
    let count = state.decisions().rev().take_while(|decision| decision.index > index).count();
    let mut newest: Vec<_> = state.decisions().rev().take(count).collect();
    newest.reverse();
    newest.into_iter()
}

fn line(decision: &Arc<Decision>) -> Bytes {
    let json = serde_json::to_string(&operator::decision(decision)).expect("own types always encode");
    Bytes::from(format!("id: {}\nevent: decision\ndata: {json}\n\n", decision.index))
}
