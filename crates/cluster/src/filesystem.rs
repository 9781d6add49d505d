//! Tells file systems on which a log is safe from those on which it is not.
//!
//! On a network file system a lock may not hold, a flush may not reach a disk,
//! and an outage of the network takes the watcher down with the watched.

use std::io;
use std::path::Path;

/// Kernel file systems that go over a network, with their magic numbers from
/// `linux/magic.h` and the kernel's sources.
const NETWORK: [(u32, &str); 13] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x517b, "SMB"),
    (0x00c3_6400, "Ceph"),
    (0x0102_1997, "9P"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x0bd0_0bd0, "Lustre"),
    (0x1983_0326, "BeeGFS"),
    (0xaad7_aaea, "PanFS"),
];
const FUSE: u32 = 0x6573_5546;

/// FUSE file systems that go over a network. FUSE as such is also used by local
/// ones (NTFS, encrypted homes), so only known names are refused.
const NETWORK_FUSE: [&str; 16] = [
    "glusterfs",
    "sshfs",
    "s3fs",
    "ceph",
    "ceph-fuse",
    "rclone",
    "davfs",
    "juicefs",
    "gcsfuse",
    "goofys",
    "curlftpfs",
    "smbnetfs",
    "blobfuse",
    "blobfuse2",
    "mfs",
    "lizardfs",
];

/// Returns the name of the network file system with this magic number, or
/// `None` if it is not one. `fuse_subtype` is what follows `fuse.` in the
/// mount's type.
pub(crate) fn network_name(magic: u32, fuse_subtype: Option<&str>) -> Option<String> {
    if magic == FUSE {
        let subtype = fuse_subtype?;
        return NETWORK_FUSE.contains(&subtype).then(|| format!("FUSE ({subtype})"));
    }
    NETWORK.iter().find(|(known, _)| *known == magic).map(|(_, name)| (*name).to_owned())
}

/// Returns the name of the network file system that holds a directory, if one does.
pub(crate) fn network_name_of(directory: &Path) -> io::Result<Option<String>> {
    let facts = rustix::fs::statfs(directory)?;
    // The magic is 32 bits wide; the field's type differs between machines.
    let magic = facts.f_type as u32;
    let subtype = if magic == FUSE { fuse_subtype(&directory.canonicalize()?)? } else { None };
    Ok(network_name(magic, subtype.as_deref()))
}

/// Bytes that may still be written below a directory.
pub(crate) fn free_bytes(directory: &Path) -> io::Result<u64> {
    let facts = rustix::fs::statvfs(directory)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

fn fuse_subtype(directory: &Path) -> io::Result<Option<String>> {
    Ok(subtype_in(&std::fs::read_to_string("/proc/self/mountinfo")?, directory))
}

/// Finds the mount of a directory in the text of `mountinfo` (proc(5)): the
/// last one of the longest mount points that lead to it.
fn subtype_in(mounts: &str, directory: &Path) -> Option<String> {
    let mut best: Option<(usize, Option<String>)> = None;
    for line in mounts.lines() {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?.replace("\\040", " ");
        let kind = after.split(' ').next()?;
        if directory.starts_with(&point) && best.as_ref().is_none_or(|(length, _)| *length <= point.len()) {
            best = Some((point.len(), kind.strip_prefix("fuse.").map(str::to_owned)));
        }
    }
    best.and_then(|(_, subtype)| subtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_named() {
        assert_eq!(network_name(0x6969, None).as_deref(), Some("NFS"));
        assert_eq!(network_name(0xff53_4d42, None).as_deref(), Some("CIFS"));
        assert_eq!(network_name(0xfe53_4d42, None).as_deref(), Some("SMB2"));
        assert_eq!(network_name(0x00c3_6400, None).as_deref(), Some("Ceph"));
        assert_eq!(network_name(0x0102_1997, None).as_deref(), Some("9P"));
        assert_eq!(network_name(FUSE, Some("sshfs")).as_deref(), Some("FUSE (sshfs)"));
    }

    #[test]
    fn local_file_systems_are_allowed() {
        // ext4, xfs, btrfs, tmpfs, overlayfs, zfs.
        for magic in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1] {
            assert_eq!(network_name(magic, None), None, "{magic:x}");
        }
        assert_eq!(network_name(FUSE, Some("gocryptfs")), None);
        assert_eq!(network_name(FUSE, None), None);
    }

    #[test]
    fn the_mount_of_a_directory_is_the_longest_that_leads_to_it() {
        let mounts = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                      40 22 0:35 / /srv/my\\040data rw shared:9 - fuse.sshfs host: rw\n";
        assert_eq!(subtype_in(mounts, Path::new("/srv/my data/log")).as_deref(), Some("sshfs"));
        assert_eq!(subtype_in(mounts, Path::new("/srv/mine")), None);
    }
}
