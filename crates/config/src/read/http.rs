//! HTTP checks.

use super::expect::Maker;
use super::section::{At, Section};
use super::value::json;
use super::{Reader, text};
use crate::mistake::{Code, quoted};
use crate::yaml::{Node, Value};
use model::check::{HeaderTest, HttpCheck, HttpExpect, JsonCondition, JsonTest, REDIRECTS_DEFAULT, TextTest};
use model::secret::Secret;

/// Headers that the probe writes itself; a second one would let two readers of
/// one request disagree about where it ends.
const OWN_HEADERS: [&str; 5] = ["content-length", "transfer-encoding", "connection", "upgrade", "te"];

impl Reader {
    /// Reads the keys of an http check.
    pub(super) fn http(&mut self, section: &Section<'_, '_>, expect: Option<&Section<'_, '_>>) -> Option<HttpCheck> {
        let url = section.at("http").and_then(|at| self.url(at));
        let expected = expect.map(|expect| self.http_expect(expect)).unwrap_or_default();
        let trust = self.trust(Some(section), expect);
        let method = section.at("method").and_then(|at| self.text(at)).unwrap_or_else(|| "GET".to_owned());
        let headers = section.at("headers").map(|at| self.text_map(at, header)).unwrap_or_default();
        let basic_auth = section.at("basic_auth").and_then(|at| self.login(at));
        let bearer = section.at("bearer").and_then(|at| self.secret(at));
        self.exclude(section, &["basic_auth", "bearer"], "a request has one Authorization header; remove one");
        let redirects = match section.at("redirects").and_then(|at| self.integer(at)) {
            Some(count) => u8::try_from(count).expect("the table allows at most 20"),
            None => REDIRECTS_DEFAULT,
        };
        Some(HttpCheck {
            url: url?,
            method,
            headers,
            basic_auth: basic_auth.map(Box::new),
            bearer: bearer.map(Box::new),
            body: section.at("body").and_then(|at| self.text(at)),
            redirects,
            proxy: section.at("proxy").and_then(|at| self.proxy(at)),
            trust,
            expect: expected,
            close_by_reset: section.at("close_by_reset").and_then(|at| self.boolean(at)).unwrap_or(false),
        })
    }

    /// An address, in ASCII.
    pub(super) fn url(&mut self, at: At<'_, '_>) -> Option<String> {
        let written = self.text(at)?;
        if written.is_ascii() {
            return Some(written);
        }
        url::Url::parse(&written).map(String::from).ok()
    }

    fn proxy(&mut self, at: At<'_, '_>) -> Option<String> {
        let written = self.url(at)?;
        let rest = written.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        if rest.is_none_or(|rest| rest.contains(['/', '?', '#'])) {
            self.wrong(at, Code::WrongValue, format!("\"proxy\" must be http://host:port, found {}", at.node.found()));
            return None;
        }
        Some(written.trim_end_matches('/').to_owned())
    }

    fn login(&mut self, at: At<'_, '_>) -> Option<(String, Secret)> {
        let section = self.part(at)?;
        let user = section.at("user").and_then(|at| self.text(at));
        let password = section.at("password").and_then(|at| self.secret(at));
        if let (Some(name), Some(at)) = (&user, section.at("user"))
            && name.contains(':')
        {
            self.wrong(at, Code::WrongValue, "\"user\" holds a \":\", which ends a user name in Basic authentication");
        }
        user.zip(password)
    }

    fn http_expect(&mut self, section: &Section<'_, '_>) -> HttpExpect {
        let mut expect = HttpExpect::default();
        let status: Vec<(u16, u16)> =
            section.items("status", self).into_iter().filter_map(|at| self.status(at)).collect();
        if !status.is_empty() {
            expect.status = status;
        } else if let Some(at) = section.at("status").filter(|at| is_empty_list(at.node)) {
            self.wrong(at, Code::WrongValue, "\"status\" is an empty list, so no answer would be right");
        }
        for at in section.items("body", self) {
            expect.body.extend(self.text_tests(at));
        }
        for at in section.items("json", self) {
            expect.json.extend(self.json_tests(at));
        }
        for at in section.items("header", self) {
            expect.headers.extend(self.header_tests(at));
        }
        expect
    }

    fn status(&mut self, at: At<'_, '_>) -> Option<(u16, u16)> {
        let range = match &at.node.value {
            Value::Scalar(scalar) => {
                let text = scalar.text.as_str();
                let (low, high) = text.split_once('-').unwrap_or((text, text));
                let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (100..=599).contains(code));
                code(low).zip(code(high)).filter(|(low, high)| low <= high)
            }
            Value::List(_) | Value::Map(_) | Value::Unknown => None,
        };
        if range.is_none() {
            self.wrong(at, Code::WrongValue, format!("\"status\" cannot be {}", at.node.found()));
        }
        range
    }

    fn json_tests(&mut self, at: At<'_, '_>) -> Vec<JsonTest> {
        let Some(section) = self.part(at) else { return Vec::new() };
        let path = section.at("path").and_then(|at| self.text(at));
        let mut conditions = Vec::new();
        let equal: [Maker<JsonCondition>; 2] = [("equals", JsonCondition::Equals), ("differs", JsonCondition::Differs)];
        for (name, make) in equal {
            conditions.extend(section.at(name).map(|at| make(json(at.node))));
        }
        let bounds: [Maker<JsonCondition>; 2] =
            [("at_least", JsonCondition::AtLeast), ("at_most", JsonCondition::AtMost)];
        for (name, make) in bounds {
            conditions.extend(section.at(name).and_then(|at| self.number(at)).map(make));
        }
        conditions.extend(section.at("matches").and_then(|at| self.text(at)).map(JsonCondition::Matches));
        conditions.extend(section.at("exists").and_then(|at| self.boolean(at)).map(JsonCondition::Exists));
        if conditions.is_empty() {
            conditions.push(JsonCondition::Exists(true));
        }
        let Some(path) = path else { return Vec::new() };
        conditions.into_iter().map(|test| JsonTest { path: path.clone(), test }).collect()
    }

    fn number(&mut self, at: At<'_, '_>) -> Option<String> {
        let text = json(at.node);
        if serde_json::from_str::<serde_json::Number>(&text).is_ok() {
            return Some(text);
        }
        let message = format!("{} must be a number, found {}", quoted(at.path.name()), at.node.found());
        self.wrong(at, Code::WrongValue, message);
        None
    }

    fn header_tests(&mut self, at: At<'_, '_>) -> Vec<HeaderTest> {
        let Some(section) = self.part(at) else { return Vec::new() };
        let name = section.at("name").and_then(|at| self.text(at));
        let mut tests = self.tests_of(&section);
        if tests.is_empty() {
            // An empty expression matches every value, so only the header's absence fails.
            tests.push(TextTest::Matches(String::new()));
        }
        let Some(name) = name else { return Vec::new() };
        tests.into_iter().map(|test| HeaderTest { name: name.clone(), test }).collect()
    }
}

fn is_empty_list(node: &Node<'_>) -> bool {
    matches!(&node.value, Value::List(items) if items.is_empty())
}

/// A request header that cannot change where the request ends.
fn header(name: &str, value: &str) -> Result<(), String> {
    text::header_name(name).map_err(|why| format!("{why} in its name"))?;
    if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err("Mainstay writes this header itself".to_owned());
    }
    text::header_value(value)
}
