//! One POST and what its answer means.
//!
//! **A redirect is never followed**: a message, its signature and its token go
//! to the address that is configured and nowhere else. Every request has a
//! connection of its own, because messages are rare and a kept connection that
//! the other side has closed would fail the one that matters. Of an answer no
//! more than [`BODY_BYTES_MAX`] is read, and only to quote it.

use crate::Proxy;
use crate::answer::{Setback, root_cause};
use crate::text::{shorten, single_line};
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

/// Bytes read of an answer: error texts are one line, JSON ones a few.
const BODY_BYTES_MAX: usize = 4 << 10;
/// Time for reading them. The verdict is in the status, which has come by then.
const BODY_TIME_LIMIT: Duration = Duration::from_secs(2);
/// Time for a connection, so that a dead first address leaves time for the second.
pub(crate) const CONNECT_TIME_LIMIT: Duration = Duration::from_secs(8);
/// Characters quoted of an answer.
const QUOTE_LENGTH_MAX: usize = 160;

/// What a means knows better about status codes than the common table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotFound {
    /// The address is wrong or was revoked: say so at once.
    IsFinal,
    /// The endpoint may be back: it vanishes while its program is rolled out.
    MayPass,
}

/// The client that all requests share.
pub(crate) fn client(proxy: Proxy) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .user_agent(concat!("Mainstay/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT_TIME_LIMIT);
    match proxy {
        Proxy::FromEnvironment => builder.build(),
        Proxy::Never => builder.no_proxy().build(),
    }
}

/// Reads an address for requests.
pub(crate) fn parse_address(text: &str) -> Result<Url, Setback> {
    // The text itself is not repeated: it may hold a key.
    let url = Url::parse(text.trim())
        .map_err(|error| Setback::refused(format!("the receiver's address is not a URL: {error}")))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(Setback::refused("the receiver's address must begin with https:// or http://")),
    }
}

/// The part of an address that may be shown.
pub(crate) fn host(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "the receiver".to_owned(),
    }
}

/// Sends a JSON body and judges the answer.
pub(crate) async fn post(
    client: &Client,
    url: &Url,
    headers: HeaderMap,
    body: Vec<u8>,
    not_found: NotFound,
    deadline: Instant,
) -> Result<String, Setback> {
    let host = host(url);
    let request = client
        .post(url.clone())
        .headers(headers)
        .header(reqwest::header::CONTENT_TYPE, "application/json")
        .body(body)
        .send();
    let started = Instant::now();
    match timeout_at(deadline, request).await {
        Err(_) => {
            let seconds = started.elapsed().as_secs_f32();
            Err(Setback::failed(format!("no answer from {host} within {seconds:.0} s")))
        }
        Ok(Err(error)) => Err(Setback::failed(describe(&host, error))),
        Ok(Ok(response)) => judge(&host, response, not_found).await,
    }
}

fn describe(host: &str, error: reqwest::Error) -> String {
    let error = error.without_url();
    let cause = root_cause(&error);
    if error.is_connect() {
        format!("could not connect to {host}: {cause}")
    } else {
        format!("{host} did not answer the request: {cause}")
    }
}

async fn judge(host: &str, response: Response, not_found: NotFound) -> Result<String, Setback> {
    let status = response.status();
    let retry_after_seconds = retry_after(response.headers());
    let moved_to = location_host(&response);
    let quote = quote(response).await;
    let said = format!("HTTP {}{quote}", status.as_u16());
    let failed = |what: &str| Err(Setback::Failed { reason: format!("{host} {what} ({said})"), retry_after_seconds });
    let refused = |what: &str| Err(Setback::refused(format!("{host} {what} ({said})")));
    match status.as_u16() {
        200..=299 => Ok(said),
        301 | 308 => refused(&format!("has moved{moved_to}; redirects are not followed, change the address")),
        300..=399 => failed(&format!("redirects{moved_to}, which is not followed")),
        401 | 402 | 403 | 407 => refused("does not let us in; check the token, key or address"),
        404 => match not_found {
            NotFound::IsFinal => refused("does not know this address; check it, or make a new one there"),
            NotFound::MayPass => failed("has nothing at this address at the moment"),
        },
        410 => refused("says that this address is gone for good; remove the receiver or change its address"),
        408 | 421 | 423 | 424 | 425 => failed("asks to try later"),
        429 => failed("has had too many requests"),
        400..=499 => refused("does not accept this request; check that the address is of the right kind"),
        500..=599 => failed("has a problem of its own"),
        _ => failed("answered with a status that does not exist"),
    }
}

/// The wait an answer asks for. A date is taken relative to the answer's own
/// `Date`, so that neither clock has to be right; without one it says nothing.
fn retry_after(headers: &HeaderMap) -> Option<u32> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().unwrap_or(u32::MAX));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let from = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let wait = until.duration_since(from).unwrap_or_default();
    Some(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX))
}

/// Where a redirect points, without the path, which may be a key as well.
fn location_host(response: &Response) -> String {
    let target = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| response.url().join(text).ok());
    match target {
        Some(url) => format!(" to {}://{}", url.scheme(), host(&url)),
        None => String::new(),
    }
}

/// The first line of an answer, if it is meant for people.
async fn quote(mut response: Response) -> String {
    if response.status() == StatusCode::NO_CONTENT {
        return String::new();
    }
    let mut bytes: Vec<u8> = Vec::new();
    let reading = async {
        // A body that breaks off changes nothing: the status has been given.
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = BODY_BYTES_MAX - bytes.len();
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if bytes.len() == BODY_BYTES_MAX {
                break;
            }
        }
    };
    let _ = timeout(BODY_TIME_LIMIT, reading).await;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().map(single_line).find(|line| !line.is_empty()).unwrap_or_default();
    // A web page's first line says nothing.
    if line.is_empty() || line.starts_with('<') {
        String::new()
    } else {
        format!(": {}", shorten(&line, QUOTE_LENGTH_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[track_caller]
    fn check(retry: &'static str, date: Option<&'static str>, wanted: Option<u32>) {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(retry));
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_static(date));
        }
        assert_eq!(retry_after(&headers), wanted, "{retry:?} at {date:?}");
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date_relative_to_the_answers_own() {
        let date = Some("Fri, 20 Nov 2026 21:23:00 GMT");
        check("120", None, Some(120));
        check("Fri, 20 Nov 2026 21:25:00 GMT", date, Some(120));
        check("Fri, 20 Nov 2026 21:00:00 GMT", date, Some(0));
        check("Fri, 20 Nov 2026 21:25:00 GMT", None, None);
        check("99999999999999", None, Some(u32::MAX));
        check("soon", date, None);
        check("-5", date, None);
    }

    #[test]
    fn an_address_that_is_no_url_is_refused_without_repeating_it() {
        for text in ["hooks.slack.com/services/T0/secretkey", "ftp://acme.example/secretkey", "http:///secretkey", ""] {
            match parse_address(text) {
                Err(Setback::Refused { reason }) => assert!(!reason.contains("secretkey"), "{reason}"),
                other => assert!(text.starts_with("http:"), "{text}: {other:?}"),
            }
        }
    }
}
