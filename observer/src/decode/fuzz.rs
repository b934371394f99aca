//! What every decoder's fuzz target asserts.

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
