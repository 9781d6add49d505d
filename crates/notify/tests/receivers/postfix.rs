//! Mail through a real Postfix into mailboxes, read by another library than
//! the one that wrote it.

use crate::postfix_server::{PASSWORD, Postfix, USER};
use crate::support::{FIRST, PATIENT, deliver, failure, notifier, opened, refusal, resolved, said};
use mail_parser::{HeaderValue, MessageParser};
use model::message::{Message, Step};
use model::receiver::{MailMeans, MailServer, MailTls, Means};
use model::secret::Secret;
use model::verdict::ServiceStatus;
use notify::Try;

fn means(port: u16, tls: MailTls, to: &str) -> MailMeans {
    MailMeans {
        to: to.into(),
        from: "Mainstay <status@acme.example>".into(),
        server: MailServer { host: "127.0.0.1".into(), port, tls, login: None, ca_file: None },
    }
}

fn login(postfix: &Postfix, tls: MailTls, password: &str) -> Means {
    let mut mail = means(postfix.login_port, tls, "login@acme.example");
    mail.server.login = Some((USER.into(), Secret::Inline(password.into())));
    mail.server.ca_file = Some(postfix.ca_file());
    Means::Mail(mail)
}

fn parse(bytes: &[u8]) -> mail_parser::Message<'_> {
    MessageParser::default().parse(bytes).expect("a mail")
}

fn text_header(mail: &mail_parser::Message<'_>, name: &'static str) -> String {
    match mail.header(name) {
        Some(HeaderValue::Text(text)) => text.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test]
async fn an_incident_is_one_thread_also_when_another_process_sends_its_end() {
    let Some(postfix) = Postfix::shared() else { return };
    let means = Means::Mail(means(postfix.port, MailTls::None, "thread@acme.example"));
    let worsened = Message {
        key: "incident-42-ops-worsened".into(),
        step: Step::Worsened,
        title: "Website is down".into(),
        ..opened()
    };
    let first = Message { status: ServiceStatus::Degraded, title: "Website is slow".into(), ..opened() };
    let said_first = said(deliver(&means, &first).await);
    assert!(said_first.starts_with("250 2.0.0 Ok: queued as "), "{said_first}");
    postfix.mails("thread", 1).await;
    // Each call makes a notifier of its own, which knows nothing of the first mail.
    said(deliver(&means, &worsened).await);
    postfix.mails("thread", 2).await;
    said(deliver(&means, &resolved()).await);

    let mails = postfix.mails("thread", 3).await;
    let mails: Vec<_> = mails.iter().map(|mail| parse(mail)).collect();
    let subjects: Vec<_> = mails.iter().map(|mail| mail.subject().unwrap()).collect();
    assert_eq!(
        subjects,
        ["[DEGRADED] Website: incident 42", "[DOWN] Website: incident 42", "[RESOLVED] Website: incident 42"]
    );
    let root = mails[0].message_id().unwrap();
    assert!(root.starts_with("incident-42.") && root.ends_with("@acme.example"), "{root}");
    assert!(mails[0].references().is_empty() && mails[0].in_reply_to().is_empty());
    for answer in &mails[1..] {
        assert_eq!(answer.references().as_text(), Some(root));
        assert_eq!(answer.in_reply_to().as_text(), Some(root));
        assert_ne!(answer.message_id(), Some(root));
    }
    assert_ne!(mails[1].message_id(), mails[2].message_id());
    for (mail, key) in
        mails.iter().zip(["incident-42-ops-opened", "incident-42-ops-worsened", "incident-42-ops-resolved"])
    {
        assert_eq!(text_header(mail, "Auto-Submitted"), "auto-generated");
        assert_eq!(text_header(mail, "X-Mainstay-Delivery"), key);
        let text = mail.body_text(0).unwrap();
        assert!(text.contains("https://status.acme.example"), "{text}");
    }
    assert!(mails[0].body_text(0).unwrap().contains("Größe & <Folge> bleiben."));
    assert!(mails[0].body_html(0).unwrap().contains("Größe &amp; &lt;Folge&gt; bleiben."));
}

#[tokio::test]
async fn a_mail_goes_under_tls_from_the_first_byte_and_by_starttls() {
    let Some(postfix) = Postfix::shared() else { return };
    for (port, tls) in [(postfix.tls_port, MailTls::Implicit), (postfix.port, MailTls::StartTls)] {
        let mut mail = means(port, tls, "tls@acme.example");
        mail.server.ca_file = Some(postfix.ca_file());
        said(deliver(&Means::Mail(mail), &opened()).await);
    }
    for mail in postfix.mails("tls", 2).await {
        let mail = String::from_utf8(mail).unwrap();
        assert!(mail.contains("(using TLSv1.3 with cipher"), "{mail}");
    }
}

#[tokio::test]
async fn a_certificate_of_a_foreign_authority_fails_and_nothing_is_sent() {
    let Some(postfix) = Postfix::shared() else { return };
    for (port, tls) in [(postfix.tls_port, MailTls::Implicit), (postfix.port, MailTls::StartTls)] {
        let (reason, _) = failure(deliver(&Means::Mail(means(port, tls, "nobody@acme.example")), &opened()).await);
        assert!(reason.contains("TLS with 127.0.0.1:") && reason.contains("UnknownIssuer"), "{reason}");
    }
}

#[tokio::test]
async fn a_login_is_made_under_tls_only_and_a_wrong_password_is_refused() {
    let Some(postfix) = Postfix::shared() else { return };
    said(deliver(&login(&postfix, MailTls::StartTls, PASSWORD), &opened()).await);
    let mails = postfix.mails("login", 1).await;
    assert!(String::from_utf8_lossy(&mails[0]).contains("ESMTPSA"), "it was not an authenticated session");

    let reason = refusal(deliver(&login(&postfix, MailTls::StartTls, "wrong-horse"), &opened()).await);
    assert!(reason.contains("check user name and password: 535 5.7.8"), "{reason}");
    assert!(!reason.contains("wrong-horse"), "{reason}");

    let (reason, _) = failure(deliver(&login(&postfix, MailTls::None, PASSWORD), &opened()).await);
    assert!(reason.contains("offers no login"), "{reason}");
}

#[tokio::test]
async fn a_4xx_recipient_fails_and_a_5xx_recipient_is_refused_with_the_servers_words() {
    let Some(postfix) = Postfix::shared() else { return };
    let to = |address: &str| Means::Mail(means(postfix.port, MailTls::None, address));
    let (reason, _) = failure(deliver(&to("busy@acme.example"), &opened()).await);
    assert!(
        reason.contains("does not accept the recipient: 450 4.2.0") && reason.contains("mailbox is busy"),
        "{reason}"
    );
    let reason = refusal(deliver(&to("gone@acme.example"), &opened()).await);
    assert!(reason.contains("550 5.1.1") && reason.contains("nobody of that name here"), "{reason}");
    let reason = refusal(deliver(&to("someone@elsewhere.example"), &opened()).await);
    assert!(reason.contains("Relay access denied"), "{reason}");
}

#[tokio::test]
async fn line_breaks_in_names_and_titles_add_no_header_and_dots_end_no_mail() {
    let Some(postfix) = Postfix::shared() else { return };
    let (id, _) = opened().service.unwrap();
    let evil = "Größe\r\nBcc: evil@acme.example\r\n\r\nHello";
    let message = Message {
        service: Some((id, evil.into())),
        title: evil.into(),
        key: "a\r\nX-Evil: 1".into(),
        text: "first\r\n.\r\n..second".into(),
        url: Some("javascript:alert(1)".into()),
        ..opened()
    };
    said(deliver(&Means::Mail(means(postfix.port, MailTls::None, "injected@acme.example")), &message).await);
    let mails = postfix.mails("injected", 1).await;
    let mail = parse(&mails[0]);
    assert_eq!(mail.subject(), Some("[DOWN] Größe Bcc: evil@acme.example Hello: incident 42"));
    assert!(mail.bcc().is_none() && mail.header("X-Evil").is_none());
    assert_eq!(text_header(&mail, "X-Mainstay-Delivery"), "a X-Evil: 1");
    assert!(mail.body_text(0).unwrap().replace('\r', "").contains("first\n.\n..second"));
    assert!(!mail.body_html(0).unwrap().contains("javascript:"));
}

#[tokio::test]
async fn a_repeated_mail_has_the_same_id_and_says_that_it_may_be_a_double() {
    let Some(postfix) = Postfix::shared() else { return };
    let means = Means::Mail(means(postfix.port, MailTls::None, "double@acme.example"));
    said(deliver(&means, &resolved()).await);
    postfix.mails("double", 1).await;
    let again = Try { attempt: 2, possibly_double: true };
    said(notifier(PATIENT).deliver(&means, &resolved(), again).await);
    let mails = postfix.mails("double", 2).await;
    let (first, second) = (parse(&mails[0]), parse(&mails[1]));
    assert_eq!(first.message_id(), second.message_id());
    assert_eq!(first.date(), second.date());
    assert!(!first.body_text(0).unwrap().contains("You may have this twice"));
    assert!(second.body_text(0).unwrap().contains("You may have this twice"));
    assert!(second.body_html(0).unwrap().contains("You may have this twice"));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_before_any_connection() {
    let mail = means(1, MailTls::None, "ops@acme.example>\r\nRCPT TO:<evil@acme.example");
    let reason = refusal(notifier(PATIENT).deliver(&Means::Mail(mail), &opened(), FIRST).await);
    assert!(reason.contains("is not a mail address"), "{reason}");
}
