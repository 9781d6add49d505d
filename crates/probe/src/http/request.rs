//! What is sent, and where to.

use crate::net::{Host, Target};
use crate::round::Trouble;
use crate::secret::reveal;
use crate::tls::{Alpn, TlsClient};
use crate::{PrepareError, Prober};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::check::{HttpCheck, Trust};
use model::secret::Secret;
use url::Url;

/// The parts of a request that do not depend on the URL.
#[derive(Clone)]
pub(super) struct Draft {
    /// The method.
    pub(super) method: Box<str>,
    /// Whether the credentials of the check go along.
    pub(super) has_secrets: bool,
    headers: Box<[(Box<str>, Box<str>)]>,
    /// Boxed, as most checks have none.
    credentials: Option<Box<Credentials>>,
    body: Option<Box<str>>,
}

#[derive(Clone)]
enum Credentials {
    /// The value of the header, known when the check was prepared.
    Known(Box<str>),
    /// A user whose password is in a file that is read in every round.
    Basic(Box<str>, Secret),
    /// A token in such a file.
    Bearer(Secret),
}

/// One request's way: whom to connect to and what to say first.
pub(super) struct Hop {
    /// The server, or the proxy.
    pub(super) connect_to: Target,
    /// The request for a tunnel through a proxy.
    pub(super) tunnel: Option<Box<[u8]>>,
    /// How TLS is spoken with the server.
    pub(super) tls: Option<TlsClient>,
    /// The request, if nothing in it is read in every round.
    pub(super) request: Option<Box<[u8]>>,
    /// What a proxy is told about us, when it gets the request itself.
    proxy_authorization: Option<Box<str>>,
    /// Whether the request names the whole URL, as a proxy needs it.
    is_absolute: bool,
}

/// An HTTP proxy.
pub(super) struct Proxy {
    target: Target,
    authorization: Option<Box<str>>,
}

/// Reads a URL that can be probed.
///
/// # Errors
/// [`PrepareError::Url`] for other schemes, no host, or credentials, which
/// would be shown wherever the URL is.
pub(super) fn parse_url(text: &str) -> Result<Url, PrepareError> {
    let wrong = |reason: &str| PrepareError::Url { url: without_credentials(text), reason: reason.to_owned() };
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("give user and password apart from the URL, which is shown to people"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it has no host"));
    }
    if url.port_or_known_default().is_none_or(|port| port == 0) {
        return Err(wrong("it has no usable port"));
    }
    Ok(url)
}

impl Draft {
    /// Reads what a check wants to send.
    ///
    /// # Errors
    /// [`PrepareError`] for a method or header that would break the request.
    pub(super) fn of(check: &HttpCheck) -> Result<Self, PrepareError> {
        if !is_token(&check.method) || check.method == "CONNECT" {
            return Err(PrepareError::Method { method: check.method.clone() });
        }
        for (name, value) in &check.headers {
            if !is_token(name) || !is_value(value) {
                return Err(PrepareError::Header { name: name.clone() });
            }
        }
        let header = |(name, value): &(String, String)| (name.as_str().into(), value.as_str().into());
        let credentials = Credentials::of(check)?;
        Ok(Self {
            method: check.method.as_str().into(),
            has_secrets: credentials.is_some(),
            headers: check.headers.iter().map(header).collect(),
            credentials: credentials.map(Box::new),
            body: check.body.as_deref().map(Into::into),
        })
    }

    /// Whether the answer has no body, whatever it claims.
    pub(super) fn is_head(&self) -> bool {
        &*self.method == "HEAD"
    }

    /// The value of the Authorization header; the outer `None` if it has to be
    /// read in every round.
    pub(super) fn known_authorization(&self) -> Option<Option<&str>> {
        match self.credentials.as_deref() {
            None => Some(None),
            Some(Credentials::Known(value)) => Some(Some(value)),
            Some(Credentials::Basic(..) | Credentials::Bearer(_)) => None,
        }
    }

    /// The value of the Authorization header, its file read.
    ///
    /// # Errors
    /// `Own` if the file cannot be read or holds what cannot be sent.
    pub(super) fn authorization(&self) -> Result<Option<String>, Trouble> {
        Ok(match self.credentials.as_deref() {
            None => None,
            Some(Credentials::Known(value)) => Some(value.to_string()),
            Some(Credentials::Basic(user, password)) => Some(basic(user, &reveal(password)?)),
            Some(Credentials::Bearer(token)) => Some(format!("Bearer {}", sendable(reveal(token)?)?)),
        })
    }

    /// Drops what another host must not see.
    pub(super) fn drop_secrets(&mut self) {
        self.has_secrets = false;
        self.credentials = None;
        let secret = |name: &str| {
            ["authorization", "cookie", "proxy-authorization"].iter().any(|other| name.eq_ignore_ascii_case(other))
        };
        self.headers = self.headers.iter().filter(|(name, _)| !secret(name)).cloned().collect();
    }

    /// Makes it a request without a body.
    pub(super) fn become_get(&mut self) {
        self.method = "GET".into();
        self.body = None;
        let about_body = |name: &str| name.len() > 8 && name[..8].eq_ignore_ascii_case("content-");
        self.headers = self.headers.iter().filter(|(name, _)| !about_body(name)).cloned().collect();
    }

    /// Writes the request. Headers of the check replace our own of the same name.
    pub(super) fn write(&self, user_agent: &str, url: &Url, hop: &Hop, authorization: Option<&str>) -> Vec<u8> {
        let mut out = String::with_capacity(256);
        out.push_str(&self.method);
        out.push(' ');
        if hop.is_absolute {
            out.push_str(&url[..url::Position::BeforePath]);
        }
        out.push_str(&url[url::Position::BeforePath..url::Position::AfterQuery]);
        out.push_str(" HTTP/1.1\r\n");
        let length = match &self.body {
            Some(body) => Some(body.len().to_string()),
            None => matches!(&*self.method, "POST" | "PUT" | "PATCH").then(|| "0".to_owned()),
        };
        let own = [
            ("Host", Some(host_header(url))),
            ("User-Agent", Some(user_agent.to_owned())),
            ("Accept", Some("*/*".to_owned())),
            // A body that is not packed costs no unpacking and cannot be a bomb.
            ("Accept-Encoding", Some("identity".to_owned())),
            // So that the server closes first and keeps the TIME_WAIT.
            ("Connection", Some("close".to_owned())),
            ("Content-Length", length),
            ("Authorization", authorization.map(str::to_owned)),
            ("Proxy-Authorization", hop.proxy_authorization.as_deref().map(str::to_owned)),
        ];
        for (name, value) in own {
            if let Some(value) =
                value.filter(|_| !self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)))
            {
                push_header(&mut out, name, &value);
            }
        }
        for (name, value) in &self.headers {
            push_header(&mut out, name, value);
        }
        out.push_str("\r\n");
        out.push_str(self.body.as_deref().unwrap_or_default());
        out.into_bytes()
    }
}

impl Credentials {
    fn of(check: &HttpCheck) -> Result<Option<Self>, PrepareError> {
        let known = |value: String| match is_value(&value) {
            true => Ok(Some(Self::Known(value.into()))),
            false => Err(PrepareError::Header { name: "Authorization".to_owned() }),
        };
        match (check.basic_auth.as_deref(), check.bearer.as_deref()) {
            (Some((user, Secret::Inline(password))), _) => known(basic(user, password)),
            (Some((user, password @ Secret::File(_))), _) => {
                Ok(Some(Self::Basic(user.as_str().into(), password.clone())))
            }
            (None, Some(Secret::Inline(token))) => known(format!("Bearer {token}")),
            (None, Some(token @ Secret::File(_))) => Ok(Some(Self::Bearer(token.clone()))),
            (None, None) => Ok(None),
        }
    }
}

impl Hop {
    /// The way to a URL, without its request.
    ///
    /// # Errors
    /// [`PrepareError`] for a host or files that cannot be used.
    pub(super) fn to(prober: &Prober, url: &Url, proxy: Option<&Proxy>, trust: &Trust) -> Result<Self, PrepareError> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        let is_tls = url.scheme() == "https";
        let tls = if is_tls { Some(prober.tls.client(trust, host, Alpn::Http1)?) } else { None };
        let Some(proxy) = proxy else {
            let connect_to = Target { host: Host::parse(host)?, port };
            return Ok(Self {
                connect_to,
                tunnel: None,
                tls,
                request: None,
                proxy_authorization: None,
                is_absolute: false,
            });
        };
        let authorization = proxy.authorization.clone();
        Ok(Self {
            connect_to: proxy.target.clone(),
            tunnel: is_tls.then(|| tunnel(host, port, authorization.as_deref())),
            tls,
            request: None,
            proxy_authorization: authorization.filter(|_| !is_tls),
            is_absolute: !is_tls,
        })
    }
}

impl Proxy {
    /// Reads `http://[user:password@]host:port`.
    ///
    /// # Errors
    /// [`PrepareError::Url`] if it is anything else.
    pub(super) fn parse(text: &str) -> Result<Self, PrepareError> {
        let wrong = |reason: &str| PrepareError::Url { url: without_credentials(text), reason: reason.to_owned() };
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let (Some(host), "http") = (url.host_str(), url.scheme()) else {
            return Err(wrong("a proxy is written as http://host:port"));
        };
        let target = Target { host: Host::parse(host)?, port: url.port_or_known_default().unwrap_or(80) };
        let decoded = |part: &str| percent_decoded(part);
        let authorization = (!url.username().is_empty())
            .then(|| basic(&decoded(url.username()), &decoded(url.password().unwrap_or_default())).into());
        Ok(Self { target, authorization })
    }
}

/// The request for a tunnel.
fn tunnel(host: &str, port: u16, authorization: Option<&str>) -> Box<[u8]> {
    let mut out = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(authorization) = authorization {
        push_header(&mut out, "Proxy-Authorization", authorization);
    }
    out.push_str("\r\n");
    out.into_bytes().into()
}

fn push_header(out: &mut String, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.push_str(part);
    }
}

/// The host as the server knows itself: with its port only if that is not the scheme's.
fn host_header(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}

/// Refuses a token that would break the request.
fn sendable(token: String) -> Result<String, Trouble> {
    if is_value(&token) { Ok(token) } else { Err(Trouble::own("the bearer token holds what HTTP does not allow")) }
}

/// A URL as it may be shown.
fn without_credentials(text: &str) -> String {
    match (text.find("://"), text.find('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}{}", &text[..scheme + 3], &text[at + 1..]),
        _ => text.to_owned(),
    }
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let byte = tail.get(..2).and_then(|digits| str::from_utf8(digits).ok()).filter(|_| *first == b'%');
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}

fn is_value(text: &str) -> bool {
    text.chars().all(|c| c == '\t' || !c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_the_request_is_refused() {
        for url in ["ftp://a/", "a.example", "http://", "http://u:p@a/", "http://a:0/", "http://a b/", "https:///"] {
            assert!(parse_url(url).is_err(), "{url}");
        }
        assert_eq!(
            parse_url("http://u:secret@a.example/").map_err(|error| error.to_string()).map(|_| ()),
            Err("\"http://a.example/\" cannot be probed: give user and password apart from the URL, \
                 which is shown to people"
                .to_owned())
        );
        assert!(is_token("X-Request-Id") && !is_token("X Y") && !is_token("") && !is_token("a:b"));
        assert!(is_value("a b\tc") && !is_value("a\r\nHost: x") && !is_value("a\0"));
    }

    #[test]
    fn a_proxy_may_ask_for_credentials() {
        let proxy = Proxy::parse("http://me:p%40ss@127.0.0.1:3128").expect("a proxy");
        assert_eq!(proxy.target.to_string(), "127.0.0.1:3128");
        assert_eq!(proxy.authorization.as_deref(), Some(basic("me", "p@ss").as_str()));
        for wrong in ["https://a:1", "a:1", "socks5://a:1"] {
            assert!(Proxy::parse(wrong).is_err(), "{wrong}");
        }
    }
}
