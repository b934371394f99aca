//! Writes a recording, record by record.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use observer_ebpf::{Header, Version};
use zerocopy::IntoBytes as _;

use super::number::{difference, put};
use super::{END, End, FORMAT, MAGIC, NAME, PATH_LIMIT, Preamble};
use crate::capture::record::{Body, Record};

/// Bytes gathered before they are handed to the compressor.
const GATHERED: usize = 64 * 1024;

/// Writes one recording.
pub struct Writer<W: Write> {
    out: DeflateEncoder<Counted<W>>,
    gathered: Vec<u8>,
    time: u64,
    cookie: u64,
}

/// Where bytes go, and how many went.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn new(mut out: W, preamble: Preamble) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        out.write_all(&FORMAT.to_le_bytes())?;
        out.write_all(&Version::CURRENT.to_le_bytes())?;
        out.write_all(&[u8::from(preamble.redacted), 0, 0, 0])?;
        out.write_all(&preamble.started.to_le_bytes())?;
        let counted = Counted { out, bytes: 0 };
        Ok(Self {
            out: DeflateEncoder::new(counted, Compression::default()),
            gathered: Vec::with_capacity(GATHERED),
            time: preamble.started,
            cookie: 0,
        })
    }

    /// Bytes written so far, those that the compressor has yet to give out aside.
    pub fn bytes(&self) -> u64 {
        self.out.get_ref().bytes
    }

    /// Adds a record.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let Header {
            time,
            cookie,
            position,
            sender,
            length,
            head,
            tail,
            ahead,
            round_trip_us,
            lost,
            flags,
            kind,
            direction,
            protocol,
            reason,
            reserved: _,
        } = record.header;
        let out = &mut self.gathered;
        out.push(kind);
        let fields = [
            difference(std::mem::replace(&mut self.time, time), time),
            difference(std::mem::replace(&mut self.cookie, cookie), cookie),
            position,
            sender,
            length.into(),
            head.into(),
            tail.into(),
            ahead.into(),
            round_trip_us.into(),
            lost.into(),
            flags.into(),
            direction.into(),
            protocol.into(),
            reason.into(),
        ];
        let there = fields
            .iter()
            .rev()
            .fold(0, |there: u16, field| there << 1 | u16::from(*field != 0));
        out.extend_from_slice(&there.to_le_bytes());
        for field in fields.into_iter().filter(|field| *field != 0) {
            put(field, out);
        }
        match &record.body {
            Body::Segment(head, tail) => {
                out.extend_from_slice(head);
                out.extend_from_slice(tail);
            }
            Body::Early(identity, head) => {
                out.extend_from_slice(identity.as_bytes());
                out.extend_from_slice(head);
            }
            Body::Connection(_, identity) => out.extend_from_slice(identity.as_bytes()),
            Body::Process(_, process) => out.extend_from_slice(process.as_bytes()),
        }
        self.pass_on(GATHERED)
    }

    /// Says what a cgroup is called; a path that is too long for one goes without a name.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn name(&mut self, cgroup: u64, path: &str) -> io::Result<()> {
        if path.len() as u64 > PATH_LIMIT {
            return Ok(());
        }
        let out = &mut self.gathered;
        out.push(NAME);
        put(cgroup, out);
        put(path.len() as u64, out);
        out.extend_from_slice(path.as_bytes());
        self.pass_on(GATHERED)
    }

    /// Makes all so far readable, whatever becomes of the writer.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.pass_on(0)?;
        self.out.flush()
    }

    /// Ends the recording; where it went is given back.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(mut self, end: &End) -> io::Result<W> {
        let out = &mut self.gathered;
        out.push(END);
        for number in [end.time, end.stripped, end.counters.len() as u64] {
            put(number, out);
        }
        for counter in end.counters {
            put(counter, out);
        }
        self.pass_on(0)?;
        let mut out = self.out.finish()?.out;
        out.flush()?;
        Ok(out)
    }

    fn pass_on(&mut self, least: usize) -> io::Result<()> {
        if self.gathered.len() > least {
            self.out.write_all(&self.gathered)?;
            self.gathered.clear();
        }
        Ok(())
    }
}
