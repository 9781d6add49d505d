//! A page to look at: serves a made-up state with all there is to see.
//!
//! `cargo run -p web --example demo [PORT]`; the second argument `empty`,
//! `stale`, or a number of services shows other faces of the page.

#[path = "../tests/http/made_up.rs"]
mod made_up;

use made_up::{Fake, demo, many};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use web::{Options, Web};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(8490);
    let face = arguments.next().unwrap_or_default();
    let state = match face.as_str() {
        "empty" => control::State::default(),
        number => match number.parse() {
            Ok(count) => many(count),
            Err(_) => demo(),
        },
    };
    let stale_after = if face == "stale" { Duration::ZERO } else { Duration::from_secs(86_400 * 365 * 100) };
    let web = Web::new(Options { stale_after, ..Options::default() }, Arc::new(Fake::default()));
    web.publish(state);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}/", listener.local_addr()?);
    web.serve(listener, std::future::pending()).await;
    Ok(())
}
