//! What every decoder's fuzz target asserts.

use super::{Decoder, Side};
use crate::reassemble::{Cause, Input};
use crate::time::Timestamp;

/// Feeds arbitrary stretches of both directions: never a panic, and never more given up than was
/// fed.
///
/// # Panics
/// Where the decoder breaks that promise.
pub fn survives<D: Decoder>(mut decoder: D, data: &[u8]) {
    let mut fed = 0;
    let mut lost = 0;
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
        fed += input.length();
        lost += decoder
            .feed(side, Timestamp(fed), input, &mut |_| {})
            .lost
            .map_or(0, |(_, n)| n);
        assert!(lost <= fed, "gave up {lost} of {fed}");
    }
    decoder.finish(Side::Client, Timestamp(fed), &mut |_| {});
    decoder.finish(Side::Server, Timestamp(fed), &mut |_| {});
}
