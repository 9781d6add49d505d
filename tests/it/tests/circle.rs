//! The whole way round, with the real binary: a server is turned off, the page
//! says so, a mail says so, and a kill at the wrong moment changes nothing.

use it::mainstay::Mainstay;
use it::servers::{Nginx, Postfix};
use it::wait;
use serde_json::Value;
use std::time::Duration;

/// Two failed rounds a second apart, the log, the page: about two seconds on an idle machine.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn an_outage_is_shown_and_told_and_so_is_its_end() {
    let (Some(mut nginx), Some(postfix)) = (Nginx::plain(), Postfix::start()) else { return };
    let smtp = postfix.address();
    let receivers = format!(
        "mail: {{ host: {}, port: {}, tls: none, from: mainstay@example.test }}\n\
         receivers: [ {{ id: ops, mail: ops@example.test }} ]\n",
        smtp.ip(),
        smtp.port()
    );
    let mainstay = Mainstay::start(&(watching(&nginx) + &receivers));
    becomes(&mainstay, "operational");

    nginx.server().turn_off();
    becomes(&mainstay, "major_outage");
    assert!(mainstay.get("/").unwrap().body.contains("Website"));
    let first = mail(&postfix, 1);
    assert!(first.contains("Website"), "{first}");

    nginx.server().turn_on();
    becomes(&mainstay, "operational");
    let second = mail(&postfix, 2);
    let thread = header(&first, "Message-ID").expect("a mail has an id");
    assert!(header(&second, "References").is_some_and(|references| references.contains(&thread)), "{second}");
}

#[test]
fn an_outage_that_had_begun_is_known_after_a_kill() {
    let Some(mut nginx) = Nginx::plain() else { return };
    let mut mainstay = Mainstay::start(&watching(&nginx));
    becomes(&mainstay, "operational");
    nginx.server().turn_off();
    becomes(&mainstay, "major_outage");
    let before = incident(&mainstay);

    mainstay.kill9();
    mainstay.restart();
    assert_eq!(status(&mainstay).as_deref(), Some("major_outage"), "known as soon as it serves");
    assert_eq!(incident(&mainstay), before);

    nginx.server().turn_on();
    becomes(&mainstay, "operational");
}

/// A service of one check that is looked at every second.
fn watching(nginx: &Nginx) -> String {
    format!(
        "page: {{ name: Test }}\ndefaults: {{ every: 1s, timeout: 1s, retry: 1s }}\nservices:\n\
         \x20 - {{ id: website, name: Website, checks: [ {{ http: \"http://{}/\" }} ] }}\n",
        nginx.address()
    )
}

fn becomes(mainstay: &Mainstay, expected: &str) {
    wait::until(NOTICE_TIMEOUT, || (status(mainstay).as_deref() == Some(expected)).then_some(()))
        .unwrap_or_else(|| panic!("the service did not become {expected}; the log:\n{}", mainstay.log()));
}

/// The state of the only service, in Statuspage's words.
fn status(mainstay: &Mainstay) -> Option<String> {
    let summary = json(mainstay, "/api/v2/summary.json")?;
    let component = summary["components"].as_array()?.iter().find(|component| component["name"] == "Website")?;
    Some(component["status"].as_str()?.to_owned())
}

/// Id and begin of the only incident.
fn incident(mainstay: &Mainstay) -> (String, String) {
    let incidents = json(mainstay, "/api/v2/incidents.json").expect("it is served");
    let list = incidents["incidents"].as_array().expect("a list");
    assert_eq!(list.len(), 1, "{incidents}");
    let text = |key: &str| list[0][key].as_str().unwrap_or_else(|| panic!("no {key} in {incidents}")).to_owned();
    (text("id"), text("started_at"))
}

fn json(mainstay: &Mainstay, path: &str) -> Option<Value> {
    serde_json::from_str(&mainstay.get(path)?.body).ok()
}

fn mail(postfix: &Postfix, number: usize) -> String {
    wait::expect(&format!("mail {number}"), NOTICE_TIMEOUT, || postfix.mails().get(number - 1).cloned())
}

fn header(mail: &str, name: &str) -> Option<String> {
    let begin = format!("{}:", name.to_lowercase());
    let head = mail.split("\n\n").next()?.replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ");
    head.lines().find(|line| line.to_lowercase().starts_with(&begin)).map(|line| line[begin.len()..].trim().to_owned())
}
