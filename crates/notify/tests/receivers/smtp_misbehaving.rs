//! Mail servers that hang, lie or talk without end. Each is a script: what it
//! says after each thing it has read.

use crate::support::{FIRST, deliver, failure, notifier, opened, refusal, said};
use model::entry::Answer;
use model::message::Message;
use model::receiver::{MailMeans, MailServer, MailTls, Means};
use model::secret::Secret;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// A server that says the lines of its script, one before it has read anything
/// and one after each line it reads, and then nothing more. Within a mail it
/// reads up to the final dot.
pub(crate) struct Script {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Script {
    pub(crate) async fn start(script: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            for says in script {
                stream.get_mut().write_all(says.as_bytes()).await.unwrap();
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return;
                    }
                    hears.lock().unwrap().push(line.trim_end_matches(['\r', '\n']).to_owned());
                    if !says.starts_with("354") || line == ".\r\n" {
                        break;
                    }
                }
            }
            std::future::pending::<()>().await;
        });
        Self { port, heard }
    }

    pub(crate) async fn deliver(
        &self,
        tls: MailTls,
        message: &Message,
        login: Option<(String, Secret)>,
        limit: Duration,
    ) -> Answer {
        let server = MailServer { host: "127.0.0.1".into(), port: self.port, tls, login, ca_file: None };
        let mail = MailMeans { to: "ops@acme.example".into(), from: "status@acme.example".into(), server };
        notifier(limit).deliver(&Means::Mail(mail), message, FIRST).await
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn login() -> Option<(String, Secret)> {
    Some(("mainstay".to_owned(), Secret::Inline("topsecret".into())))
}

const LIMIT: Duration = Duration::from_millis(800);
const PLAIN: MailTls = MailTls::None;

#[tokio::test]
async fn the_answer_names_the_step_at_which_a_server_hangs() {
    for (script, step) in [
        (&[""][..], "the greeting"),
        (&["220 mx\r\n"][..], "an answer to EHLO"),
        (&["220 mx\r\n", "250 mx\r\n"][..], "an answer to MAIL FROM"),
        (
            &["220 mx\r\n", "250 mx\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"][..],
            "its word on whether it took the mail",
        ),
    ] {
        let started = Instant::now();
        let server = Script::start(script).await;
        let (reason, _) = failure(server.deliver(PLAIN, &opened(), None, LIMIT).await);
        assert!(reason.contains(step) && reason.contains("within the time limit"), "{reason}");
        assert!(started.elapsed() < LIMIT + Duration::from_secs(1), "took {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_mail_that_was_taken_is_delivered_even_if_the_goodbye_hangs() {
    let server = Script::start(&[
        "220 mx\r\n",
        "250 mx\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "354 go\r\n",
        "250 2.0.0 queued as 7\r\n",
    ])
    .await;
    assert_eq!(said(server.deliver(PLAIN, &opened(), None, Duration::from_secs(10)).await), "250 2.0.0 queued as 7");
    assert_eq!(server.heard().last().map(String::as_str), Some("QUIT"));
}

#[tokio::test]
async fn words_slipped_in_behind_starttls_are_not_believed() {
    // Somebody in between adds answers that would read as a taken mail.
    let server = Script::start(&[
        "220 mx\r\n",
        "250-mx\r\n250 STARTTLS\r\n",
        "220 go\r\n250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n",
    ])
    .await;
    let (reason, _) = failure(server.deliver(MailTls::StartTls, &opened(), None, LIMIT).await);
    assert!(reason.contains("sent more behind its answer to STARTTLS"), "{reason}");
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_if_tls_is_required_and_not_offered() {
    let server = Script::start(&["220 mx\r\n", "250-mx\r\n250 AUTH PLAIN\r\n", "221 bye\r\n"]).await;
    let (reason, _) = failure(server.deliver(MailTls::StartTls, &opened(), login(), LIMIT).await);
    assert!(reason.contains("does not offer STARTTLS"), "{reason}");
    assert_eq!(server.heard().len(), 1, "only EHLO: {:?}", server.heard());
}

#[tokio::test]
async fn a_password_that_a_server_repeats_is_not_reported() {
    let server = Script::start(&[
        "220 mx\r\n",
        "250-mx\r\n250 AUTH PLAIN\r\n",
        "535 no user topsecret, AHRlc3Q= or AG1haW5zdGF5AHRvcHNlY3JldA==\r\n",
        "221 bye\r\n",
    ])
    .await;
    let reason = refusal(server.deliver(PLAIN, &opened(), login(), LIMIT).await);
    assert!(reason.ends_with("535 no user (hidden), AHRlc3Q= or (hidden)"), "{reason}");
}

#[tokio::test]
async fn a_server_that_offers_only_login_gets_it() {
    let server = Script::start(&[
        "220 mx\r\n",
        "250-mx\r\n250 AUTH LOGIN\r\n",
        "334 VXNlcm5hbWU6\r\n",
        "334 UGFzc3dvcmQ6\r\n",
        "235 ok\r\n",
        "250 ok\r\n",
        "250 ok\r\n",
        "354 go\r\n",
        "250 taken\r\n",
        "221 bye\r\n",
    ])
    .await;
    assert_eq!(said(server.deliver(PLAIN, &opened(), login(), LIMIT).await), "250 taken");
    assert_eq!(server.heard()[1..4], ["AUTH LOGIN", "bWFpbnN0YXk=", "dG9wc2VjcmV0"]);
}

#[tokio::test]
async fn something_that_is_no_mail_server_fails_with_its_words() {
    let server = Script::start(&["SSH-2.0-OpenSSH_9.2\r\n"]).await;
    let (reason, _) = failure(server.deliver(PLAIN, &opened(), None, LIMIT).await);
    assert!(reason.contains("does not speak SMTP: \"SSH-2.0-OpenSSH_9.2\""), "{reason}");
}

#[tokio::test]
async fn a_line_without_end_is_read_up_to_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.write_all(&[b'2'; 1 << 16]).await.is_ok() {}
    });
    let server = Script { port, heard: Arc::default() };
    let (reason, _) = failure(server.deliver(PLAIN, &opened(), None, Duration::from_secs(10)).await);
    assert!(reason.contains("sent a line without end"), "{reason}");
}

#[tokio::test]
async fn a_reply_of_endless_lines_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.write_all(b"220-still greeting\r\n").await.is_ok() {}
    });
    let server = Script { port, heard: Arc::default() };
    let (reason, _) = failure(server.deliver(PLAIN, &opened(), None, Duration::from_secs(10)).await);
    assert!(reason.contains("does not speak SMTP"), "{reason}");
}

#[tokio::test]
async fn a_server_that_says_goodbye_at_once_fails() {
    let server = Script::start(&["421 4.3.2 too busy\r\n", "221 bye\r\n"]).await;
    let (reason, _) = failure(server.deliver(PLAIN, &opened(), None, LIMIT).await);
    assert!(reason.contains("does not take mail now: 421 4.3.2 too busy"), "{reason}");
}

#[tokio::test]
async fn nobody_listening_fails_and_names_the_server() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = MailServer { host: "127.0.0.1".into(), port, tls: PLAIN, login: None, ca_file: None };
    let mail = MailMeans { to: "ops@acme.example".into(), from: "status@acme.example".into(), server };
    let (reason, _) = failure(deliver(&Means::Mail(mail), &opened()).await);
    assert!(reason.starts_with(&format!("could not connect to 127.0.0.1:{port}")), "{reason}");
}
