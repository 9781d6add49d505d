//! Decompression with a bound: a thousandth of a bomb is all that is unpacked.

use super::head::Coding;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::Read;

/// A body as text tests see it.
pub(super) struct Plain {
    /// At most the limit.
    pub(super) bytes: Vec<u8>,
    /// Whether there was more than the limit.
    pub(super) is_cut: bool,
}

/// Unpacks a body up to a limit. `complete` tells whether `packed` is all of
/// it; the packed stream of one that is not may end early.
///
/// # Errors
/// A text that completes "the body …".
pub(super) fn inflate(coding: &Coding, packed: Vec<u8>, complete: bool, limit: usize) -> Result<Plain, String> {
    match coding {
        Coding::Identity => Ok(Plain { bytes: packed, is_cut: !complete }),
        Coding::Gzip => read(MultiGzDecoder::new(&packed[..]), complete, limit, "gzip"),
        // RFC 9110 says zlib; a zlib stream begins with method 8 and a checked header.
        Coding::Deflate if packed.len() >= 2 && packed[0] & 0x0f == 8 && is_zlib(packed[0], packed[1]) => {
            read(ZlibDecoder::new(&packed[..]), complete, limit, "deflate")
        }
        Coding::Deflate => read(DeflateDecoder::new(&packed[..]), complete, limit, "deflate"),
        Coding::Other(name) => Err(format!("is encoded as {name}, though no encoding was accepted")),
    }
}

fn is_zlib(first: u8, second: u8) -> bool {
    (u16::from(first) << 8 | u16::from(second)).is_multiple_of(31)
}

fn read(decoder: impl Read, complete: bool, limit: usize, name: &str) -> Result<Plain, String> {
    let mut bytes = Vec::new();
    let read = decoder.take(limit as u64 + 1).read_to_end(&mut bytes);
    let is_cut = bytes.len() > limit || !complete;
    bytes.truncate(limit);
    match read {
        Ok(_) => Ok(Plain { bytes, is_cut }),
        Err(_) if !complete => Ok(Plain { bytes, is_cut }),
        Err(error) => Err(format!("is no valid {name}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    #[test]
    fn the_three_ways_of_packing_are_unpacked() {
        let text = b"hello hello hello";
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        for write in [&mut gzip as &mut dyn Write, &mut zlib, &mut bare] {
            write.write_all(text).expect("memory");
        }
        for (coding, packed) in [
            (Coding::Gzip, gzip.finish().expect("memory")),
            (Coding::Deflate, zlib.finish().expect("memory")),
            (Coding::Deflate, bare.finish().expect("memory")),
        ] {
            let whole = inflate(&coding, packed.clone(), true, 1000).expect("it unpacks");
            assert_eq!((whole.bytes.as_slice(), whole.is_cut), (&text[..], false));
            let cut = inflate(&coding, packed.clone(), true, 5).expect("it unpacks");
            assert_eq!((cut.bytes.as_slice(), cut.is_cut), (&b"hello"[..], true));
            assert!(inflate(&coding, packed[..packed.len() / 2].to_vec(), true, 1000).is_err());
            assert!(inflate(&coding, packed[..packed.len() / 2].to_vec(), false, 1000).is_ok_and(|plain| plain.is_cut));
        }
        assert!(inflate(&Coding::Other("br".into()), Vec::new(), true, 5).is_err());
    }
}
