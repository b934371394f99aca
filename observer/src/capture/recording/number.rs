//! Numbers as a recording has them: seven bits a byte, the lowest first.

/// Bytes of the longest number.
pub(super) const LONGEST: usize = 10;

/// Appends a number.
pub(super) fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(low(number) | 0x80);
        number >>= 7;
    }
    out.push(low(number));
}

fn low(number: u64) -> u8 {
    (number & 0x7f) as u8
}

/// A difference as a number: small ones are short, whatever their sign.
pub(super) fn difference(from: u64, to: u64) -> u64 {
    let difference = to.wrapping_sub(from);
    (difference << 1) ^ (difference.cast_signed() >> 63).cast_unsigned()
}

/// What [`difference`] was made of, but for where it began.
pub(super) fn apply(from: u64, difference: u64) -> u64 {
    let sign = (difference & 1).wrapping_neg();
    from.wrapping_add((difference >> 1) ^ sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_either_sign_come_back() {
        let values = [
            0,
            1,
            63,
            64,
            127,
            128,
            300,
            u64::MAX / 2,
            u64::MAX - 1,
            u64::MAX,
        ];
        for from in values {
            for to in values {
                assert_eq!(apply(from, difference(from, to)), to);
            }
        }
        assert!(difference(100, 99) < 8);
    }
}
