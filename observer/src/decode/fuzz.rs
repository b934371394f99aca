//! What every decoder's fuzz target asserts.

use super::detect::{ENOUGH, Guess, guess};
use super::{Decoder, HELD_LIMIT, Side};
use crate::reassemble::{Cause, Input};
use crate::time::Timestamp;

/// Feeds arbitrary stretches of both directions: never a panic, never more held than may be, and
/// never more given up and held than was fed.
///
/// # Panics
/// Where the decoder breaks that promise.
pub fn survives<D: Decoder>(decoder: D, data: &[u8]) {
    says(decoder, data, &mut |_| {});
}

/// The same, for what a decoder says meanwhile; the time of its last input.
///
/// # Panics
/// Where the decoder breaks that promise.
pub fn says<D: Decoder>(
    mut decoder: D,
    data: &[u8],
    out: &mut dyn FnMut(D::Message<'_>),
) -> Timestamp {
    let mut time = Timestamp(1);
    let mut rest = data;
    while let [control, tail @ ..] = rest {
        let side = if control & 1 == 0 {
            Side::Client
        } else {
            Side::Server
        };
        let length = usize::from(control >> 2).min(tail.len());
        let (bytes, tail) = tail.split_at(length);
        rest = tail;
        let input = if control & 2 == 0 {
            Input::Bytes(bytes)
        } else {
            Input::Hole(length as u64 * 1000, Cause::Budget)
        };
        let fed = decoder.held() + input.length();
        time = Timestamp(time.0 + 1_000_000);
        let lost = decoder.feed(side, time, input, out).lost;
        let (lost, held) = (lost.map_or(0, |(_, bytes)| bytes), decoder.held());
        assert!(held <= 2 * HELD_LIMIT as u64, "holds {held}");
        assert!(lost + held <= fed, "gave up {lost}, holds {held} of {fed}");
    }
    decoder.finish(Side::Client, time, out);
    decoder.finish(Side::Server, time, out);
    time
}

/// What a direction speaks is told by its first bytes, whatever they are, and a refusal is final:
/// no more of them would have changed it.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn detect(data: &[u8]) {
    assert!(data.len() < ENOUGH || guess(data) != Guess::Undecided);
    let first = data.get(..ENOUGH).unwrap_or(data);
    let mut refused = false;
    for end in 0..=first.len() {
        let (first, _) = first.split_at(end);
        let guess = guess(first);
        assert!(!refused || guess == Guess::Other, "{guess:?} after a no");
        refused |= guess == Guess::Other;
    }
}

#[cfg(test)]
mod tests {
    use super::detect;

    #[test]
    fn a_length_that_begins_with_no_zero_is_refused_however_much_is_seen() {
        detect(b"G\x01\0\0\0\xc5T J /st:o/A\n");
    }

    #[test]
    fn a_method_that_is_too_long_is_refused_before_and_behind_its_end() {
        detect(b"PGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG / HTTP/1.1\r\n");
    }

    #[test]
    fn a_key_is_waited_for_from_its_tag_on() {
        detect(b"K\0\0\0\x0c\0\0\x01\0\0\x1c\0\0\0\x04\x04");
    }

    #[test]
    fn a_startup_is_waited_for_however_long_its_first_name_is() {
        detect(b"\0\0\0\x40\0\x03\0\0idle_in_transaction_session_timeout\09\0user\0a\0");
    }

    proptest::proptest! {
        #[test]
        fn a_refusal_is_final(data in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
            detect(&data);
        }
    }
}
