//! What is written is read, and nothing else is believed.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

use observer_ebpf::{Direction, Header, Identity, Kind, Process, Protocol, Reason};
use proptest::collection::vec;
use proptest::prelude::*;

use zerocopy::IntoBytes as _;

use super::*;
use crate::capture::record::{Body, Record};

/// A record as its parts: what is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Own(Vec<u8>);

impl Own {
    fn of(record: &Record<'_>) -> Self {
        let mut bytes = record.header.as_bytes().to_vec();
        match &record.body {
            Body::Segment(head, tail) => bytes.extend([*head, *tail].concat()),
            Body::Early(identity, head) => {
                bytes.extend(identity.as_bytes());
                bytes.extend(*head);
            }
            Body::Connection(_, identity) => bytes.extend(identity.as_bytes()),
            Body::Process(_, process) => bytes.extend(process.as_bytes()),
        }
        Self(bytes)
    }

    fn record(&self) -> Record<'_> {
        Record::parse(&self.0).unwrap()
    }
}

fn identity(number: u64) -> Identity {
    Identity {
        cgroup: number,
        sent: number.wrapping_mul(3),
        ..Identity::default()
    }
}

prop_compose! {
    fn any_record()(
        kind in prop::sample::select(Kind::ALL),
        numbers in any::<[u64; 5]>(),
        small in any::<[u32; 4]>(),
        flags in any::<u16>(),
        head in vec(any::<u8>(), 0..300),
        tail in vec(any::<u8>(), 0..40),
        direction in prop::sample::select(Direction::ALL),
        protocol in prop::sample::select(Protocol::ALL),
        reason in prop::sample::select(Reason::ALL),
    ) -> Own {
        let [time, cookie, position, sender, number] = numbers;
        let [more, ahead, round_trip_us, lost] = small;
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let (head, tail) = match kind {
            Kind::Segment => (head, tail),
            Kind::Early => (head, Vec::new()),
            _ => (Vec::new(), Vec::new()),
        };
        let header = Header {
            time, cookie, position, sender, ahead, round_trip_us, lost, flags,
            length: (size(&head) + size(&tail)).saturating_add(more),
            head: size(&head),
            tail: size(&tail),
            kind: kind as u8,
            direction: direction as u8,
            protocol: protocol as u8,
            reason: reason as u8,
            reserved: [0; 2],
        };
        let mut bytes = header.as_bytes().to_vec();
        match kind {
            Kind::Segment => {}
            Kind::ProcessExec | Kind::ProcessExit | Kind::ProcessOutOfMemory => {
                bytes.extend(Process { cgroup: number, ..Process::default() }.as_bytes());
            }
            _ => bytes.extend(identity(number).as_bytes()),
        }
        bytes.extend(head);
        bytes.extend(tail);
        Own(bytes)
    }
}

fn write(records: &[Own], end: Option<&End>) -> Vec<u8> {
    let file = File::default();
    let mut writer = Writer::new(
        file.clone(),
        Preamble {
            redacted: true,
            started: 7,
        },
    )
    .unwrap();
    writer.name(5, "/shop").unwrap();
    for record in records {
        writer.record(&record.record()).unwrap();
    }
    if let Some(end) = end {
        writer.finish(end).unwrap();
    } else {
        writer.flush().unwrap();
    }
    file.0.borrow().clone()
}

/// A file that is still there when its writer is gone.
#[derive(Clone, Default)]
struct File(Rc<RefCell<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What can be read of a file, and how it ended.
fn read(file: &[u8]) -> (Vec<Own>, Result<Ending, String>) {
    let mut records = Vec::new();
    let (preamble, mut reader) = match Reader::new(file) {
        Ok(both) => both,
        Err(error) => return (records, Err(error.to_string())),
    };
    assert_eq!((preamble.redacted, preamble.started), (true, 7));
    loop {
        match reader.item() {
            Ok(Some(Item::Record(record))) => records.push(Own::of(&record)),
            Ok(Some(Item::Name(cgroup, path))) => assert_eq!((cgroup, path), (5, "/shop")),
            Ok(None) => return (records, Ok(reader.ending().unwrap())),
            Err(error) => return (records, Err(error.to_string())),
        }
    }
}

proptest! {
    #[test]
    fn every_sequence_of_records_comes_back(records in vec(any_record(), 0..20)) {
        let mut end = End { time: 99, stripped: 3, ..End::default() };
        end.counters[2] = u64::MAX;
        let (again, ending) = read(&write(&records, Some(&end)));
        prop_assert_eq!(again, records);
        prop_assert_eq!(ending, Ok(Ending::Whole(end)));
    }

    #[test]
    fn a_cut_file_yields_what_comes_before_the_cut(
        records in vec(any_record(), 1..8),
        at in any::<prop::sample::Index>(),
    ) {
        let file = write(&records, Some(&End::default()));
        let file = &file[..at.index(file.len())];
        let (again, ending) = read(file);
        prop_assert!(records.starts_with(&again));
        if file.len() < PREAMBLE {
            prop_assert_eq!(ending, Err("not a recording of observer's".into()));
        } else if ending != Ok(Ending::Whole(End::default())) {
            prop_assert!(matches!(ending, Ok(Ending::Cut(_))), "{:?}", ending);
        } else {
            // Only what says that nothing follows is missing.
            prop_assert_eq!(again, records);
        }
    }

    #[test]
    fn a_changed_byte_never_panics(
        records in vec(any_record(), 1..8),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut file = write(&records, Some(&End::default()));
        let place = at.index(file.len());
        file[place] = to;
        fuzz(&file);
    }

    #[test]
    fn arbitrary_items_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        let mut file = write(&[], None)[..PREAMBLE].to_vec();
        let mut inside = flate2::write::DeflateEncoder::new(&mut file, flate2::Compression::none());
        inside.write_all(&bytes).unwrap();
        inside.finish().unwrap();
        fuzz(&file);
    }
}

#[test]
fn what_was_flushed_is_there_though_the_writer_was_killed() {
    let record = Own::of(&Record {
        header: Header {
            kind: Kind::Segment as u8,
            length: 5,
            ..Header::default()
        },
        body: Body::Segment(b"", b""),
    });
    let (again, ending) = read(&write(&[record.clone(), record.clone()], None));
    assert_eq!(again, [record.clone(), record]);
    assert!(matches!(ending, Ok(Ending::Cut(_))));
}

#[test]
fn what_is_no_recording_is_one_sentence() {
    let file = write(&[], Some(&End::default()));
    let changed = |at: usize, to: u8| {
        let mut file = file.clone();
        file[at] = to;
        read(&file).1.unwrap_err()
    };
    for (error, expected) in [
        (read(b"").1.unwrap_err(), "not a recording of observer's"),
        (changed(0, b'x'), "not a recording of observer's"),
        (changed(13, 1), "not a recording of observer's"),
        (
            changed(8, 9),
            "a recording of format 9; this version reads 1",
        ),
        (
            changed(10, 9),
            "a recording of records of layout 9; this version reads 1",
        ),
    ] {
        assert_eq!(error, expected);
    }
    let mut damaged = file[..PREAMBLE].to_vec();
    let mut inside = flate2::write::DeflateEncoder::new(&mut damaged, flate2::Compression::none());
    inside.write_all(&[99]).unwrap();
    inside.finish().unwrap();
    assert_eq!(
        read(&damaged).1.unwrap_err(),
        "damaged 0 bytes into what it unpacks to: an unknown kind of item"
    );
}
