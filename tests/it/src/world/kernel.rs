//! What only the kernel can do: a network of its own for a place, and a device
//! whose packets come to us.
//!
//! **The only unsafe code of these tests**: both calls have no safe wrapper
//! among the libraries that are here already.

#![expect(unsafe_code, reason = "unshare and the ioctl of /dev/net/tun have no safe wrapper")]

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::fs::{File, OpenOptions};
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;

/// Where devices are made.
const FACTORY: &str = "/dev/net/tun";

/// Returns a handle to a new network in which nothing exists but loopback,
/// turned off. It is gone when the handle is closed and nobody is inside.
pub(super) fn new_network() -> Result<File> {
    let made = std::thread::spawn(|| {
        // SAFETY: the rule of the call concerns `FILES` alone, a table of files that is no longer shared; only the
        // network is left here, by a thread that ends right behind this.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
        File::open("/proc/thread-self/ns/net")
    });
    made.join().expect("nothing in it panics")
}

/// Moves the calling thread into a network; whatever it starts is there too.
pub(super) fn enter(network: &File) -> Result<()> {
    Ok(move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Makes a device in the network of the calling thread. Each read gives one IP
/// packet that was sent into it, each write is one that arrives; neither waits.
pub(super) fn new_device(name: &str) -> Result<File> {
    let device = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(FACTORY)?;
    // SAFETY: a plain C struct of bytes and a union of plain parts, for which all zeros are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero, as the kernel wants it.
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which this is, and keeps no pointer to it.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if done == 0 { Ok(device) } else { Err(Error::last_os_error()) }
}
