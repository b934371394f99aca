//! PostgreSQL's messages, as a client and a server write them.

/// A message of this kind.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn count(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap().to_be_bytes()
}

fn value(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

pub(super) fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0shop\0database\0shop\0\0";
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes()[..], body].concat()
}

pub(super) fn welcome() -> Vec<u8> {
    [message(b'R', &[0; 4]), ready(b'I')].concat()
}

pub(super) fn query(statement: &str) -> Vec<u8> {
    message(b'Q', &text(statement))
}

/// Parse, Bind, Describe and Execute of a statement without a name, for at most so many rows.
pub(super) fn execute(portal: &str, rows: u32, statement: &str, parameters: &[String]) -> Vec<u8> {
    let parse = [&[0][..], &text(statement), &[0, 0]].concat();
    let values = parameters.iter().flat_map(|one| value(one.as_bytes()));
    let head = text(portal).into_iter().chain([0, 0, 0]);
    let head = head.chain(count(parameters.len()));
    let bind: Vec<u8> = head.chain(values).chain([0, 0]).collect();
    [
        message(b'P', &parse),
        message(b'B', &bind),
        message(b'D', &[b"P", &text(portal)[..]].concat()),
        fetch(portal, rows),
    ]
    .concat()
}

/// Execute of a portal; 0 for all of its rows.
pub(super) fn fetch(portal: &str, rows: u32) -> Vec<u8> {
    let body = [text(portal), rows.to_be_bytes().to_vec()].concat();
    message(b'E', &body)
}

/// There may be more rows.
pub(super) fn suspended() -> Vec<u8> {
    message(b's', &[])
}

pub(super) fn sync() -> Vec<u8> {
    message(b'S', &[])
}

/// What Parse and Bind are answered with.
pub(super) fn bound() -> Vec<u8> {
    [message(b'1', &[]), message(b'2', &[])].concat()
}

pub(super) fn no_data() -> Vec<u8> {
    message(b'n', &[])
}

/// A description of columns that are all text.
pub(super) fn described(names: &[&str]) -> Vec<u8> {
    let mut body = count(names.len()).to_vec();
    for name in names {
        body.extend(text(name));
        body.extend([0; 6]);
        body.extend(25_u32.to_be_bytes());
        body.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    }
    message(b'T', &body)
}

pub(super) fn row(values: &[String]) -> Vec<u8> {
    let mut body = count(values.len()).to_vec();
    body.extend(values.iter().flat_map(|one| value(one.as_bytes())));
    message(b'D', &body)
}

pub(super) fn tag(tag: &str) -> Vec<u8> {
    message(b'C', &text(tag))
}

pub(super) fn error(state: &str) -> Vec<u8> {
    message(
        b'E',
        format!("SERROR\0VERROR\0C{state}\0Mno\0\0").as_bytes(),
    )
}

pub(super) fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}
