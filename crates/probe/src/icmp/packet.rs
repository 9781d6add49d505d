//! The bytes of an ICMP echo: built and read, nothing else.
//!
//! A request carries a token in its payload. Identifier and sequence alone
//! are 32 bits that are used again soon; with the token and the address of
//! the sender **a late or forged reply is never taken for the one awaited.**

use std::net::IpAddr;

/// Bytes of a request from the ICMP header on: header and 56 bytes of payload,
/// the size `ping` uses, which is therefore the one that firewalls let pass.
pub(super) const REQUEST_BYTES: usize = 64;
/// Bytes of the ICMP header.
const HEADER_BYTES: usize = 8;

const V4_ECHO_REPLY: u8 = 0;
const V4_UNREACHABLE: u8 = 3;
const V4_ECHO_REQUEST: u8 = 8;
const V4_TIME_EXCEEDED: u8 = 11;
const V6_UNREACHABLE: u8 = 1;
const V6_TIME_EXCEEDED: u8 = 3;
const V6_ECHO_REQUEST: u8 = 128;
const V6_ECHO_REPLY: u8 = 129;
/// Bytes of the fixed IPv6 header that an error quotes.
const V6_HEADER_BYTES: usize = 40;

/// The address family a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PacketFamily {
    /// ICMP over IPv4.
    V4,
    /// ICMPv6.
    V6,
}

impl PacketFamily {
    /// The family of an address.
    pub(super) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// What a received packet says about one of our echoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The echo came back.
    Reply {
        /// Identifier of the socket that asked.
        identifier: u16,
        /// Sequence number of the echo.
        sequence: u16,
        /// Token of the echo.
        token: u64,
    },
    /// A router or the host says that the echo cannot be delivered.
    Undeliverable {
        /// Identifier of the socket that asked.
        identifier: u16,
        /// Sequence number of the echo.
        sequence: u16,
        /// Where the echo was going.
        destination: IpAddr,
        /// What the sender of the error says, for people.
        reason: &'static str,
    },
}

/// Returns a request, checksum included for IPv4; for IPv6 the kernel fills it
/// in, because it covers addresses that only the kernel knows.
pub(super) fn request(family: PacketFamily, identifier: u16, sequence: u16, token: u64) -> [u8; REQUEST_BYTES] {
    let mut packet = [0; REQUEST_BYTES];
    packet[0] = match family {
        PacketFamily::V4 => V4_ECHO_REQUEST,
        PacketFamily::V6 => V6_ECHO_REQUEST,
    };
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet[HEADER_BYTES..HEADER_BYTES + 8].copy_from_slice(&token.to_be_bytes());
    if family == PacketFamily::V4 {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// Reads a packet from its ICMP header on. `None` for everything that is not
/// about an echo of ours: other types, and packets cut short.
pub(super) fn read(family: PacketFamily, packet: &[u8]) -> Option<Incoming> {
    let (kind, code) = (*packet.first()?, *packet.get(1)?);
    match (family, kind) {
        (PacketFamily::V4, V4_ECHO_REPLY) | (PacketFamily::V6, V6_ECHO_REPLY) => Some(Incoming::Reply {
            identifier: half(packet, 4)?,
            sequence: half(packet, 6)?,
            token: u64::from_be_bytes(packet.get(HEADER_BYTES..HEADER_BYTES + 8)?.try_into().ok()?),
        }),
        (PacketFamily::V4, V4_UNREACHABLE | V4_TIME_EXCEEDED) => {
            let quoted = packet.get(HEADER_BYTES..)?;
            let inner = after_v4_header(quoted)?;
            let destination: [u8; 4] = quoted.get(16..20)?.try_into().ok()?;
            quoted_request(inner, V4_ECHO_REQUEST, IpAddr::from(destination), reason(family, kind, code))
        }
        (PacketFamily::V6, V6_UNREACHABLE | V6_TIME_EXCEEDED) => {
            let quoted = packet.get(HEADER_BYTES..)?;
            let destination: [u8; 16] = quoted.get(24..40)?.try_into().ok()?;
            let inner = quoted.get(V6_HEADER_BYTES..)?;
            quoted_request(inner, V6_ECHO_REQUEST, IpAddr::from(destination), reason(family, kind, code))
        }
        _ => None,
    }
}

/// The rest of an IPv4 packet after its header, which is what a raw socket
/// hands over before the ICMP header.
pub(super) fn after_v4_header(packet: &[u8]) -> Option<&[u8]> {
    let words = usize::from(packet.first()? & 0x0f);
    packet.get(words * 4..).filter(|_| words >= 5)
}

/// What an error of this type and code says, for people.
/// The codes are those of RFC 792, RFC 1812 section 5.2.7.1 and RFC 4443 section 3.
pub(super) fn reason(family: PacketFamily, kind: u8, code: u8) -> &'static str {
    match (family, kind, code) {
        (PacketFamily::V4, V4_TIME_EXCEEDED, _) | (PacketFamily::V6, V6_TIME_EXCEEDED, _) => {
            "the packet went round in the network until its time to live was over"
        }
        (PacketFamily::V4, _, 0 | 6) | (PacketFamily::V6, _, 0) => "network unreachable",
        (PacketFamily::V4, _, 1 | 7) | (PacketFamily::V6, _, 3) => "host unreachable",
        (PacketFamily::V4, _, 9 | 10 | 13) | (PacketFamily::V6, _, 1 | 5) => "forbidden by a firewall or policy",
        _ => "destination unreachable",
    }
}

fn quoted_request(inner: &[u8], kind: u8, destination: IpAddr, reason: &'static str) -> Option<Incoming> {
    if *inner.first()? != kind {
        return None;
    }
    Some(Incoming::Undeliverable { identifier: half(inner, 4)?, sequence: half(inner, 6)?, destination, reason })
}

fn half(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?))
}

/// The internet checksum of RFC 1071 over an even number of bytes.
fn checksum(packet: &[u8; REQUEST_BYTES]) -> u16 {
    let mut sum: u32 = packet.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A packet as a router would send it about `request`: type and code, then
    /// the quoted IPv4 header and the beginning of what we sent.
    fn error_about(request: &[u8], kind: u8, code: u8) -> Vec<u8> {
        let mut packet = vec![kind, code, 0, 0, 0, 0, 0, 0];
        let mut header = [0u8; 20];
        header[0] = 0x45;
        header[16..20].copy_from_slice(&[192, 0, 2, 7]);
        packet.extend_from_slice(&header);
        packet.extend_from_slice(&request[..8]);
        packet
    }

    #[test]
    fn the_checksum_of_a_request_is_right() {
        let packet = request(PacketFamily::V4, 0x1234, 7, 0xdead_beef);
        let mut sum: u32 = packet.chunks(2).map(|p| u32::from(u16::from_be_bytes([p[0], p[1]]))).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        assert_eq!(sum, 0xffff, "a correct packet sums to all ones");
    }

    #[test]
    fn an_error_names_the_echo_it_is_about() {
        let asked = request(PacketFamily::V4, 5, 6, 7);
        let read = read(PacketFamily::V4, &error_about(&asked, 3, 1));
        let destination = IpAddr::from([192, 0, 2, 7]);
        assert_eq!(
            read,
            Some(Incoming::Undeliverable { identifier: 5, sequence: 6, destination, reason: "host unreachable" })
        );
    }

    #[test]
    fn our_own_request_seen_on_loopback_is_not_a_reply() {
        assert_eq!(read(PacketFamily::V4, &request(PacketFamily::V4, 5, 6, 7)), None);
        assert_eq!(read(PacketFamily::V6, &request(PacketFamily::V6, 5, 6, 7)), None);
    }

    proptest! {
        #[test]
        fn a_reply_gives_back_what_was_asked(identifier: u16, sequence: u16, token: u64) {
            for (family, kind) in [(PacketFamily::V4, V4_ECHO_REPLY), (PacketFamily::V6, V6_ECHO_REPLY)] {
                let mut packet = request(family, identifier, sequence, token);
                packet[0] = kind;
                prop_assert_eq!(read(family, &packet), Some(Incoming::Reply { identifier, sequence, token }));
            }
        }

        #[test]
        fn no_packet_breaks_the_reader(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(PacketFamily::V4, &packet);
            let _ = read(PacketFamily::V6, &packet);
            let _ = after_v4_header(&packet);
        }
    }
}
