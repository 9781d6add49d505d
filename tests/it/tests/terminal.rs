//! The command line against a running server: plain text without colours where
//! there is no terminal, JSON where it is asked for, and exit codes for scripts.

use it::mainstay::{Mainstay, binary};
use it::process::Process;
use it::wait;
use it::webhook::Target;
use serde_json::Value;
use std::process::{Command, Output};
use std::time::Duration;

/// Two failed rounds a second apart, on a busy machine.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn status_shows_what_is_up_and_exits_1_when_something_is_down() {
    let (target, mainstay) = watching();
    let text = says(&mainstay, &["status"], 0);
    assert!(text.starts_with("● Test: everything works"), "{text}");
    assert!(text.contains("● up") && text.contains("Website"), "{text}");
    let status = json(&mainstay, &["status", "--json"], 0);
    assert_eq!((&status["overall"], &status["services"]["up"]), (&"up".into(), &1.into()), "{status}");

    target.fail(true);
    becomes(&mainstay, "down");
    let text = says(&mainstay, &["status"], 1);
    assert!(text.starts_with("✖ Test: something is down"), "{text}");
    assert!(text.contains("503") && text.contains("incident 1 Website is down"), "{text}");
    assert!(text.contains("nobody has acknowledged it; `mainstay ack 1`"), "{text}");
    assert_eq!(json(&mainstay, &["status", "--json"], 1)["incidents"][0]["id"], 1);
}

#[test]
fn why_tells_the_reason_and_the_decisions() {
    let (target, mainstay) = watching();
    target.fail(true);
    becomes(&mainstay, "down");
    let text = says(&mainstay, &["why", "website-http"], 0);
    assert!(text.contains("✖ down") && text.contains("503"), "{text}");
    assert!(text.contains("What was decided, newest first"), "{text}");
    let found = json(&mainstay, &["why", "website-http", "--json"], 0);
    assert_eq!(found["check"]["check"]["verdict"], "down");
    assert!(found["decisions"].as_array().is_some_and(|all| !all.is_empty()), "{found}");
    // A service is a subject too, and what is neither is said to be.
    let of_service = json(&mainstay, &["why", "website", "--json"], 0);
    assert!(of_service["decisions"].as_array().is_some_and(|all| !all.is_empty()), "{of_service}");
    let unknown = fails(&mainstay, &["why", "nothing"], 1);
    assert!(unknown.contains("nothing"), "{unknown}");
}

#[test]
fn watch_prints_a_decision_when_it_is_made() {
    let (target, mainstay) = watching();
    let directory = tempfile::tempdir().unwrap();
    let start = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--socket").arg(mainstay.data().join("mainstay.sock"));
        Process::start(&mut command, &directory.path().join(name))
    };
    let (text, in_json) = (start("text", &["watch"]), start("json", &["watch", "--json"]));
    wait::expect("it to watch", NOTICE_TIMEOUT, || text.log().contains("watching").then_some(()));
    target.fail(true);
    let line = wait::expect("a line about the outage", NOTICE_TIMEOUT, || {
        // The last line may be half written.
        let said = text.log();
        let lines = said.rsplit_once('\n')?.0;
        lines.lines().find(|line| line.contains("website") && line.contains("down")).map(str::to_owned)
    });
    assert_is_plain(&line);
    becomes(&mainstay, "down");
    let event = wait::expect("an event in JSON", NOTICE_TIMEOUT, || {
        let said = in_json.log();
        said.rsplit_once('\n')?.0.lines().find(|line| line.contains("website")).map(str::to_owned)
    });
    let event: Value = serde_json::from_str(&event).unwrap_or_else(|error| panic!("{error}: {event}"));
    assert!(event["text"].is_string() && event["at"].is_string(), "{event}");
}

#[test]
fn an_incident_is_listed_acknowledged_and_told_about() {
    let (target, mainstay) = watching();
    assert_eq!(json(&mainstay, &["incident", "list", "--json"], 0)["incidents"], Value::Array(Vec::new()));
    target.fail(true);
    becomes(&mainstay, "down");
    shows(&mainstay, &["incident", "list"], 0, "Website is down");

    assert!(says(&mainstay, &["ack", "1", "--note", "looking"], 0).contains("incident 1 is acknowledged"));
    shows(&mainstay, &["status"], 1, "takes care of it");
    let update = ["incident", "update", "1", "A disk is replaced.", "--phase", "identified"];
    assert!(says(&mainstay, &update, 0).contains("the public is told"));
    wait::expect("the page to say so", NOTICE_TIMEOUT, || {
        mainstay.get("/")?.body.contains("A disk is replaced.").then_some(())
    });

    let unknown = fails(&mainstay, &["ack", "77"], 1);
    assert!(unknown.contains("77"), "{unknown}");
    assert_eq!(json(&mainstay, &["ack", "1", "--json"], 0)["ok"], true);

    target.fail(false);
    becomes(&mainstay, "up");
    wait::expect("the end of the incident", NOTICE_TIMEOUT, || {
        json(&mainstay, &["incident", "list", "--json"], 0)["incidents"][0]["resolved"].is_string().then_some(())
    });
}

#[test]
fn work_is_planned_listed_and_ended() {
    let (target, mainstay) = watching();
    let plan = ["maintenance", "add", "New disks", "--service", "website", "--duration", "2h"];
    assert!(says(&mainstay, &plan, 0).contains("the work is planned"));
    let text = shows(&mainstay, &["maintenance", "list"], 0, "new-disks");
    assert!(text.contains("on website"), "{text}");
    wait::expect("the work to begin", NOTICE_TIMEOUT, || {
        (json(&mainstay, &["maintenance", "list", "--json"], 0)[0]["is_active"] == true).then_some(())
    });
    // What was announced is no outage.
    target.fail(true);
    becomes(&mainstay, "maintenance");
    shows(&mainstay, &["status"], 0, "under way: New disks");

    assert!(says(&mainstay, &["maintenance", "end", "new-disks"], 0).contains("has ended"));
    becomes(&mainstay, "down");
    let gone = wait::until(NOTICE_TIMEOUT, || {
        json(&mainstay, &["maintenance", "list", "--json"], 0).as_array()?.is_empty().then_some(())
    });
    assert!(gone.is_some(), "ended work is still listed");

    let unknown = fails(&mainstay, &["maintenance", "end", "new-roof"], 1);
    assert!(unknown.contains("new-roof"), "{unknown}");
    let unknown = fails(&mainstay, &["maintenance", "add", "X", "--service", "wobsite", "--duration", "1h"], 1);
    assert!(unknown.contains("wobsite"), "{unknown}");
    let wrong =
        fails(&mainstay, &["maintenance", "add", "X", "--service", "website", "--from", "tomorrow", "-d", "1h"], 1);
    assert!(wrong.contains("tomorrow is not a time such as"), "{wrong}");
}

#[test]
fn a_wrong_command_line_or_configuration_exits_2_and_an_absent_server_1() {
    let (_target, mut mainstay) = watching();
    for wrong in
        [&["stauts"][..], &["ack"], &["maintenance", "add", "X", "--service", "website"], &["why", "x", "-n", "0"]]
    {
        fails(&mainstay, wrong, 2);
    }
    says(&mainstay, &["config", "check"], 0);
    mainstay.configure("pages: { name: Test }\n");
    let said = fails(&mainstay, &["config", "check"], 2);
    assert!(said.contains("mainstay.yaml") && said.contains("\"page\""), "{said}");
    // A wrong file hides no server.
    says(&mainstay, &["status"], 0);
    mainstay.stop();
    for command in [&["status"][..], &["watch"], &["incident", "list"], &["ack", "1"]] {
        let said = fails(&mainstay, command, 1);
        assert!(said.contains("no server answers at") && said.contains("is `mainstay serve` running"), "{said}");
    }
}

/// A server that watches one website, which is up.
fn watching() -> (Target, Mainstay) {
    let target = Target::start();
    let mainstay = Mainstay::start(&format!(
        "page: {{ name: Test }}\ndefaults: {{ every: 1s, timeout: 500ms, retry: 1s }}\nservices:\n\
         - {{ name: Website, checks: [ {{ id: website-http, http: \"http://{}/\" }} ] }}\n",
        target.address()
    ));
    becomes(&mainstay, "up");
    (target, mainstay)
}

fn becomes(mainstay: &Mainstay, state: &str) {
    wait::until(NOTICE_TIMEOUT, || {
        let said = mainstay.command(&["status", "--json"]).stdout;
        let status: Value = serde_json::from_slice(&said).ok()?;
        (status["services"][state] == 1).then_some(())
    })
    .unwrap_or_else(|| panic!("the service does not become {state}; the log:\n{}", mainstay.log()));
}

/// What a command prints, which is plain and ends with this exit code.
fn says(mainstay: &Mainstay, arguments: &[&str], code: i32) -> String {
    let output = mainstay.command(arguments);
    let (said, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}{errors}");
    assert_is_plain(&said);
    assert_eq!(errors, "", "{arguments:?} has nothing to complain about");
    said
}

/// Runs a command until it prints these words: what was decided just now is
/// shown a moment later.
fn shows(mainstay: &Mainstay, arguments: &[&str], code: i32, words: &str) -> String {
    wait::expect(&format!("{words:?} from {arguments:?}"), NOTICE_TIMEOUT, || {
        Some(says(mainstay, arguments, code)).filter(|said| said.contains(words))
    })
}

fn json(mainstay: &Mainstay, arguments: &[&str], code: i32) -> Value {
    let said = says(mainstay, arguments, code);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"))
}

/// What a command complains about, which is plain, and all that it prints.
fn fails(mainstay: &Mainstay, arguments: &[&str], code: i32) -> String {
    let output = mainstay.command(arguments);
    let (said, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}{errors}");
    assert_is_plain(&errors);
    assert!(!errors.is_empty() && !errors.contains("panicked"), "{arguments:?}: {errors}");
    assert_eq!(said, "", "{arguments:?}: an error is no answer");
    errors
}

fn assert_is_plain(text: &str) {
    assert!(!text.contains('\u{1b}'), "colours where there is no terminal: {text:?}");
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
