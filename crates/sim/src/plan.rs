//! What a seed decides before anything happens: how large the cluster is, where
//! its nodes stand, how long the bad weather lasts and what goes wrong in it.

use crate::random::Random;
use model::configuration::LOCATION_DEFAULT;
use model::id::LocationId;

/// Names of places.
const PLACES: [&str; 5] = ["amsterdam", "berlin", "copenhagen", "dublin", "essen"];

/// The plan of a run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// The places, each with the number of its nodes.
    pub(crate) places: Vec<(LocationId, usize)>,
    /// Whether the last node only votes.
    pub(crate) has_witness: bool,
    /// Virtual seconds of bad weather.
    pub(crate) weather_seconds: u64,
    /// Whether people change what is configured.
    pub(crate) is_changed: bool,
    /// Whether people change who belongs to the cluster.
    pub(crate) is_rebuilt: bool,
    /// Entries from one snapshot to the next.
    pub(crate) snapshot_every: u64,
    /// Seconds from one fault to the next, on average.
    pub(crate) fault_every_seconds: u64,
}

impl Plan {
    pub(crate) fn new(seed: u64, random: &mut Random) -> Self {
        // Small, usual and large clusters, in places of their own or together.
        let counts: &[usize] = match random.between(0, 12) {
            0 => &[1],
            1..5 => &[1, 1, 1],
            5..7 => &[2, 1],
            7 => &[3],
            8 => &[2, 2, 1],
            9 => &[3, 2],
            10 => &[1, 1, 1, 1, 1],
            _ => &[1, 1],
        };
        let name = |at: usize| if counts == [1] { LOCATION_DEFAULT } else { PLACES[at] };
        let place = |(at, count): (usize, &usize)| (LocationId::new(name(at)).expect("a legal constant"), *count);
        Self {
            seed,
            places: counts.iter().enumerate().map(place).collect(),
            has_witness: counts.len() >= 3 && random.happens(250),
            weather_seconds: random.between(300, 900),
            is_changed: random.happens(500),
            is_rebuilt: counts != [1] && random.happens(300),
            snapshot_every: random.between(40, 300),
            fault_every_seconds: random.between(15, 120),
        }
    }

    pub(crate) fn locations(&self) -> Vec<LocationId> {
        self.places.iter().map(|(location, _)| location.clone()).collect()
    }
}
