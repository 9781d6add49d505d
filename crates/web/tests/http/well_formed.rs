//! Whether HTML is well formed: every element that is opened is closed, in order.

/// Elements that are never closed.
const VOID: [&str; 5] = ["meta", "link", "br", "img", "input"];

/// Panics with the place where the page is not well formed.
pub(crate) fn assert_well_formed(html: &str) {
    assert!(html.starts_with("<!doctype html>"), "no doctype");
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let tag = &rest[start + 1..];
        let end = tag.find('>').unwrap_or_else(|| panic!("a tag without end: {}", head(tag)));
        let inside = &tag[..end];
        rest = &tag[end + 1..];
        if inside.starts_with('!') {
            continue;
        }
        let name = inside.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        assert!(!name.is_empty() && name.chars().all(char::is_alphanumeric), "an odd tag: {}", head(tag));
        assert_eq!(inside.matches('"').count() % 2, 0, "an attribute that does not end: {inside}");
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closed out of order before: {}", head(rest));
        } else if !inside.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
        if matches!(name, "style" | "script") && !inside.starts_with('/') {
            let end = rest.find("</").expect("it ends");
            rest = &rest[end..];
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

fn head(text: &str) -> String {
    text.chars().take(80).collect()
}
