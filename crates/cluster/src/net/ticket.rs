//! Tickets: what a new node is given so that it can join, as one line of text
//! that survives mails, chats and terminals.
//!
//! ```text
//!  mst1-  base64url of:  length: u16 │ cluster, node, token, authority, addresses, expiry │ checksum: 4 bytes
//! ```
//!
//! A ticket is a secret until it was used or has expired. The length comes first
//! so that one that was cut is told from one with a wrong character: each has
//! another remedy.

use super::digest::sha256;
use super::seal::random;
use crate::identity::ClusterId;
use crate::types::NodeId;
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use model::member::Digest;
use model::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "mst1-";
/// What every version's prefix begins with.
const PREFIX_OF_ALL: &str = "mst";
/// Addresses in a ticket: one for each of five nodes.
pub(crate) const ADDRESSES_MAX: usize = 5;
/// Bytes of an address: a host name has at most 253 (RFC 1035), a port six more.
const ADDRESS_BYTES_MAX: usize = 260;
/// Characters of a ticket: more than five of the longest addresses take.
const TEXT_LENGTH_MAX: usize = 2_500;
/// Bits that are left over at the end mean nothing; the checksum is before them.
const DIGITS: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);
const CHECKSUM_BYTES: usize = 4;
const LENGTH_BYTES: usize = 2;

/// Leave to join, with what is needed to find the cluster and to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The cluster.
    pub cluster: ClusterId,
    /// The number that the new node gets.
    pub node: NodeId,
    /// What the cluster knows the ticket by.
    pub token: Token,
    /// SHA-256 of the authority's certificate, by which the cluster is known.
    pub authority: Digest,
    /// Where nodes of the cluster listen, as host and port; one to five.
    pub addresses: Vec<String>,
    /// Until when it is good. For people; what counts is what the cluster remembers.
    pub expires: Timestamp,
}

/// 32 random bytes, known to whoever has the ticket; the cluster keeps the digest.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token([u8; 32]);

/// Why a text is not a ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// There is none.
    #[error("the ticket is empty")]
    Empty,
    /// It is something else.
    #[error("this is not a ticket: one begins with {PREFIX:?}, as `mainstay node invite` prints it")]
    Foreign,
    /// Its form is another version's.
    #[error("the ticket was made by another version of Mainstay; use that version here, or invite with this one")]
    Version,
    /// Its end is missing.
    #[error("the ticket is cut off: copy all of it, up to its last character")]
    Cut,
    /// More follows than belongs to it.
    #[error("something follows the end of the ticket; copy the ticket alone")]
    Trailing,
    /// A character of it is none that tickets have.
    #[error("the ticket has a character that does not belong to it: {found:?}")]
    Character {
        /// Which.
        found: char,
    },
    /// The checksum is wrong.
    #[error("a character of the ticket is wrong or missing; copy it again")]
    Checksum,
    /// It says what no cluster would write.
    #[error("the ticket holds something that no cluster would write ({what}); make a new one")]
    Content {
        /// What.
        what: &'static str,
    },
}

impl Token {
    /// Draws a token.
    pub fn draw() -> Self {
        Self(random())
    }

    /// Returns what the cluster keeps of it (SHA-256).
    pub fn digest(&self) -> Digest {
        sha256(&self.0)
    }

    /// The bytes, for the request to join.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From the bytes in a request to join.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = postcard::to_allocvec(self).map_err(|_| fmt::Error)?;
        let length = u16::try_from(content.len()).map_err(|_| fmt::Error)?;
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(&content);
        bytes.extend_from_slice(&checksum(&bytes));
        write!(f, "{PREFIX}{}", DIGITS.encode(bytes))
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Reads a ticket. White space is passed over wherever it is: terminals and
    /// mail programs break long lines.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text: String = text.chars().filter(|character| !character.is_whitespace()).collect();
        let digits = digits_of(&text)?;
        let bytes = decode(digits)?;
        let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>().ok_or(TicketError::Cut)?;
        let content_length = usize::from(u16::from_le_bytes(*length));
        let whole = content_length + CHECKSUM_BYTES;
        if rest.len() < whole {
            return Err(TicketError::Cut);
        }
        let (signed, sum) = bytes[..LENGTH_BYTES + whole].split_at(LENGTH_BYTES + content_length);
        if sum != checksum(signed) {
            return Err(TicketError::Checksum);
        }
        if rest.len() > whole || is_odd(digits) {
            return Err(TicketError::Trailing);
        }
        let content = &signed[LENGTH_BYTES..];
        match postcard::take_from_bytes::<Self>(content) {
            Ok((ticket, [])) => ticket.checked(),
            Ok(_) | Err(_) => Err(TicketError::Content { what: "its fields" }),
        }
    }
}

impl Ticket {
    fn checked(self) -> Result<Self, TicketError> {
        let wrong = |what| Err(TicketError::Content { what });
        if self.node == 0 {
            return wrong("the node's number");
        }
        if self.addresses.is_empty() || self.addresses.len() > ADDRESSES_MAX {
            return wrong("the number of addresses");
        }
        if self.addresses.iter().all(|address| is_address(address)) { Ok(self) } else { wrong("an address") }
    }
}

fn digits_of(text: &str) -> Result<&str, TicketError> {
    if text.is_empty() {
        return Err(TicketError::Empty);
    }
    if let Some(digits) = text.strip_prefix(PREFIX) {
        return if digits.len() > TEXT_LENGTH_MAX { Err(TicketError::Trailing) } else { Ok(digits) };
    }
    if PREFIX.starts_with(text) {
        return Err(TicketError::Cut);
    }
    let version = text.strip_prefix(PREFIX_OF_ALL).and_then(|rest| rest.split_once('-')).map(|(version, _)| version);
    match version {
        Some(version) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(TicketError::Version)
        }
        Some(_) | None => Err(TicketError::Foreign),
    }
}

/// Decodes the digits; those at the end that make no whole byte are passed over.
fn decode(digits: &str) -> Result<Vec<u8>, TicketError> {
    let is_digit = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    if let Some(found) = digits.chars().find(|character| !is_digit(character)) {
        return Err(TicketError::Character { found });
    }
    let usable = digits.len() - usize::from(is_odd(digits));
    Ok(DIGITS.decode(&digits[..usable]).expect("only digits are left"))
}

/// Whether the last digit stands alone, which no encoder writes.
fn is_odd(digits: &str) -> bool {
    digits.len() % 4 == 1
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = sha256(bytes).0;
    [digest[0], digest[1], digest[2], digest[3]]
}

/// A host or an address in digits, a colon and a port.
fn is_address(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let is_graphic = address.bytes().all(|byte| byte.is_ascii_graphic());
    address.len() <= ADDRESS_BYTES_MAX && is_graphic && !host.is_empty() && port.parse().is_ok_and(|port: u16| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ticket_survives_its_text_and_what_terminals_do_to_it() {
        let text = ticket().to_string();
        assert!(text.starts_with("mst1-") && text.len() < 300, "{text}");
        assert_eq!(text.parse(), Ok(ticket()));
        let broken: Vec<String> =
            text.as_bytes().chunks(40).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
        assert_eq!(format!(" {}\r\n", broken.join("\n  ")).parse(), Ok(ticket()));
    }

    #[test]
    fn a_ticket_cut_anywhere_is_called_cut() {
        let text = ticket().to_string();
        for length in 1..text.len() {
            assert_eq!(text[..length].parse::<Ticket>(), Err(TicketError::Cut), "{}", &text[..length]);
        }
        assert_eq!(TicketError::Cut.to_string(), "the ticket is cut off: copy all of it, up to its last character");
    }

    #[test]
    fn what_follows_a_ticket_is_called_so() {
        let text = ticket().to_string();
        for more in ["A", "AA", "AAA", "AAAA", "-to-join"] {
            assert_eq!(format!("{text}{more}").parse::<Ticket>(), Err(TicketError::Trailing), "{more}");
        }
        assert_eq!(format!("{text}.").parse::<Ticket>(), Err(TicketError::Character { found: '.' }));
    }

    #[test]
    fn every_wrong_character_is_found() {
        let text = ticket().to_string();
        let last = text.len() - 1;
        for at in PREFIX.len()..last {
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            let wrong = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            wrong.parse::<Ticket>().unwrap_err();
        }
    }

    #[test]
    fn other_texts_are_told_apart() {
        for (text, expected) in [
            ("", TicketError::Empty),
            ("  \n", TicketError::Empty),
            ("hello", TicketError::Foreign),
            ("mst-x", TicketError::Foreign),
            ("mst2-AAAA", TicketError::Version),
            ("mst", TicketError::Cut),
        ] {
            assert_eq!(text.parse::<Ticket>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn contents_that_no_cluster_writes_are_refused() {
        let with = |addresses: &[&str]| Ticket {
            addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
            ..ticket()
        };
        let long = format!("{}:1", "a".repeat(300));
        for wrong in [
            with(&[]),
            with(&["a:1"; 6]),
            with(&["a"]),
            with(&[":1"]),
            with(&["a:0"]),
            with(&["a:65536"]),
            with(&["a\u{1b}[2J:1"]),
            with(&[&long]),
            Ticket { node: 0, ..ticket() },
        ] {
            let parsed = wrong.to_string().parse::<Ticket>();
            assert!(matches!(parsed, Err(TicketError::Content { .. })), "{wrong:?}: {parsed:?}");
        }
    }

    #[test]
    fn a_token_does_not_print_but_its_ticket_does() {
        let ticket = Ticket { token: Token::draw(), ..ticket() };
        assert!(format!("{ticket:?}").contains("Token(…)"));
        assert_eq!(ticket.to_string().parse::<Ticket>().unwrap().token, ticket.token);
        assert_ne!(Token::draw(), Token::draw());
    }

    proptest! {
        #[test]
        fn every_ticket_survives(
            node in 1u64.., token: [u8; 32], authority: [u8; 32], expires: i64,
            addresses in prop::collection::vec("[a-z0-9.-]{1,253}:[1-9][0-9]{0,3}", 1..=ADDRESSES_MAX),
        ) {
            let ticket = Ticket {
                cluster: ClusterId::from_bytes([7; 16]),
                node,
                token: Token(token),
                authority: Digest(authority),
                addresses,
                expires: Timestamp::from_ms(expires),
            };
            prop_assert_eq!(ticket.to_string().parse(), Ok(ticket));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String, digits in "[A-Za-z0-9_-]{0,600}") {
            let _ = text.parse::<Ticket>();
            let _ = format!("{PREFIX}{digits}").parse::<Ticket>();
        }

        #[test]
        fn no_content_makes_the_parser_panic(content in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = u16::try_from(content.len()).unwrap().to_le_bytes().to_vec();
            bytes.extend_from_slice(&content);
            bytes.extend_from_slice(&checksum(&bytes));
            let _ = format!("{PREFIX}{}", DIGITS.encode(bytes)).parse::<Ticket>();
        }
    }

    fn ticket() -> Ticket {
        Ticket {
            cluster: ClusterId::from_bytes([7; 16]),
            node: 4_815_162_342,
            token: Token([9; 32]),
            authority: Digest([8; 32]),
            addresses: vec!["mon1.example.org:8481".to_owned(), "[2001:db8::1]:8481".to_owned()],
            expires: Timestamp::from_ms(1_800_000_000_000),
        }
    }
}
