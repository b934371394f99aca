//! Keeps the part of a cut message that is worth keeping, while it passes.
//!
//! A message that lies whole in one input is read in place. One that is cut is condensed: values
//! longer than [`VALUE_LIMIT`] lose their end, so that a row of megabytes is held in a few
//! hundred bytes and still reads like one:
//!
//! ```text
//! passed  00 02 | 00 10 00 00 <1 MiB of value>     | 00 00 00 01 x
//! held    00 02 | 00 10 00 00 <its first 256 bytes> | 00 00 00 01 x
//! ```

use super::{TEXT_LIMIT, VALUE_LIMIT};
use crate::decode::HELD_LIMIT;

/// The length written in place of a value whose beginning was not captured.
pub(super) const MISSING: i32 = -2;

/// What of a message is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Its first bytes, at most so many.
    Prefix(u32),
    /// Every value's beginning, of a `DataRow`.
    Row,
    /// Names, formats and every value's beginning, of a `Bind`.
    Bind,
}

impl Default for Shape {
    fn default() -> Self {
        Self::Prefix(0)
    }
}

const _: () = assert!((TEXT_LIMIT + 4096) as usize <= HELD_LIMIT);

#[derive(Clone, Copy, Debug)]
enum Part {
    /// So many bytes more.
    Copy(u32),
    /// So many C strings, then the parameters' formats.
    Names(u8),
    /// A number's bytes, of which some have come.
    Number { of: Number, come: u8 },
    /// The format codes of the parameters.
    Formats(u32),
    /// A value: so many bytes to keep, then so many to drop.
    Value { keep: u32, drop: u32 },
    /// The rest does not matter, or cannot be told.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Formats,
    Values,
    Length,
}

/// Condenses one message into a buffer that its owner lends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeper {
    part: Part,
    /// Values still to come.
    values: u32,
    /// Where the present value's length is held.
    head: usize,
    bind: bool,
}

impl Keeper {
    pub(super) fn new(shape: Shape) -> Self {
        let part = match shape {
            Shape::Prefix(0) => Part::Nothing,
            Shape::Prefix(length) => Part::Copy(length),
            Shape::Row => Part::Number {
                of: Number::Values,
                come: 0,
            },
            Shape::Bind => Part::Names(2),
        };
        Self {
            part,
            values: 0,
            head: 0,
            bind: shape == Shape::Bind,
        }
    }

    /// Takes the next bytes of the body.
    pub(super) fn bytes(&mut self, mut bytes: &[u8], held: &mut Vec<u8>) {
        while let Some((&byte, tail)) = bytes.split_first() {
            let room = HELD_LIMIT.saturating_sub(held.len());
            if room == 0 {
                self.part = Part::Nothing;
            }
            match self.part {
                Part::Nothing => return,
                Part::Copy(left) => {
                    let (taken, rest) = copy(bytes, left, room, held);
                    bytes = rest;
                    self.part = match left.saturating_sub(taken) {
                        0 => Part::Nothing,
                        left => Part::Copy(left),
                    };
                }
                Part::Formats(left) => {
                    let (taken, rest) = copy(bytes, left, room, held);
                    bytes = rest;
                    self.part = match left.saturating_sub(taken) {
                        0 => Part::Number {
                            of: Number::Values,
                            come: 0,
                        },
                        left => Part::Formats(left),
                    };
                }
                Part::Names(left) => {
                    held.push(byte);
                    bytes = tail;
                    if byte == 0 {
                        self.part = match left.saturating_sub(1) {
                            0 => Part::Number {
                                of: Number::Formats,
                                come: 0,
                            },
                            left => Part::Names(left),
                        };
                    }
                }
                Part::Number { of, come } => {
                    held.push(byte);
                    bytes = tail;
                    self.part = self.number(of, come.saturating_add(1), held);
                }
                Part::Value { keep: 0, drop } => {
                    let take = (drop as usize).min(bytes.len());
                    bytes = bytes.get(take..).unwrap_or_default();
                    self.part = self.value(0, drop.saturating_sub(length(take)));
                }
                Part::Value { keep, drop } => {
                    let (taken, rest) = copy(bytes, keep, room, held);
                    bytes = rest;
                    self.part = self.value(keep.saturating_sub(taken), drop);
                }
            }
        }
    }

    /// The next bytes of the body were not captured.
    pub(super) fn hole(&mut self, mut length: u32, held: &mut Vec<u8>) {
        while length > 0 {
            let Part::Value { keep, drop } = self.part else {
                self.part = Part::Nothing;
                return;
            };
            let mut drop = drop;
            if keep > 0 {
                drop = drop.saturating_add(keep);
                forget_value(self.head, held);
            }
            let take = drop.min(length);
            length = length.saturating_sub(take);
            self.part = self.value(0, drop.saturating_sub(take));
        }
    }

    fn number(&mut self, of: Number, come: u8, held: &[u8]) -> Part {
        match (of, held) {
            (Number::Formats, [.., a, b]) if come == 2 => {
                match u32::from(u16::from_be_bytes([*a, *b])) {
                    0 => Part::Number {
                        of: Number::Values,
                        come: 0,
                    },
                    count => Part::Formats(count.saturating_mul(2)),
                }
            }
            (Number::Values, [.., a, b]) if come == 2 => {
                self.values = u32::from(u16::from_be_bytes([*a, *b]));
                self.next()
            }
            (Number::Length, [.., a, b, c, d]) if come == 4 => {
                self.values = self.values.saturating_sub(1);
                self.head = held.len().saturating_sub(4);
                match u32::try_from(i32::from_be_bytes([*a, *b, *c, *d])) {
                    Ok(length) => {
                        let keep = length.min(VALUE_LIMIT);
                        self.value(keep, length.saturating_sub(keep))
                    }
                    Err(_) => self.next(),
                }
            }
            _ => Part::Number { of, come },
        }
    }

    fn value(&self, keep: u32, drop: u32) -> Part {
        if keep == 0 && drop == 0 {
            self.next()
        } else {
            Part::Value { keep, drop }
        }
    }

    fn next(&self) -> Part {
        match (self.values, self.bind) {
            (0, false) => Part::Nothing,
            // The result columns' formats: at most as many as columns are possible.
            (0, true) => Part::Copy(2 + 2 * 1664),
            _ => Part::Number {
                of: Number::Length,
                come: 0,
            },
        }
    }
}

/// Takes back what was kept of a value whose length is at `head`, and marks it missing.
fn forget_value(head: usize, held: &mut Vec<u8>) {
    let end = head.saturating_add(4);
    if let Some(length) = held.get_mut(head..end) {
        length.copy_from_slice(&MISSING.to_be_bytes());
        held.truncate(end);
    }
}

fn copy<'a>(bytes: &'a [u8], left: u32, room: usize, held: &mut Vec<u8>) -> (u32, &'a [u8]) {
    let take = (left as usize).min(bytes.len()).min(room);
    let (taken, rest) = bytes.split_at_checked(take).unwrap_or((bytes, &[]));
    held.extend_from_slice(taken);
    (length(taken.len()), rest)
}

/// Inputs are segments of far less than 4 GiB.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
