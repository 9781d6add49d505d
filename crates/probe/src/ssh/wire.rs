//! SSH's binary form (RFC 4251, 4253): packets, names and numbers, before encryption.

/// Bytes of a packet; RFC 4253 section 6.1 asks for 35,000.
const PACKET_BYTES_MAX: usize = 35_000;
/// Packets are padded to a multiple of this while no cipher is in use.
const BLOCK: usize = 8;

/// Ends the connection, with a reason.
pub(super) const DISCONNECT: u8 = 1;
/// To be ignored.
pub(super) const IGNORE: u8 = 2;
/// For people, to be ignored.
pub(super) const DEBUG: u8 = 4;
/// What each side can do.
pub(super) const KEXINIT: u8 = 20;
/// Our half of the key exchange.
pub(super) const KEX_ECDH_INIT: u8 = 30;
/// The server's half, with its host key and signature.
pub(super) const KEX_ECDH_REPLY: u8 = 31;

/// Bytes that do not follow the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its packets break the SSH protocol")]
pub(super) struct WireError;

/// Takes the first packet's payload from the front of `bytes`; `None` while it is not complete.
///
/// # Errors
/// [`WireError`] for lengths that no packet has.
pub(super) fn take_packet(bytes: &mut Vec<u8>) -> Result<Option<Vec<u8>>, WireError> {
    let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if !(2..=PACKET_BYTES_MAX).contains(&length) {
        return Err(WireError);
    }
    if bytes.len() < 4 + length {
        return Ok(None);
    }
    let padding = usize::from(bytes[4]);
    if padding + 2 > length {
        return Err(WireError);
    }
    let payload = bytes[5..4 + length - padding].to_vec();
    bytes.drain(..4 + length);
    Ok(Some(payload))
}

/// Wraps a payload into a packet. The padding is zeros: it hides nothing,
/// because nothing is encrypted.
pub(super) fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 4 + (BLOCK - (payload.len() + 5 + 4) % BLOCK) % BLOCK;
    let length = payload.len() + 1 + padding;
    let mut out = u32::try_from(length).expect("our packets are short").to_be_bytes().to_vec();
    out.push(u8::try_from(padding).expect("less than two blocks"));
    out.extend_from_slice(payload);
    out.resize(out.len() + padding, 0);
    out
}

/// Appends a string: its length and its bytes.
pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).expect("our strings are short").to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a positive number in its shortest form (RFC 4251 section 5, `mpint`).
pub(super) fn put_number(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let mut number = bytes[start..].to_vec();
    if number.first().is_some_and(|first| first & 0x80 != 0) {
        number.insert(0, 0);
    }
    put_string(out, &number);
}

/// Reads fields one after the other.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads from the start of `bytes`.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WireError)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    /// The next string.
    pub(super) fn string(&mut self) -> Result<&'a [u8], WireError> {
        let length = u32::from_be_bytes(self.take(4)?.try_into().map_err(|_| WireError)?);
        self.take(length as usize)
    }

    /// The next string, which must be text.
    pub(super) fn text(&mut self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.string()?).map_err(|_| WireError)
    }

    /// The next positive number, without leading zeros.
    pub(super) fn number(&mut self) -> Result<&'a [u8], WireError> {
        let bytes = self.string()?;
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        Ok(&bytes[start..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_packet_survives_any_cut(payload in prop::collection::vec(any::<u8>(), 1..100), cut in 0usize..200) {
            let whole = packet(&payload);
            prop_assert_eq!(whole.len() % BLOCK, 0);
            let cut = cut.min(whole.len() - 1);
            let mut bytes = whole[..cut].to_vec();
            prop_assert_eq!(take_packet(&mut bytes), Ok(None));
            bytes.extend_from_slice(&whole[cut..]);
            bytes.push(7);
            prop_assert_eq!(take_packet(&mut bytes), Ok(Some(payload)));
            prop_assert_eq!(bytes, vec![7]);
        }

        #[test]
        fn no_bytes_break_the_reader(mut bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut fields = Fields::of(&bytes);
            let _ = (fields.byte(), fields.text(), fields.number(), fields.string());
            let _ = take_packet(&mut bytes);
        }
    }

    #[test]
    fn a_number_is_written_in_its_shortest_form() {
        for (bytes, written) in
            [(&[0u8, 0][..], &[0u8, 0, 0, 0][..]), (&[0, 5], &[0, 0, 0, 1, 5]), (&[0x80], &[0, 0, 0, 2, 0, 0x80])]
        {
            let mut out = Vec::new();
            put_number(&mut out, bytes);
            assert_eq!(out, written);
        }
    }
}
