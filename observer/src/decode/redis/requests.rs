//! What a client sends: arrays of bulk strings, and inline commands.
//!
//! Only the words that name a command, and the few options that change what its reply means, are
//! looked at; every other word is skipped by its length. The words of `AUTH` and `HELLO` are never
//! among those looked at.

use super::command::{Blocks, Command, LONGEST_WORD, OTHER, Role, find, find_sub};
use super::line::{Hold, Length, Skip, take_line, take_text};
use super::options::{LONGEST_OPTION, Options};
use super::{Request, Step, Switch};
use crate::decode::{HELD_LIMIT, Lost, Span};
use crate::time::Timestamp;

/// Beginning of an inline command that is looked at.
const INLINE: usize = 96;

/// The client's direction.
#[derive(Debug)]
pub(super) struct Requests {
    state: State,
    /// A line or a word of which more is to come.
    hold: Hold<INLINE>,
    /// Stamp of the command's first byte.
    began: Timestamp,
    /// Words of the command, and how many of them are over.
    words: u64,
    over: u64,
    command: &'static Command,
    blocks: bool,
    /// Where the next option is.
    options: Options,
    switch: Option<Switch>,
    /// Until the next command is whole, take only what is certain to be one.
    strict: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before a command.
    Start,
    /// Behind `*`.
    Count,
    /// Before the line `$n` of a word.
    Length,
    /// In a word.
    Word { skip: Skip, wanted: bool },
    /// In an inline command, of which so many bytes have passed.
    Inline(usize),
}

/// How a line or word ended.
enum Flow {
    /// In order; more of the command follows.
    On,
    /// With the input.
    Dry,
    /// And the command with it.
    Whole,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            state: State::Start,
            hold: Hold::default(),
            began: Timestamp::default(),
            words: 0,
            over: 0,
            command: &OTHER,
            blocks: false,
            options: Options::new(),
            switch: None,
            strict: false,
        }
    }
}

impl Requests {
    /// Begins anew, at what must be the first byte of an array whose first word is a known verb.
    pub(super) fn restart(&mut self) {
        *self = Self {
            strict: true,
            ..Self::default()
        };
    }

    /// Whether the next byte is the first of a command.
    pub(super) fn at_boundary(&self) -> bool {
        matches!(self.state, State::Start)
    }

    /// Bytes held back.
    pub(super) fn held(&self) -> usize {
        self.hold.len()
    }

    /// Passes over bytes that were not captured; how many of them may have held a command's head.
    pub(super) fn pass(&mut self, length: u64) -> u64 {
        match &mut self.state {
            State::Word {
                skip,
                wanted: false,
            } => skip.pass(length),
            _ => length,
        }
    }

    /// Goes on to the end of the next command, or of `bytes`.
    pub(super) fn next(&mut self, stamp: Timestamp, bytes: &mut &[u8]) -> Step<Request> {
        loop {
            let before = *bytes;
            match self.advance(stamp, bytes) {
                Ok(Flow::On) => {}
                Ok(Flow::Dry) => return Step::More,
                Ok(Flow::Whole) => return Step::Message(self.whole(stamp)),
                Err(lost) => {
                    *bytes = before;
                    return Step::Failed(lost);
                }
            }
        }
    }

    /// Takes one line or word.
    fn advance(&mut self, stamp: Timestamp, bytes: &mut &[u8]) -> Result<Flow, Lost> {
        match self.state {
            State::Start => return self.start(stamp, bytes),
            State::Count => match take_line(&mut self.hold, bytes, Length::parse)? {
                None => return Ok(Flow::Dry),
                // The server takes no words and no answer is due.
                Some(Length::Nil | Length::Known(0)) if !self.strict => self.state = State::Start,
                Some(Length::Known(words @ 1..)) => self.begin(words),
                Some(_) => return Err(Lost::Malformed),
            },
            State::Length => {
                let read =
                    |line: &[u8]| Length::parse(line.strip_prefix(b"$").ok_or(Lost::Malformed)?);
                match take_line(&mut self.hold, bytes, read)? {
                    None => return Ok(Flow::Dry),
                    Some(Length::Known(length)) => {
                        let wanted = self.wants(length)?;
                        let skip = Skip::new(length);
                        self.state = State::Word { skip, wanted };
                    }
                    Some(_) => return Err(Lost::Malformed),
                }
            }
            State::Word { skip, wanted } => {
                if !self.word(skip, wanted, bytes)? {
                    return Ok(Flow::Dry);
                }
                self.over += 1;
                if self.over == self.words {
                    return Ok(Flow::Whole);
                }
                self.state = State::Length;
            }
            State::Inline(length) => {
                if !self.inline(length, bytes)? {
                    return Ok(Flow::Dry);
                }
                if self.words > 0 {
                    return Ok(Flow::Whole);
                }
            }
        }
        Ok(Flow::On)
    }

    fn start(&mut self, stamp: Timestamp, bytes: &mut &[u8]) -> Result<Flow, Lost> {
        let Some((first, rest)) = bytes.split_first() else {
            return Ok(Flow::Dry);
        };
        match first {
            b'*' => {
                *bytes = rest;
                self.state = State::Count;
            }
            // The server skips empty lines.
            b'\r' | b'\n' if !self.strict => {
                *bytes = rest;
                return Ok(Flow::On);
            }
            b' '..=b'~' if !self.strict => self.state = State::Inline(0),
            _ => return Err(Lost::Malformed),
        }
        self.began = stamp;
        Ok(Flow::On)
    }

    fn begin(&mut self, words: u64) {
        self.words = words;
        self.over = 0;
        self.command = &OTHER;
        self.blocks = false;
        self.options = Options::new();
        self.switch = None;
        self.state = State::Length;
    }

    fn whole(&mut self, stamp: Timestamp) -> Request {
        self.state = State::Start;
        self.strict = false;
        Request {
            command: self.command,
            arguments: self.words - 1,
            blocks: self.blocks,
            switch: self.switch,
            span: Span {
                began: self.began,
                ended: stamp,
            },
        }
    }

    /// Whether the next word is looked at.
    fn wants(&mut self, length: u64) -> Result<bool, Lost> {
        let fits = length <= LONGEST_WORD as u64;
        match (self.over, self.command.role) {
            // No name is that long.
            (0, _) if !fits && self.strict => return Err(Lost::Malformed),
            (1, Role::Container) if !fits => self.command = &OTHER,
            (0, _) | (1, Role::Container) | (2, Role::Reply) => return Ok(fits),
            _ => {}
        }
        Ok(self.is_option(self.over) && length <= LONGEST_OPTION)
    }

    /// Takes what `bytes` has of a word; whether it is over.
    fn word(&mut self, mut skip: Skip, wanted: bool, bytes: &mut &[u8]) -> Result<bool, Lost> {
        let before = *bytes;
        let over = skip.take(bytes)?;
        self.state = State::Word { skip, wanted };
        if wanted {
            let taken = before.get(..before.len() - bytes.len()).unwrap_or_default();
            if !over {
                self.hold.push(taken);
            } else if self.hold.len() == 0 {
                self.read(self.over, taken)?;
            } else {
                self.hold.push(taken);
                let hold = self.hold;
                self.hold.clear();
                self.read(self.over, hold.get())?;
            }
        }
        Ok(over)
    }

    /// Learns from the word at `index`, which may still have its CR LF.
    fn read(&mut self, index: u64, word: &[u8]) -> Result<(), Lost> {
        let word = word.strip_suffix(b"\r\n").unwrap_or(word);
        match index {
            0 => {
                let found = find(word);
                if found.is_none() && self.strict {
                    return Err(Lost::Malformed);
                }
                self.command = found.unwrap_or(&OTHER);
                self.blocks = self.command.blocks == Blocks::Always;
            }
            1 if self.command.role == Role::Container => {
                self.command = find_sub(self.command, word).unwrap_or(&OTHER);
            }
            2 if self.command.role == Role::Reply && self.words == 3 => {
                self.switch = Switch::of(word);
            }
            _ if self.is_option(index) => {
                self.blocks |= self.options.read(word) == Some("block");
            }
            _ => {}
        }
        Ok(())
    }

    fn is_option(&self, index: u64) -> bool {
        self.options.is_next(self.command, index)
    }

    /// Takes what `bytes` has of an inline command; whether it is over.
    fn inline(&mut self, length: usize, bytes: &mut &[u8]) -> Result<bool, Lost> {
        let before = bytes.len();
        let mut line = Hold::<INLINE>::default();
        let over = take_text(&mut self.hold, bytes, |text| line.push(text)).is_some();
        let length = length + (before - bytes.len());
        if length > HELD_LIMIT {
            return Err(Lost::TooLong);
        }
        self.state = State::Inline(length);
        if over {
            self.state = State::Start;
            let words = || {
                line.get()
                    .split(u8::is_ascii_whitespace)
                    .filter(|w| !w.is_empty())
            };
            self.begin(words().count() as u64);
            self.state = State::Start;
            for (index, word) in words().enumerate() {
                self.read(index as u64, word)?;
            }
        }
        Ok(over)
    }
}
