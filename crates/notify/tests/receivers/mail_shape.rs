//! What a mail looks like, as snapshots of what a server was given.

use crate::smtp_misbehaving::Script;
use crate::support::{opened, own, resolved, said};
use mail_parser::MessageParser;
use model::message::Message;
use model::receiver::MailTls;
use std::time::Duration;

const TAKES_ALL: [&str; 7] =
    ["220 mx\r\n", "250 mx\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 taken\r\n", "221 bye\r\n"];

/// The lines a server was given between DATA and the final dot.
async fn mail(message: &Message) -> String {
    let server = Script::start(&TAKES_ALL).await;
    said(server.deliver(MailTls::None, message, None, Duration::from_secs(10)).await);
    let heard = server.heard();
    let from = heard.iter().position(|line| line == "DATA").unwrap() + 1;
    let to = heard.iter().position(|line| line == ".").unwrap();
    heard[from..to].join("\r\n")
}

#[tokio::test]
async fn a_mail_has_these_headers_and_this_text() {
    for (name, message) in [("opened", opened()), ("resolved", resolved()), ("own", own())] {
        let mail = mail(&message).await;
        let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
        let parsed = MessageParser::default().parse(mail.as_bytes()).unwrap();
        let text = parsed.body_text(0).unwrap();
        insta::assert_snapshot!(format!("mail_{name}"), format!("{headers}\n\n{text}").replace('\r', ""));
    }
}

#[tokio::test]
async fn the_same_in_html() {
    let mail = mail(&opened()).await;
    let parsed = MessageParser::default().parse(mail.as_bytes()).unwrap();
    insta::assert_snapshot!("mail_opened_html", parsed.body_html(0).unwrap().replace('\r', ""));
}
