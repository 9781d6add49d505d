//! Starting and stopping the real binary, and every way in which a start is refused.

use it::mainstay::Mainstay;

const NOTHING: &str = "page: { name: Test }\n";

#[test]
fn it_serves_and_stops_when_asked() {
    let mut mainstay = Mainstay::start(NOTHING);
    assert_eq!(mainstay.get("/healthz").unwrap().status, 200);
    assert!(mainstay.get("/metrics").unwrap().body.contains("mainstay_log_applied_index"));
    let status = mainstay.stop();
    assert_eq!(status.code(), Some(0), "{}", mainstay.log());
}

#[test]
fn commands_find_the_running_server() {
    let mainstay = Mainstay::start(NOTHING);
    let said = mainstay.command(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!((said.status.code(), status["page"].as_str()), (Some(0), Some("Test")));
}

#[test]
fn commands_without_a_server_say_so() {
    let mainstay = Mainstay::prepare(NOTHING);
    let said = mainstay.command(&["status"]);
    let text = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(text.contains("mainstay serve"), "{text}");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let mut mainstay = Mainstay::prepare("page: { name: Test }\nservices:\n  - nmae: Website\n");
    assert_eq!(mainstay.refuses_to_start().code(), Some(2));
    let log = mainstay.log();
    assert!(log.contains("mainstay.yaml:3:5") && log.contains("did you mean \"name\"?"), "{log}");
}

#[test]
fn a_wrong_configuration_while_it_runs_changes_nothing_and_is_said() {
    let mainstay = Mainstay::start(NOTHING);
    mainstay.configure("page: { nmae: Test }\n");
    mainstay.reload();
    it::wait::expect("the refusal in the log", std::time::Duration::from_secs(20), || {
        mainstay.log().contains("nmae").then_some(())
    });
    assert_eq!(mainstay.get("/readyz").unwrap().status, 200);
    assert!(mainstay.get("/").unwrap().body.contains("Test"));
}

#[test]
fn a_port_in_use_is_one_clear_error() {
    let first = Mainstay::start(NOTHING);
    let mut second = Mainstay::prepare(&format!("listen: {}\n", first.address()));
    second.listens_as_configured();
    assert_eq!(second.refuses_to_start().code(), Some(1));
    let log = second.log();
    assert!(log.contains(&first.address().to_string()) && log.contains("--listen"), "{log}");
}

#[test]
fn two_servers_on_one_data_directory_is_one_clear_error() {
    let first = Mainstay::start(NOTHING);
    let mut second = Mainstay::prepare(NOTHING);
    second.shares_data_of(&first);
    assert_eq!(second.refuses_to_start().code(), Some(1));
    let log = second.log();
    assert!(log.contains("in use by") && log.contains(&first.data().display().to_string()), "{log}");
    assert_eq!(first.get("/readyz").unwrap().status, 200, "the first one is untouched");
}
