//! Nodes that are far apart: 50 ms each way, made by proxies that hold back
//! what they pass on.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

#[path = "common/together.rs"]
mod together;

use cluster::Profile;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};
use together::{Machine, Together, command};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const ONE_WAY: Duration = Duration::from_millis(50);

#[test]
fn nodes_100_ms_apart_keep_their_leader_and_replace_a_dead_one() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let far = |machine: &mut Machine| {
        machine.profile = Profile::Wan;
        machine.proxy = Some(proxy(&runtime, machine.port));
    };
    let mut together = Together::of_with(3, far);
    let term = together.machines[0].node().status().term;
    let leader = together.leader();
    let mut took = Vec::new();
    for number in 0..20 {
        let begun = Instant::now();
        together.machines[leader].propose(command(&number.to_string())).unwrap();
        took.push(begun.elapsed());
    }
    took.sort();
    println!("commands on the leader: p50 {:?}, at worst {:?}", took[10], took[19]);
    assert!(took[10] >= ONE_WAY * 2, "the proxies hold nothing back: {took:?}");
    assert_eq!(together.machines[leader].node().status().term, term, "the leader stays");
    together.machines[leader].kill();
    let begun = Instant::now();
    together.up().next().unwrap().propose(command("after")).unwrap();
    println!("leader killed: taken again after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    together.check_equal();
}

/// Makes a way to a port that takes its time, and returns where it begins.
fn proxy(runtime: &tokio::runtime::Runtime, port: u16) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let at = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
                // Else the proxies would add the kernel's own waits.
                near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).unwrap();
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::join!(hold_back(near_in, far_out), hold_back(far_in, near_out));
            });
        }
    });
    at
}

async fn hold_back(mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf) {
    let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let reading = async move {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if send.send((Instant::now() + ONE_WAY, bytes[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = receive.recv().await {
            tokio::time::sleep_until(due.into()).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
