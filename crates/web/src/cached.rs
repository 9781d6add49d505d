//! A document that is made at most once for each published state.
//!
//! It is made when somebody asks for it, on a thread that may take its time.
//! One that takes long is not waited for as long as the one before shows the
//! state of a moment ago. So neither a burst of visitors nor a hundred thousand services
//! make anyone wait for long, and what is made in an instant is never old.

use crate::document::Document;
use crate::freshness::Freshness;
use crate::published::Published;
use crate::shared::Shared;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;

/// Age of the state up to which a document may still be sent while its successor
/// is made; within the second in which a change must be seen.
const GRACE: Duration = Duration::from_millis(700);
/// A document that is made in less than this is always waited for: a page of
/// a few hundred services.
const INSTANT: Duration = Duration::from_millis(5);

/// One document of the newest state.
#[derive(Default)]
pub(crate) struct Cached {
    place: Arc<Place>,
    making: Arc<Mutex<()>>,
}

#[derive(Default)]
struct Place(ArcSwapOption<Made>);

struct Made {
    document: Document,
    generation: u64,
    /// When the state it shows was published.
    published: Instant,
    freshness: Freshness,
    took: Duration,
}

/// How a document is made from a state, and how far that is the present.
pub(crate) type Make = fn(&Published, Freshness) -> Document;

/// A document that stays whole while it is being sent.
pub(crate) struct Held(Arc<Made>);

impl std::ops::Deref for Held {
    type Target = Document;

    fn deref(&self) -> &Document {
        &self.0.document
    }
}

impl Cached {
    /// The document if it is there and right.
    pub(crate) fn ready(&self, shared: &Shared, published: &Published) -> Option<Held> {
        let made = self.place.0.load_full()?;
        let is_right = made.generation == published.generation && made.freshness == shared.freshness(published);
        is_right.then_some(Held(made))
    }

    /// The document, made if need be. `None` if making it failed, which is a bug that was logged.
    pub(crate) async fn get(&self, shared: &Arc<Shared>, published: &Arc<Published>, make: Make) -> Option<Held> {
        if let Some(ready) = self.ready(shared, published) {
            return Some(ready);
        }
        if let Some(before) = self.good_enough(shared, published) {
            if let Ok(turn) = Arc::clone(&self.making).try_lock_owned() {
                // Nobody waits for it: it ends by itself and gives its turn back.
                drop(self.start(turn, shared, published, make));
            }
            return Some(before);
        }
        let turn = Arc::clone(&self.making).lock_owned().await;
        if let Some(ready) = self.ready(shared, published) {
            return Some(ready);
        }
        match self.start(turn, shared, published, make).await {
            Ok(made) => Some(Held(made)),
            Err(error) => {
                tracing::error!(%error, "a document could not be made");
                None
            }
        }
    }

    /// The document before, if it shows the state of a moment ago and its successor takes long to make.
    fn good_enough(&self, shared: &Shared, published: &Published) -> Option<Held> {
        let before = self.place.0.load_full()?;
        let was_right = before.published.elapsed() < GRACE && before.freshness == shared.freshness(published);
        (was_right && before.took > INSTANT).then_some(Held(before))
    }

    fn start(
        &self,
        turn: OwnedMutexGuard<()>,
        shared: &Arc<Shared>,
        published: &Arc<Published>,
        make: Make,
    ) -> JoinHandle<Arc<Made>> {
        let (place, shared, published) = (Arc::clone(&self.place), Arc::clone(shared), Arc::clone(published));
        tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let freshness = shared.freshness(&published);
            let document = make(&published, freshness);
            let took = begun.elapsed();
            let made = Made { document, generation: published.generation, published: published.at, freshness, took };
            let made = Arc::new(made);
            place.0.store(Some(Arc::clone(&made)));
            drop(turn);
            made
        })
    }
}
