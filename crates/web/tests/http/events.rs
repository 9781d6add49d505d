//! The stream of events.

use crate::client::{PATIENCE, Served, serve, serve_with, timeless};
use crate::made_up::{Fake, NOW, at, demo_world};
use model::observation::Outcome;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;
use web::Options;
use web::api::Decision;

type Stream = Lines<BufReader<TcpStream>>;

#[tokio::test]
async fn every_decision_is_told_to_whoever_listens() {
    let mut world = demo_world(at(NOW));
    let served = serve(world.state.clone()).await;
    let mut stream = listen(&served, "").await;
    world.round(&["api"], Outcome::Fail, "connection refused");
    served.web.publish(world.state.clone());
    let first = next(&mut stream).await;
    assert_eq!(
        (first.kind.as_str(), first.check.as_deref(), first.state.as_deref()),
        ("verdict", Some("api"), Some("down"))
    );
    assert_eq!(next(&mut stream).await.kind, "status");
    assert_eq!(next(&mut stream).await.kind, "opened");
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed() {
    let mut world = demo_world(at(NOW));
    let seen = world.state.applied_index();
    world.round(&["api"], Outcome::Fail, "connection refused");
    let served = serve(world.state.clone()).await;
    let mut stream = listen(&served, &format!("last-event-id: {seen}\r\n")).await;
    assert_eq!(next(&mut stream).await.kind, "verdict");
}

#[tokio::test]
async fn listeners_are_bounded_and_give_their_places_back() {
    let options = Options { subscribers_max: 1, ..timeless() };
    let served = serve_with(options, Some(demo_world(at(NOW)).state), Fake::default()).await;
    let stream = listen(&served, "").await;
    assert_eq!(served.get("/api/v1/events").await.status, 503);
    drop(stream);
    let freed = async {
        while served.ask("HEAD", "/api/v1/events", "", "").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, freed).await.expect("the place is free again");
}

#[tokio::test]
async fn shutting_down_ends_the_streams() {
    let served = serve(demo_world(at(NOW)).state).await;
    let mut stream = listen(&served, "").await;
    served.shut_down().await;
    let end = async { while let Ok(Some(_)) = stream.next_line().await {} };
    timeout(PATIENCE, end).await.expect("the stream ends");
}

async fn listen(served: &Served, headers: &str) -> Stream {
    let mut stream = served.connect().await;
    let request = format!("GET /api/v1/events HTTP/1.0\r\nhost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    let mut lines = BufReader::new(stream).lines();
    // The first comment says that the subscription stands.
    while line(&mut lines).await != ": mainstay" {}
    lines
}

async fn next(lines: &mut Stream) -> Decision {
    loop {
        if let Some(data) = line(lines).await.strip_prefix("data: ") {
            return serde_json::from_str(data).expect("a decision");
        }
    }
}

async fn line(lines: &mut Stream) -> String {
    timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("it is open").expect("it goes on")
}
