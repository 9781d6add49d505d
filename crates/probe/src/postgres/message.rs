//! The few PostgreSQL messages that are needed before a login.

use super::state::ServerError;

/// The first eight bytes of a client that asks for TLS.
pub(super) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// Version 3.0 of the protocol.
const PROTOCOL: [u8; 4] = [0, 3, 0, 0];
/// Bytes of a message from a server before a login: errors are a few hundred.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// What a server answers to a startup message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Greeting {
    /// It takes the connection, and asks for a login or even grants it.
    Authentication,
    /// It refuses.
    Error(ServerError),
    /// Something to be passed over: a notice, or a lower protocol version.
    Other,
}

/// Bytes that no PostgreSQL server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not speak the PostgreSQL protocol")]
pub(super) struct NotPostgres;

/// A startup message for a user and a database.
pub(super) fn startup(user: &str, database: &str) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&PROTOCOL);
    for text in ["user", user, "database", database, "application_name", "mainstay"] {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    }
    out.push(0);
    let length = u32::try_from(out.len()).expect("names are short");
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

/// Takes the first message from the front of `bytes`; `None` while it is not complete.
///
/// # Errors
/// [`NotPostgres`] as soon as more bytes cannot mend it.
pub(super) fn take(bytes: &mut Vec<u8>) -> Result<Option<Greeting>, NotPostgres> {
    let Some(&kind) = bytes.first() else { return Ok(None) };
    if !matches!(kind, b'R' | b'E' | b'N' | b'v') {
        return Err(NotPostgres);
    }
    let Some(length) = bytes[1..].first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
        return Err(NotPostgres);
    }
    if bytes.len() < length + 1 {
        return Ok(None);
    }
    let body = &bytes[5..=length];
    let greeting = match kind {
        b'R' if body.len() >= 4 => Greeting::Authentication,
        b'R' => return Err(NotPostgres),
        b'E' => Greeting::Error(error(body)),
        _ => Greeting::Other,
    };
    bytes.drain(..=length);
    Ok(Some(greeting))
}

/// The fields of an error that matter to an operator.
fn error(body: &[u8]) -> ServerError {
    let mut error = ServerError::default();
    for field in body.split(|byte| *byte == 0) {
        let Some((kind, text)) = field.split_first() else { continue };
        let text = || String::from_utf8_lossy(text).into_owned();
        match kind {
            b'C' => error.code = text(),
            b'M' => error.message = text(),
            _ => {}
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    #[test]
    fn an_error_is_read_with_code_and_text() {
        let body = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
        let error = ServerError { code: "57P03".into(), message: "the database system is starting up".into() };
        assert_eq!(take(&mut message(b'E', body)), Ok(Some(Greeting::Error(error))));
        assert_eq!(take(&mut message(b'R', &[0, 0, 0, 10])), Ok(Some(Greeting::Authentication)));
        assert_eq!(take(&mut message(b'N', b"")), Ok(Some(Greeting::Other)));
    }

    #[test]
    fn another_protocol_is_refused_at_its_first_byte() {
        for bytes in [&b"HTTP/1.1 400"[..], b"SSH-2.0-x", b"R\0\0\0\x04", b"E\xff\xff\xff\xff"] {
            assert_eq!(take(&mut bytes.to_vec()), Err(NotPostgres), "{bytes:?}");
        }
    }

    #[test]
    fn the_startup_message_says_its_length() {
        let written = startup("u", "d");
        assert_eq!(written[..4], u32::try_from(written.len()).unwrap().to_be_bytes());
        assert!(written.ends_with(b"mainstay\0\0"));
    }

    proptest! {
        #[test]
        fn a_message_is_complete_only_with_its_last_byte(body in prop::collection::vec(any::<u8>(), 4..80), kind in "[REN]") {
            let whole = message(kind.as_bytes()[0], &body);
            for cut in 0..whole.len() {
                prop_assert_eq!(take(&mut whole[..cut].to_vec()), Ok(None));
            }
            let mut bytes = whole;
            bytes.push(9);
            prop_assert!(matches!(take(&mut bytes), Ok(Some(_))));
            prop_assert_eq!(bytes, vec![9]);
        }

        #[test]
        fn no_bytes_break_the_reader(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = take(&mut bytes);
        }
    }
}
