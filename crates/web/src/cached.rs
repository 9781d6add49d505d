//! A document that is made at most once for each published state.
//!
//! It is made when somebody asks for it, on a thread that may take its time,
//! while everybody else still gets the one before if that was right a moment
//! ago. So neither a burst of visitors nor a hundred thousand services make
//! anyone wait for more than one rendering.

use crate::document::Document;
use crate::published::Published;
use crate::shared::Shared;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long the document before may still be sent while its successor is
/// made; well within the second in which a change must be seen.
const GRACE: Duration = Duration::from_millis(300);

/// One document of the newest state.
#[derive(Default)]
pub(crate) struct Cached {
    current: ArcSwapOption<Made>,
    making: Mutex<()>,
}

struct Made {
    document: Document,
    generation: u64,
    is_stale: bool,
}

/// How a document is made from a state and whether that is stale.
pub(crate) type Make = fn(&Shared, &Published, bool) -> Document;

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
        let made = self.current.load_full()?;
        let is_right = made.generation == published.generation && made.is_stale == shared.is_stale(published);
        is_right.then_some(Held(made))
    }

    /// The document, made if need be. `None` if making it failed, which is a bug that was logged.
    pub(crate) async fn get(&self, shared: &Arc<Shared>, published: &Arc<Published>, make: Make) -> Option<Held> {
        if let Some(ready) = self.ready(shared, published) {
            return Some(ready);
        }
        let is_stale = shared.is_stale(published);
        let turn = match self.making.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                if let Some(before) = self.current.load_full()
                    && published.at.elapsed() < GRACE
                    && before.is_stale == is_stale
                {
                    return Some(Held(before));
                }
                self.making.lock().await
            }
        };
        if let Some(ready) = self.ready(shared, published) {
            return Some(ready);
        }
        let (shared, published) = (Arc::clone(shared), Arc::clone(published));
        let making = tokio::task::spawn_blocking(move || {
            let document = make(&shared, &published, is_stale);
            Arc::new(Made { document, generation: published.generation, is_stale })
        });
        let made = match making.await {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(%error, "a document could not be made");
                return None;
            }
        };
        self.current.store(Some(Arc::clone(&made)));
        drop(turn);
        Some(Held(made))
    }
}
