//! Reads a recording, whatever it is.

use std::io::{self, BufReader, Read};

use flate2::bufread::DeflateDecoder;
use observer_ebpf::{COUNTERS, HEADER_SIZE, Header, IDENTITY_SIZE, Kind, Process, Version};
use zerocopy::IntoBytes as _;

use super::number::{LONGEST, apply};
use super::{BODY_LIMIT, END, End, FORMAT, MAGIC, NAME, PATH_LIMIT, PREAMBLE, Preamble};
use crate::capture::record::Record;

/// Why a file is no recording that can be read.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    /// Something else.
    #[error("not a recording of observer's")]
    Stranger,
    /// Written by another version.
    #[error("a recording of format {0}; this version reads {FORMAT}")]
    Format(u16),
    /// Its records are laid out otherwise.
    #[error("a recording of records of layout {0}; this version reads {current}", current = Version::CURRENT)]
    Layout(u16),
    /// What is in it contradicts itself.
    #[error("damaged {0} bytes into what it unpacks to: {1}")]
    Inside(u64, &'static str),
    /// It cannot be read at all.
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As its writer meant it to.
    Whole(End),
    /// In the middle, so many bytes into what it unpacks to.
    Cut(u64),
}

/// What a recording holds.
#[derive(Debug)]
pub enum Item<'a> {
    /// A record.
    Record(Record<'a>),
    /// A cgroup's path.
    Name(u64, &'a str),
}

/// Reads one recording.
pub struct Reader<R: Read> {
    input: DeflateDecoder<BufReader<R>>,
    /// The present item.
    bytes: Vec<u8>,
    offset: u64,
    time: u64,
    cookie: u64,
    ending: Option<Ending>,
}

/// Why an item was not read.
enum Stop {
    /// The file ends in it.
    Cut,
    Damaged(&'static str),
    Unreadable(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Cut,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                Self::Damaged("its compression is broken")
            }
            _ => Self::Unreadable(error),
        }
    }
}

impl<R: Read> Reader<R> {
    /// Reads what a recording says of itself first.
    ///
    /// # Errors
    /// [`Damaged`] where it is none, or another version's.
    pub fn new(mut input: R) -> Result<(Preamble, Self), Damaged> {
        let mut bytes = [0; PREAMBLE];
        match input.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Damaged::Stranger);
            }
            Err(error) => return Err(error.into()),
        }
        let [
            magic @ ..,
            f0,
            f1,
            l0,
            l1,
            redacted,
            0,
            0,
            0,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
        ] = bytes
        else {
            return Err(Damaged::Stranger);
        };
        if magic != MAGIC || redacted > 1 {
            return Err(Damaged::Stranger);
        }
        let started = bytes.last_chunk();
        let started = started.map_or(0, |started| u64::from_le_bytes(*started));
        match (u16::from_le_bytes([f0, f1]), u16::from_le_bytes([l0, l1])) {
            (FORMAT, Version::CURRENT) => {}
            (FORMAT, layout) => return Err(Damaged::Layout(layout)),
            (format, _) => return Err(Damaged::Format(format)),
        }
        let preamble = Preamble {
            redacted: redacted == 1,
            started,
        };
        let reader = Self {
            input: DeflateDecoder::new(BufReader::new(input)),
            bytes: Vec::new(),
            offset: 0,
            time: preamble.started,
            cookie: 0,
            ending: None,
        };
        Ok((preamble, reader))
    }

    /// The next item; `None` at the end, of which [`Self::ending`] tells.
    ///
    /// # Errors
    /// [`Damaged`] where there is something else than an item, and nothing can be read beyond.
    pub fn item(&mut self) -> Result<Option<Item<'_>>, Damaged> {
        if self.ending.is_some() {
            return Ok(None);
        }
        let before = self.offset;
        self.bytes.clear();
        let read = self.read();
        let what = match read {
            Ok(what) => what,
            Err(Stop::Cut) => {
                self.ending = Some(Ending::Cut(self.offset));
                return Ok(None);
            }
            Err(Stop::Damaged(why)) => return Err(Damaged::Inside(before, why)),
            Err(Stop::Unreadable(error)) => return Err(error.into()),
        };
        match what {
            What::Record => match Record::parse(&self.bytes) {
                Ok(record) => Ok(Some(Item::Record(record))),
                Err(_) => Err(Damaged::Inside(before, "a record that contradicts itself")),
            },
            What::Name(cgroup) => match std::str::from_utf8(&self.bytes) {
                Ok(path) => Ok(Some(Item::Name(cgroup, path))),
                Err(_) => Err(Damaged::Inside(before, "a path that is no text")),
            },
            What::End(end) => {
                self.ending = Some(Ending::Whole(end));
                Ok(None)
            }
        }
    }

    /// How it ended; `None` while it has not.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Bytes unpacked so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn read(&mut self) -> Result<What, Stop> {
        match self.byte()? {
            NAME => {
                let cgroup = self.number()?;
                let length = self.number()?;
                if length > PATH_LIMIT {
                    return Err(Stop::Damaged("a path that is too long"));
                }
                self.take(length)?;
                Ok(What::Name(cgroup))
            }
            END => {
                let mut end = End {
                    time: self.number()?,
                    stripped: self.number()?,
                    ..End::default()
                };
                if self.number()? != COUNTERS.len() as u64 {
                    return Err(Stop::Damaged("other counters than this version's"));
                }
                for counter in &mut end.counters {
                    *counter = self.number()?;
                }
                Ok(What::End(end))
            }
            kind => {
                let kind = Kind::from_byte(kind).ok_or(Stop::Damaged("an unknown kind of item"))?;
                self.record(kind)?;
                Ok(What::Record)
            }
        }
    }

    fn record(&mut self, kind: Kind) -> Result<(), Stop> {
        let [low, high] = [self.byte()?, self.byte()?];
        let mut there = u16::from_le_bytes([low, high]);
        let mut fields = [0; 14];
        for field in &mut fields {
            if there & 1 != 0 {
                *field = self.number()?;
            }
            there >>= 1;
        }
        if there != 0 {
            return Err(Stop::Damaged("a field that no record has"));
        }
        let [
            time,
            cookie,
            position,
            sender,
            length,
            head,
            tail,
            ahead,
            rest @ ..,
        ] = fields;
        let [round_trip_us, lost, flags, direction, protocol, reason] = rest;
        self.time = apply(self.time, time);
        self.cookie = apply(self.cookie, cookie);
        let header = Header {
            time: self.time,
            cookie: self.cookie,
            position,
            sender,
            length: narrow(length)?,
            head: narrow(head)?,
            tail: narrow(tail)?,
            ahead: narrow(ahead)?,
            round_trip_us: narrow(round_trip_us)?,
            lost: narrow(lost)?,
            flags: narrow(flags)?,
            kind: kind as u8,
            direction: narrow(direction)?,
            protocol: narrow(protocol)?,
            reason: narrow(reason)?,
            reserved: [0; 2],
        };
        let body = match kind {
            Kind::Segment => u64::from(header.head) + u64::from(header.tail),
            Kind::Early => IDENTITY_SIZE as u64 + u64::from(header.head),
            Kind::Connection | Kind::Opened | Kind::Accepted | Kind::Failed | Kind::Closed => {
                IDENTITY_SIZE as u64
            }
            Kind::ProcessExec | Kind::ProcessExit | Kind::ProcessOutOfMemory => {
                size_of::<Process>() as u64
            }
        };
        if body > BODY_LIMIT {
            return Err(Stop::Damaged("a record longer than any"));
        }
        debug_assert_eq!(header.as_bytes().len(), HEADER_SIZE);
        self.bytes.extend_from_slice(header.as_bytes());
        self.take(body)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        self.offset += 1;
        let [byte] = byte;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, Stop> {
        let mut number = 0_u64;
        for place in 0..LONGEST {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * place);
            if shifted >> (7 * place) != bits {
                break;
            }
            number |= shifted;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Stop::Damaged("a number beyond 64 bits"))
    }

    /// Appends so many bytes to the item, as they come: a length alone costs no memory.
    fn take(&mut self, length: u64) -> Result<(), Stop> {
        let read = (&mut self.input)
            .take(length)
            .read_to_end(&mut self.bytes)? as u64;
        self.offset += read;
        if read < length {
            return Err(Stop::Cut);
        }
        Ok(())
    }
}

/// What was read.
enum What {
    /// Its layout is in the item's bytes.
    Record,
    /// Its text is.
    Name(u64),
    End(End),
}

fn narrow<T: TryFrom<u64>>(number: u64) -> Result<T, Stop> {
    T::try_from(number).map_err(|_| Stop::Damaged("a field that does not fit"))
}
