//! The committed schema and reference page are those that the tables give.

use crate::common::{differs, here};

#[test]
fn the_committed_schema_is_up_to_date() {
    assert_eq!(differs(&here("../../docs/mainstay.schema.json"), &config::schema()), None);
}

#[test]
fn the_committed_reference_page_is_up_to_date() {
    assert_eq!(differs(&here("../../docs/configuration.md"), &config::reference()), None);
}

#[test]
fn every_heading_of_the_reference_page_is_unique() {
    let page = config::reference();
    let mut headings: Vec<&str> = page.lines().filter(|line| line.starts_with("##")).collect();
    let count = headings.len();
    headings.sort_unstable();
    headings.dedup();
    assert_eq!(headings.len(), count, "{headings:#?}");
}

#[test]
fn the_schema_is_json() {
    let schema: serde_json::Value = serde_json::from_str(&config::schema()).expect("JSON");
    assert_eq!(schema["properties"]["services"]["items"]["properties"]["public"]["default"], true);
    assert_eq!(schema["$defs"]["check"]["oneOf"].as_array().map(Vec::len), Some(11));
}
