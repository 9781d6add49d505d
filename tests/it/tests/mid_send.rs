//! A message is decided before it is sent, tried until it is taken, and sent
//! again with the same key when the process died in between.

use it::mainstay::Mainstay;
use it::wait;
use it::webhook::{Arrived, Mood, Receiver, Target};
use serde_json::Value;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(60);

#[test]
fn an_attempt_in_flight_at_a_kill_is_repeated_with_its_key_and_said_to_be_possibly_double() {
    let (target, receiver) = (Target::start(), Receiver::start(Mood::Holds));
    let mut mainstay = Mainstay::start(&configuration(&target, &[("ops", &receiver)]));
    is_up(&mainstay);
    target.fail(true);
    let first = arrival(&receiver, 0);
    mainstay.kill9();
    receiver.be(Mood::Takes);
    mainstay.restart();
    let second = arrival(&receiver, 1);
    assert_eq!(first.id, second.id, "the same delivery has the same key");
    assert!(!is_possibly_double(&first) && is_possibly_double(&second), "{first:?} {second:?}");

    target.fail(false);
    let third = arrival(&receiver, 2);
    assert!(third.id.ends_with("resolved"), "{third:?}");
}

#[test]
fn a_receiver_that_was_away_hears_of_begin_and_end_in_order() {
    let (target, receiver) = (Target::start(), Receiver::start(Mood::HangsUp));
    let mainstay = Mainstay::start(&configuration(&target, &[("ops", &receiver)]));
    is_up(&mainstay);
    target.fail(true);
    arrival(&receiver, 0);
    target.fail(false);
    wait::expect("the incident to end", BOUND, || ask(&mainstay)["incidents"].as_array()?.is_empty().then_some(()));
    receiver.be(Mood::Takes);
    let taken = wait::expect("both messages", BOUND, || {
        let taken: Vec<Arrived> =
            receiver.arrived().into_iter().filter(|message| message.mood == Mood::Takes).collect();
        (taken.len() >= 2).then_some(taken)
    });
    assert!(taken[0].id.ends_with("opened") && taken[1].id.ends_with("resolved"), "{taken:?}");
}

#[test]
fn a_receiver_that_is_gone_is_given_up_and_the_others_are_told() {
    let (target, gone, other) = (Target::start(), Receiver::start(Mood::Gone), Receiver::start(Mood::Takes));
    let mainstay = Mainstay::start(&configuration(&target, &[("gone", &gone), ("other", &other)]));
    is_up(&mainstay);
    target.fail(true);
    wait::expect("the alarm at the other receiver", BOUND, || {
        other.arrived().iter().any(|message| message.body.contains("Receiver gone cannot be reached")).then_some(())
    });
    assert_eq!(gone.arrived().len(), 1, "what is gone for ever is not asked again");
    let status = ask(&mainstay);
    let unreachable = status["receivers"].as_array().expect("a list").iter().find(|receiver| receiver["id"] == "gone");
    assert_eq!(unreachable.map(|receiver| receiver["is_reachable"].clone()), Some(Value::Bool(false)), "{status}");
}

#[test]
fn when_nobody_can_be_told_the_server_itself_says_so() {
    let (target, gone) = (Target::start(), Receiver::start(Mood::Gone));
    let mainstay = Mainstay::start(&configuration(&target, &[("gone", &gone)]));
    is_up(&mainstay);
    target.fail(true);
    wait::expect("/readyz to name the receiver", BOUND, || {
        mainstay.get("/readyz").filter(|answer| answer.body.contains("gone")).map(drop)
    });
    assert!(mainstay.log().contains("delivery refused"), "{}", mainstay.log());
}

fn configuration(target: &Target, receivers: &[(&str, &Receiver)]) -> String {
    let mut yaml = format!(
        "page: {{ name: Test }}\ndefaults: {{ every: 1s, timeout: 1s, retry: 1s, up_after: 1 }}\n\
         services: [ {{ name: Website, checks: [ {{ http: \"http://{}/\" }} ] }} ]\nreceivers:\n",
        target.address()
    );
    for (id, receiver) in receivers {
        yaml.push_str(&format!("- {{ id: {id}, webhook: \"{}\" }}\n", receiver.url()));
    }
    yaml
}

fn is_up(mainstay: &Mainstay) {
    wait::expect("the service to be up", BOUND, || (ask(mainstay)["overall"] == "up").then_some(()));
}

fn ask(mainstay: &Mainstay) -> Value {
    let answer = mainstay.get("/api/v1/status").expect("it is served");
    serde_json::from_str(&answer.body).expect("JSON")
}

fn arrival(receiver: &Receiver, number: usize) -> Arrived {
    wait::expect(&format!("message {number}"), BOUND, || receiver.arrived().get(number).cloned())
}

fn is_possibly_double(message: &Arrived) -> bool {
    let body: Value = serde_json::from_str(&message.body).expect("JSON");
    body["data"]["delivery"]["possibly_double"] == true
}
