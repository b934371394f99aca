//! One direction of a connection: which of its records wait, and for which bytes.

use std::collections::VecDeque;

use super::Queue;
use super::walk::NOTHING;
use crate::reassemble::Input;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Lane {
    records: Vec<Entry>,
    /// Captured bytes that were handed on and are not decided, by position.
    slots: VecDeque<(u64, usize)>,
    /// How many those are.
    waiting: usize,
    /// How many of them a decoder has.
    claimed: usize,
    /// Up to where all was handed on.
    next: u64,
}

/// A record that waits.
#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    from: u64,
    to: u64,
}

impl Lane {
    /// A record waits; its payload, captured or not, lies from `from` to `to`.
    pub(super) fn enter(&mut self, number: u64, from: u64, to: u64) {
        self.records.push(Entry { number, from, to });
    }

    /// The next stretch is handed on.
    pub(super) fn pass(&mut self, position: u64, input: Input<'_>) {
        if let Input::Bytes(bytes) = input {
            self.slots.push_back((position, bytes.len()));
            self.waiting += bytes.len();
        }
        self.next = self.next.max(position.saturating_add(input.length()));
    }

    /// A decoder has so many more bytes.
    pub(super) fn claim(&mut self, bytes: usize) {
        self.claimed += bytes;
    }

    /// Bytes that neither a decoder has nor detection, which keeps so many.
    pub(super) fn unclaimed(&self, kept: usize) -> usize {
        self.waiting
            .saturating_sub(self.claimed)
            .saturating_sub(kept)
    }

    /// The next bytes may be kept so.
    pub(super) fn write(&mut self, mut bytes: &[u8], queue: &mut Queue) {
        self.claimed = self.claimed.saturating_sub(bytes.len());
        // In order but for what the wire reordered, so that both lists are walked once.
        self.records.sort_by_key(|entry| entry.from);
        let mut first = 0;
        while let (Some((position, length)), false) = (self.slots.front_mut(), bytes.is_empty()) {
            let (now, rest) = bytes.split_at(bytes.len().min(*length));
            bytes = rest;
            let end = position.saturating_add(now.len() as u64);
            let over = |entry: &Entry| entry.to <= *position;
            while self.records.get(first).is_some_and(over) {
                first += 1;
            }
            let entries = self.records.get(first..).unwrap_or_default();
            for entry in entries.iter().take_while(|entry| entry.from < end) {
                if let Some(waiting) = queue.get(entry.number)
                    && *position < entry.to
                {
                    waiting.write(entry.from, *position, now);
                }
            }
            *position = position.saturating_add(now.len() as u64);
            *length -= now.len();
            self.waiting -= now.len();
            if *length == 0 {
                self.slots.pop_front();
            }
        }
        self.settle(queue);
    }

    /// The next bytes are nobody's; the last of them may be kept as `told`.
    pub(super) fn give_up(&mut self, bytes: usize, told: &[u8], queue: &mut Queue) {
        let skip = told.len().saturating_sub(bytes);
        let told = told.get(skip..).unwrap_or_default();
        let nothing = bytes - told.len();
        self.claimed += bytes;
        self.write(&vec![NOTHING; nothing], queue);
        self.write(told, queue);
    }

    /// The next bytes are of a stream that is not decoded: of records that hold nothing else the
    /// length is kept.
    pub(super) fn strip(&mut self, bytes: usize, queue: &mut Queue) {
        if let Some((position, _)) = self.slots.front().copied() {
            let of = |entry: &&Entry| entry.from <= position && position < entry.to;
            for entry in self.records.iter().filter(of) {
                queue.strip(entry.number);
            }
        }
        self.give_up(bytes, &[], queue);
    }

    /// Nothing follows; what is not decided is nobody's, the last of it as `told`.
    pub(super) fn end(mut self, told: &[u8], queue: &mut Queue) {
        self.give_up(self.waiting, told, queue);
        self.next = u64::MAX;
        self.settle(queue);
    }

    /// Lets go of the records that are decided.
    pub(super) fn settle(&mut self, queue: &mut Queue) {
        let decided = self
            .slots
            .front()
            .map_or(self.next, |(position, _)| *position);
        self.records.retain(|entry| {
            let waits = entry.to > decided;
            if !waits && let Some(waiting) = queue.get(entry.number) {
                waiting.ready = true;
            }
            waits
        });
    }
}
