//! A page to look at: serves a made-up state with all there is to see, alive.
//!
//! `cargo run -p web --example demo [PORT]`; the second argument `empty`,
//! `stale`, `cut-off`, or a number of services shows other faces of the page.

#[path = "../tests/http/made_up.rs"]
mod made_up;

use made_up::{Fake, cut_off, demo, demo_world, many_world};
use model::entry::Body;
use model::time::Timestamp;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use web::{Options, Web};

/// Time between two rounds of the made-up checks.
const EVERY: Duration = Duration::from_secs(5);

/// How long a node that is cut off has been so.
const CUT_OFF_FOR: Duration = Duration::from_secs(17 * 60);

/// Time between two publications of a busy server.
const BUSY: Duration = Duration::from_millis(250);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(8490);
    let face = arguments.next().unwrap_or_default();
    let stale_after = if face == "stale" { Duration::ZERO } else { Duration::from_secs(86_400 * 365) };
    let node = (face == "cut-off").then(|| cut_off(now().minus(CUT_OFF_FOR)));
    let house = Arc::new(Fake { node: node.into(), ..Fake::default() });
    let web = Web::new(Options { stale_after, ..Options::default() }, house);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}/", listener.local_addr()?);
    let live = async {
        match (face.as_str(), face.parse()) {
            ("stale", _) => web.publish(demo()),
            ("cut-off", _) => web.publish(demo_world(now().minus(CUT_OFF_FOR)).state),
            ("empty", _) => web.publish(control::State::default()),
            (_, Ok(count)) => {
                let mut world = many_world(count);
                loop {
                    web.publish(world.state.clone());
                    tokio::time::sleep(BUSY).await;
                    world.apply(Body::Tick);
                }
            }
            (_, Err(_)) => {
                let mut world = demo_world(now());
                loop {
                    web.publish(world.state.clone());
                    tokio::time::sleep(EVERY).await;
                    world.until(now()).go_on();
                }
            }
        }
    };
    tokio::join!(live, web.serve(listener, std::future::pending()));
    Ok(())
}

fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(since_1970.as_millis() as i64)
}
