//! Records as text: who said what and when, in the words of the protocol, with holes shown.
//!
//! ```text
//! +0.000412s shop:41234 > postgres:5432  Query SELECT title FROM products WHERE shop_id = 0
//! +0.000988s shop:41234 < postgres:5432  CommandComplete SELECT 3
//! +0.001020s shop:41234 < postgres:5432  ~ hole 4096 bytes (budget)
//! ```
//!
//! No value is shown that a rule may not read: texts are [overwritten](super::redact) first.

use std::fmt::Write as _;
use std::net::Ipv6Addr;
use std::sync::Arc;

use hashbrown::HashMap;
use observer_ebpf::{Direction, Identity};

use super::session::{Context, Session, Standing};
use super::{Books, Settings};
use crate::capture::record::Record;
use crate::correlate::vantage::Vantages;
use crate::decode::Side;
use crate::interpret::Plan;
use crate::reassemble::{Cause, Event, Input, Table, What};
use crate::time::Timestamp;

mod told;

use told::{Lines, Telling};

/// Writes a transcript, record by record.
pub struct Transcript {
    table: Table<Session>,
    books: Books,
    vantages: Arc<Vantages>,
    protocols: Telling,
    settings: Settings,
    started: u64,
    lines: Lines,
    ends: Ends,
    exchanges: Vec<crate::correlate::Exchange>,
    newest: Timestamp,
}

/// Both ends of each connection, as they are shown: this one first.
type Ends = HashMap<u64, [String; 2], foldhash::fast::RandomState>;

/// Who an identity's own end is; `None` shows its address.
pub type Name<'a> = &'a mut dyn FnMut(&Identity) -> Option<String>;

impl Transcript {
    /// Of records that began at `started`, by the bounds and rules of a run.
    #[must_use]
    pub fn new(settings: Settings, plan: &Arc<Plan>, started: u64) -> Self {
        let (books, lines) = (Books::default(), Lines::default());
        Self {
            table: Table::new(settings.limits, Arc::clone(&books.ledger)),
            books,
            vantages: Arc::default(),
            protocols: Telling::new(Arc::clone(plan), lines.clone()),
            settings,
            started,
            lines,
            ends: HashMap::default(),
            exchanges: Vec::new(),
            newest: Timestamp::default(),
        }
    }

    /// What a record tells, as lines.
    pub fn record(&mut self, record: &Record<'_>, name: Name<'_>) -> String {
        self.newest = self.newest.max(Timestamp(record.header.time));
        self.tell(name, |table, each| {
            table.record(record, &mut |session, event| each(session, event));
        })
    }

    /// What waited for bytes that never came, as lines.
    pub fn finish(&mut self, name: Name<'_>) -> String {
        let now = self.newest;
        let text = self.tell(name, |table, each| {
            table.evict_all(now, &mut |session, event| each(session, event));
        });
        // That the recording ends is nothing that happened to a connection.
        text.lines()
            .filter(|line| !line.ends_with(FORGOTTEN))
            .fold(String::new(), |told, line| told + line + "\n")
    }

    fn tell(
        &mut self,
        name: Name<'_>,
        drive: impl FnOnce(&mut Table<Session>, &mut dyn FnMut(&mut Session, Event<'_>)),
    ) -> String {
        let Self {
            table,
            books,
            vantages,
            protocols,
            settings,
            started,
            lines,
            ends,
            exchanges,
            ..
        } = self;
        let mut context = Context {
            ledger: &books.ledger,
            protocols,
            verdicts: &(),
            vantages,
            out: exchanges,
            unattributed: &mut 0,
            waiting: &mut Vec::new(),
            generation: 0,
            detect_bytes: settings.detect_bytes,
            detect_turns: settings.detect_turns,
        };
        let mut text = String::new();
        drive(table, &mut |session, event| {
            if let What::Identified(identity) = event.what {
                ends.insert(event.connection.0, shown(identity, name));
            }
            let hole = hole(&event);
            let what = life(&event);
            session.on(event, &mut context);
            context.out.clear();
            let side = |direction| {
                if direction == Direction::Sent {
                    session.side()
                } else {
                    other(session.side())
                }
            };
            let mut told = Vec::new();
            if let Some((direction, hole)) = hole {
                told.push((Some(side(direction)), hole));
            }
            told.extend(
                lines
                    .take()
                    .into_iter()
                    .map(|(side, line)| (Some(side), line)),
            );
            if let (What::Data(direction, Input::Bytes(bytes), _), Standing::Settled) =
                (event.what, session.standing())
            {
                let line = format!("{} bytes, not decoded", bytes.len());
                told.push((Some(side(direction)), line));
            }
            told.extend(what.map(|what| (None, what)));
            let key = event.connection.0;
            for (speaker, line) in told {
                let time = event.time.0.saturating_sub(*started);
                let arrow = match speaker {
                    Some(Side::Client) => '>',
                    Some(Side::Server) => '<',
                    None => '-',
                };
                let unknown = [format!("socket {key}"), "?".to_owned()];
                let [own, far] = ends.get(&key).unwrap_or(&unknown);
                let (client, server) = match session.side() {
                    Side::Client => (own, far),
                    Side::Server => (far, own),
                };
                let (seconds, micros) = (time / 1_000_000_000, time % 1_000_000_000 / 1000);
                let _ = writeln!(
                    text,
                    "+{seconds}.{micros:06}s {client} {arrow} {server}  {line}"
                );
            }
            if matches!(
                event.what,
                What::Closed(_) | What::Failed(_) | What::Evicted
            ) {
                ends.remove(&key);
            }
        });
        text
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    }
}

/// Own end and the other one.
fn shown(identity: &Identity, name: Name<'_>) -> [String; 2] {
    let address = |address: [u8; 16]| {
        let address = Ipv6Addr::from(address);
        address
            .to_ipv4_mapped()
            .map_or_else(|| format!("[{address}]"), |address| address.to_string())
    };
    let own = name(identity).unwrap_or_else(|| address(identity.local));
    [
        format!("{own}:{}", identity.local_port),
        format!("{}:{}", address(identity.remote), identity.remote_port),
    ]
}

fn hole(event: &Event<'_>) -> Option<(Direction, String)> {
    let What::Data(direction, Input::Hole(length, cause), _) = event.what else {
        return None;
    };
    let cause = match cause {
        Cause::Budget => "budget",
        Cause::Shed => "shed",
        Cause::Record => "record",
    };
    Some((direction, format!("~ hole {length} bytes ({cause})")))
}

/// Of a connection that the table had no room for any more.
const FORGOTTEN: &str = "forgotten";

/// What happens to a connection, besides what is said on it.
fn life(event: &Event<'_>) -> Option<String> {
    Some(match event.what {
        What::Opened => "opened".to_owned(),
        What::Accepted => "accepted".to_owned(),
        What::Failed(reason) => format!("failed: {}", reason.label()),
        What::Finished(Direction::Sent) => "own end finished".to_owned(),
        What::Finished(Direction::Received) => "other end finished".to_owned(),
        What::Closed(reason) => format!("closed: {}", reason.label()),
        What::Evicted => FORGOTTEN.to_owned(),
        What::Identified(_) | What::Data(..) | What::Retransmitted | What::RoundTrip(_) => {
            return None;
        }
    })
}
