//! Portals that are fetched in part, and what runs before they are gone.

use super::rules::message;
use super::*;

/// Wants the rows of everything.
struct Rows;

impl Interest for Rows {
    fn wanted(&self, _: &Statement) -> Arc<Wanted> {
        Arc::new(Wanted {
            parameters: Vec::new(),
            columns: vec!["id".to_owned()],
            rows: true,
        })
    }

    fn wanted_by_name(&self, _: &str) -> Option<Arc<Wanted>> {
        None
    }
}

const INSERT: &str = "INSERT INTO t SELECT 1 RETURNING id";
const SELECT: &str = "SELECT id FROM t";

/// A step of a session in a block.
enum Do {
    /// A statement, and its tag.
    Say(&'static str, &'static str),
    /// Makes a portal of a statement and fetches a row of it.
    Open(&'static str, &'static str),
    /// Fetches what is left of one: a row or none, and the tag.
    Rest(&'static str, bool, &'static str),
    /// The same, which fails.
    Fail(&'static str),
    /// Closes one.
    Close(&'static str),
}

fn execute(portal: &str) -> Vec<u8> {
    let name = [portal.as_bytes(), &[0]].concat();
    [
        message(b'E', &[&name[..], &[0, 0, 0, 1]].concat()),
        message(b'S', b""),
    ]
    .concat()
}

fn described() -> Vec<u8> {
    let text = &[0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0];
    message(b'T', &[b"\0\x01id\0\0\0\0\0\0\0", &text[..]].concat())
}

/// What is sent, and what is answered.
fn written(step: &Do) -> (Vec<u8>, Vec<u8>) {
    let tag = |tag: &str| message(b'C', &[tag.as_bytes(), &[0]].concat());
    let row = || message(b'D', b"\0\x01\0\0\0\x011");
    match step {
        Do::Say(text, told) => (message(b'Q', &[text.as_bytes(), &[0]].concat()), tag(told)),
        Do::Open(portal, text) => {
            let name = [portal.as_bytes(), &[0]].concat();
            let sent = [
                message(b'P', &[&[0], text.as_bytes(), &[0, 0, 0]].concat()),
                message(b'B', &[&name[..], &[0; 7]].concat()),
                message(b'D', &[b"P", &name[..]].concat()),
                execute(portal),
            ];
            let answer = [message(b'1', b""), message(b'2', b""), described(), row()];
            let end = message(b's', b"");
            (sent.concat(), [answer.concat(), end].concat())
        }
        Do::Rest(portal, more, told) => {
            let rows = if *more { row() } else { Vec::new() };
            (execute(portal), [rows, tag(told)].concat())
        }
        Do::Fail(portal) => (execute(portal), message(b'E', b"C22012\0\0")),
        Do::Close(portal) => {
            let name = [b"P", portal.as_bytes(), &[0]].concat();
            let sent = [message(b'C', &name), message(b'S', b"")].concat();
            (sent, message(b'3', b""))
        }
    }
}

/// What is told of a session that does this, a line each.
fn told(steps: &[Do]) -> Vec<String> {
    let begin = [Do::Say("BEGIN", "BEGIN")];
    let end = [Do::Say("COMMIT", "COMMIT")];
    let mut decoder = Postgres::new();
    let mut correlator = Correlator::new(Arc::new(Shared::new(Box::new(Rows))));
    let mut bodies = Vec::new();
    let mut say = |side, bytes: &[u8]| {
        decoder.feed(side, Timestamp(1), Input::Bytes(bytes), &mut |message| {
            correlator.on(&message, &mut |body| bodies.push(body));
        });
    };
    say(Side::Server, b"Z\0\0\0\x05I");
    for step in begin.iter().chain(steps).chain(&end) {
        let (sent, answer) = written(step);
        let status = if matches!(step, Do::Say("COMMIT", _)) {
            b"I"
        } else {
            b"T"
        };
        say(Side::Client, &sent);
        say(Side::Server, &[answer, message(b'Z', status)].concat());
    }
    let lines = describe(&bodies);
    let lines = lines.lines().map(|line| match line.split('"').nth(1) {
        Some(text) if line.starts_with("execution") => text.split(' ').next().unwrap(),
        _ => line,
    });
    // It was joined in the middle.
    let lines = lines.skip_while(|line| *line != "BEGIN");
    lines.map(str::to_owned).collect()
}

#[test]
fn what_a_portal_has_written_is_told_before_what_follows_it() {
    let savepoint = || Do::Say("SAVEPOINT s", "SAVEPOINT");
    let back = || Do::Say("ROLLBACK TO s", "ROLLBACK");
    let update = || Do::Say("UPDATE t SET a = 1", "UPDATE 1");
    for (steps, want) in [
        (
            vec![savepoint(), Do::Open("", INSERT), back()],
            vec!["SAVEPOINT", "INSERT", "ROLLBACK"],
        ),
        (
            vec![Do::Open("", INSERT), savepoint(), Do::Close(""), back()],
            vec!["INSERT", "SAVEPOINT", "ROLLBACK"],
        ),
        (
            vec![savepoint(), Do::Open("p", SELECT), back()],
            vec!["SAVEPOINT", "SELECT", "ROLLBACK"],
        ),
        (
            vec![Do::Open("p", INSERT), Do::Open("", INSERT), update()],
            vec!["INSERT", "INSERT", "UPDATE"],
        ),
        (
            vec![
                Do::Open("p", INSERT),
                Do::Say("RELEASE s", "RELEASE"),
                Do::Rest("p", false, "INSERT 0 1"),
            ],
            vec!["INSERT", "RELEASE"],
        ),
        (
            vec![
                Do::Open("p", INSERT),
                savepoint(),
                Do::Rest("p", true, "INSERT 0 2"),
            ],
            vec!["INSERT", "SAVEPOINT", "hidden"],
        ),
        (
            vec![
                Do::Open("p", SELECT),
                update(),
                Do::Rest("p", true, "SELECT 2"),
            ],
            vec!["UPDATE", "SELECT"],
        ),
        (
            vec![Do::Open("p", SELECT), savepoint(), Do::Fail("p")],
            vec!["SELECT", "SAVEPOINT", "error 22012"],
        ),
    ] {
        let told = told(&steps);
        let [begun, middle @ .., committed, _] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!((begun.as_str(), committed.as_str()), ("BEGIN", "COMMIT"));
        assert_eq!(middle, want);
    }
}
