//! A world of several places: each has a network of its own, and a wire that
//! can be cut, slow or lossy between any two of them.
//!
//! ```text
//!   place 0 (here)     place 1          place 2          place 3
//!   10.77.0.1          10.77.1.1        10.77.2.1        10.77.3.1
//!      │ device           │ device         │ device         │ device
//!      └──────────────────┴───── wire ─────┴────────────────┘
//!                (a thread of ours, by the rules of `links`)
//! ```
//!
//! The places are network namespaces of the kernel and what is in them is
//! real: sockets, routes, TCP with its repetitions. Only the line between them
//! is ours, a thread that reads each packet from one device and writes it to
//! another. So a delay or a loss needs no module that a kernel may lack (a
//! queueing discipline, a packet filter), each direction can be cut by itself,
//! and nothing is left behind: a place is gone when its handle is closed.
//!
//! Reading order: [`links`], [`wire`], [`kernel`].

mod kernel;
mod links;
mod wire;

pub use links::{Links, PlaceNumber};

use crate::program::{require, require_root, skip};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The place of the test itself, and of everything that is no node.
pub const HERE: PlaceNumber = 0;
/// The device of each place.
const DEVICE: &str = "wire";
/// Large packets: there is no hardware whose limits would have to be kept, and
/// each packet costs two calls.
const PACKET_BYTES: &str = "9000";

/// Several places and the wire between them.
#[derive(Debug)]
pub struct World {
    places: Vec<Place>,
    links: Arc<Links>,
    is_over: Arc<AtomicBool>,
    carrier: Option<JoinHandle<()>>,
}

/// A place with a network of its own.
#[derive(Debug, Clone)]
pub struct Place {
    number: PlaceNumber,
    network: Arc<File>,
}

impl World {
    /// Makes a world with this many places besides [`HERE`], numbered from 1.
    /// `None` if that is not possible, after saying that the test is skipped.
    ///
    /// # Panics
    /// It should be possible and fails.
    pub fn with_places(count: PlaceNumber) -> Option<Self> {
        require("ip")?;
        if !require_root() {
            return None;
        }
        let mut places = Vec::new();
        let mut devices = Vec::new();
        for number in 0..=count {
            let place = match kernel::new_network() {
                Ok(network) => Place { number, network: Arc::new(network) },
                Err(error) => {
                    skip(&format!("this machine gives us no network of our own: {error}"));
                    return None;
                }
            };
            match place.inside(|| kernel::new_device(DEVICE)) {
                Ok(device) => devices.push(device),
                Err(error) => {
                    skip(&format!("this machine gives us no network device: {error}"));
                    return None;
                }
            }
            place.inside(|| turn_on(place.address()));
            places.push(place);
        }
        let (links, is_over) = (Arc::new(Links::new()), Arc::new(AtomicBool::new(false)));
        let (rules, over) = (Arc::clone(&links), Arc::clone(&is_over));
        let carrier = std::thread::spawn(move || wire::carry(&devices, &rules, &over));
        Some(Self { places, links, is_over, carrier: Some(carrier) })
    }

    /// The rules of the wire.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// A place.
    ///
    /// # Panics
    /// There is none of this number.
    pub fn place(&self, number: PlaceNumber) -> &Place {
        &self.places[usize::from(number)]
    }

    /// The numbers of all places but [`HERE`].
    pub fn numbers(&self) -> impl Iterator<Item = PlaceNumber> + use<> {
        1..self.places.len() as PlaceNumber
    }

    /// Does something in [`HERE`]; see [`Place::inside`].
    pub fn here<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        self.place(HERE).inside(act)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(carrier) = self.carrier.take() {
            // If it panicked it has said so.
            let _ = carrier.join();
        }
    }
}

impl Place {
    /// Its number.
    pub fn number(&self) -> PlaceNumber {
        self.number
    }

    /// Its address, which all other places reach over the wire.
    pub fn address(&self) -> IpAddr {
        let [first, second] = wire::PREFIX;
        Ipv4Addr::new(first, second, self.number, 1).into()
    }

    /// Does something in a thread that is in this place: its sockets, and the
    /// threads and programs that it starts, are there.
    ///
    /// # Panics
    /// What is done panics.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let done = scope.spawn(|| {
                kernel::enter(&self.network).expect("root may enter");
                act()
            });
            done.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// Gives the network of the calling thread its loopback, and its address on the wire.
fn turn_on(address: IpAddr) {
    let ip = |arguments: &[&str]| {
        let done = Command::new("ip").args(arguments).output().expect("it is installed");
        assert!(done.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    ip(&["link", "set", "lo", "up"]);
    ip(&["address", "add", &format!("{address}/16"), "dev", DEVICE]);
    ip(&["link", "set", DEVICE, "mtu", PACKET_BYTES, "up"]);
}
