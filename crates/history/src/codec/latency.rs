//! Latency on a logarithmic scale: 64 buckets to each doubling.
//!
//! A bucket is answered by its middle, so a stored latency is off by at most
//! 1/128 (0.78 %) of the measured one, and below 128 µs by nothing. The scale is
//! made of shifts alone: every node gets the same code for the same latency,
//! which floating-point logarithms do not promise. **A code's latency has that
//! same code again**, so values can be rounded any number of times.

/// Bits of a latency that are kept: the leading one and six more.
const KEPT_BITS: u32 = 7;
/// Latencies below this are their own code.
const EXACT_BELOW: u32 = 1 << KEPT_BITS;
/// Codes of one doubling.
const CODES_PER_DOUBLING: u32 = EXACT_BELOW / 2;
/// Bits cut off the longest latencies.
const SHIFT_MAX: u32 = u32::BITS - KEPT_BITS;

/// The code of the longest latency.
pub(crate) const CODE_MAX: u16 = (SHIFT_MAX * CODES_PER_DOUBLING + (u32::MAX >> SHIFT_MAX)) as u16;

/// The bucket of a latency in microseconds.
pub(crate) fn code(latency_us: u32) -> u16 {
    if latency_us < EXACT_BELOW {
        return latency_us as u16;
    }
    let shift = (u32::BITS - latency_us.leading_zeros()) - KEPT_BITS;
    (shift * CODES_PER_DOUBLING + (latency_us >> shift)) as u16
}

/// The latency in the middle of a bucket, in microseconds. A number that is no
/// code gives the longest latency there is.
pub(crate) fn latency_us(code: u16) -> u32 {
    let code = u32::from(code);
    if code < EXACT_BELOW {
        return code;
    }
    let shift = (code - CODES_PER_DOUBLING) / CODES_PER_DOUBLING;
    if shift > SHIFT_MAX {
        return u32::MAX;
    }
    let kept = u64::from(code - shift * CODES_PER_DOUBLING);
    u32::try_from((kept << shift) + (1 << (shift - 1))).unwrap_or(u32::MAX)
}

/// A latency as the scale keeps it.
pub(crate) fn rounded_us(latency: u32) -> u32 {
    latency_us(code(latency))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_of_the_scale_hold() {
        assert_eq!((latency_us(code(0)), latency_us(code(127))), (0, 127));
        assert!(latency_us(code(u32::MAX)) > u32::MAX / 128 * 127);
        assert_eq!(latency_us(u16::MAX), u32::MAX);
        assert_eq!(code(u32::MAX), CODE_MAX);
    }

    proptest! {
        #[test]
        fn a_latency_is_kept_to_eight_per_mille(exponent in 0u32..32, fraction in 0u32..u32::MAX) {
            let latency = (1u32 << exponent) | (fraction & ((1u32 << exponent) - 1));
            let kept = latency_us(code(latency));
            prop_assert!(kept.abs_diff(latency) as f64 <= f64::from(latency) * 0.008, "{latency} {kept}");
            prop_assert_eq!(code(kept), code(latency));
        }

        #[test]
        fn a_longer_latency_never_has_a_lower_code(a in any::<u32>(), b in any::<u32>()) {
            prop_assert_eq!(code(a.min(b)) <= code(a.max(b)), true);
        }
    }
}
