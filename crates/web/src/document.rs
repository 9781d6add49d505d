//! A finished answer: bytes, their compressed form, and the headers that go
//! with them, ready to be sent any number of times.

use crate::freshness;
use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use model::time::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;

/// Bodies below this are not worth compressing: they fit one packet as they are.
const COMPRESS_FROM_BYTES: usize = 1_200;
/// Bytes of the digest in an entity tag: 64 bits are enough against accident.
const ETAG_BYTES: usize = 8;

/// An answer that can be sent again and again.
pub(crate) struct Document {
    status: StatusCode,
    plain: Bytes,
    gzip: Option<Bytes>,
    headers: HeaderMap,
}

impl Document {
    /// An HTML document with the content security policy its inline parts need.
    pub(crate) fn html(html: String, policy: &HeaderValue) -> Self {
        let mut document = Self::new("text/html; charset=utf-8", html);
        document.set("content-security-policy", policy.clone());
        document.set("referrer-policy", HeaderValue::from_static("same-origin"));
        document.set("x-frame-options", HeaderValue::from_static("DENY"));
        document.set("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
        document
    }

    /// A JSON document that pages of other origins may read.
    pub(crate) fn open_json(json: String) -> Self {
        let mut document = Self::new("application/json; charset=utf-8", json);
        document.set("access-control-allow-origin", HeaderValue::from_static("*"));
        document.set("access-control-expose-headers", HeaderValue::from_static("mainstay-as-of, mainstay-node"));
        document
    }

    /// The same with the stamp of the state that it shows.
    pub(crate) fn true_at(mut self, stamp: Timestamp) -> Self {
        self.headers.insert(freshness::AS_OF, freshness::stamp(stamp));
        self
    }

    /// The same with another status than 200, never to be kept by caches.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self.headers.remove(ETAG);
        self.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            self.headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        self
    }

    fn new(content_type: &'static str, text: String) -> Self {
        let plain = Bytes::from(text);
        let mut headers = HeaderMap::with_capacity(16);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(ETAG, entity_tag(&plain));
        // Always asked for again, answered with 304 when nothing changed: a
        // page about outages must not come from a cache during one.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
        Self { status: StatusCode::OK, gzip: compressed(&plain), plain, headers }
    }

    fn set(&mut self, name: &'static str, value: HeaderValue) {
        self.headers.insert(HeaderName::from_static(name), value);
    }

    /// The answer to a request with these headers. Bodies of HEAD are left
    /// out by the connection, so that lengths stay those of GET.
    pub(crate) fn respond(&self, request: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        response.headers_mut().clone_from(&self.headers);
        if self.is_known_to(request) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().remove(CONTENT_TYPE);
            return response;
        }
        *response.status_mut() = self.status;
        let body = match &self.gzip {
            Some(gzip) if takes_gzip(request) => {
                response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                gzip
            }
            Some(_) | None => &self.plain,
        };
        *response.body_mut() = Body::from(body.clone());
        response
    }

    fn is_known_to(&self, request: &HeaderMap) -> bool {
        let Some(own) = self.headers.get(ETAG).and_then(|tag| tag.to_str().ok()) else {
            return false;
        };
        let wanted = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        wanted.flat_map(|list| list.split(',')).any(|tag| tag.trim() == own || tag.trim() == "*")
    }
}

/// A weak tag: the compressed form has other bytes and the same meaning.
fn entity_tag(bytes: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(bytes);
    let mut tag = String::from("W/\"");
    for byte in &digest[..ETAG_BYTES] {
        write!(tag, "{byte:02x}").expect("a string takes all");
    }
    tag.push('"');
    HeaderValue::from_str(&tag).expect("hexadecimal is legal")
}

fn compressed(plain: &Bytes) -> Option<Bytes> {
    if plain.len() < COMPRESS_FROM_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::default());
    encoder.write_all(plain).and_then(|()| encoder.finish()).ok().map(Bytes::from)
}

/// Whether gzip is named and not refused with a weight of zero (RFC 9110 section 12.5.3).
fn takes_gzip(request: &HeaderMap) -> bool {
    let offered = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|list| list.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
            && !parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_sent_to_whoever_names_it() {
        for (offer, expected) in
            [("gzip, br", true), ("br;q=1.0, GZIP;q=0.5", true), ("gzip;q=0", false), ("br", false)]
        {
            assert_eq!(takes_gzip(&headers(ACCEPT_ENCODING, offer)), expected, "{offer}");
        }
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        let document = Document::open_json("{}".to_owned());
        let first = document.respond(&HeaderMap::new());
        let tag = first.headers()[ETAG].clone();
        let again = HeaderMap::from_iter([(IF_NONE_MATCH, tag)]);
        assert_eq!(document.respond(&again).status(), StatusCode::NOT_MODIFIED);
        let other = Document::open_json("[]".to_owned());
        assert_eq!(other.respond(&again).status(), StatusCode::OK);
    }
}
