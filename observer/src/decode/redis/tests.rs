//! The decoder's properties over what real servers and clients said.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::decode::fuzz::survives;
use crate::decode::properties::{Said, fixtures, run, split_anywhere, truncate_anywhere};
use crate::decode::transcript::{Data, Step as Line, parse};

#[expect(clippy::unnecessary_wraps, reason = "the properties' signature")]
fn show(message: &Message) -> Option<String> {
    match message {
        Message::InStep => Some("in step".into()),
        Message::Element(answer) => Some(format!("element {answer:?}")),
        Message::Request(r) => Some(format!(
            "{} {} {} {:?}",
            r.command.name, r.arguments, r.blocks, r.switch
        )),
        Message::Reply(reply) => Some(format!("{:?} {}", reply.answer, reply.push)),
    }
}

/// Without what depends on where the decoder began.
fn show_said(message: &Message) -> Option<String> {
    show(message).filter(|_| !matches!(message, Message::InStep | Message::Element(_)))
}

fn said(text: &str) -> Said {
    run(Redis::opened(), &parse(text).unwrap(), &show_said)
}

fn texts(said: &Said) -> Vec<&str> {
    said.messages
        .iter()
        .map(|(_, text)| text.as_str())
        .collect()
}

/// Each side's messages of `part` are some of `whole`'s, in order.
fn assert_nothing_false(part: &Said, whole: &Said, context: &str) {
    for side in [Side::Client, Side::Server] {
        let of = |said: &Said| -> Vec<String> {
            let of_side = said.messages.iter().filter(|(s, _)| *s == side);
            of_side.map(|(_, text)| text.clone()).collect()
        };
        let mut all = of(whole).into_iter();
        for text in of(part) {
            assert!(
                all.any(|known| known == text),
                "{context}: {text} is not of the whole"
            );
        }
    }
}

#[test]
fn cut_anywhere_says_the_same() {
    for (_, steps) in fixtures("redis") {
        split_anywhere(&Redis::opened, &steps, &show);
    }
}

#[test]
fn every_prefix_says_a_prefix() {
    for (_, steps) in fixtures("redis") {
        truncate_anywhere(&Redis::opened, &steps, &show);
    }
}

#[test]
fn what_a_server_and_its_client_said_is_understood_whole() {
    for (name, steps) in fixtures("redis") {
        let said = run(Redis::opened(), &steps, &show);
        assert_eq!(said.lost > 0, name == "replication.txt", "{name}");
    }
}

#[test]
fn begun_anywhere_nothing_false_is_said() {
    for (name, steps) in fixtures("redis") {
        let whole = run(Redis::opened(), &steps, &show_said);
        for (index, step) in steps.iter().enumerate() {
            let Data::Bytes(bytes) = &step.data else {
                continue;
            };
            for at in (0..=bytes.len()).filter(|at| *at < 200 || at % 17 == 0) {
                let mut rest = steps[index..].to_vec();
                rest[0].data = Data::Bytes(bytes[at..].to_vec());
                let said = run(Redis::joined(), &rest, &show_said);
                assert_nothing_false(&said, &whole, &format!("{name} {index} {at}"));
            }
        }
    }
}

/// Where long values lie in a step: begin and end of what a hole may hide.
fn values(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'$') {
        let line = &bytes[at + 1..bytes.len().min(at + 8)];
        let Some(end) = line.windows(2).position(|w| w == b"\r\n") else {
            continue;
        };
        let length = std::str::from_utf8(&line[..end])
            .ok()
            .and_then(|t| t.parse().ok());
        let begin = at + 1 + end + 2;
        if let Some(length @ 25usize..) = length
            && begin + length <= bytes.len()
        {
            found.push((begin, begin + length));
        }
    }
    found
}

#[test]
fn a_hole_in_a_value_changes_nothing() {
    let mut tried = 0;
    for (name, steps) in fixtures("redis") {
        let whole = run(Redis::opened(), &steps, &show);
        for (index, step) in steps.iter().enumerate() {
            let Data::Bytes(bytes) = &step.data else {
                continue;
            };
            for (begin, end) in values(bytes) {
                for (begin, end) in [(begin, end), (begin + 1, end), (begin, end - 1)] {
                    let piece = |data| Line {
                        data,
                        ..step.clone()
                    };
                    let mut holed = steps.clone();
                    holed.splice(
                        index..=index,
                        [
                            piece(Data::Bytes(bytes[..begin].to_vec())),
                            piece(Data::Hole((end - begin) as u64)),
                            piece(Data::Bytes(bytes[end..].to_vec())),
                        ],
                    );
                    tried += 1;
                    assert_eq!(run(Redis::opened(), &holed, &show), whole, "{name} {index}");
                }
            }
        }
    }
    assert!(tried > 30, "{tried}");
}

#[test]
fn a_hole_anywhere_else_is_lost_and_nothing_false_follows() {
    for (name, steps) in fixtures("redis") {
        let whole = run(Redis::opened(), &steps, &show_said);
        for (index, step) in steps.iter().enumerate() {
            let Data::Bytes(bytes) = &step.data else {
                continue;
            };
            for at in (0..bytes.len()).filter(|at| *at < 100 || at % 31 == 0) {
                let hidden = (bytes.len() - at) as u64;
                let piece = |data| Line {
                    data,
                    ..step.clone()
                };
                let mut holed = steps.clone();
                holed.splice(
                    index..=index,
                    [
                        piece(Data::Bytes(bytes[..at].to_vec())),
                        piece(Data::Hole(hidden)),
                    ],
                );
                let said = run(Redis::opened(), &holed, &show_said);
                assert_nothing_false(&said, &whole, &format!("{name} {index} {at}"));
            }
        }
    }
}

#[test]
fn a_command_waits_for_others_only_by_its_own_option() {
    for (command, blocks) in [
        ("XREAD BLOCK 100 STREAMS s $", true),
        ("XREAD COUNT 1 block 100 STREAMS s $", true),
        ("XREAD COUNT 1 STREAMS block $", false),
        ("XREAD STREAMS BLOCK BLOCK 0 0", false),
        ("XREADGROUP GROUP BLOCK BLOCK STREAMS s >", false),
        (
            "XREADGROUP NOACK COUNT 1 GROUP g c BLOCK 0 STREAMS s >",
            true,
        ),
        ("XREADGROUP BLOCK 0 GROUP g c STREAMS s >", true),
        ("XREAD", false),
        ("LPOP BLOCK", false),
        ("BLPOP l 0", true),
        ("WAIT 0 0", true),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let mut text = format!("> \"*{}\\r\\n", words.len());
        for word in &words {
            let _ = write!(text, "${}\\r\\n{word}\\r\\n", word.len());
        }
        let verb = words[0].to_ascii_lowercase();
        let expected = format!("{verb} {} {blocks} None", words.len() - 1);
        for text in [text + "\"\n", format!("> \"{command}\\r\\n\"\n")] {
            assert_eq!(texts(&said(&text)), [expected.as_str()], "{text}");
        }
    }
}

const PING: &str = "> \"*1\\r\\n$4\\r\\nPING\\r\\n\"\n";
const PONG: &str = "< \"+PONG\\r\\n\"\n";

#[test]
fn a_turn_on_which_replies_were_missed_leaves_the_next_one_in_step() {
    let said = said(&format!("{PING}~ < 7\n{PING}{PONG}"));
    assert_eq!(
        texts(&said),
        [
            "ping 0 false None",
            "ping 0 false None",
            "Status(Other) false"
        ]
    );
    assert_eq!(said.lost, 7);
}

#[test]
fn a_client_that_keeps_several_in_flight_is_in_step_again_only_after_silence() {
    // The second and third command go out before the first reply is in.
    let overlapping = format!("{PING}{PING}{PONG}{PING}");
    let busy = said(&format!("{overlapping}~ < 7\n{PING}{PONG}{PING}{PONG}"));
    let replies = |said: &Said| {
        said.messages
            .iter()
            .filter(|(s, _)| *s == Side::Server)
            .count()
    };
    assert_eq!(replies(&busy), 1);
    let idle = said(&format!(
        "{overlapping}~ < 7\n@ +11ms\n{PING}{PONG}{PING}{PONG}"
    ));
    assert_eq!(replies(&idle), 3);
}

#[test]
fn a_joined_connection_is_believed_after_sixteen_turns_or_silence() {
    let replies = |text: &str| {
        let said = run(Redis::joined(), &parse(text).unwrap(), &show);
        said.messages
            .iter()
            .filter(|(s, _)| *s == Side::Server)
            .count()
    };
    let turn = format!("{PING}{PONG}");
    assert_eq!(replies(&turn.repeat(16)), 0);
    assert_eq!(replies(&turn.repeat(18)), 2);
    assert_eq!(replies(&format!("{turn}@ +10ms\n{turn}")), 1);
}

#[test]
fn nesting_is_followed_to_its_bound_and_no_further() {
    let nested = |depth: usize| {
        let open = "*1\\r\\n".repeat(depth);
        said(&format!("{PING}< \"{open}:1\\r\\n\"\n"))
    };
    assert_eq!((texts(&nested(32)).len(), nested(32).lost), (2, 0));
    assert_eq!(texts(&nested(33)).len(), 1);
    assert!(nested(33).lost > 0);
}

#[test]
fn streamed_strings_and_aggregates_end_at_their_marker() {
    for reply in [
        "$?\\r\\n;4\\r\\nHell\\r\\n;1\\r\\no\\r\\n;0\\r\\n",
        "*?\\r\\n:1\\r\\n$?\\r\\n;1\\r\\na\\r\\n;0\\r\\n.\\r\\n",
        "%?\\r\\n+a\\r\\n:1\\r\\n.\\r\\n",
        "|1\\r\\n+ttl\\r\\n:3600\\r\\n*2\\r\\n|1\\r\\n+a\\r\\n_\\r\\n:1\\r\\n:2\\r\\n",
        "(3492890328409238509324850943850943825024385\\r\\n",
        "!21\\r\\nSYNTAX invalid syntax\\r\\n",
        "*0\\r\\n",
        "*-1\\r\\n",
        "~0\\r\\n",
    ] {
        let said = said(&format!("{PING}< \"{reply}\" {}\n", "\"+PONG\\r\\n\""));
        assert_eq!((texts(&said).len(), said.lost), (3, 0), "{reply}");
    }
}

#[test]
fn only_direct_elements_are_counted() {
    let all = |name: &str, nils: u32, values: u32| {
        format!(
            "Aggregate(Aggregate {{ name: {name}, number: 7, nils: {nils}, values: {values} }}) false"
        )
    };
    let reply = "*4\\r\\n$-1\\r\\n*2\\r\\n$-1\\r\\n:3\\r\\n:7\\r\\n>1\\r\\n+x\\r\\n_\\r\\n";
    let said = said(&format!("{PING}< \"{reply}\"\n"));
    assert_eq!(texts(&said)[1], all("Other", 2, 2));
}

#[test]
fn an_error_is_told_by_its_first_word_and_only_if_that_is_a_servers() {
    for (text, word) in [
        ("ERR unknown command", "ERR"),
        ("WRONGTYPE", "WRONGTYPE"),
        ("MOVED 3999 127.0.0.1:6381", "MOVED"),
        ("user:12 not found", "_other"),
        ("ANN's order", "_other"),
        ("AVERYLONGWORDINDEED x", "_other"),
        ("", "_other"),
    ] {
        let mut expected = [0; 16];
        expected[..word.len()].copy_from_slice(word.as_bytes());
        let said = said(&format!("{PING}< \"-{text}\\r\\n\"\n"));
        assert_eq!(
            texts(&said)[1],
            format!("Error({expected:?}) false"),
            "{text}"
        );
    }
}

#[test]
fn nothing_of_a_key_a_value_or_a_password_is_in_what_is_said_or_printed() {
    let mut decoder = Redis::opened();
    let mut printed = String::new();
    for bytes in [
        &b"*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n"[..],
        b"AUTH hunter2\r\nhunter2 hunter2\r\n*2\r\n$6\r\nclient\r\n$7\r\nhunter2\r\n",
        b"*1\r\n$7\r\nhunter2\r\n*2\r\n$3\r\nGET\r\n$7\r\nhun",
        b"ter2\r\nAUTH hunter2",
    ] {
        decoder.feed(Side::Client, Timestamp(1), Input::Bytes(bytes), &mut |m| {
            let _ = write!(printed, "{m:?}");
        });
        let _ = write!(printed, "{decoder:?}");
    }
    assert!(printed.contains("\"auth\"") && printed.contains("\"_other\""));
    assert!(!printed.contains("hunter") && !printed.contains("104, 117, 110"));
}

#[test]
fn a_connection_needs_less_than_its_bound() {
    assert!(size_of::<Redis>() < 700, "{}", size_of::<Redis>());
}

#[test]
fn the_longest_claims_cost_nothing() {
    let said = said(concat!(
        "> \"*1048576\\r\\n$1099511627776\\r\\n\"\n~ > 100000000000\n",
        "< \"*1099511627776\\r\\n*1099511627776\\r\\n$1099511627776\\r\\n\"\n~ < 100000000000\n",
    ));
    assert_eq!((texts(&said).len(), said.lost), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn survives_anything(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        survives(Redis::opened(), &data);
        survives(Redis::joined(), &data);
    }

    #[test]
    fn survives_what_looks_like_the_protocol(
        pieces in proptest::collection::vec((any::<u8>(), prop::sample::select(PIECES.to_vec())), 0..60),
    ) {
        let mut data = Vec::new();
        for (control, piece) in pieces {
            let length = u8::try_from(piece.len()).unwrap();
            data.push(length << 2 | (control & 1) | if control < 16 { 2 } else { 0 });
            data.extend_from_slice(piece.as_bytes());
        }
        survives(Redis::opened(), &data);
        survives(Redis::joined(), &data);
    }
}

const PIECES: &[&str] = &[
    "*1\r\n$4\r\nPING\r\n",
    "*2\r\n",
    "$3\r\n",
    "GET\r\n",
    "a\r\n",
    "$-1\r\n",
    "*-1\r\n",
    "_\r\n",
    ":7\r\n",
    "*?\r\n",
    ".\r\n",
    "$?\r\n",
    ";0\r\n",
    ";2\r\nab\r\n",
    "%1\r\n",
    "|1\r\n",
    ">2\r\n",
    "+OK\r\n",
    "-ERR x\r\n",
    "!4\r\nERR \r\n",
    "PING\r\n",
    "PSYNC ? -1\r\n",
    "+FULLRESYNC a 0\r\n",
    "\r",
    "\n",
    "EXEC\r\n",
    "*1\r\n$4\r\nEXEC\r\n",
    "$9\r\nsubscribe\r\n",
    "0",
    "xxxxxxxxxxxx",
    "=5\r\ntxt:a\r\n",
    ",1.5\r\n",
    "#t\r\n",
];
