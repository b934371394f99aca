//! A stretch of one direction that is being overwritten: captured bytes, and gaps between them.

use std::collections::VecDeque;

use observer_ebpf::Protocol;

use crate::decode::Side;
use crate::decode::detect::{Guess, guess};
use crate::reassemble::Input;

/// What takes the place of bytes that were given up: no protocol has a message that begins so.
pub(super) const NOTHING: u8 = 1;
/// What takes the place of values.
pub(super) const HIDDEN: u8 = b'x';

/// Overwrites every byte.
pub(super) fn hide(bytes: &mut [u8]) {
    bytes.fill(HIDDEN);
}

/// What a direction holds back: bytes not overwritten yet.
#[derive(Debug, Default)]
pub(super) struct Raw {
    runs: VecDeque<Run<Vec<u8>>>,
    /// How much passed before it.
    start: u64,
}

/// Bytes, or how many are missing.
#[derive(Debug)]
pub(super) enum Run<B> {
    Bytes(B),
    Gap(u64),
}

impl<B: AsRef<[u8]>> Run<B> {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.as_ref().len() as u64,
            Self::Gap(length) => *length,
        }
    }
}

impl Raw {
    /// Adds what passes.
    pub(super) fn push(&mut self, input: Input<'_>) {
        match (input, self.runs.back_mut()) {
            (Input::Bytes(bytes), Some(Run::Bytes(run))) => run.extend_from_slice(bytes),
            (Input::Bytes(bytes), _) => self.runs.push_back(Run::Bytes(bytes.to_vec())),
            (Input::Hole(length, _), Some(Run::Gap(gap))) => *gap = gap.saturating_add(length),
            (Input::Hole(length, _), _) => self.runs.push_back(Run::Gap(length)),
        }
    }

    /// How much passed before it.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// How much passed with it.
    pub(super) fn end(&self) -> u64 {
        let lengths = self.runs.iter().map(Run::length);
        lengths.fold(self.start, u64::saturating_add)
    }

    /// Bytes in it.
    pub(super) fn held(&self) -> usize {
        let bytes = self.runs.iter().map(|run| match run {
            Run::Bytes(bytes) => bytes.len(),
            Run::Gap(_) => 0,
        });
        bytes.sum()
    }

    /// The bytes at a position, to be overwritten in place; `None` where not all are in it.
    pub(super) fn place(&mut self, position: u64, length: u64) -> Option<&mut [u8]> {
        let mut at = self.start;
        for run in &mut self.runs {
            let end = at.saturating_add(run.length());
            if position < end || (length == 0 && position == end) {
                let Run::Bytes(bytes) = run else { return None };
                let from = usize::try_from(position.checked_sub(at)?).ok()?;
                let to = from.checked_add(usize::try_from(length).ok()?)?;
                return bytes.get_mut(from..to);
            }
            at = end;
        }
        None
    }

    /// Whether it is the beginning of what passed, and is what that was told by: a message of `side`.
    /// It may be given up all the same, as an answer to what was not seen is.
    pub(super) fn begins(&self, protocol: Protocol, side: Side) -> bool {
        let Some(Run::Bytes(first)) = self.runs.front().filter(|_| self.start == 0) else {
            return false;
        };
        match guess(first) {
            Guess::Found(found, of) => found == protocol && of.is_none_or(|of| of == side),
            Guess::Undecided | Guess::Other => false,
        }
    }

    /// Takes out what lies before `position`.
    pub(super) fn split(&mut self, position: u64) -> Self {
        let mut taken = Self {
            runs: VecDeque::new(),
            start: self.start,
        };
        while self.start < position
            && let Some(first) = self.runs.pop_front()
        {
            let left = position - self.start;
            if first.length() <= left {
                self.start += first.length();
                taken.runs.push_back(first);
                continue;
            }
            let (before, after) = match first {
                Run::Bytes(mut bytes) => {
                    let after = bytes.split_off(usize::try_from(left).unwrap_or(bytes.len()));
                    (Run::Bytes(bytes), Run::Bytes(after))
                }
                Run::Gap(length) => (Run::Gap(left), Run::Gap(length - left)),
            };
            self.start = position;
            taken.runs.push_back(before);
            self.runs.push_front(after);
        }
        taken
    }

    /// What is in it, to be overwritten in place.
    pub(super) fn walk(&mut self) -> Walk<'_> {
        let runs = self.runs.iter_mut().map(|run| match run {
            Run::Bytes(bytes) => Run::Bytes(bytes.as_mut_slice()),
            Run::Gap(length) => Run::Gap(*length),
        });
        Walk {
            runs: runs.collect(),
        }
    }

    /// Its bytes one after another.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut all = Vec::new();
        for run in self.runs {
            match run {
                Run::Bytes(bytes) if all.is_empty() => all = bytes,
                Run::Bytes(bytes) => all.extend_from_slice(&bytes),
                Run::Gap(_) => {}
            }
        }
        all
    }
}

/// Goes through a stretch once, from its first byte to its last.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    runs: VecDeque<Run<&'a mut [u8]>>,
}

impl<'a> Walk<'a> {
    /// What is captured up to the next gap.
    pub(super) fn seen(&self) -> &[u8] {
        match self.runs.front() {
            Some(Run::Bytes(bytes)) => bytes,
            Some(Run::Gap(_)) | None => &[],
        }
    }

    /// Bytes and gaps in it.
    pub(super) fn length(&self) -> u64 {
        let lengths = self.runs.iter().map(Run::length);
        lengths.fold(0, u64::saturating_add)
    }

    /// The next bytes; `None`, and nothing is taken, where not all of them are captured.
    pub(super) fn take(&mut self, length: usize) -> Option<&'a mut [u8]> {
        if length == 0 {
            return Some(&mut []);
        }
        match self.runs.pop_front()? {
            Run::Bytes(bytes) if bytes.len() >= length => {
                let (taken, rest) = bytes.split_at_mut(length);
                if !rest.is_empty() {
                    self.runs.push_front(Run::Bytes(rest));
                }
                Some(taken)
            }
            run => {
                self.runs.push_front(run);
                None
            }
        }
    }

    /// The next bytes up to and with `last`, likewise.
    pub(super) fn through(&mut self, last: u8) -> Option<&'a mut [u8]> {
        let end = memchr::memchr(last, self.seen())?;
        self.take(end + 1)
    }

    /// A big-endian number of two bytes, likewise.
    pub(super) fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// The next `length` of it, or what there is.
    pub(super) fn split(&mut self, length: u64) -> Self {
        let mut taken = VecDeque::new();
        let mut left = length;
        while left > 0
            && let Some(first) = self.runs.pop_front()
        {
            let size = first.length();
            if size <= left {
                left -= size;
                taken.push_back(first);
                continue;
            }
            let (before, after) = match first {
                Run::Bytes(bytes) => {
                    let (before, after) =
                        bytes.split_at_mut(usize::try_from(left).unwrap_or(usize::MAX));
                    (Run::Bytes(before), Run::Bytes(after))
                }
                Run::Gap(gap) => (Run::Gap(left), Run::Gap(gap - left)),
            };
            left = 0;
            taken.push_back(before);
            self.runs.push_front(after);
        }
        Self { runs: taken }
    }

    /// Overwrites all that is left.
    pub(super) fn fill(self, with: u8) {
        self.each(|bytes| bytes.fill(with));
    }

    /// Shows every captured run that is left.
    pub(super) fn each(self, mut show: impl FnMut(&mut [u8])) {
        for run in self.runs {
            if let Run::Bytes(bytes) = run {
                show(bytes);
            }
        }
    }

    /// The captured bytes that are left, where no gap is among them.
    pub(super) fn whole(&mut self) -> Option<&mut [u8]> {
        match self.runs.make_contiguous() {
            [] => Some(&mut []),
            [Run::Bytes(bytes)] => Some(bytes),
            _ => None,
        }
    }
}
