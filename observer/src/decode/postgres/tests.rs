use super::*;
use crate::decode::properties::{fixtures, run, split_anywhere, start_anywhere, truncate_anywhere};
use crate::decode::transcript::{Data, Step as Line, parse};

fn show(message: &Message<'_>) -> Option<String> {
    let text = |name: Option<&[u8]>| name.map(|name| String::from_utf8_lossy(name).into_owned());
    let values = |values: Values<'_>| {
        values
            .map(|value| match value {
                Value::Null => "null".to_owned(),
                Value::Missing => "?".to_owned(),
                Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            })
            .collect::<Vec<_>>()
            .join(",")
    };
    Some(match &message.body {
        Body::Gap(_) | Body::Realigned(_) => return None,
        Body::Startup(s) => format!(
            "Startup {:?} {:?}",
            text(Some(s.user)),
            text(Some(s.database))
        ),
        Body::Query(t) => format!("Query {:?} {}", String::from_utf8_lossy(t.bytes), t.cut),
        Body::Parse {
            name,
            text: t,
            types,
        } => format!(
            "Parse {:?} {:?} {:?}",
            text(*name),
            String::from_utf8_lossy(t.bytes),
            types.clone().collect::<Vec<_>>()
        ),
        Body::Bind(b) => format!(
            "Bind {:?} {:?} [{}] {:?}",
            text(b.portal),
            text(b.statement),
            values(b.values.clone()),
            b.results().map(|f| f.iter().collect::<Vec<_>>())
        ),
        Body::Execute { portal } => format!("Execute {:?}", text(*portal)),
        Body::Describe(Target::Statement(n)) => format!("Describe S {:?}", text(*n)),
        Body::Describe(Target::Portal(n)) => format!("Describe P {:?}", text(*n)),
        Body::Close(Target::Statement(n)) => format!("Close S {:?}", text(*n)),
        Body::Close(Target::Portal(n)) => format!("Close P {:?}", text(*n)),
        Body::DataRow(v) => format!("DataRow [{}]", values(v.clone())),
        Body::CommandComplete(tag) => format!("CommandComplete {:?}", text(*tag)),
        Body::RowDescription(columns) => format!(
            "RowDescription {:?}",
            columns
                .clone()
                .map(|c| (text(Some(c.name)), c.oid, c.binary))
                .collect::<Vec<_>>()
        ),
        Body::ParameterDescription(types) => {
            format!(
                "ParameterDescription {:?}",
                types.clone().collect::<Vec<_>>()
            )
        }
        Body::Error { state, fatal } => {
            format!("Error {:?} {fatal}", text(state.as_ref().map(|s| &s[..])))
        }
        other => format!("{other:?}"),
    })
}

fn said(steps: &[Line]) -> crate::decode::properties::Said {
    run(Postgres::new(), steps, &|m: &Message<'_>| show(m))
}

#[test]
fn fixtures_decode_as_reviewed() {
    for (name, steps) in fixtures("postgres") {
        let said = said(&steps);
        let lines: Vec<_> = said
            .messages
            .iter()
            .filter(|(_, text)| text != "Aside")
            .map(|(side, text)| {
                let sign = if *side == Side::Client { '>' } else { '<' };
                let end = text
                    .char_indices()
                    .nth(200)
                    .map_or(text.len(), |(at, _)| at);
                format!("{sign} {}", &text[..end])
            })
            .collect();
        let text = format!("{}\nlost {}", lines.join("\n"), said.lost);
        insta::assert_snapshot!(name.trim_end_matches(".txt"), text);
    }
}

#[test]
fn cut_anywhere_the_messages_are_the_same() {
    for (_, steps) in fixtures("postgres") {
        split_anywhere(&Postgres::new, &steps, &|m: &Message<'_>| show(m));
    }
}

#[test]
fn every_prefix_yields_a_prefix() {
    for (_, steps) in fixtures("postgres") {
        truncate_anywhere(&Postgres::new, &steps, &|m: &Message<'_>| show(m));
    }
}

#[test]
fn begun_anywhere_nothing_false_comes_out() {
    for (name, steps) in fixtures("postgres") {
        // Without its startup message, it looks like a session until the stream begins.
        if name == "replication.txt" {
            continue;
        }
        start_anywhere(&Postgres::new, &steps, &|m: &Message<'_>| show(m));
    }
}

/// With a hole of eight bytes at every position, each side's messages are the whole's, but for
/// those of the turn that the hole is in and the one behind it; what a hole leaves open of a
/// message is not looked at.
#[test]
fn a_hole_anywhere_costs_no_more_than_its_neighbours() {
    const HOLE: usize = 8;
    let kind = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    for (name, steps) in fixtures("postgres") {
        if name.starts_with("past_budget") || name == "joined.txt" || name == "replication.txt" {
            continue;
        }
        let whole = said(&steps);
        for (index, step) in steps.iter().enumerate() {
            let Data::Bytes(bytes) = &step.data else {
                continue;
            };
            for at in 0..bytes.len().saturating_sub(HOLE) {
                let line = |data| Line {
                    data,
                    ..step.clone()
                };
                let mut holed = steps.clone();
                holed.splice(
                    index..=index,
                    [
                        line(Data::Bytes(bytes[..at].to_vec())),
                        line(Data::Hole(HOLE as u64)),
                        line(Data::Bytes(bytes[at + HOLE..].to_vec())),
                    ],
                );
                let part = said(&holed);
                for side in [Side::Client, Side::Server] {
                    let of = |said: &crate::decode::properties::Said| -> Vec<_> {
                        let mine = said.messages.iter().filter(|(s, _)| *s == side);
                        mine.map(|(_, text)| kind(text)).collect()
                    };
                    let mut all = of(&whole).into_iter();
                    for text in of(&part) {
                        assert!(
                            all.any(|candidate| candidate == text),
                            "{name}: hole in step {index} at {at}: {text} is not of the whole"
                        );
                    }
                }
                let turns = steps[index..].chunk_by(|a, b| a.side == b.side).count();
                if turns > 6 && index > 3 {
                    let last = whole
                        .messages
                        .iter()
                        .rfind(|(_, t)| t.starts_with("ReadyForQuery"));
                    let end = part
                        .messages
                        .iter()
                        .rfind(|(_, t)| t.starts_with("ReadyForQuery"));
                    assert_eq!(
                        end, last,
                        "{name}: hole in step {index} at {at}: never back"
                    );
                }
            }
        }
    }
}

#[test]
fn a_hole_inside_a_long_value_changes_nothing() {
    let mut row = vec![0, 2, 0, 0, 0x27, 0x10];
    row.resize(row.len() + 10_000, b'x');
    row.extend([0, 0, 0, 1, b'y']);
    let head = b"D"
        .iter()
        .copied()
        .chain(u32::try_from(row.len() + 4).unwrap().to_be_bytes());
    let message: Vec<u8> = head.chain(row).collect();
    let mut steps = parse("> \"Q\\0\\0\\0\\x0dSELECT 1\\0\"").unwrap();
    let line = |data| Line {
        side: Side::Server,
        time: Timestamp(1),
        data,
    };
    let mut whole = steps.clone();
    whole.push(line(Data::Bytes(message.clone())));
    steps.push(line(Data::Bytes(message[..300].to_vec())));
    steps.push(line(Data::Hole(9000)));
    steps.push(line(Data::Bytes(message[9300..].to_vec())));
    assert_eq!(said(&whole), said(&steps));
    assert_eq!(said(&steps).lost, 0);
}

#[test]
fn tls_and_replication_are_not_ours() {
    let ssl = "> 00000008 04d2162f\n< \"S\"\n> 1603010200\n< 1603030040";
    let mut decoder = Postgres::new();
    let mut lost = Vec::new();
    for step in parse(ssl).unwrap() {
        let Data::Bytes(bytes) = &step.data else {
            panic!("no holes here")
        };
        let fed = decoder.feed(step.side, step.time, Input::Bytes(bytes), &mut |_| {});
        lost.extend(fed.lost);
    }
    assert_eq!(lost, [(Lost::Tls, 5), (Lost::Tls, 5)]);
}

#[test]
fn what_is_held_is_bounded_by_no_length_a_peer_claims() {
    let mut decoder = Postgres::new();
    for (side, tag) in [
        (Side::Client, b'B'),
        (Side::Client, b'P'),
        (Side::Server, b'D'),
    ] {
        let mut message = vec![tag, 0x3f, 0xff, 0xff, 0x00];
        message.resize(1 << 20, b'x');
        for _ in 0..4 {
            for piece in message.chunks(1460) {
                decoder.feed(side, Timestamp(0), Input::Bytes(piece), &mut |_| {});
                assert!(decoder.held() <= 2 * crate::decode::HELD_LIMIT as u64);
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn survives_anything(data: Vec<u8>) {
        crate::decode::fuzz::survives(Postgres::new(), &data);
    }

    #[test]
    fn survives_fixtures_with_changed_bytes(
        which in 0_usize..1000,
        changes in proptest::collection::vec((0_usize..4000, proptest::num::u8::ANY), 0..8),
        control in proptest::collection::vec(proptest::num::u8::ANY, 64),
    ) {
        let all = fixtures("postgres");
        let (_, steps) = &all[which % all.len()];
        let mut bytes: Vec<u8> = Vec::new();
        for (step, control) in steps.iter().zip(control.iter().cycle()) {
            let Data::Bytes(data) = &step.data else { continue };
            for piece in data.chunks(63) {
                let side = u8::from(step.side == Side::Server);
                let hole = if control % 29 == 0 { 2 } else { 0 };
                bytes.push(u8::try_from(piece.len()).unwrap() << 2 | hole | side);
                bytes.extend_from_slice(piece);
            }
        }
        for (at, byte) in changes {
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
        }
        crate::decode::fuzz::survives(Postgres::new(), &bytes);
    }
}
