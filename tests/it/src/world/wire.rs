//! Carries packets from place to place, by the rules of the links.

use super::links::{Fate, Links, PlaceNumber};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The largest IP packet.
const PACKET_BYTES_MAX: usize = 1 << 16;
/// Packets taken from one device before it is another one's turn.
const TURN: usize = 64;
/// How soon an end is noticed.
const LOOK: Duration = Duration::from_millis(50);
/// Packets under way at a time; a real line has a bounded queue too, and what comes then is lost.
const WAITING_MAX: usize = 100_000;
/// What the addresses of all places begin with, and the byte that names the place.
pub(super) const PREFIX: [u8; 2] = [10, 77];

/// A packet under way. Ordered by when it arrives, then by when it was sent.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Parcel {
    due: Instant,
    number: u64,
    to: PlaceNumber,
    bytes: Vec<u8>,
}

/// Carries packets until it is over. The place of a number has the device at
/// that position.
pub(super) fn carry(devices: &[File], links: &Links, is_over: &AtomicBool) {
    let mut waiting: BinaryHeap<Reverse<Parcel>> = BinaryHeap::new();
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        for from in ready(devices, waiting.peek().map(|Reverse(next)| next.due)) {
            for _ in 0..TURN {
                let Ok(length) = (&devices[from]).read(&mut buffer) else { break };
                let Some(to) = destination(&buffer[..length]) else { continue };
                let Fate::Late(delay) = links.fate(from as PlaceNumber, to) else { continue };
                if delay.is_zero() {
                    arrive(devices, to, &buffer[..length]);
                } else if waiting.len() < WAITING_MAX {
                    count += 1;
                    let (due, bytes) = (Instant::now() + delay, buffer[..length].to_vec());
                    waiting.push(Reverse(Parcel { due, number: count, to, bytes }));
                }
            }
        }
        let now = Instant::now();
        while waiting.peek().is_some_and(|Reverse(next)| next.due <= now) {
            if let Some(Reverse(parcel)) = waiting.pop() {
                arrive(devices, parcel.to, &parcel.bytes);
            }
        }
    }
}

/// Waits until packets are there or the next one under way is due.
fn ready(devices: &[File], due: Option<Instant>) -> Vec<usize> {
    let wait = due.map_or(LOOK, |due| due.saturating_duration_since(Instant::now()).min(LOOK));
    let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
    let mut polled: Vec<PollFd<'_>> = devices.iter().map(|device| PollFd::new(device, PollFlags::IN)).collect();
    // An interrupted wait is a short one.
    let _ = poll(&mut polled, Some(&wait));
    (0..devices.len()).filter(|at| polled[*at].revents().contains(PollFlags::IN)).collect()
}

/// A packet whose place does not exist or whose device is turned off is lost, as anywhere.
fn arrive(devices: &[File], to: PlaceNumber, packet: &[u8]) {
    if let Some(mut device) = devices.get(usize::from(to)) {
        let _ = device.write(packet);
    }
}

/// The place that an IPv4 packet is for; other packets are for nobody.
fn destination(packet: &[u8]) -> Option<PlaceNumber> {
    let is_ipv4 = packet.first()? >> 4 == 4;
    let address = packet.get(16..20)?;
    (is_ipv4 && address[..2] == PREFIX).then_some(address[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_for_the_place_in_its_address() {
        let mut packet = [0; 20];
        packet[0] = 0x45;
        packet[16..].copy_from_slice(&[10, 77, 3, 1]);
        assert_eq!(destination(&packet), Some(3));
        packet[16] = 192;
        assert_eq!(destination(&packet), None, "of another network");
        packet[0] = 0x60;
        assert_eq!(destination(&packet), None, "of another version");
        assert_eq!(destination(&packet[..3]), None, "torn");
    }
}
