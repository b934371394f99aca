//! Rules that change while statements are prepared.

use std::sync::Mutex;

use super::*;

/// Wants what it was last told to.
#[derive(Clone)]
struct Changing(Arc<Mutex<Wanted>>);

impl Changing {
    fn new(parameter: u16, columns: [&str; 2]) -> Self {
        let this = Self(Arc::default());
        this.change(parameter, columns);
        this
    }

    fn change(&self, parameter: u16, columns: [&str; 2]) {
        *self.0.lock().unwrap() = Wanted {
            parameters: vec![parameter],
            columns: columns.map(str::to_owned).into(),
            rows: false,
        };
    }
}

impl Interest for Changing {
    fn wanted(&self, _: &Statement) -> Arc<Wanted> {
        Arc::new(self.0.lock().unwrap().clone())
    }

    fn wanted_by_name(&self, _: &str) -> Option<Arc<Wanted>> {
        Some(Arc::new(self.0.lock().unwrap().clone()))
    }
}

/// Values of parameters, and of columns with their place.
type Kept = (Vec<Vec<u8>>, Vec<(u16, Vec<u8>)>);

/// A connection on which a statement is bound and executed again and again.
struct Session {
    decoder: Postgres,
    correlator: Correlator,
    executions: Vec<Execution>,
}

impl Session {
    fn new(shared: &Arc<Shared>) -> Self {
        Self {
            decoder: Postgres::new(),
            correlator: Correlator::new(Arc::clone(shared)),
            executions: Vec::new(),
        }
    }

    fn say(&mut self, side: Side, messages: &[Vec<u8>]) {
        let input = messages.concat();
        let (correlator, executions) = (&mut self.correlator, &mut self.executions);
        let mut keep = |body| {
            if let Body::Sql(execution) = body {
                executions.push(*execution);
            }
        };
        self.decoder
            .feed(side, Timestamp(1), Input::Bytes(&input), &mut |message| {
                correlator.on(&message, &mut keep);
            });
    }

    fn prepare(&mut self) {
        let text = b"s\0SELECT id, name, owner FROM t WHERE a = $1 AND b = $2\0\0\0";
        let requests = [
            message(b'P', text),
            message(b'D', b"Ss\0"),
            message(b'S', b""),
        ];
        self.say(Side::Client, &requests);
        let answers = [
            message(b'1', b""),
            message(b't', b"\0\x02\0\0\0\x19\0\0\0\x19"),
            message(b'T', &columns(["id", "name", "owner"])),
            message(b'Z', b"I"),
        ];
        self.say(Side::Server, &answers);
    }

    /// What it kept of one execution.
    fn run(&mut self) -> Kept {
        let requests = [
            message(b'B', b"\0s\0\0\0\0\x02\0\0\0\x01a\0\0\0\x01b\0\0"),
            message(b'E', b"\0\0\0\0\0"),
            message(b'S', b""),
        ];
        self.say(Side::Client, &requests);
        let answers = [
            message(b'2', b""),
            message(b'D', b"\0\x03\0\0\0\x011\0\0\0\x01n\0\0\0\x01o"),
            message(b'C', b"SELECT 1\0"),
            message(b'Z', b"I"),
        ];
        self.say(Side::Server, &answers);
        let bytes = |value: &Value| value.bytes.as_deref().unwrap().to_vec();
        let execution = self.executions.last().unwrap();
        let columns = execution.columns.iter();
        (
            execution.parameters.iter().flatten().map(bytes).collect(),
            columns
                .map(|cell| (cell.column, bytes(&cell.value)))
                .collect(),
        )
    }
}

#[test]
fn values_are_those_that_the_rules_wanted_when_it_was_bound() {
    let changing = Changing::new(1, ["name", "id"]);
    let shared = Arc::new(Shared::new(Box::new(changing.clone())));
    let mut session = Session::new(&shared);
    session.prepare();
    let columns = vec![(1, b"1".to_vec()), (0, b"n".to_vec())];
    assert_eq!(session.run(), (vec![b"a".to_vec()], columns));
    changing.change(2, ["owner", "name"]);
    shared.ask_again();
    // `owner` was not kept when the server described the statement; `name` has another place.
    let columns = vec![(1, b"n".to_vec())];
    assert_eq!(session.run(), (vec![b"b".to_vec()], columns));
    let [before, after] = &session.executions[..] else {
        panic!("{:?}", session.executions)
    };
    // What was kept for other rules is never taken for what these want.
    let wanted = after.wanted.clone().unwrap();
    let asked = before.asked(&wanted);
    assert_eq!(asked.parameters.as_slice(), [None]);
    assert_eq!(asked.columns.len(), 1);
    assert_eq!(asked.columns[0].column, 1);
    assert!(matches!(after.asked(&wanted), Cow::Borrowed(_)));
}

#[test]
fn a_statement_of_which_only_the_name_is_known_is_asked_for_again() {
    let changing = Changing::new(1, ["name", "id"]);
    let shared = Arc::new(Shared::new(Box::new(changing.clone())));
    let mut session = Session::new(&shared);
    assert_eq!(session.run().0, [b"a".to_vec()]);
    changing.change(2, ["owner", "name"]);
    assert_eq!(session.run().0, [b"a".to_vec()]);
    shared.ask_again();
    assert_eq!(session.run().0, [b"b".to_vec()]);
}

pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// Of a `RowDescription`; all are text.
fn columns(names: [&str; 3]) -> Vec<u8> {
    let mut body = vec![0, 3];
    for name in names {
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&[0; 7]);
        body.extend_from_slice(&25_u32.to_be_bytes());
        body.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    }
    body
}
