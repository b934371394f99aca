//! Overwrites what no rule reads in records, so that they can be kept and still mean the same.
//!
//! ```text
//!   Record ─▶ reassemble ▸ session (detect, decode, correlate) ─▶ which bytes are what ─┐
//!       └───▶ queue: the same record, every byte overwritten ◀── those that may stay ◀──┘ ─▶ Record
//! ```
//!
//! Records leave in the order in which they came, each once every byte of it is decided: the message
//! that it is of may end in a later one. The stages are those of a run, so that a message is told
//! from another by the same code. Lengths, times and places never change.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use observer_ebpf::{Direction, Flags, Header, Identity, Kind, Process};

use super::session::{Context, Session, Standing};
use super::synthetic::Recording;
use super::{Books, Settings, VerdictSink};
use crate::capture::record::{Body, Record};
use crate::correlate::Exchange;
use crate::correlate::vantage::Vantages;
use crate::interpret::Plan;
use crate::reassemble::{ConnectionKey, Event, Input, Table, What};
use crate::time::Timestamp;

mod bodies;
mod conversation;
mod http;
mod json;
mod lane;
mod postgres;
mod redis;
mod sql;
#[cfg(test)]
mod tests;
mod unknown;
mod walk;

use conversation::{Overwriting, Said, Sink};
use lane::Lane;
use walk::NOTHING;

/// Payload bytes of all records that wait to be told what they are; over it the oldest leaves as it
/// is, and what is not decided of it is not kept.
pub const QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// Records that wait; likewise.
const QUEUE_RECORDS: usize = 256 * 1024;

/// Overwrites records.
pub struct Redactor {
    table: Table<Session>,
    books: Books,
    vantages: Arc<Vantages>,
    protocols: Overwriting,
    verdicts: Box<dyn VerdictSink>,
    settings: Settings,
    newest: u64,
    queue: Queue,
    lanes: Lanes,
    sink: Sink,
    exchanges: Vec<Exchange>,
}

type Lanes = HashMap<u64, [Lane; 2], foldhash::fast::RandomState>;

/// Records that wait, each with what may be kept of its payload so far.
#[derive(Default)]
struct Queue {
    records: VecDeque<Waiting>,
    /// How many left before the first.
    left: u64,
    bytes: usize,
    /// Bytes that were not kept because they waited too long.
    stripped: u64,
    /// Those that wait for the connection they are of.
    early: Vec<(u64, Identity)>,
}

struct Waiting {
    header: Header,
    owner: Owner,
    /// Head and tail.
    payload: Vec<u8>,
    /// Something of the payload is.
    kept: bool,
    /// All of it is decided.
    ready: bool,
}

/// What else a record has.
enum Owner {
    None,
    Early(Identity),
    Connection(Kind, Identity),
    Process(Kind, Process),
}

impl Redactor {
    /// With the bounds of the stages, the rules, and whom to tell what was decided.
    #[must_use]
    pub fn new(settings: Settings, plan: &Arc<Plan>, verdicts: Box<dyn VerdictSink>) -> Self {
        let (books, sink) = (Books::default(), Sink::default());
        Self {
            table: Table::new(settings.limits, Arc::clone(&books.ledger)),
            books,
            vantages: Arc::default(),
            protocols: Overwriting::new(plan, sink.clone()),
            verdicts,
            settings,
            newest: 0,
            queue: Queue::default(),
            lanes: HashMap::default(),
            sink,
            exchanges: Vec::new(),
        }
    }

    /// Takes a record, and hands on those that are decided.
    pub fn record(&mut self, record: &Record<'_>, out: &mut dyn FnMut(&Record<'_>)) {
        self.newest = self.newest.max(record.header.time);
        let number = self.queue.push(record);
        match &record.body {
            Body::Segment(..) if !self.queue.is_ready(number) => {
                let lane = lane(
                    &mut self.lanes,
                    record.header.cookie,
                    record.header.direction,
                );
                let end = record
                    .header
                    .position
                    .saturating_add(record.header.length.into());
                lane.enter(number, record.header.position, end);
            }
            Body::Connection(_, identity) => self.join(record.header.cookie, identity),
            _ => {}
        }
        self.pass(|table, each| table.record(record, &mut |session, event| each(session, event)));
        self.queue.leave(self.newest, out);
    }

    /// Time goes on: what waits for a connection that does not come is not waited for.
    pub fn tick(&mut self, out: &mut dyn FnMut(&Record<'_>)) {
        let now = Timestamp(self.newest);
        self.pass(|table, each| table.expire(now, &mut |session, event| each(session, event)));
        self.queue.leave(self.newest, out);
    }

    /// Nothing follows: hands on the rest. Bytes that were not kept because they waited too long.
    pub fn finish(mut self, out: &mut dyn FnMut(&Record<'_>)) -> u64 {
        let now = Timestamp(self.newest);
        self.pass(|table, each| table.evict_all(now, &mut |session, event| each(session, event)));
        self.queue.leave(u64::MAX, out);
        self.queue.stripped
    }

    /// Runs the stages over a step of the table, and settles what they decide.
    fn pass(
        &mut self,
        step: impl FnOnce(&mut Table<Session>, &mut dyn FnMut(&mut Session, Event<'_>)),
    ) {
        let Self {
            table,
            books,
            vantages,
            protocols,
            verdicts,
            settings,
            queue,
            lanes,
            sink,
            exchanges,
            ..
        } = self;
        let mut context = Context {
            ledger: &books.ledger,
            protocols: &*protocols,
            verdicts: &**verdicts,
            vantages,
            out: exchanges,
            unattributed: &mut 0,
            waiting: &mut Vec::new(),
            generation: 0,
            detect_bytes: settings.detect_bytes,
            detect_turns: settings.detect_turns,
        };
        step(table, &mut |session, event| {
            let (key, what) = (event.connection, event.what);
            let undecided = undecided(session, &what);
            if let What::Data(direction, input, position) = what {
                lane(lanes, key.0, direction as u8).pass(position, input);
            }
            session.on(event, &mut context);
            context.out.clear();
            settle(session, key, sink.take(), lanes, queue);
            let told = |bytes: Option<Vec<u8>>| match bytes {
                Some(bytes) => unknown::overwrite(&bytes, protocols, sink),
                None => Vec::new(),
            };
            match what {
                What::Data(direction, ..) => {
                    let [received, sent] = lanes.entry(key.0).or_default();
                    let (lane, other) = match direction {
                        Direction::Received => (received, sent),
                        Direction::Sent => (sent, received),
                    };
                    let (kept, settled) = match session.standing() {
                        Standing::Detecting(kept) => (kept.len(), false),
                        Standing::Spoken => (0, false),
                        Standing::Settled => (0, true),
                    };
                    let more = lane.unclaimed(kept);
                    if settled && undecided.is_none() {
                        lane.strip(more, queue);
                    } else if more > 0 {
                        lane.give_up(more, &told(undecided), queue);
                    }
                    // Its turn is over, and began nothing.
                    other.give_up(other.unclaimed(0), &[], queue);
                    lane.settle(queue);
                }
                What::Closed(_) | What::Failed(_) | What::Evicted => {
                    let told = told(undecided);
                    for lane in lanes.remove(&key.0).into_iter().flatten() {
                        lane.end(&told, queue);
                    }
                }
                _ => {}
            }
        });
    }

    /// Segments that were seen before their connection are its own.
    fn join(&mut self, cookie: u64, identity: &Identity) {
        let ends = |i: &Identity| (i.local, i.remote, i.local_port, i.remote_port);
        let Self { queue, lanes, .. } = self;
        let early = std::mem::take(&mut queue.early);
        for (number, other) in early {
            let Some(waiting) = queue.get(number) else {
                continue;
            };
            if ends(&other) != ends(identity) {
                queue.early.push((number, other));
                continue;
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "sequence numbers are positions modulo 2^32"
            )]
            let sequence = other
                .received_first
                .wrapping_add(waiting.header.position as u32);
            let position = u64::from(sequence.wrapping_sub(identity.received_first));
            let end = position.saturating_add(waiting.header.length.into());
            lane(lanes, cookie, Direction::Received as u8).enter(number, position, end);
        }
    }
}

/// The bytes that would be undecided still, were this event to decide nothing; `None` where the
/// connection's protocol was decided before.
fn undecided(session: &Session, what: &What<'_>) -> Option<Vec<u8>> {
    let Standing::Detecting(kept) = session.standing() else {
        return None;
    };
    let more = match what {
        What::Data(_, Input::Bytes(bytes), _) => bytes,
        _ => &[][..],
    };
    Some([kept, more].concat())
}

/// Takes what the decoders of a connection said of its bytes.
fn settle(
    session: &Session,
    key: ConnectionKey,
    said: Vec<Said>,
    lanes: &mut Lanes,
    queue: &mut Queue,
) {
    for said in said {
        let (Said::Fed(side, _) | Said::Overwritten(side, _) | Said::Stripped(side, _)) = said;
        let direction = if side == session.side() {
            Direction::Sent
        } else {
            Direction::Received
        };
        let lane = lane(lanes, key.0, direction as u8);
        match said {
            Said::Fed(_, bytes) => lane.claim(bytes),
            Said::Overwritten(_, bytes) => lane.write(&bytes, queue),
            Said::Stripped(_, bytes) => {
                queue.stripped += bytes as u64;
                lane.write(&vec![NOTHING; bytes], queue);
            }
        }
    }
}

fn lane(lanes: &mut Lanes, cookie: u64, direction: u8) -> &mut Lane {
    let [received, sent] = lanes.entry(cookie).or_default();
    if direction == Direction::Sent as u8 {
        sent
    } else {
        received
    }
}

impl Queue {
    /// Adds a record, nothing of whose payload may be kept yet; its number.
    fn push(&mut self, record: &Record<'_>) -> u64 {
        let (owner, size) = match record.body {
            Body::Segment(head, tail) => (Owner::None, head.len() + tail.len()),
            Body::Early(identity, head) => (Owner::Early(identity), head.len()),
            Body::Connection(kind, identity) => (Owner::Connection(kind, identity), 0),
            Body::Process(kind, process) => (Owner::Process(kind, process), 0),
        };
        let number = self.left + self.records.len() as u64;
        if let Owner::Early(identity) = owner {
            self.early.push((number, identity));
        }
        self.bytes += size;
        self.records.push_back(Waiting {
            header: record.header,
            owner,
            payload: vec![NOTHING; size],
            kept: false,
            ready: size == 0,
        });
        number
    }

    fn get(&mut self, number: u64) -> Option<&mut Waiting> {
        let index = usize::try_from(number.checked_sub(self.left)?).ok()?;
        self.records.get_mut(index)
    }

    /// Keeps the length of a record alone, where nothing of it is kept yet.
    fn strip(&mut self, number: u64) {
        if let Some(waiting) = self.get(number)
            && !waiting.kept
        {
            self.bytes -= std::mem::take(&mut waiting.payload).len();
        }
    }

    fn is_ready(&mut self, number: u64) -> bool {
        self.get(number).is_none_or(|waiting| waiting.ready)
    }

    /// Hands on what is decided, in order, and what may not wait any longer.
    fn leave(&mut self, newest: u64, out: &mut dyn FnMut(&Record<'_>)) {
        while let Some(first) = self.records.front() {
            let over = self.bytes > QUEUE_BYTES || self.records.len() > QUEUE_RECORDS;
            let early = matches!(first.owner, Owner::Early(_))
                && newest.saturating_sub(first.header.time) > EARLY_AGE;
            if !(first.ready || over || early || newest == u64::MAX) {
                return;
            }
            let Some(first) = self.records.pop_front() else {
                return;
            };
            if !first.ready && !early {
                self.stripped += first.payload.len() as u64;
            }
            self.left += 1;
            self.bytes -= first.payload.len();
            out(&first.record());
        }
    }
}

/// Nanoseconds after which a segment's connection is not expected any more.
const EARLY_AGE: u64 = 5_000_000_000;

impl Waiting {
    fn record(&self) -> Record<'_> {
        let mut header = self.header;
        let body = match self.owner {
            Owner::None => {
                let head = (header.head as usize).min(self.payload.len());
                let (head, tail) = self.payload.split_at(head);
                Body::Segment(head, tail)
            }
            Owner::Early(identity) => Body::Early(identity, &self.payload),
            Owner::Connection(kind, identity) => Body::Connection(kind, identity),
            Owner::Process(kind, process) => Body::Process(kind, process),
        };
        if matches!(self.owner, Owner::None) && self.payload.is_empty() && header.head > 0 {
            (header.head, header.tail) = (0, 0);
            header.flags |= Flags::BUDGET;
        }
        Record { header, body }
    }

    /// Keeps bytes whose first lies at `position`, as far as they are this record's; `from` is where
    /// its own first lies.
    fn write(&mut self, from: u64, position: u64, bytes: &[u8]) {
        self.kept = true;
        let length = u64::from(self.header.length);
        let head = self.header.head as usize;
        let tail_at = length.saturating_sub(self.header.tail.into());
        let Some((first, last)) = self.payload.split_at_mut_checked(head) else {
            return;
        };
        copy(first, from, position, bytes);
        copy(last, from.saturating_add(tail_at), position, bytes);
    }
}

/// Copies what of `bytes`, which begin at `position`, lies within `to`, which begins at `from`.
fn copy(to: &mut [u8], from: u64, position: u64, bytes: &[u8]) {
    let begin = from.max(position);
    let (Ok(skip), Ok(at)) = (
        usize::try_from(begin - position),
        usize::try_from(begin - from),
    ) else {
        return;
    };
    let source = bytes.get(skip..).unwrap_or_default();
    let target = to.get_mut(at..).unwrap_or_default();
    for (to, from) in target.iter_mut().zip(source) {
        *to = *from;
    }
}

/// A request line as text, without what no rule reads of its target.
pub(super) fn request_line(method: &[u8], target: &[u8], plan: &Arc<Plan>) -> String {
    let mut head = [method, b" ", target, b" HTTP/1.1\r\n\r\n"].concat();
    drop(http::Heads(Arc::clone(plan)).request(&mut head));
    let line = String::from_utf8_lossy(&head);
    let line = line.split(" HTTP/1.1").next().unwrap_or_default();
    line.replace(char::is_control, " ")
}

/// A statement as text on one line, without its literals.
pub(super) fn statement(text: &[u8]) -> String {
    let mut text = text.to_vec();
    sql::overwrite(&mut text);
    String::from_utf8_lossy(&text).replace(char::is_control, " ")
}

/// Records, each behind its length in two bytes, stay what they are when they are overwritten: none
/// is added or lost, none has another place or length, none has a byte more. The target of fuzzers.
///
/// # Panics
/// Where that does not hold.
pub fn fuzz(data: &[u8]) {
    let Some(plan) = crate::interpret::fuzz::plan() else {
        unreachable!("the rules built in are none")
    };
    let mut before = Recording::default();
    for record in super::fuzz::stretches(data).filter_map(|bytes| Record::parse(bytes).ok()) {
        before.add(&record);
    }
    let after = overwritten(&before, &plan);
    assert_eq!(after.len(), before.len());
    for (before, after) in before.records().zip(after.records()) {
        let (before, after) = (before.header, after.header);
        let same = |header: &Header| (header.time, header.cookie, header.position, header.length);
        assert_eq!(same(&after), same(&before));
        let captured = |header: &Header| u64::from(header.head) + u64::from(header.tail);
        assert!(captured(&after) <= captured(&before));
    }
}

/// A whole recording, overwritten.
#[must_use]
pub fn overwritten(recording: &Recording, plan: &Arc<Plan>) -> Recording {
    let mut out = Recording::default();
    let mut redactor = Redactor::new(Settings::default(), plan, Box::new(()));
    for record in recording.records() {
        redactor.record(&record, &mut |record| out.add(record));
    }
    redactor.finish(&mut |record| out.add(record));
    out
}
