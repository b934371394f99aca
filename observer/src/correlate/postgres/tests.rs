use super::*;
use crate::correlate::Body;
use crate::decode::postgres::Postgres;
use crate::decode::properties::fixtures;
use crate::decode::transcript::{Data, Step, parse};
use crate::decode::{Decoder as _, Side};
use crate::reassemble::{Cause, Input};
use std::fmt::Write as _;

mod portals;
mod rules;

/// Wants the first parameter and the columns `id` and `name` of everything.
struct Everything;

impl Interest for Everything {
    fn wanted(&self, _: &Statement) -> Arc<Wanted> {
        Arc::new(Wanted {
            parameters: vec![1],
            columns: vec!["name".to_owned(), "id".to_owned()],
            rows: false,
        })
    }

    fn wanted_by_name(&self, _: &str) -> Option<Arc<Wanted>> {
        None
    }
}

fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(Box::new(Everything)))
}

fn correlate(shared: &Arc<Shared>, steps: &[Step]) -> Vec<Body> {
    let mut decoder = Postgres::new();
    let mut correlator = Correlator::new(Arc::clone(shared));
    let mut bodies = Vec::new();
    let mut time = Timestamp::default();
    for step in steps {
        let input = match &step.data {
            Data::Bytes(bytes) => Input::Bytes(bytes),
            Data::Hole(length) => Input::Hole(*length, Cause::Budget),
        };
        time = step.time;
        decoder.feed(step.side, step.time, input, &mut |message| {
            correlator.on(&message, &mut |body| bodies.push(body));
        });
    }
    correlator.end(time, &mut |body| bodies.push(body));
    bodies
}

fn state(state: SqlState) -> String {
    String::from_utf8_lossy(&state.0).into_owned()
}

fn describe(bodies: &[Body]) -> String {
    let mut text = String::new();
    for body in bodies {
        match body {
            Body::SqlSession(session) if session.accepted => {
                writeln!(text, "session {}", session.database)
            }
            Body::SqlSession(session) => writeln!(text, "refused {}", session.database),
            Body::Sql(e) => {
                let which = match &e.which {
                    Which::Known(statement) => {
                        let shown: String = statement.text.chars().take(70).collect();
                        format!("{shown:?}")
                    }
                    other => format!("{other:?}"),
                };
                let outcome = match e.outcome {
                    Outcome::Completed => format!("{} {:?}", e.tag, e.rows),
                    Outcome::Failed(code) => format!("failed {}", state(code)),
                    Outcome::Unknown => format!("unknown {} {:?}", e.tag, e.rows),
                };
                let mut values = String::new();
                for value in e.parameters.iter().flatten() {
                    let _ = write!(
                        values,
                        " ${:?}",
                        value
                            .bytes
                            .as_deref()
                            .map(<[u8]>::escape_ascii)
                            .map(|v| v.to_string())
                    );
                }
                for Cell { column, value, .. } in &e.columns {
                    let _ = write!(
                        values,
                        " {column}={}",
                        value.bytes.as_deref().unwrap_or(b"null").escape_ascii()
                    );
                }
                writeln!(text, "execution {which} {outcome}{values}")
            }
            Body::SqlError(code) => writeln!(text, "error {}", state(*code)),
            Body::SqlTransaction(outcome) => writeln!(text, "transaction {}", outcome.label()),
            Body::SqlHidden => writeln!(text, "hidden"),
            other => writeln!(text, "{other:?}"),
        }
        .unwrap();
    }
    text
}

#[test]
fn fixtures_correlate_as_reviewed() {
    for (name, steps) in fixtures("postgres") {
        let text = describe(&correlate(&shared(), &steps));
        insta::assert_snapshot!(name.trim_end_matches(".txt"), text);
    }
}

#[test]
fn cut_into_single_bytes_the_exchanges_are_the_same() {
    for (name, steps) in fixtures("postgres") {
        let mut single = Vec::new();
        for step in &steps {
            match &step.data {
                Data::Bytes(bytes) => single.extend(bytes.iter().map(|byte| Step {
                    data: Data::Bytes(vec![*byte]),
                    ..step.clone()
                })),
                Data::Hole(_) => single.push(step.clone()),
            }
        }
        assert_eq!(
            describe(&correlate(&shared(), &single)),
            describe(&correlate(&shared(), &steps)),
            "{name}"
        );
    }
}

/// Never more executions than there were, and no transaction's outcome but the true or unknown.
#[test]
fn begun_anywhere_no_execution_is_invented() {
    for (name, steps) in fixtures("postgres") {
        // Without its startup message, it looks like a session until the stream begins.
        if name == "replication.txt" {
            continue;
        }
        let count = |bodies: &[Body]| {
            let of = |outcome| {
                bodies
                    .iter()
                    .filter(|b| matches!(b, Body::SqlTransaction(o) if *o == outcome))
                    .count()
            };
            (
                bodies.iter().filter(|b| matches!(b, Body::Sql(_))).count(),
                of(Transaction::Rollback),
                of(Transaction::Commit),
            )
        };
        let whole = count(&correlate(&shared(), &steps));
        for from in 1..steps.len() {
            let part = count(&correlate(&shared(), &steps[from..]));
            assert!(
                part.0 <= whole.0,
                "{name} from step {from}: {part:?} of {whole:?}"
            );
            assert!(
                part.1 <= whole.1,
                "{name} from step {from}: {part:?} of {whole:?}"
            );
            assert!(
                part.2 <= whole.2,
                "{name} from step {from}: {part:?} of {whole:?}"
            );
        }
    }
}

fn executions(bodies: Vec<Body>) -> Vec<Execution> {
    let executions = bodies.into_iter().filter_map(|body| match body {
        Body::Sql(execution) => Some(*execution),
        _ => None,
    });
    executions.collect()
}

#[test]
fn a_pgx_statement_prepared_unseen_heals_by_a_parse_elsewhere() {
    let shared = shared();
    let all = fixtures("postgres");
    let (_, steps) = all
        .iter()
        .find(|(name, _)| name == "pgx_session.txt")
        .unwrap();
    // Begun behind the second request for the statement: its Parse is gone.
    let later = steps
        .iter()
        .enumerate()
        .filter(|(_, step)| matches!(&step.data, Data::Bytes(b) if b.first() == Some(&b'B')))
        .map(|(index, _)| index)
        .next()
        .unwrap();
    let first = executions(correlate(&shared, &steps[later..]));
    assert!(matches!(&first[0].which, Which::Named(name) if name.starts_with("stmtcache_")));
    correlate(&shared, steps);
    let healed = executions(correlate(&shared, &steps[later..]));
    assert!(matches!(&healed[0].which, Which::Known(s) if s.text.contains("GetShop")));
}

#[test]
fn durations_run_from_the_later_of_request_and_last_answer() {
    // Two queries in one write at 0; answers at 10 ms and 30 ms, the last ready at 40 ms.
    let query = "\"Q\\0\\0\\0\\x0dSELECT 1\\0\"";
    let tag = "\"C\\0\\0\\0\\x0dSELECT 1\\0\"";
    let ready = "\"Z\\0\\0\\0\\x05I\"";
    let text = format!(
        "> {query} {query}\n@ +10ms\n< {tag}\n@ +5ms\n< {ready}\n@ +15ms\n< {tag}\n@ +10ms\n< {ready}\n"
    );
    let ran = executions(correlate(&shared(), &parse(&text).unwrap()));
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert_eq!(ran.len(), 2);
    assert!(
        near(ran[0].seconds, 0.015) && near(ran[0].waited, 0.0),
        "{:?}",
        ran[0]
    );
    assert!(
        near(ran[1].seconds, 0.025) && near(ran[1].waited, 0.015),
        "{:?}",
        ran[1]
    );
}

#[test]
fn idle_time_before_a_late_sync_is_nobodys() {
    let all = fixtures("postgres");
    let (_, steps) = all.iter().find(|(name, _)| name == "flush.txt").unwrap();
    let ran = executions(correlate(&shared(), steps));
    assert_eq!(ran.len(), 1);
    assert!(ran[0].seconds < 0.015, "{}", ran[0].seconds);
}

/// A query in one message, and its answer.
const QUERY: &str = "\"Q\\0\\0\\0\\x0dSELECT 1\\0\"";
const ANSWER: &str = "\"C\\0\\0\\0\\x0dSELECT 1\\0\" \"Z\\0\\0\\0\\x05I\"";

#[test]
fn a_request_that_was_hidden_counts_without_a_duration() {
    // Three seconds after the last answer the client's bytes are missing.
    let text = format!(
        "> {QUERY}\n@ +1ms\n< {ANSWER}\n@ +3s\n~ > 14\n@ +1ms\n< {ANSWER}\n@ +1ms\n\
         > {QUERY}\n@ +2ms\n< {ANSWER}\n"
    );
    let ran = executions(correlate(&shared(), &parse(&text).unwrap()));
    let timed: Vec<_> = ran.iter().map(|ran| ran.timed).collect();
    assert_eq!(timed, [true, false, true]);
    assert!(ran[2].seconds < 0.003, "{:?}", ran[2]);
}

#[test]
fn answers_that_were_hidden_time_only_what_ran_alone() {
    // One query, its tag hidden; then two in one write, both tags hidden.
    let ready = "\"Z\\0\\0\\0\\x05I\"";
    let text = format!(
        "> {QUERY}\n@ +5ms\n< {ANSWER}\n@ +1s\n> {QUERY}\n@ +5ms\n~ < 14\n< {ready}\n\
         > {QUERY} {QUERY}\n@ +5ms\n~ < 34\n< {ready}\n> {QUERY}\n@ +5ms\n< {ANSWER}\n"
    );
    let ran = executions(correlate(&shared(), &parse(&text).unwrap()));
    let timed: Vec<_> = ran.iter().map(|ran| ran.timed).collect();
    assert_eq!(timed, [true, true, false, false, true]);
    assert!((ran[1].seconds - 0.005).abs() < 1e-9, "{:?}", ran[1]);
}

#[test]
fn what_ended_before_a_gap_does_not_run_to_its_end() {
    // Two Executes before one Sync: the first one's tag is seen after 1 ms, the rest hidden.
    let bind = "\"B\\0\\0\\0\\x0c\\0\\0\\0\\0\\0\\0\\0\\0\" \"E\\0\\0\\0\\x09\\0\\0\\0\\0\\0\"";
    let text = format!(
        "> {QUERY}\n@ +1ms\n< {ANSWER}\n> {bind} {bind} {bind} \"S\\0\\0\\0\\x04\"\n@ +1ms\n\
         < \"2\\0\\0\\0\\x04\" \"C\\0\\0\\0\\x0dSELECT 1\\0\"\n@ +2s\n~ < 40\n< \"Z\\0\\0\\0\\x05I\"\n"
    );
    let ran = executions(correlate(&shared(), &parse(&text).unwrap()));
    assert!(ran[1].timed && ran[1].seconds < 0.002, "{ran:?}");
    assert!(ran.iter().skip(2).all(|ran| !ran.timed), "{ran:?}");
}

#[test]
fn what_runs_when_the_connection_ends_has_no_duration() {
    let steps = parse(&format!("> {QUERY}\n@ +5ms\n< {ANSWER}\n> {QUERY}\n")).unwrap();
    let ran = executions(correlate(&shared(), &steps));
    assert_eq!(ran.len(), 2);
    assert!(!ran[1].timed && ran[1].outcome == Outcome::Unknown);
}

#[test]
fn requests_beyond_the_bound_that_no_sync_ends_yet_still_count() {
    let pair = "\"B\\0\\0\\0\\x0c\\0\\0\\0\\0\\0\\0\\0\\0\" \"E\\0\\0\\0\\x09\\0\\0\\0\\0\\0\" ";
    let tag = "\"2\\0\\0\\0\\x04\" \"C\\0\\0\\0\\x0dSELECT 1\\0\" ";
    let (sync, ready) = ("\"S\\0\\0\\0\\x04\"", "\"Z\\0\\0\\0\\x05I\"");
    // A unit beyond the bound, and the beginning of the next, before the first answer.
    let text = format!(
        "> {QUERY}\n< {ANSWER}\n> {}{sync} {pair}\n< {}{ready}\n> {sync}\n< {tag}{ready}\n\
         > {QUERY}\n< {ANSWER}\n",
        pair.repeat(5000),
        tag.repeat(5000),
    );
    let ran = executions(correlate(&shared(), &parse(&text).unwrap()));
    assert_eq!(ran.len(), 5003);
    assert!(matches!(ran[5002].which, Which::Known(_)));
}

/// Queries of a thousand statements, each sent before the one `ahead` of it was answered: how many
/// executions have a text, and how many none.
fn long_queries(queries: usize, ahead: usize) -> (usize, usize) {
    let text = "SELECT 1;".repeat(1000);
    let mut query = vec![b'Q'];
    query.extend(u32::try_from(text.len() + 5).unwrap().to_be_bytes());
    query.extend(text.as_bytes());
    query.push(0);
    let mut answer = b"C\0\0\0\x0dSELECT 1\0".repeat(1000);
    answer.extend(b"Z\0\0\0\x05I");
    let mut decoder = Postgres::new();
    let mut correlator = Correlator::new(shared());
    let (mut known, mut unknown) = (0, 0);
    let mut say = |side, bytes: &[u8]| {
        decoder.feed(side, Timestamp(1), Input::Bytes(bytes), &mut |message| {
            correlator.on(&message, &mut |body| match body {
                Body::Sql(ran) if matches!(ran.which, Which::Known(_)) => known += 1,
                Body::Sql(_) => unknown += 1,
                _ => {}
            });
        });
    };
    say(Side::Server, b"Z\0\0\0\x05I");
    for number in 0..queries + ahead {
        if number < queries {
            say(Side::Client, &query);
        }
        if number >= ahead {
            say(Side::Server, &answer);
        }
    }
    (known, unknown)
}

#[test]
fn queries_of_many_statements_take_a_bounded_room_and_give_it_back() {
    // A client that is always one ahead holds little, however long it goes on.
    assert_eq!(long_queries(300, 1), (300_000, 0));
    // One that waits for none holds what there is room for; all is counted.
    let (known, unknown) = long_queries(300, 300);
    assert_eq!(known + unknown, 300_000);
    assert!((100_000..200_000).contains(&known), "{known}");
}

#[test]
fn a_text_cut_in_its_last_statement_is_cut_there_alone() {
    let mut text = String::from("BEGIN;INSERT INTO t VALUES ('");
    text.push_str(&"x".repeat(20_000));
    let mut message = vec![b'Q'];
    message.extend(u32::try_from(text.len() + 7).unwrap().to_be_bytes());
    message.extend(text.as_bytes());
    message.extend(b"')\0");
    let mut decoder = Postgres::new();
    let mut correlator = Correlator::new(shared());
    // As of an open session.
    let ready = [Input::Bytes(b"Z\0\0\0\x05I"), Input::Bytes(&message)];
    for (side, input) in [Side::Server, Side::Client].into_iter().zip(ready) {
        decoder.feed(side, Timestamp(1), input, &mut |message| {
            correlator.on(&message, &mut |_| {});
        });
    }
    let Some(pairing::Request::Query { texts, .. }) = correlator.queue.front() else {
        panic!("a query waits");
    };
    let cut: Vec<_> = texts
        .iter()
        .flatten()
        .map(|text| text.statement.cut)
        .collect();
    assert_eq!(cut, [false, true]);
}

#[test]
fn debug_shows_neither_texts_nor_values() {
    let all = fixtures("postgres");
    let (_, steps) = all
        .iter()
        .find(|(name, _)| name == "psycopg_session.txt")
        .unwrap();
    let bodies = correlate(&shared(), steps);
    assert!(describe(&bodies).contains("SELECT name"));
    let shown = format!("{bodies:?}");
    assert!(!shown.contains("SELECT name"), "{shown}");
}

#[test]
fn a_queue_without_end_is_bounded_and_its_answers_still_count() {
    let mut requests = String::from("> ");
    let mut answers = String::from("< ");
    for _ in 0..10_000 {
        requests.push_str(
            "\"B\\0\\0\\0\\x0c\\0\\0\\0\\0\\0\\0\\0\\0\" \"E\\0\\0\\0\\x09\\0\\0\\0\\0\\0\" ",
        );
        answers.push_str("\"2\\0\\0\\0\\x04\" \"C\\0\\0\\0\\x0dSELECT 1\\0\" ");
    }
    requests.push_str("\"S\\0\\0\\0\\x04\"");
    answers.push_str("\"Z\\0\\0\\0\\x05I\"");
    let query =
        "> \"Q\\0\\0\\0\\x0dSELECT 1\\0\"\n< \"C\\0\\0\\0\\x0dSELECT 1\\0\" \"Z\\0\\0\\0\\x05I\"";
    let steps = parse(&format!("{query}\n{requests}\n{answers}\n{query}\n")).unwrap();
    let ran = executions(correlate(&shared(), &steps));
    assert_eq!(ran.len(), 10_002);
    assert!(matches!(ran[10_001].which, Which::Known(_)));
}

proptest::proptest! {
    #[test]
    fn survives_fixtures_with_changed_bytes(
        which in 0_usize..1000,
        changes in proptest::collection::vec((0_usize..100, 0_usize..400, proptest::num::u8::ANY), 0..6),
        holes in proptest::collection::vec(0_usize..100, 0..3),
    ) {
        let all = fixtures("postgres");
        let mut steps = all[which % all.len()].1.clone();
        let count = steps.len();
        for (step, at, byte) in changes {
            if let Data::Bytes(bytes) = &mut steps[step % count].data
                && let Some(slot) = bytes.get_mut(at)
            {
                *slot = byte;
            }
        }
        for step in holes {
            steps[step % count].data = Data::Hole(100);
        }
        correlate(&shared(), &steps);
    }
}
