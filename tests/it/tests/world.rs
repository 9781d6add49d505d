//! The stage of several places: they reach each other over a wire that can be
//! cut, slow, or deaf in one direction.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

use it::wait;
use it::world::{HERE, Place, World};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(400);
const BOUND: Duration = Duration::from_secs(10);

#[test]
fn a_place_is_reached_from_another_and_from_nowhere_else() {
    let Some(world) = World::with_places(2) else { return };
    let echo = echo(world.place(1));
    assert!(world.place(2).inside(|| reaches(echo)));
    assert!(world.here(|| reaches(echo)));
    assert!(!reaches(echo), "the machine itself is no part of the world");
}

#[test]
fn a_cut_holds_until_it_is_mended() {
    let Some(world) = World::with_places(2) else { return };
    let echo = echo(world.place(1));
    world.links().cut(1, 2);
    assert!(!world.place(2).inside(|| reaches(echo)));
    assert!(world.here(|| reaches(echo)), "other ways are as before");
    world.links().mend();
    assert!(world.place(2).inside(|| reaches(echo)));
}

#[test]
fn a_connection_survives_a_short_cut() {
    let Some(world) = World::with_places(1) else { return };
    let echo = echo(world.place(1));
    let mut stream = world.here(|| TcpStream::connect(echo).unwrap());
    world.links().cut(HERE, 1);
    stream.write_all(b"x").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(stream.read_exact(&mut [0]).is_err(), "nothing passes");
    world.links().mend();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

#[test]
fn one_direction_can_be_cut_alone() {
    let Some(world) = World::with_places(2) else { return };
    let bind = |place: &Place| place.inside(|| UdpSocket::bind((place.address(), 0)).unwrap());
    let (one, two) = (bind(world.place(1)), bind(world.place(2)));
    world.links().cut_one_way(1, 2);
    assert!(!arrives(&one, &two));
    assert!(arrives(&two, &one));
}

#[test]
fn a_delay_is_added_in_each_direction() {
    let Some(world) = World::with_places(1) else { return };
    let echo = echo(world.place(1));
    world.links().delay(HERE, 1, Duration::from_millis(50), Duration::ZERO);
    let mut stream = world.here(|| TcpStream::connect(echo).unwrap());
    stream.set_nodelay(true).unwrap();
    let begin = Instant::now();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(100) && took < Duration::from_millis(600), "{took:?}");
}

#[test]
fn much_passes_quickly_and_whole() {
    let Some(world) = World::with_places(1) else { return };
    let echo = echo(world.place(1));
    let bytes: Vec<u8> = (0..8_u32 << 20).map(|at| (at / 7) as u8).collect();
    let (mut stream, mut back) = (world.here(|| TcpStream::connect(echo).unwrap()), vec![0; bytes.len()]);
    let mut reading = stream.try_clone().unwrap();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| stream.write_all(&bytes).unwrap());
        reading.read_exact(&mut back).unwrap();
    });
    assert!(back == bytes, "something was changed on the way");
    println!("8 MiB there and back in {} ms", begin.elapsed().as_millis());
}

fn reaches(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, SOON) else { return false };
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).is_ok()
}

fn arrives(from: &UdpSocket, to: &UdpSocket) -> bool {
    to.set_nonblocking(true).unwrap();
    from.send_to(b"x", to.local_addr().unwrap()).unwrap();
    wait::until(SOON, || to.recv(&mut [0]).ok()).is_some()
}

/// Starts a server that sends everything back.
fn echo(place: &Place) -> SocketAddr {
    place.inside(|| {
        let listener = TcpListener::bind((place.address(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut copy = stream.try_clone().unwrap();
                    // The other side may have gone.
                    let _ = std::io::copy(&mut stream, &mut copy);
                });
            }
        });
        address
    })
}
