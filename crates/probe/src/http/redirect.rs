//! Following redirects: where to, with which method, and what must not go along.

use super::request::{Draft, parse_url};
use crate::PrepareError;
use crate::round::Trouble;
use crate::text::quoted;
use model::observation::Cause;
use url::Url;

/// One request on the way.
pub(super) struct Leg {
    /// Where it goes.
    pub(super) url: Url,
    /// What it sends.
    pub(super) draft: Draft,
    /// Whether the host is still the one the check names.
    pub(super) same_host: bool,
}

/// Whether an answer with this status is a redirect if it has a location.
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

impl Leg {
    /// The request of the check itself.
    pub(super) fn first(url: &str, draft: &Draft) -> Result<Self, Trouble> {
        let url = parse_url(url).map_err(|error| Trouble::own(error.to_string()))?;
        Ok(Self { url, draft: draft.clone(), same_host: true })
    }

    /// The request that a redirect leads to.
    ///
    /// # Errors
    /// `Redirect` if the location cannot be followed.
    pub(super) fn next(self, status: u16, location: &str) -> Result<Self, Trouble> {
        let wrong = |reason: &str| {
            let sentence = format!("{} redirects to {}, which {reason}", self.url, quoted(location));
            Trouble::fail(Cause::Redirect, sentence)
        };
        let mut url = self.url.join(location).map_err(|_| wrong("is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("is neither http nor https"));
        }
        // Credentials that a server puts into a location are its own, not ours to send.
        let cleared = url.set_username("").and_then(|()| url.set_password(None));
        if cleared.is_err() || url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("has no host"));
        }
        url.set_fragment(None);
        let mut draft = self.draft;
        let to_get = match status {
            303 => !draft.is_head(),
            // What RFC 9110 section 15.4 allows and every browser does.
            301 | 302 => &*draft.method == "POST",
            _ => false,
        };
        if to_get {
            draft.become_get();
        }
        if url.origin() != self.url.origin() {
            draft.drop_secrets();
        }
        let same_host = self.same_host && url.host_str() == self.url.host_str();
        Ok(Self { url, draft, same_host })
    }
}

/// The trouble of a location whose host cannot even be tried.
pub(super) fn cannot_follow(url: &Url, error: &PrepareError) -> Trouble {
    Trouble::fail(Cause::Redirect, format!("the redirect to {url} cannot be followed: {error}"))
}

/// The trouble of too many redirects; `followed` are the URLs they led to.
pub(super) fn too_many(limit: u8, last: &Leg, location: &str, followed: &[String]) -> Trouble {
    let next = last.url.join(location).map_or_else(|_| location.to_owned(), |url| url.to_string());
    let sentence = if followed.contains(&next) {
        format!("redirects go round in a circle through {next} ({limit} followed)")
    } else {
        format!("more than {limit} redirects; the last one leads to {next}")
    };
    Trouble::fail(Cause::Redirect, sentence)
}
