//! One ICMP socket: opened with the least privilege that works, sending and
//! receiving many packets with one system call, with kernel receive times.
//!
//! This file holds all unsafe code of the echo: no safe wrapper offers
//! `sendmmsg` and `recvmmsg` with control messages, and without them an echo
//! costs half as much again. It knows packets and addresses, nothing of who
//! waits for them.

#![expect(unsafe_code, reason = "sendmmsg, recvmmsg and the ICMP socket options have no safe wrapper")]

use super::packet::{self, Incoming, PacketFamily, REQUEST_BYTES};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::{null_mut, read_unaligned};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Packets in one system call. The send time is taken once for a batch, so a
/// longer batch falsifies the round-trip time; 16 costs 3 % more than 64.
pub(super) const BATCH: usize = 16;
/// Bytes kept of a received packet: the longest IPv4 header, the reply's
/// header and token, or an error with the longest header quoted.
const RECEIVED_BYTES: usize = 160;
/// Words of the control buffer: a timestamp needs 32 bytes, an error with its sender's address 64.
const CONTROL_WORDS: usize = 16;
/// Receive buffer asked for: some thousand replies that come in one burst.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

// From linux/icmp.h, netinet/icmp6.h and linux/bpf_common.h; the libc crate lacks them.
const SOL_RAW: i32 = 255;
const ICMP_FILTER: i32 = 1;
const ICMP6_FILTER: i32 = 1;
const SO_EE_ORIGIN_ICMP: u8 = 2;
const SO_EE_ORIGIN_ICMP6: u8 = 3;

/// Where ICMP sockets are allowed to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An unprivileged socket: the kernel owns identifier and matching.
    Datagram,
    /// A raw socket: everything arrives, and filters keep what is not ours away.
    Raw,
}

/// Why no socket for echoes could be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// Neither way is allowed to this process.
    #[error(
        "this process may not send ICMP echoes: put its group into the sysctl net.ipv4.ping_group_range \
         (as in \"0 2147483647\"), or give it the capability CAP_NET_RAW"
    )]
    NotAllowed,
    /// Something else is in the way: no such address family, no file descriptors.
    #[error("cannot open an ICMP socket: {0}")]
    Io(#[from] io::Error),
}

/// One packet to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing {
    /// Where to; the port is ignored, the scope of an IPv6 address is not.
    pub to: SocketAddr,
    /// Sequence number.
    pub sequence: u16,
    /// Token.
    pub token: u64,
}

/// One packet that came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    /// Who sent it.
    pub from: IpAddr,
    /// When the kernel received it, in nanoseconds of the realtime clock.
    pub at_realtime_ns: Option<i64>,
    /// What it says.
    pub incoming: Incoming,
}

/// Space for one batch of received packets, kept between calls.
pub(super) struct Buffers {
    bytes: Box<[[u8; RECEIVED_BYTES]; BATCH]>,
    control: Box<[[u64; CONTROL_WORDS]; BATCH]>,
}

impl Buffers {
    /// Returns empty buffers.
    pub(super) fn new() -> Self {
        Self { bytes: Box::new([[0; RECEIVED_BYTES]; BATCH]), control: Box::new([[0; CONTROL_WORDS]; BATCH]) }
    }
}

/// A non-blocking socket for echoes of one address family.
#[derive(Debug)]
pub(super) struct EchoSocket {
    socket: Socket,
    kind: Kind,
    family: PacketFamily,
    identifier: u16,
}

impl AsRawFd for EchoSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl EchoSocket {
    /// Opens an unprivileged socket, or a raw one where that is refused.
    /// `identifier` names a raw socket; an unprivileged one gets its own from the kernel.
    ///
    /// # Errors
    /// [`OpenError`] when neither is allowed or the family is not there.
    pub(super) fn open(family: PacketFamily, identifier: u16) -> Result<Self, OpenError> {
        let (domain, protocol) = match family {
            PacketFamily::V4 => (Domain::IPV4, Protocol::ICMPV4),
            PacketFamily::V6 => (Domain::IPV6, Protocol::ICMPV6),
        };
        let denied = |e: &io::Error| matches!(e.raw_os_error(), Some(libc::EACCES | libc::EPERM));
        let echo = match Socket::new(domain, Type::DGRAM.nonblocking(), Some(protocol)) {
            Ok(socket) => Self { socket, kind: Kind::Datagram, family, identifier },
            Err(e) if denied(&e) => match Socket::new(domain, Type::RAW.nonblocking(), Some(protocol)) {
                Ok(socket) => Self { socket, kind: Kind::Raw, family, identifier },
                Err(e) if denied(&e) => return Err(OpenError::NotAllowed),
                Err(e) => return Err(e.into()),
            },
            Err(e) => return Err(e.into()),
        };
        echo.prepare()
    }

    /// Registers the socket with the runtime, to be told of packets and of reported errors.
    ///
    /// # Errors
    /// Whatever the runtime's event queue refuses with.
    pub(super) fn registered(self) -> io::Result<AsyncFd<Self>> {
        let interest = Interest::READABLE | Interest::PRIORITY;
        // SAFETY: the descriptor belongs to the socket inside, which is neither
        // replaced nor closed before it is dropped together with the registration.
        unsafe { AsyncFd::register_with_interest(self, interest) }.map_err(|error| error.into_parts().1)
    }

    fn prepare(mut self) -> Result<Self, OpenError> {
        // A smaller buffer than asked for only loses more of an extreme burst.
        let _ = self.socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        self.set_option(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1i32)?;
        if self.family == PacketFamily::V4 {
            // An echo is too small to be cut up on its way. Saying so spares the
            // kernel the hash for a fragment's number, 3 % of the whole echo.
            self.set_option(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_PROBE)?;
        }
        match (self.kind, self.family) {
            (Kind::Datagram, PacketFamily::V4) => {
                self.socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
                self.set_option(libc::IPPROTO_IP, libc::IP_RECVERR, &1i32)?;
            }
            (Kind::Datagram, PacketFamily::V6) => {
                self.socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
                self.set_option(libc::IPPROTO_IPV6, libc::IPV6_RECVERR, &1i32)?;
            }
            (Kind::Raw, PacketFamily::V4) => {
                // A set bit is a type that is dropped: all but reply, unreachable and time exceeded.
                self.set_option(SOL_RAW, ICMP_FILTER, &!(1u32 | 1 << 3 | 1 << 11))?;
                self.socket.attach_filter(&filter_v4(self.identifier))?;
            }
            (Kind::Raw, PacketFamily::V6) => {
                let mut blocked = [u32::MAX; 8];
                for kind in [1u32, 3, 129] {
                    blocked[(kind / 32) as usize] &= !(1 << (kind % 32));
                }
                self.set_option(libc::IPPROTO_ICMPV6, ICMP6_FILTER, &blocked)?;
                self.socket.attach_filter(&filter_v6(self.identifier))?;
            }
        }
        if self.kind == Kind::Datagram {
            // Reported errors then wake a reader as urgent data does.
            self.set_option(libc::SOL_SOCKET, libc::SO_SELECT_ERR_QUEUE, &1i32)?;
            let local = self.socket.local_addr()?;
            self.identifier = local.as_socket().map_or(0, |address| address.port());
        }
        Ok(self)
    }

    fn set_option<T>(&self, level: i32, name: i32, value: &T) -> io::Result<()> {
        let length = libc::socklen_t::try_from(size_of_val(value)).expect("options are a few bytes");
        // SAFETY: `value` is valid for `length` bytes during the call; the kernel copies it.
        let result =
            unsafe { libc::setsockopt(self.socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Sends up to [`BATCH`] packets and returns how many went out.
    ///
    /// # Errors
    /// The error of the first packet, when that one was not sent; the packets after it were not tried.
    pub(super) fn send(&self, packets: &[Outgoing]) -> io::Result<usize> {
        let count = packets.len().min(BATCH);
        let mut bytes = [[0u8; REQUEST_BYTES]; BATCH];
        // SAFETY: these are plain C structures for which all zeros is a valid value.
        let (mut addresses, mut parts, mut messages): (
            [libc::sockaddr_in6; BATCH],
            [libc::iovec; BATCH],
            [libc::mmsghdr; BATCH],
        ) = unsafe { (zeroed(), zeroed(), zeroed()) };
        for (i, packet) in packets.iter().take(count).enumerate() {
            bytes[i] = packet::request(self.family, self.identifier, packet.sequence, packet.token);
            let address_bytes = write_address(&mut addresses[i], packet.to);
            parts[i] = libc::iovec { iov_base: bytes[i].as_mut_ptr().cast(), iov_len: REQUEST_BYTES };
            let header = &mut messages[i].msg_hdr;
            header.msg_name = std::ptr::from_mut(&mut addresses[i]).cast();
            header.msg_namelen = address_bytes;
            header.msg_iov = &raw mut parts[i];
            header.msg_iovlen = 1;
        }
        let length = u32::try_from(count).expect("at most BATCH");
        // SAFETY: the first `count` headers point into arrays that live until the call returns.
        let sent =
            unsafe { libc::sendmmsg(self.socket.as_raw_fd(), messages.as_mut_ptr(), length, libc::MSG_DONTWAIT) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Receives up to [`BATCH`] packets, adds what is about echoes of this
    /// socket to `into`, and returns how many packets came.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; on an unprivileged socket also the
    /// pending error of an echo, which [`Self::receive_errors`] then explains.
    pub(super) fn receive(&self, buffers: &mut Buffers, into: &mut Vec<Received>) -> io::Result<usize> {
        // SAFETY: these are plain C structures for which all zeros is a valid value.
        let (mut addresses, mut parts, mut messages): (
            [libc::sockaddr_in6; BATCH],
            [libc::iovec; BATCH],
            [libc::mmsghdr; BATCH],
        ) = unsafe { (zeroed(), zeroed(), zeroed()) };
        for i in 0..BATCH {
            parts[i] = libc::iovec { iov_base: buffers.bytes[i].as_mut_ptr().cast(), iov_len: RECEIVED_BYTES };
            let header = &mut messages[i].msg_hdr;
            header.msg_name = std::ptr::from_mut(&mut addresses[i]).cast();
            header.msg_namelen = socket_length::<libc::sockaddr_in6>();
            header.msg_iov = &raw mut parts[i];
            header.msg_iovlen = 1;
            header.msg_control = buffers.control[i].as_mut_ptr().cast();
            header.msg_controllen = size_of::<[u64; CONTROL_WORDS]>();
        }
        let length = u32::try_from(BATCH).expect("a small constant");
        // SAFETY: every header points into arrays and buffers that live until the call returns.
        let received = unsafe {
            libc::recvmmsg(self.socket.as_raw_fd(), messages.as_mut_ptr(), length, libc::MSG_DONTWAIT, null_mut())
        };
        let count = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for i in 0..count {
            let bytes = &buffers.bytes[i][..(messages[i].msg_len as usize).min(RECEIVED_BYTES)];
            let Some(from) = read_address(&addresses[i]) else { continue };
            if let Some(incoming) = self.interpret(bytes) {
                let at_realtime_ns = timestamp(&messages[i].msg_hdr);
                into.push(Received { from, at_realtime_ns, incoming });
            }
        }
        Ok(count)
    }

    /// Takes errors that routers or the kernel reported about echoes of an
    /// unprivileged socket; a raw socket receives them as packets.
    pub(super) fn receive_errors(&self, into: &mut Vec<Received>) {
        if self.kind == Kind::Raw {
            return;
        }
        // A bound, so that a flood of errors cannot hold the caller here.
        for _ in 0..BATCH {
            match self.receive_error() {
                Some(Some(received)) => into.push(received),
                Some(None) => {}
                None => return,
            }
        }
    }

    /// `None` when the queue is empty, `Some(None)` for an entry that says nothing about an echo.
    fn receive_error(&self) -> Option<Option<Received>> {
        let mut bytes = [0u8; RECEIVED_BYTES];
        let mut control = [0u64; CONTROL_WORDS];
        // SAFETY: these are plain C structures for which all zeros is a valid value.
        let (mut address, mut header): (libc::sockaddr_in6, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: RECEIVED_BYTES };
        header.msg_name = std::ptr::from_mut(&mut address).cast();
        header.msg_namelen = socket_length::<libc::sockaddr_in6>();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of::<[u64; CONTROL_WORDS]>();
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        // SAFETY: the header points to locals that live until the call returns.
        let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut header, flags) };
        let length = usize::try_from(length).ok()?.min(RECEIVED_BYTES);
        let of_echo = || {
            let destination = read_address(&address)?;
            let (kind, code, from) = extended_error(&header)?;
            let sequence = u16::from_be_bytes(bytes[..length].get(6..8)?.try_into().ok()?);
            let reason = packet::reason(self.family, kind, code);
            let incoming = Incoming::Undeliverable { identifier: self.identifier, sequence, destination, reason };
            Some(Received { from: from.unwrap_or(destination), at_realtime_ns: None, incoming })
        };
        Some(of_echo())
    }

    fn interpret(&self, bytes: &[u8]) -> Option<Incoming> {
        let from_icmp = match (self.kind, self.family) {
            (Kind::Raw, PacketFamily::V4) => packet::after_v4_header(bytes)?,
            (Kind::Raw, PacketFamily::V6) | (Kind::Datagram, _) => bytes,
        };
        let incoming = packet::read(self.family, from_icmp)?;
        let (Incoming::Reply { identifier, .. } | Incoming::Undeliverable { identifier, .. }) = incoming;
        (identifier == self.identifier).then_some(incoming)
    }
}

/// Nanoseconds of the clock that the kernel's receive times are in.
pub(super) fn realtime_ns() -> i64 {
    // SAFETY: a plain C structure that the call fills; it cannot fail for this clock.
    let now = unsafe {
        let mut now: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now);
        now
    };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Lets errors and the replies to `identifier` through. A raw IPv4 socket's
/// filter sees the IP header first.
fn filter_v4(identifier: u16) -> [SockFilter; 7] {
    [
        SockFilter::new(0xb1, 0, 0, 0),                     // X = length of the IP header
        SockFilter::new(0x50, 0, 0, 0),                     // A = byte X: the type
        SockFilter::new(0x15, 0, 2, 0),                     // a reply? else accept
        SockFilter::new(0x48, 0, 0, 4),                     // A = half word X + 4: the identifier
        SockFilter::new(0x15, 0, 1, u32::from(identifier)), // ours? else drop
        SockFilter::new(0x06, 0, 0, u32::MAX),              // accept
        SockFilter::new(0x06, 0, 0, 0),                     // drop
    ]
}

/// As [`filter_v4`], without an IP header in front.
fn filter_v6(identifier: u16) -> [SockFilter; 6] {
    [
        SockFilter::new(0x30, 0, 0, 0),                     // A = byte 0: the type
        SockFilter::new(0x15, 0, 2, 129),                   // a reply? else accept
        SockFilter::new(0x28, 0, 0, 4),                     // A = half word 4: the identifier
        SockFilter::new(0x15, 0, 1, u32::from(identifier)), // ours? else drop
        SockFilter::new(0x06, 0, 0, u32::MAX),              // accept
        SockFilter::new(0x06, 0, 0, 0),                     // drop
    ]
}

fn socket_length<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("addresses are a few bytes")
}

/// Writes an address into space that is large enough for either family.
fn write_address(space: &mut libc::sockaddr_in6, address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            let written = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: 0,
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: `sockaddr_in` is smaller than `sockaddr_in6` and not more strictly aligned.
            unsafe { std::ptr::from_mut(space).cast::<libc::sockaddr_in>().write(written) };
            socket_length::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            space.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            space.sin6_addr.s6_addr = v6.ip().octets();
            space.sin6_scope_id = v6.scope_id();
            socket_length::<libc::sockaddr_in6>()
        }
    }
}

fn read_address(space: &libc::sockaddr_in6) -> Option<IpAddr> {
    match i32::from(space.sin6_family) {
        libc::AF_INET => {
            // SAFETY: the family says that a `sockaddr_in` was written here, and it fits.
            let v4 = unsafe { std::ptr::from_ref(space).cast::<libc::sockaddr_in>().read() };
            Some(IpAddr::from(v4.sin_addr.s_addr.to_ne_bytes()))
        }
        libc::AF_INET6 => Some(IpAddr::from(space.sin6_addr.s6_addr)),
        _ => None,
    }
}

/// The kernel's receive time in nanoseconds, if the message carries one.
fn timestamp(header: &libc::msghdr) -> Option<i64> {
    // SAFETY: the kernel filled the control buffer that `header` points to, and
    // the macros stay within the length it wrote; the value is copied out unaligned.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while !control.is_null() {
            if (*control).cmsg_level == libc::SOL_SOCKET && (*control).cmsg_type == libc::SCM_TIMESTAMPNS {
                let at: libc::timespec = read_unaligned(libc::CMSG_DATA(control).cast());
                return Some(at.tv_sec * 1_000_000_000 + at.tv_nsec);
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

/// Type, code and sender of an ICMP error from the error queue.
fn extended_error(header: &libc::msghdr) -> Option<(u8, u8, Option<IpAddr>)> {
    let kinds = [(libc::IPPROTO_IP, libc::IP_RECVERR), (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)];
    // SAFETY: as in `timestamp`; the sender's address follows the error within
    // the same control message, which is checked to be long enough.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while !control.is_null() {
            if kinds.contains(&((*control).cmsg_level, (*control).cmsg_type)) {
                let data = libc::CMSG_DATA(control);
                let error: libc::sock_extended_err = read_unaligned(data.cast());
                if !matches!(error.ee_origin, SO_EE_ORIGIN_ICMP | SO_EE_ORIGIN_ICMP6) {
                    return None;
                }
                let mut from: libc::sockaddr_in6 = zeroed();
                let have = (*control).cmsg_len.saturating_sub(data.offset_from(control.cast()).unsigned_abs());
                let of_sender = have.saturating_sub(size_of::<libc::sock_extended_err>());
                std::ptr::copy_nonoverlapping(
                    data.add(size_of::<libc::sock_extended_err>()),
                    (&raw mut from).cast::<u8>(),
                    of_sender.min(size_of::<libc::sockaddr_in6>()),
                );
                return Some((error.ee_type, error.ee_code, read_address(&from)));
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}
