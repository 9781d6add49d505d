//! Keeps secrets and endless variety out of what is shown of a target.

use model::check::CheckKind;

/// What a check looks at, without a user name or password, and without the
/// query and fragment that may carry tokens and would make labels unbounded.
pub(crate) fn target(kind: &CheckKind) -> String {
    let text = kind.target();
    match kind {
        CheckKind::Http(_) => url(&text),
        CheckKind::Tcp(_)
        | CheckKind::Icmp(_)
        | CheckKind::Dns(_)
        | CheckKind::Tls(_)
        | CheckKind::Smtp(_)
        | CheckKind::Ssh(_)
        | CheckKind::Postgres(_)
        | CheckKind::Redis(_)
        | CheckKind::Heartbeat(_)
        | CheckKind::Plugin(_) => text,
    }
}

/// A URL without user information, query and fragment.
pub(crate) fn url(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (given, shown) in [
            ("https://user:pass@example.org/a?token=1#x", "https://example.org/a"),
            ("http://example.org", "http://example.org"),
            ("http://a@b@example.org:8080/@x", "http://example.org:8080/@x"),
            ("http://[::1]:80?x", "http://[::1]:80"),
        ] {
            assert_eq!(url(given), shown);
        }
    }
}
