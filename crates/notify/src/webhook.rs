//! A webhook by the Standard Webhooks specification (standardwebhooks.com).
//!
//! `webhook-id` is the delivery's key, the same at every attempt;
//! `webhook-timestamp` is the time of this attempt, because receivers refuse
//! old ones; `webhook-signature` is HMAC-SHA256 over `id.timestamp.body`. A
//! secret may hold several keys with spaces between: each signs, so that a
//! receiver can change from one to the next without a gap.

use crate::Attempt;
use crate::answer::Setback;
use crate::event;
use crate::hidden::Hidden;
use crate::http::{self, NotFound};
use crate::text::header_token;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use model::secret::Secret;
use reqwest::Client;
use reqwest::header::{HeaderMap, HeaderValue};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a secret begins with.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a key, as the specification allows.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

pub(crate) async fn deliver(
    client: &Client,
    url: &str,
    secret: Option<&Secret>,
    attempt: &Attempt<'_>,
    hidden: &mut Hidden,
) -> Result<String, Setback> {
    let url = http::parse_address(url)?;
    hidden.add_address(&url);
    let keys = match secret {
        Some(secret) => parse_keys(&hidden.reveal(secret).await?)?,
        None => Vec::new(),
    };
    let body = event::json(attempt);
    let id = header_token(&attempt.message.key);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: String| {
        headers.insert(name, HeaderValue::try_from(value).expect("visible ASCII only"));
    };
    set("webhook-id", id.clone());
    set("webhook-timestamp", seconds.to_string());
    if !keys.is_empty() {
        set("webhook-signature", signatures(&keys, &id, seconds, &body));
    }
    // Only "gone" is final by the specification, and an endpoint is often not
    // found while its program is being replaced.
    http::post(client, &url, headers, body, NotFound::MayPass, attempt.deadline).await
}

fn parse_keys(secret: &str) -> Result<Vec<Vec<u8>>, Setback> {
    let wrong = || {
        Setback::refused("the webhook's secret is not whsec_ followed by the base64 of 24 to 64 bytes; copy it again")
    };
    let keys: Vec<Vec<u8>> = secret
        .split_whitespace()
        .map(|text| text.strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok()))
        .map(|key| key.filter(|key| KEY_BYTES.contains(&key.len())).ok_or_else(wrong))
        .collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(wrong()) } else { Ok(keys) }
}

fn signatures(keys: &[Vec<u8>], id: &str, seconds: u64, body: &[u8]) -> String {
    let sign = |key: &Vec<u8>| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    keys.iter().map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specifications_example() {
        // The worked example of the reference implementations' test suites.
        let keys = parse_keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signatures(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_is_not_one_is_refused_without_repeating_it() {
        for text in ["", "hunter2hunter2", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all!"] {
            let Err(Setback::Refused { reason }) = parse_keys(text) else { panic!("{text:?} was taken") };
            assert!(!reason.contains("hunter2"));
        }
    }

    #[test]
    fn each_of_two_keys_signs() {
        let old = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let new = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let keys = parse_keys(&format!("{old} {new}")).unwrap();
        assert_eq!(signatures(&keys, "id", 1, b"{}").split(' ').count(), 2);
    }
}
