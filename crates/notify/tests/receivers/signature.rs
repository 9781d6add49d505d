//! Our signatures, judged by the reference library of Standard Webhooks.

use crate::python;
use crate::server::{Request, Server, answer};
use crate::support::{deliver, opened, said};
use model::message::Message;
use model::receiver::Means;
use model::secret::Secret;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_KEY: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Reads the body from standard input, prints the event's type if it is genuine.
const VERIFY: &str = r#"
import sys
from standardwebhooks.webhooks import Webhook
secret, id, timestamp, signature = sys.argv[1:]
headers = {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature}
print(Webhook(secret).verify(sys.stdin.buffer.read(), headers)["type"])
"#;

fn verify(programs: &Path, key: &str, request: &Request, body: &str) -> Result<String, String> {
    let header = |name: &str| request.header(name).unwrap().to_owned();
    let mut child = Command::new(programs.join("python"))
        .args(["-c", VERIFY, key])
        .args([header("webhook-id"), header("webhook-timestamp"), header("webhook-signature")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

async fn signed_request(secret: &str, message: &Message) -> Request {
    let server = Server::start(answer("200 OK", "", "")).await;
    let means = Means::Webhook { url: server.url("/hook"), secret: Some(Secret::Inline(secret.into())) };
    said(deliver(&means, message).await);
    server.requests().remove(0)
}

#[tokio::test]
async fn the_reference_library_takes_our_signature_and_no_other() {
    let Some(programs) = python::programs() else { return };
    let request = signed_request(KEY, &opened()).await;
    assert_eq!(verify(programs, KEY, &request, &request.body).as_deref(), Ok("incident.opened"));
    let forged = request.body.replace("\"down\"", "\"up\"");
    assert_ne!(forged, request.body);
    assert!(verify(programs, KEY, &request, &forged).unwrap_err().contains("WebhookVerificationError"));
    assert!(verify(programs, OTHER_KEY, &request, &request.body).unwrap_err().contains("WebhookVerificationError"));
}

#[tokio::test]
async fn with_two_keys_the_holder_of_either_can_verify() {
    let Some(programs) = python::programs() else { return };
    let request = signed_request(&format!("{KEY} {OTHER_KEY}"), &opened()).await;
    for key in [KEY, OTHER_KEY] {
        assert_eq!(verify(programs, key, &request, &request.body).as_deref(), Ok("incident.opened"));
    }
}

#[tokio::test]
async fn a_key_with_line_breaks_adds_no_header() {
    let Some(programs) = python::programs() else { return };
    let message = Message { key: "a\r\nX-Evil: 1".into(), ..opened() };
    let request = signed_request(KEY, &message).await;
    assert_eq!(request.header("x-evil"), None);
    assert_eq!(request.header("webhook-id"), Some("a%0D%0AX-Evil:%201"));
    assert_eq!(verify(programs, KEY, &request, &request.body).as_deref(), Ok("incident.opened"));
}
