//! The handshake, and what its certificate means for a check.

use super::facts::facts;
use super::policy::TlsClient;
use super::verify::HandshakeVerifier;
use crate::net::io_trouble;
use crate::round::{Round, Stage, Trouble};
use crate::text::quoted;
use crate::whole_us;
use model::observation::{Cause, CertificateFacts};
use model::time::Timestamp;
use rustls::{AlertDescription, CertificateError, Error};
use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const SECONDS_PER_DAY: i64 = 86_400;
/// Names of a certificate listed in a sentence.
const NAMES_SHOWN: usize = 4;

/// Makes a connection one under TLS. Sets the TLS phase, shows the certificate
/// as evidence, and notes a degradation if it expires soon.
///
/// # Errors
/// One of the causes about certificates, `Tls`, or what the connection ends with.
pub(crate) async fn handshake(
    client: &TlsClient,
    stream: TcpStream,
    round: &mut Round,
) -> Result<Box<TlsStream<TcpStream>>, Trouble> {
    round.stage = Stage::Handshake;
    let started = Instant::now();
    let mut config = client.policy.config.clone();
    let verifier =
        Arc::new(HandshakeVerifier::new(client.policy.verifier.clone(), Arc::clone(config.crypto_provider())));
    config.dangerous().set_certificate_verifier(Arc::clone(&verifier) as _);
    let connector = TlsConnector::from(Arc::new(config));
    // Boxed because the state of a handshake is kilobytes that a check without TLS should not carry.
    let ended = Box::pin(connector.connect(client.server_name.clone(), stream)).await;
    round.phases.tls_us = Some(whole_us(started.elapsed()));
    match ended {
        Ok(stream) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| facts(chain.first()?));
            if let Some(shown) = shown {
                judge_expiry(client, &shown, round)?;
                round.evidence.certificate = Some(shown);
            }
            Ok(Box::new(stream))
        }
        Err(error) => {
            round.evidence.certificate = verifier.take_refused().as_ref().and_then(facts);
            Err(trouble(client, &error, round))
        }
    }
}

/// Judges the time left of an accepted certificate. One that has expired gets
/// here only where nothing is verified; there, too, it fails unless days left
/// are not looked at.
fn judge_expiry(client: &TlsClient, shown: &CertificateFacts, round: &mut Round) -> Result<(), Trouble> {
    if client.days_left == 0 {
        return Ok(());
    }
    let now = now();
    let left = shown.not_after.as_seconds() - now.as_seconds();
    let name = client.server_name.to_str();
    if left < 0 {
        round.evidence.certificate = Some(shown.clone());
        return Err(Trouble::fail(Cause::CertificateExpired, expired(&name, shown.not_after, now)));
    }
    if left < i64::from(client.days_left) * SECONDS_PER_DAY {
        round.degrade(Cause::CertificateExpiring, || {
            let (span, date) = (span_text(left), date_text(shown.not_after));
            format!("certificate of {name} expires in {span}, on {date} (limit: {} days)", client.days_left)
        });
    }
    Ok(())
}

/// The trouble of a handshake that failed.
fn trouble(client: &TlsClient, error: &io::Error, round: &Round) -> Trouble {
    let peer = round.peer_text();
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Trouble::fail(Cause::ClosedEarly, format!("{peer} closed the connection during the TLS handshake"))
            }
            _ => io_trouble(error, &peer, "the TLS handshake"),
        };
    };
    match error {
        Error::InvalidCertificate(refusal) => certificate_trouble(client, refusal, round.evidence.certificate.as_ref()),
        Error::InvalidMessage(_) => {
            Trouble::fail(Cause::Tls, format!("{peer} does not speak TLS: its answer is something else"))
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            Trouble::fail(Cause::Tls, format!("{peer} asks for a client certificate"))
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            let name = client.server_name.to_str();
            Trouble::fail(Cause::Tls, format!("{peer} does not know the name {name} (TLS alert)"))
        }
        Error::AlertReceived(alert) => {
            Trouble::fail(Cause::Tls, format!("{peer} refused the TLS handshake with alert {alert:?}"))
        }
        other => Trouble::fail(Cause::Tls, format!("the TLS handshake with {peer} failed: {other}")),
    }
}

/// The trouble of a certificate that was refused.
fn certificate_trouble(client: &TlsClient, refusal: &CertificateError, shown: Option<&CertificateFacts>) -> Trouble {
    let name = client.server_name.to_str();
    let now = now();
    match refusal {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let sentence = match shown.filter(|shown| shown.not_after < now) {
                Some(shown) => expired(&name, shown.not_after, now),
                None => format!("an intermediate certificate in the chain of {name} has expired"),
            };
            Trouble::fail(Cause::CertificateExpired, sentence)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let sentence = match shown.filter(|shown| now < shown.not_before) {
                Some(shown) => format!("certificate of {name} is not valid before {}", date_text(shown.not_before)),
                None => format!("an intermediate certificate in the chain of {name} is not valid yet"),
            };
            Trouble::fail(Cause::CertificateExpired, sentence)
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names = shown.map(|shown| shown.names.as_slice()).unwrap_or_default();
            let sentence = format!("certificate is not for {name}, but for {}", names_text(names));
            Trouble::fail(Cause::CertificateName, sentence)
        }
        CertificateError::UnknownIssuer => {
            let sentence = match shown {
                Some(shown) if shown.issuer == shown.subject => {
                    format!("certificate of {name} is signed by itself and by no authority we trust")
                }
                Some(shown) => {
                    let issuer = quoted(&shown.issuer);
                    format!("certificate of {name} leads to no authority we trust (its issuer is {issuer})")
                }
                None => format!("certificate of {name} leads to no authority we trust"),
            };
            Trouble::fail(Cause::CertificateUntrusted, sentence)
        }
        CertificateError::BadSignature => {
            let sentence = format!("certificate of {name} is not signed by the authority it names");
            Trouble::fail(Cause::CertificateUntrusted, sentence)
        }
        CertificateError::Revoked => {
            Trouble::fail(Cause::CertificateUntrusted, format!("certificate of {name} was revoked"))
        }
        other => {
            let sentence = format!("certificate of {name} cannot be trusted: {}", Error::from(other.clone()));
            Trouble::fail(Cause::CertificateUntrusted, sentence)
        }
    }
}

fn expired(name: &str, not_after: Timestamp, now: Timestamp) -> String {
    let ago = span_text(now.as_seconds() - not_after.as_seconds());
    format!("certificate of {name} expired {ago} ago, on {}", date_text(not_after))
}

/// A span of time for people who care about days.
fn span_text(seconds: i64) -> String {
    let counted = |number: i64, unit: &str| match number {
        1 => format!("1 {unit}"),
        _ => format!("{number} {unit}s"),
    };
    match seconds {
        ..3600 => counted(seconds / 60, "minute"),
        3600..172_800 => counted(seconds / 3600, "hour"),
        _ => counted(seconds / SECONDS_PER_DAY, "day"),
    }
}

fn date_text(instant: Timestamp) -> String {
    let (year, month, day, hour, minute, ..) = instant.civil();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

fn names_text(names: &[String]) -> String {
    match names.len() {
        0 => "no name at all".to_owned(),
        1..=NAMES_SHOWN => names.join(", "),
        more => format!("{} and {} more", names[..NAMES_SHOWN].join(", "), more - NAMES_SHOWN),
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_names_read_as_people_say_them() {
        assert_eq!((span_text(59), span_text(60)), ("0 minutes".into(), "1 minute".into()));
        assert_eq!((span_text(3600), span_text(172_799)), ("1 hour".into(), "47 hours".into()));
        assert_eq!(span_text(172_800), "2 days");
        let names: Vec<String> = (0..6).map(|n| format!("{n}.example")).collect();
        assert_eq!(names_text(&names), "0.example, 1.example, 2.example, 3.example and 2 more");
        assert_eq!(names_text(&[]), "no name at all");
        assert_eq!(date_text(Timestamp::from_ms(1_795_209_780_000)), "2026-11-20 21:23 UTC");
    }
}
