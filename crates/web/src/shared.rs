//! What all requests share: the published state, the documents made from it,
//! and the way to the rest of the house.

use crate::cached::Cached;
use crate::commands::Commands;
use crate::events::Events;
use crate::freshness::Freshness;
use crate::heartbeat::starts::Starts;
use crate::metrics::scrapes::Scrapes;
use crate::options::Options;
use crate::published::{self, Published};
use crate::statuspage::Resource;
use arc_swap::ArcSwapOption;
use control::State;
use std::sync::Arc;

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) commands: Arc<dyn Commands>,
    pub(crate) events: Events,
    pub(crate) starts: Starts,
    pub(crate) scrapes: Scrapes,
    pub(crate) page: Cached,
    statuspage: [Cached; Resource::ALL.len()],
    published: ArcSwapOption<Published>,
}

impl Shared {
    pub(crate) fn new(options: Options, commands: Arc<dyn Commands>) -> Self {
        Self {
            events: Events::new(options.subscribers_max),
            starts: Starts::default(),
            scrapes: Scrapes::default(),
            page: Cached::default(),
            statuspage: std::array::from_fn(|_| Cached::default()),
            published: ArcSwapOption::empty(),
            options,
            commands,
        }
    }

    /// Takes over a newer state. One caller at a time: the front door has one publisher.
    pub(crate) fn publish(&self, state: State) {
        let before = self.published.load_full();
        let after = Arc::new(Published::after(before.as_deref(), state));
        self.published.store(Some(Arc::clone(&after)));
        self.events.publish(before.as_deref(), &after.state);
    }

    /// The state served; `None` until the first is published.
    pub(crate) fn published(&self) -> Option<Arc<Published>> {
        self.published.load_full()
    }

    /// How far a state is the present.
    pub(crate) fn freshness(&self, published: &Published) -> Freshness {
        Freshness::of(&self.commands.contact(), published.age(), self.options.stale_after, published::now())
    }

    /// The place where one of the Statuspage documents is kept.
    pub(crate) fn statuspage(&self, resource: Resource) -> &Cached {
        &self.statuspage[resource as usize]
    }
}
