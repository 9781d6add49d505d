//! What is accepted, and what it becomes.

use crate::common::{differs, environment, fixtures, here, load_text};
use config::{SourceFile, load};

#[test]
fn each_accepted_fixture_becomes_what_is_committed() {
    let fixtures = fixtures("tests/accepted", "yaml");
    assert!(fixtures.len() >= 8, "only {} fixtures", fixtures.len());
    let mut wrong = Vec::new();
    for path in fixtures {
        let text = std::fs::read_to_string(&path).expect("a readable fixture");
        let loaded = match load_text(&text) {
            Ok(loaded) => loaded,
            Err(mistakes) => panic!("{}\n{mistakes}", path.display()),
        };
        let said = format!("{loaded:#?}\n");
        assert!(!said.contains("hunter2"), "{} shows a secret", path.display());
        wrong.extend(differs(&path.with_extension("txt"), &said));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_examples_load_without_warnings() {
    let examples = fixtures("../../examples", "yaml");
    assert!(examples.len() >= 2, "the examples are gone");
    for path in examples {
        let text = std::fs::read_to_string(&path).expect("a readable example");
        match load_text(&text) {
            Ok(loaded) => assert_eq!(loaded.warnings, [], "{}", path.display()),
            Err(mistakes) => panic!("{}\n{mistakes}", path.display()),
        }
    }
}

#[test]
fn the_full_example_shows_every_key() {
    let text = std::fs::read_to_string(here("../../examples/full.yaml")).expect("the example");
    let page = config::reference();
    let keys = page.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|rest| rest.split('`').next());
    for key in keys {
        assert!(
            text.contains(&format!("{key}:")) || text.contains(&format!("{key}_file:")),
            "{key} is not in the example"
        );
    }
}

#[test]
fn only_a_file_without_anything_replicated_concerns_the_node_only() {
    let own = "location: paris\nlisten: 0.0.0.0:8480\ndata: d\nlog: { level: warn }\nallow_plugins: false\n\
               cluster: { listen: 192.0.2.1 }\nbackup: { to: b }\n";
    for (replicated, expected) in [
        ("", true),
        ("services:\npage:\n", true),
        ("page: { name: A }", false),
        ("locations: [paris]", false),
        ("defaults: { every: 20s }", false),
        ("services: []", false),
        ("receivers: []", false),
        ("mail: { host: localhost }", false),
        ("maintenance: []", false),
    ] {
        // Without `locations` there is none but the default, which such a file must name.
        let place = if expected || replicated.starts_with("locations") { "paris" } else { "local" };
        let loaded = load_text(&format!("{}{replicated}\n", own.replace("paris", place)));
        let loaded = loaded.unwrap_or_else(|mistakes| panic!("{replicated}:\n{mistakes}"));
        assert_eq!(loaded.is_node_only, expected, "{replicated}");
    }
    // Whoever adds a key says on the reference page, and in the list above, which kind it is.
    let page = config::reference();
    let part = |heading: &str| page.split(heading).nth(1).and_then(|rest| rest.split("\n## ").next()).expect(heading);
    let keys: Vec<&str> =
        part("## The file").lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(keys.len() > 10, "{keys:?}");
    for key in keys {
        assert!(part("## One file, several nodes").contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn several_files_are_merged() {
    let file = |name: &str, text: &str| SourceFile { name: name.into(), text: text.into() };
    let files = [
        file("10-page.yaml", "page: { name: A }\nreceivers: [{ id: ops, mail: ops@a.example }]\n"),
        file("20-web.yaml", "services: [{ name: Web, checks: [{ http: 'https://a.example/' }] }]\n"),
        file("30-empty.yaml", "# nothing yet\n"),
        file(
            "40-db.yaml",
            "page: { url: 'https://status.a.example/' }\nservices: [{ name: DB, checks: [{ postgres: db }] }]\n",
        ),
    ];
    let loaded = load(&files, &environment).expect("nothing is wrong");
    let names: Vec<&str> = loaded.configuration.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["Web", "DB"]);
    assert_eq!(loaded.configuration.page.name, "A");
    assert_eq!(loaded.configuration.page.url.as_deref(), Some("https://status.a.example"));
    assert_eq!(loaded.warnings, []);
}

#[test]
fn what_is_loaded_survives_its_stored_form() {
    let text = std::fs::read_to_string(here("../../examples/full.yaml")).expect("the example");
    let configuration = load_text(&text).expect("nothing is wrong").configuration;
    assert_eq!(model::configuration::Configuration::decode(&configuration.encode()), Ok(configuration));
}
