//! What both directions are made of: lines, numbers, and bodies skipped by length.

use std::fmt;

use crate::decode::Lost;

/// A body's bytes and its closing CR LF, still to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skip {
    left: u64,
}

const CRLF: &[u8] = b"\r\n";

impl Skip {
    /// A body of `length` bytes.
    pub(super) fn new(length: u64) -> Self {
        Self {
            left: length.saturating_add(2),
        }
    }

    /// Takes what `bytes` has of it; whether it is over.
    ///
    /// # Errors
    /// Where something else stands in the place of CR LF.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Result<bool, Lost> {
        let taken = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (chunk, rest) = bytes.split_at(taken);
        *bytes = rest;
        self.left -= taken as u64;
        if let Ok(left @ 0..2) = usize::try_from(self.left) {
            let ending = 2 - left;
            let seen = CRLF.get(ending - taken.min(ending)..ending);
            if !seen.is_some_and(|seen| chunk.ends_with(seen)) {
                return Err(Lost::Malformed);
            }
        }
        Ok(self.left == 0)
    }

    /// Passes over up to `length` bytes that were not captured; how many of them are beyond it.
    pub(super) fn pass(&mut self, length: u64) -> u64 {
        let taken = length.min(self.left);
        self.left -= taken;
        length - taken
    }
}

/// The first bytes of a line or of a body, collected over as many inputs as it takes.
///
/// What it holds may be a secret: it has no `Debug` that shows it.
#[derive(Clone, Copy)]
pub(super) struct Hold<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Default for Hold<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            length: 0,
        }
    }
}

impl<const N: usize> fmt::Debug for Hold<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.length)
    }
}

impl<const N: usize> Hold<N> {
    /// Keeps what still fits.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if let Some(free) = self.bytes.get_mut(self.length..) {
            let taken = free.len().min(bytes.len());
            let (to, from) = (free.get_mut(..taken), bytes.get(..taken));
            if let (Some(to), Some(from)) = (to, from) {
                to.copy_from_slice(from);
                self.length += taken;
            }
        }
    }

    /// What it keeps.
    pub(super) fn get(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Forgets it.
    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// How many bytes it keeps.
    pub(super) fn len(&self) -> usize {
        self.length
    }
}

/// A length or count as the protocol writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// That many.
    Known(u64),
    /// `-1`: there is none.
    Nil,
    /// `?`: as many as come until the end marker (RESP3).
    Streamed,
}

/// Digits of the longest number that fits 64 bits.
const LONGEST_NUMBER: usize = 20;

/// Largest length or count taken for real; Redis itself allows 2^63 - 1 bytes only in theory.
const LONGEST: u64 = 1 << 40;

impl Length {
    /// Reads the digits between a type's sign and CR; as strict as servers write and accept them.
    pub(crate) fn parse(digits: &[u8]) -> Result<Self, Lost> {
        match digits {
            b"-1" => Ok(Self::Nil),
            b"?" => Ok(Self::Streamed),
            _ => match integer(digits)? {
                length @ 0..=LONGEST => Ok(Self::Known(length)),
                _ => Err(Lost::Malformed),
            },
        }
    }
}

/// An unsigned number without leading zeros.
fn integer(digits: &[u8]) -> Result<u64, Lost> {
    let padded = digits.len() > 1 && digits.starts_with(b"0");
    if digits.is_empty() || digits.len() > LONGEST_NUMBER || padded {
        return Err(Lost::Malformed);
    }
    digits.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        let sum = sum
            .checked_mul(10)
            .and_then(|sum| sum.checked_add(u64::from(digit)));
        sum.filter(|_| digit < 10).ok_or(Lost::Malformed)
    })
}

/// A signed number, as behind `:`.
pub(super) fn signed(digits: &[u8]) -> Result<i64, Lost> {
    let (negative, magnitude) = match digits {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, digits),
    };
    let magnitude = integer(magnitude)?;
    let value = if negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        0i64.checked_add_unsigned(magnitude)
    };
    value.ok_or(Lost::Malformed)
}

/// Takes a line of at most `N` bytes and reads it once its end has come.
///
/// # Errors
/// What `read` says, and where the line is longer or has no CR before its LF.
pub(super) fn take_line<const N: usize, T>(
    hold: &mut Hold<N>,
    bytes: &mut &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, Lost>,
) -> Result<Option<T>, Lost> {
    let near = bytes.get(..N - hold.length).unwrap_or(bytes);
    let Some(end) = near.iter().position(|byte| *byte == b'\n') else {
        if near.len() < bytes.len() || near.len() + hold.length == N {
            return Err(Lost::Malformed);
        }
        hold.push(near);
        *bytes = &[];
        return Ok(None);
    };
    let (line, rest) = bytes.split_at(end);
    *bytes = rest.get(1..).unwrap_or_default();
    if hold.length == 0 {
        return read(without_cr(line)?).map(Some);
    }
    let earlier = hold.length;
    hold.push(line);
    let value = without_cr(hold.get()).and_then(read);
    // What stays held was held before: the caller still has the rest.
    hold.length = if value.is_ok() { 0 } else { earlier };
    value.map(Some)
}

/// Takes a line of any length and reads its beginning, at most `N` bytes, once its end has come.
pub(super) fn take_text<const N: usize, T>(
    hold: &mut Hold<N>,
    bytes: &mut &[u8],
    read: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        hold.push(bytes);
        *bytes = &[];
        return None;
    };
    let (line, rest) = bytes.split_at(end);
    *bytes = rest.get(1..).unwrap_or_default();
    let text = |line: &[u8]| read(line.strip_suffix(b"\r").unwrap_or(line));
    if hold.length == 0 {
        return Some(text(line.get(..N).unwrap_or(line)));
    }
    hold.push(line);
    let value = text(hold.get());
    hold.clear();
    Some(value)
}

fn without_cr(line: &[u8]) -> Result<&[u8], Lost> {
    line.strip_suffix(b"\r").ok_or(Lost::Malformed)
}
