//! What comes of whole conversations, recorded and written.

use std::fmt::Write as _;

use super::*;
use crate::correlate::Body;
use crate::decode::Decoder as _;
use crate::decode::properties::{fixture, fixtures};
use crate::decode::redis::Redis;
use crate::decode::transcript::{Data, Step, parse};
use crate::decode::{Fed, Side};
use crate::reassemble::{Cause, Input};

/// Decodes and pairs, as the pipeline does.
fn pair(mut decoder: Redis, steps: &[Step]) -> Vec<Exchange> {
    let mut correlator = Correlator::new();
    let mut exchanges = Vec::new();
    let mut emit = |body| match body {
        Body::Redis(exchange) => exchanges.push(exchange),
        other => panic!("{other:?}"),
    };
    for step in steps {
        let input = match &step.data {
            Data::Bytes(bytes) => Input::Bytes(bytes),
            Data::Hole(length) => Input::Hole(*length, Cause::Budget),
        };
        let Fed { lost } = decoder.feed(step.side, step.time, input, &mut |message| {
            correlator.on(message, &mut emit);
        });
        if let Some((lost, _)) = lost {
            correlator.lost(step.side, lost, step.time, &mut emit);
        }
    }
    let end = steps.last().map_or(Timestamp(0), |step| step.time);
    correlator.end(end, &mut emit);
    exchanges
}

/// `command outcome`, then what else there is to say.
fn line(exchange: &Exchange) -> String {
    let mut line = format!("{} ", exchange.command.name);
    match exchange.outcome {
        Outcome::Ok => line += "ok",
        Outcome::Queued => line += "queued",
        Outcome::Unknown => line += "unknown",
        Outcome::Error(word) => {
            line += std::str::from_utf8(&word).unwrap().trim_end_matches('\0');
        }
    }
    if exchange.hits + exchange.misses > 0 {
        let _ = write!(line, " +{} -{}", exchange.hits, exchange.misses);
    }
    match exchange.time {
        Time::Blocked => line += " blocked",
        Time::Unknown if exchange.outcome != Outcome::Unknown => line += " untimed",
        Time::Server | Time::Unknown => {}
    }
    line
}

fn lines(exchanges: &[Exchange]) -> Vec<String> {
    exchanges.iter().map(line).collect()
}

/// Neighbours that are equal on one line, for reading.
fn folded(exchanges: &[Exchange]) -> String {
    let mut text = String::new();
    for same in lines(exchanges).chunk_by(|a, b| a == b) {
        let times = if same.len() > 1 {
            format!(" × {}", same.len())
        } else {
            String::new()
        };
        let _ = writeln!(text, "{}{times}", same[0]);
    }
    text
}

fn opened(text: &str) -> Vec<Exchange> {
    pair(Redis::opened(), &parse(text).unwrap())
}

#[test]
fn conversations_become_exchanges() {
    for (name, steps) in fixtures("redis") {
        let name = name.trim_end_matches(".txt");
        insta::assert_snapshot!(name, folded(&pair(Redis::opened(), &steps)));
    }
}

#[test]
fn every_exchange_of_a_joined_connection_is_one_of_the_whole_or_unknown() {
    for (name, steps) in fixtures("redis") {
        let whole = pair(Redis::opened(), &steps);
        for index in 0..steps.len() {
            let mut all = whole.iter();
            for exchange in pair(Redis::joined(), &steps[index..]) {
                let known = all.any(|of| {
                    let same = of.command == exchange.command && of.ended == exchange.ended;
                    exchange.outcome == Outcome::Unknown && of.command == exchange.command
                        || same && of.outcome == exchange.outcome
                });
                assert!(known, "{name} {index} {exchange:?}");
            }
        }
    }
}

#[test]
fn a_lost_reply_leaves_its_command_counted_and_those_behind_exact() {
    for name in [
        "redis_cli",
        "redis_py_scripts",
        "redis_py_resp3",
        "benchmark_get",
    ] {
        let steps = fixture(&format!("redis/{name}.txt"));
        let whole = pair(Redis::opened(), &steps);
        for index in (0..steps.len()).filter(|i| steps[*i].side == Side::Server) {
            let mut holed = steps.clone();
            if let Data::Bytes(bytes) = &holed[index].data {
                holed[index].data = Data::Hole(bytes.len() as u64);
            }
            let exchanges = pair(Redis::opened(), &holed);
            assert_eq!(exchanges.len(), whole.len(), "{name} {index}");
            let lost = lines(&exchanges)
                .iter()
                .zip(lines(&whole))
                .filter(|(a, b)| **a != *b)
                .count();
            assert!((1..=16).contains(&lost), "{name} {index} {lost}");
        }
    }
}

/// A command in RESP, as a line of a transcript.
fn send(words: &str) -> String {
    let words: Vec<_> = words.split(' ').collect();
    let mut text = format!("> \"*{}\\r\\n", words.len());
    for word in words {
        let _ = write!(text, "${}\\r\\n{word}\\r\\n", word.len());
    }
    text + "\"\n"
}

fn answer(line: &str) -> String {
    format!("< \"{line}\\r\\n\"\n")
}

#[test]
fn a_duration_begins_when_the_server_was_free_and_the_rest_is_waiting() {
    let get = send("GET a");
    let wait = |ms: u32| format!("@ +{ms}ms\n");
    let text = [
        &get,
        &wait(1),
        &get,
        &wait(4),
        &answer("_"),
        &wait(3),
        &answer("_"),
        &wait(500),
        &get,
        &wait(2),
        &answer("_"),
    ];
    let times: Vec<_> = opened(&text.map(String::as_str).concat())
        .iter()
        .map(|e| {
            let ms = |seconds: f64| (seconds * 1e3).round();
            (ms(e.ended.seconds_since(e.began)), ms(e.waited))
        })
        .collect();
    assert_eq!(times, [(5.0, 0.0), (3.0, 4.0), (2.0, 0.0)]);
}

#[test]
fn hidden_commands_are_counted_by_their_replies() {
    let text = send("SET a 1") + "~ > 5000\n" + &answer("+OK").repeat(3) + &answer("-OOM x");
    let text = text + &send("GET a") + &answer("_");
    assert_eq!(
        lines(&opened(&text)),
        [
            "set ok",
            "_other ok untimed",
            "_other ok untimed",
            "_other OOM untimed",
            "get ok +0 -1"
        ]
    );
}

#[test]
fn commands_whose_replies_were_hidden_are_counted() {
    let text = send("GET a").repeat(5) + &answer("_") + "~ < 90000\n";
    let text = text + &send("GET a") + &answer("$1\\r\\n1");
    assert_eq!(
        folded(&opened(&text)),
        "get ok +0 -1\nget unknown × 4\nget ok +1 -0\n"
    );
}

#[test]
fn a_transaction_joined_in_the_middle_looks_nothing_up() {
    let text = send("GET a") + &answer("+QUEUED") + "@ +1s\n" + &send("GET b");
    let text = text + &answer("+QUEUED") + &send("EXEC") + &answer("*2\\r\\n_\\r\\n_");
    let exchanges = pair(Redis::joined(), &parse(&text).unwrap());
    assert_eq!(lines(&exchanges), ["get unknown", "get queued", "exec ok"]);
}

#[test]
fn a_pipeline_beyond_the_bound_is_counted_and_what_follows_is_exact() {
    let beyond = 1000;
    let total = QUEUE_LIMIT + beyond;
    let text = send("GET a").repeat(total) + &answer("_").repeat(total);
    let text = text + &send("GET b") + &answer("$1\\r\\n1");
    let exchanges = opened(&text);
    assert_eq!(exchanges.len(), total + 1);
    let unknown = exchanges.iter().filter(|e| e.outcome == Outcome::Unknown);
    assert_eq!(unknown.count(), beyond);
    assert_eq!(line(&exchanges[total]), "get ok +1 -0");
}

#[test]
fn what_waits_at_the_end_is_unknown() {
    let exchanges = opened(&(send("BLPOP a 0") + "@ +3s\n"));
    assert_eq!(lines(&exchanges), ["blpop unknown"]);
}

#[test]
fn cancelling_every_subscription_of_a_joined_connection_pairs_what_follows() {
    let acknowledge = |what: &str, name: &str, left: u32| {
        answer(&format!(
            "*3\\r\\n${}\\r\\n{what}\\r\\n{name}\\r\\n:{left}",
            what.len()
        ))
    };
    let text = send("PING") + "< \"*2\\r\\n$4\\r\\npong\\r\\n$0\\r\\n\\r\\n\"\n" + "@ +1s\n";
    let text = text + &send("UNSUBSCRIBE") + &send("PUNSUBSCRIBE") + &send("UNSUBSCRIBE");
    let text = text + &acknowledge("unsubscribe", "$1\\r\\na", 3);
    let text = text + &acknowledge("unsubscribe", "$1\\r\\nb", 2);
    let text = text + &acknowledge("punsubscribe", "$1\\r\\nc", 1);
    let text = text + &acknowledge("punsubscribe", "$1\\r\\nd", 0);
    let text = text + &acknowledge("unsubscribe", "$-1", 0) + &send("GET a") + &answer("$-1");
    assert_eq!(
        lines(&pair(Redis::joined(), &parse(&text).unwrap())),
        [
            "ping unknown",
            "unsubscribe ok",
            "punsubscribe ok",
            "unsubscribe ok",
            "get ok +0 -1"
        ]
    );
}

#[test]
fn an_error_before_any_command_answers_none() {
    let text = answer("-ERR max number of clients reached");
    assert_eq!(opened(&text).len(), 0);
}
