//! The HTML form of a mail: a bar in the colour of the state, the text, the
//! facts and a button. Tables and inline styles, because mail clients drop
//! style sheets; the state is also a word, for those who see no colours.

use crate::Attempt;
use crate::text::{colour, humane_time, single_line, tag, text_with_note, title};

const FONT: &str = "font-family:-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif";

/// The whole document.
pub(super) fn page(attempt: &Attempt<'_>) -> String {
    let message = attempt.message;
    let (tag, title, colour) = (tag(message), escape(&title(message)), colour(message));
    let text = paragraphs(&text_with_note(message, attempt.this));
    let facts = facts(attempt);
    let button = button(attempt);
    let sent = humane_time(message.at);
    let key = escape(&single_line(&message.key));
    format!(
        r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body style="margin:0;padding:24px 12px;background:#f3f4f6;{FONT};color:#1f2933">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center">
<table role="presentation" width="560" cellpadding="0" cellspacing="0" style="width:100%;max-width:560px;background:#ffffff;border:1px solid #dfe3e8;border-radius:10px;border-collapse:separate;overflow:hidden">
<tr><td bgcolor="{colour}" style="background:{colour};color:#ffffff;padding:18px 24px">
<div style="font-size:12px;font-weight:700;letter-spacing:1.5px">{tag}</div>
<div style="font-size:20px;font-weight:600;line-height:1.3;margin-top:4px">{title}</div>
</td></tr>
<tr><td style="padding:20px 24px 4px;font-size:15px;line-height:1.55">
{text}{facts}{button}</td></tr>
<tr><td style="padding:12px 24px 18px;font-size:12px;line-height:1.5;color:#6b7785">Mainstay &middot; {sent}<br>{key}</td></tr>
</table>
</td></tr></table>
</body>
</html>
"#
    )
}

fn paragraphs(text: &str) -> String {
    text.split("\n\n")
        .filter(|paragraph| !paragraph.trim().is_empty())
        .map(|paragraph| {
            let lines: Vec<String> = paragraph.trim_matches('\n').lines().map(escape).collect();
            format!("<p style=\"margin:0 0 14px\">{}</p>\n", lines.join("<br>\n"))
        })
        .collect()
}

fn facts(attempt: &Attempt<'_>) -> String {
    let message = attempt.message;
    let row = |name: &str, value: &str| {
        let value = escape(&single_line(value));
        format!(
            "<tr><td style=\"padding:3px 18px 3px 0;color:#6b7785\">{name}</td><td style=\"padding:3px 0\">{value}</td></tr>\n"
        )
    };
    let mut rows = String::new();
    if let Some((_, name)) = &message.service {
        rows.push_str(&row("Service", name));
        rows.push_str(&row("State", message.status.name()));
    }
    if let Some(incident) = message.incident {
        rows.push_str(&row("Incident", &incident.to_string()));
        rows.push_str(&row("Since", &humane_time(message.started)));
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" style=\"font-size:14px;margin:0 0 14px\">\n{rows}</table>\n"
    )
}

fn button(attempt: &Attempt<'_>) -> String {
    // Only addresses of the web: a `javascript:` one would be ours to answer for.
    match attempt.message.url.as_deref().and_then(|url| crate::http::parse_address(url).ok()) {
        None => String::new(),
        Some(url) => format!(
            "<p style=\"margin:4px 0 18px\"><a href=\"{}\" style=\"display:inline-block;padding:9px 18px;border-radius:6px;\
             background:#1f2933;color:#ffffff;text-decoration:none;font-size:14px;font-weight:600\">Status page</a></p>\n",
            escape(url.as_str())
        ),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_no_markup() {
        assert_eq!(
            paragraphs("a <b>\nc & d\n\n\n\"e\""),
            "<p style=\"margin:0 0 14px\">a &lt;b&gt;<br>\nc &amp; d</p>\n<p style=\"margin:0 0 14px\">&quot;e&quot;</p>\n"
        );
    }
}
