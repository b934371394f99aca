//! The properties, over transcripts of real servers and clients.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::decode::fuzz::survives;
use crate::decode::properties::{self, fixtures, run};
use crate::decode::transcript::{Data, Step, parse};

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A message as a line; bodies come in pieces and are left out, and so are numbers, which depend
/// on where a connection was joined.
fn show(message: &Message<'_>) -> Option<String> {
    Some(match message {
        Message::Request { head, .. } => {
            let mut line = format!("{} {}", lossy(head.method), lossy(head.path));
            for (name, value) in [
                ("query", head.query),
                ("host", head.host),
                ("forwarded", head.forwarded_host),
                ("subdomain", head.shop_subdomain),
            ] {
                if !value.is_empty() {
                    let _ = write!(line, " {name}={}", lossy(value));
                }
            }
            for (flag, set) in [
                ("json", head.json),
                ("expects", head.expects_continue),
                ("upgrade", head.upgrade),
            ] {
                if set {
                    let _ = write!(line, " {flag}");
                }
            }
            format!("{line} {:?}", head.extent)
        }
        Message::RequestEnd { size, .. } => format!("request of {size} bytes"),
        Message::Response { head, .. } => {
            let json = if head.json { " json" } else { "" };
            format!("{}{json} {:?}", head.status, head.extent)
        }
        Message::ResponseEnd { size, .. } => format!("response of {size} bytes"),
        Message::RequestBody { .. } | Message::ResponseBody { .. } | Message::Hidden { .. } => {
            return None;
        }
    })
}

/// Every message and every byte of bodies, by request and side.
fn tell(steps: &[Step]) -> (Vec<String>, Vec<u8>) {
    let mut decoder = Http1::default();
    let (mut lines, mut bodies) = (Vec::new(), Vec::new());
    let mut out = |message: Message<'_>| {
        if let Message::RequestBody { piece, .. } | Message::ResponseBody { piece, .. } = message {
            if let Piece::Bytes(bytes) = piece {
                bodies.extend_from_slice(bytes);
            }
        } else if let Message::Hidden { number, .. } = message {
            lines.push(format!("hidden {number}"));
        } else {
            lines.extend(show(&message));
        }
    };
    for step in steps {
        decoder.feed(step.side, step.time, input(step), &mut out);
    }
    let end = steps.last().map_or(Timestamp::default(), |step| step.time);
    decoder.finish(Side::Client, end, &mut out);
    decoder.finish(Side::Server, end, &mut out);
    (lines, bodies)
}

fn input(step: &Step) -> Input<'_> {
    match &step.data {
        Data::Bytes(bytes) => Input::Bytes(bytes),
        Data::Hole(length) => Input::Hole(*length, Cause::Budget),
    }
}

fn lost(text: &str) -> Vec<Option<(Lost, u64)>> {
    let mut decoder = Http1::default();
    let steps = parse(text).unwrap();
    let feed = |step: &Step| {
        decoder
            .feed(step.side, step.time, input(step), &mut |_| {})
            .lost
    };
    steps.iter().map(feed).collect()
}

#[test]
fn real_transcripts_say_what_their_snapshots_say() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/http1"
    ));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (name, steps) in fixtures("http1") {
        let name = name.trim_end_matches(".txt");
        settings.bind(|| insta::assert_snapshot!(name, tell(&steps).0.join("\n")));
    }
}

#[test]
fn cut_anywhere_the_messages_are_the_same() {
    for (name, steps) in fixtures("http1") {
        eprintln!("{name}");
        properties::split_anywhere(&Http1::default, &steps, &show);
    }
}

#[test]
fn cut_into_bytes_the_bodies_are_the_same() {
    for (name, steps) in fixtures("http1") {
        let bytes = |step: &Step| match &step.data {
            Data::Bytes(bytes) => bytes
                .iter()
                .map(|byte| Step {
                    data: Data::Bytes(vec![*byte]),
                    ..step.clone()
                })
                .collect(),
            Data::Hole(_) => vec![step.clone()],
        };
        let single: Vec<_> = steps.iter().flat_map(bytes).collect();
        assert_eq!(tell(&single), tell(&steps), "{name}");
    }
}

#[test]
fn every_prefix_says_a_prefix() {
    for (name, steps) in fixtures("http1") {
        eprintln!("{name}");
        properties::truncate_anywhere(&Http1::default, &steps, &show);
    }
}

#[test]
fn begun_anywhere_nothing_false_is_said() {
    for (name, steps) in fixtures("http1") {
        eprintln!("{name}");
        properties::start_anywhere(&Http1::default, &steps, &show);
    }
}

/// Replaces payload of bodies by holes: all of it, or what remains behind the first `keep` bytes
/// of each piece, as a spent capture budget does.
fn with_holes_in_bodies(steps: &[Step], keep: usize) -> Vec<Step> {
    let mut decoder = Http1::default();
    let mut holed = Vec::new();
    for step in steps {
        let Data::Bytes(bytes) = &step.data else {
            holed.push(step.clone());
            continue;
        };
        let mut hidden = vec![false; bytes.len()];
        let base = bytes.as_ptr() as usize;
        decoder.feed(step.side, step.time, Input::Bytes(bytes), &mut |message| {
            if let Message::RequestBody {
                piece: Piece::Bytes(piece),
                ..
            }
            | Message::ResponseBody {
                piece: Piece::Bytes(piece),
                ..
            } = message
            {
                let start = piece.as_ptr() as usize - base;
                let from = (start + keep).min(start + piece.len());
                hidden[from..start + piece.len()].fill(true);
            }
        });
        let mut at = 0;
        while at < bytes.len() {
            let run = hidden[at..]
                .iter()
                .take_while(|h| **h == hidden[at])
                .count();
            let data = if hidden[at] {
                Data::Hole(run as u64)
            } else {
                Data::Bytes(bytes[at..at + run].to_vec())
            };
            holed.push(Step {
                data,
                ..step.clone()
            });
            at += run;
        }
    }
    holed
}

#[test]
fn a_hole_in_a_body_changes_nothing() {
    for (name, steps) in fixtures("http1") {
        let whole = run(Http1::default(), &steps, &show);
        for keep in [0, 1, 100] {
            let holed = with_holes_in_bodies(&steps, keep);
            assert_eq!(run(Http1::default(), &holed, &show), whole, "{name} {keep}");
        }
    }
}

#[test]
fn requests_sent_ahead_of_their_turn_get_the_same_answers() {
    for (name, mut steps) in fixtures("http1") {
        let whole = run(Http1::default(), &steps, &show);
        if whole.lost > 0 {
            continue; // A tunnel's bytes mean something else before the tunnel stands.
        }
        steps.sort_by_key(|step| step.side == Side::Server);
        let mut ahead = run(Http1::default(), &steps, &show);
        let mut whole = whole;
        ahead
            .messages
            .sort_by_key(|(side, _)| *side == Side::Server);
        whole
            .messages
            .sort_by_key(|(side, _)| *side == Side::Server);
        assert_eq!(ahead, whole, "{name}");
    }
}

#[test]
fn a_hole_elsewhere_is_lost_and_the_next_request_is_read() {
    let text = r#"
        > "GET /a HTTP/1.1\r\n"
        ~ > 20
        > "\r\n\r\n"
        < "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        > "GET /b HTTP/1.1\r\n\r\n"
        < "HTTP/1.1 200 OK\r\nContent"
        ~ < 30
        < "ok"
        > "GET /c HTTP/1.1\r\n\r\n"
        < "HTTP/1.1 204 No Content\r\n\r\n"
    "#;
    let (lines, _) = tell(&parse(text).unwrap());
    assert_eq!(
        lines,
        [
            "GET /b Empty",
            "request of 19 bytes",
            "hidden 0",
            "GET /c Empty",
            "request of 19 bytes",
            "204 Empty",
            "response of 27 bytes",
        ]
    );
    let budget = |bytes| Some((Lost::Budget, bytes));
    assert_eq!(
        lost(text),
        [
            None,
            budget(20 + 17),
            budget(4),
            budget(40),
            None,
            None,
            budget(30 + 24),
            budget(2),
            None,
            None
        ]
    );
}

#[test]
fn hidden_chunk_borders_end_with_the_last_chunk_where_nothing_else_is_in_flight() {
    let text = r#"
        > "GET /a HTTP/1.1\r\n\r\n"
        < "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
        ~ < 100
        < "c\r\n"
        < "0\r\n\r\n"
        > "GET /b HTTP/1.1\r\n\r\n"
        < "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
        ~ < 100
        < "c\r\n0\r\nTrailer: 1\r\n\r\n"
        > "GET /c HTTP/1.1\r\n\r\n"
        < "HTTP/1.1 204 No Content\r\n\r\n"
    "#;
    let (lines, _) = tell(&parse(text).unwrap());
    assert_eq!(
        lines[2..7],
        [
            "200 Chunked",
            "response of 160 bytes",
            "GET /b Empty",
            "request of 19 bytes",
            "200 Chunked",
        ]
    );
    assert_eq!(lines[7], "hidden 1");
    assert_eq!(lines[10..], ["204 Empty", "response of 27 bytes"]);
    assert!(lost(text).iter().all(Option::is_none));
}

#[test]
fn a_client_that_does_not_wait_is_not_paired_after_a_gap() {
    let text = r#"
        > "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"
        < "HTTP/1.1 204 \r\n\r\n"
        > "GET /c HTTP/1.1\r\n\r\n"
        ~ < 50
        > "GET /d HTTP/1.1\r\n\r\n"
        < "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    "#;
    let (lines, _) = tell(&parse(text).unwrap());
    let hidden: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("hidden"))
        .collect();
    assert_eq!(hidden, ["hidden 1", "hidden 2", "hidden 3"]);
    assert!(!lines.contains(&"200 Empty".to_owned()));
}

#[test]
fn what_is_not_http_or_too_long_is_given_up_with_its_reason() {
    let long = "a".repeat(70_000);
    let rows: &[(String, Lost, u64)] = &[
        ("> \"\\x16\\x03\\x01\"".into(), Lost::Joined, 3),
        (format!("> \"GET /{long}\""), Lost::TooLong, 70_005),
        (
            format!("> \"GET / HTTP/1.1\\r\\nA: {long}\\r\\n\\r\\n\""),
            Lost::TooLong,
            70_023,
        ),
        ("< \"HTTP/1.1 200 OK\\r\\n\\r\\n\"".into(), Lost::Joined, 19),
        (
            "> \"GET / HTTP/1.1\\r\\n\\r\\n{}\"".into(),
            Lost::Malformed,
            2,
        ),
        (
            "> \"PUT / HTTP/1.1\\r\\nContent-Length: 1\\r\\nContent-Length: 2\\r\\n\\r\\nab\""
                .into(),
            Lost::Malformed,
            2,
        ),
        (
            "> \"GET / HTTP/1.1\\r\\n\\r\\n\"\n< \"HTTP/1.1 101 S\\r\\nUpgrade: h2c\\r\\n\\r\\n\\x00\"".into(),
            Lost::Http2,
            1,
        ),
    ];
    for (text, cause, bytes) in rows {
        let said = lost(text);
        assert_eq!(said.last(), Some(&Some((*cause, *bytes))), "{text:.60}");
    }
}

#[test]
fn a_missing_record_is_a_hole_and_not_the_budgets() {
    for (cause, expected) in [(Cause::Budget, Lost::Budget), (Cause::Record, Lost::Hole)] {
        let mut decoder = Http1::default();
        let request = Input::Bytes(b"GET / HTTP/1.1\r\n\r\n");
        decoder.feed(Side::Client, Timestamp(1), request, &mut |_| {});
        let hole = Input::Hole(10, cause);
        let fed = decoder.feed(Side::Server, Timestamp(2), hole, &mut |_| {});
        assert_eq!(fed.lost, Some((expected, 10)));
    }
}

#[test]
fn ten_thousand_fields_are_read() {
    let fields = "a:b\\r\\n".repeat(10_000);
    let text = format!("> \"GET /x HTTP/1.1\\r\\n{fields}Host: h\\r\\n\\r\\n\"");
    let (lines, _) = tell(&parse(&text).unwrap());
    assert_eq!(lines[0], "GET /x host=h Empty");
}

#[test]
fn more_in_flight_than_the_bound_hides_them_and_pairs_the_next_turn() {
    let many = "GET / HTTP/1.1\\r\\n\\r\\n".repeat(IN_FLIGHT_LIMIT + 1);
    let text = format!(
        "> \"{many}\"\n< \"HTTP/1.1 204 \\r\\n\\r\\n\"\n> \"GET /z HTTP/1.1\\r\\n\\r\\n\"\n\
         < \"HTTP/1.1 204 \\r\\n\\r\\n\""
    );
    let (lines, _) = tell(&parse(&text).unwrap());
    let hidden = lines
        .iter()
        .filter(|line| line.starts_with("hidden"))
        .count();
    assert_eq!(hidden, IN_FLIGHT_LIMIT + 1);
    assert_eq!(lines.last().unwrap(), "response of 17 bytes");
}

#[test]
fn no_message_shows_a_secret_or_a_body() {
    let text = r#"
        > "POST /p?token=s3cret HTTP/1.1\r\nHost: h\r\nAuthorization: s3cret\r\nContent-Length: 6\r\n\r\ns3cret"
        < "HTTP/1.1 200 OK\r\nSet-Cookie: s3cret\r\nContent-Length: 6\r\n\r\ns3cret"
    "#;
    let mut decoder = Http1::default();
    for step in parse(text).unwrap() {
        decoder.feed(step.side, step.time, input(&step), &mut |message| {
            let shown = format!("{message:?}");
            assert!(!shown.contains("s3cret"), "{shown}");
        });
    }
}

/// Asserts the memory bound after every input.
struct Bounded(Http1);

impl Decoder for Bounded {
    type Message<'a> = Message<'a>;

    fn feed(
        &mut self,
        side: Side,
        stamp: Timestamp,
        input: Input<'_>,
        out: &mut dyn FnMut(Message<'_>),
    ) -> Fed {
        let fed = self.0.feed(side, stamp, input, out);
        assert!(self.0.client.held().len() <= HELD_LIMIT);
        assert!(self.0.server.held().len() <= HELD_LIMIT);
        assert!(self.0.pairing.len() <= IN_FLIGHT_LIMIT);
        fed
    }

    fn held(&self) -> u64 {
        self.0.held()
    }

    fn passed(&self, side: Side) -> u64 {
        self.0.passed(side)
    }

    fn in_step(&self, side: Side) -> bool {
        self.0.in_step(side)
    }

    fn finish(&mut self, side: Side, stamp: Timestamp, out: &mut dyn FnMut(Message<'_>)) {
        self.0.finish(side, stamp, out);
    }
}

/// Steps in the encoding of [`survives`].
fn encode(steps: &[Step]) -> Vec<u8> {
    let mut data = Vec::new();
    for step in steps {
        let Data::Bytes(bytes) = &step.data else {
            continue;
        };
        for piece in bytes.chunks(63) {
            let length = u8::try_from(piece.len()).unwrap();
            data.push(u8::from(step.side == Side::Server) | length << 2);
            data.extend_from_slice(piece);
        }
    }
    data
}

#[test]
fn a_head_that_never_ends_is_held_up_to_the_bound() {
    let mut decoder = Bounded(Http1::default());
    let mut given_up = 0;
    decoder.feed(
        Side::Client,
        Timestamp(0),
        Input::Bytes(b"GET / HTTP/1.1\r\n"),
        &mut |_| {},
    );
    for _ in 0..3000 {
        let input = Input::Bytes(b"a: 0123456789012345678901234567890123456789\r\n");
        let lost = decoder
            .feed(Side::Client, Timestamp(0), input, &mut |_| {})
            .lost;
        given_up += lost.map_or(0, |(_, bytes)| bytes);
    }
    assert_eq!(given_up, 16 + 3000 * 45);
}

proptest! {
    #[test]
    fn survives_anything(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
        survives(Bounded(Http1::default()), &data);
    }

    #[test]
    fn survives_damaged_transcripts(
        seed in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let all = fixtures("http1");
        let mut data = encode(&all[seed.index(all.len())].1);
        for (at, byte) in damage {
            let at = at.index(data.len());
            data[at] = byte;
        }
        survives(Bounded(Http1::default()), &data);
    }
}
