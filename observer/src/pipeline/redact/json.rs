//! Overwrites JSON, byte for byte, so that it still reads as the same containers.

use super::walk::HIDDEN;
use crate::interpret::graphql;
use crate::interpret::json::{Json, Unescaped, Value};

/// What of a body is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// Fields at its top, with their values.
    pub(super) fields: Vec<String>,
    /// The operation that a GraphQL request names.
    pub(super) operation: bool,
    /// Whether a GraphQL response has errors.
    pub(super) errors: bool,
}

/// Overwrites keys and values that are not read. What it is not certain of goes.
pub(super) fn overwrite(body: &mut [u8], read: &Read) {
    let before = body.to_vec();
    blank(body);
    let mut keep = |inside: &[u8]| {
        let at = inside.as_ptr().addr().wrapping_sub(before.as_ptr().addr());
        if let Some(place) = body.get_mut(at..at.saturating_add(inside.len())) {
            place.copy_from_slice(inside);
        }
    };
    let mut name = String::new();
    let known = read.operation && graphql::operation(&before, &mut name);
    for item in Json::new(&before) {
        let Some(key) = item.key else { continue };
        let is = |names: &[&[u8]]| names.contains(&key);
        if read.errors && is(&[b"errors", b"data"]) {
            keep(key);
        }
        if item.depth != 1 {
            continue;
        }
        if read.fields.iter().any(|field| field.as_bytes() == key) {
            keep(key);
            if let Value::String(text) | Value::Scalar(text) = item.value {
                keep(text.raw);
            }
        }
        let Value::String(text) = item.value else {
            continue;
        };
        if known && is(&[b"operationName"]) {
            keep(key);
            if text.raw == name.as_bytes() {
                keep(text.raw);
            }
        } else if known && is(&[b"query"]) {
            keep(key);
            keep_document(text.raw, &name, &mut keep);
        }
    }
    let mut again = String::new();
    if known && !(graphql::operation(body, &mut again) && again == name) {
        blank(body);
    }
}

/// Words of a GraphQL document that say where its operation is named.
const KEYWORDS: [&[u8]; 4] = [b"query", b"mutation", b"subscription", b"fragment"];

/// Keeps of a GraphQL document what its operation's name is found by.
fn keep_document(text: &[u8], name: &str, keep: &mut impl FnMut(&[u8])) {
    let mut rest = text;
    let mut quoted = false;
    while let Some(&first) = rest.first() {
        let word = rest
            .iter()
            .position(|byte| !is_word(*byte))
            .unwrap_or(rest.len());
        let length = match first {
            // A quote is escaped in JSON; what is escaped in GraphQL is so twice.
            b'\\' if rest.starts_with(b"\\\\") => 4,
            b'\\' if rest.starts_with(b"\\\"") => {
                quoted = !quoted;
                2
            }
            b'\\' => Unescaped::new(rest.get(..2).unwrap_or(rest))
                .next()
                .map_or(6, |_| 2),
            _ if word > 0 => word,
            _ => 1,
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        let mark = word == 0 && (!first.is_ascii_alphanumeric() && first != b'\\');
        let white = matches!(token, b"\\n" | b"\\r" | b"\\t" | b"\\\"");
        if !quoted && (mark || KEYWORDS.contains(&token) || token == name.as_bytes()) || white {
            keep(token);
        }
        rest = after;
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Overwrites everything but the marks between values.
fn blank(body: &mut [u8]) {
    let mut quoted = false;
    let mut escaped = false;
    for byte in body {
        match (quoted, *byte) {
            (true, b'"') if !escaped => quoted = false,
            (true, inside) => {
                escaped = inside == b'\\' && !escaped;
                *byte = HIDDEN;
            }
            (false, b'"') => quoted = true,
            (false, b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n') => {}
            (false, _) => *byte = b'0',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overwritten(body: &str, read: &Read) -> String {
        let mut bytes = body.as_bytes().to_vec();
        overwrite(&mut bytes, read);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn only_the_fields_that_are_read_stay() {
        let read = Read {
            fields: vec!["shop_id".to_owned()],
            ..Read::default()
        };
        for (body, want) in [
            (
                r#"{"shop_id": 7, "email":"jo\"@x", "n":-1.5e3, "ok":true}"#,
                r#"{"shop_id": 7, "xxxxx":"xxxxxx", "x":000000, "xx":0000}"#,
            ),
            (
                r#"{"a":{"shop_id":1},"shop_id":"8","jo":[null]}"#,
                r#"{"x":{"xxxxxxx":0},"shop_id":"8","xx":[0000]}"#,
            ),
            (r#"{"a":"cut sh"#, r#"{"x":"xxxxxx"#),
            ("jo@example.com", "00000000000000"),
        ] {
            assert_eq!(overwritten(body, &read), want);
        }
    }

    #[test]
    fn an_operation_is_found_and_its_values_are_not() {
        let read = Read {
            operation: true,
            ..Read::default()
        };
        for (body, want) in [
            (
                r#"{"query":"query Cart($id: ID!) { cart(id: $id) { total } }","variables":{"id":"7"}}"#,
                r#"{"query":"query Cart($xx: xx!) { xxxx(xx: $xx) { xxxxx } }","xxxxxxxxx":{"xx":"x"}}"#,
            ),
            (
                r#"{"operationName":"Cart","query":"query Cart { a }"}"#,
                r#"{"operationName":"Cart","query":"query Cart { x }"}"#,
            ),
            (
                r#"{"query":"{\n  shop(mail: \"jo { \\\" x\", n: 5) { id } }"}"#,
                r#"{"query":"{\n  shop(xxxx: \"xxxxxxxxxxx\", x: x) { xx } }"}"#,
            ),
            (r#"{"query":"nothing"}"#, r#"{"xxxxx":"xxxxxxx"}"#),
        ] {
            let (mut one, mut two) = (String::new(), String::new());
            graphql::operation(body.as_bytes(), &mut one);
            let got = overwritten(body, &read);
            graphql::operation(got.as_bytes(), &mut two);
            assert_eq!(two, one, "{got}");
            assert_eq!(got, want);
        }
    }

    #[test]
    fn errors_are_seen_and_not_told() {
        let read = Read {
            errors: true,
            ..Read::default()
        };
        let body = r#"{"data":null,"errors":[{"message":"jo has no card"}]}"#;
        let got = overwritten(body, &read);
        assert_eq!(
            got,
            r#"{"data":0000,"errors":[{"xxxxxxx":"xxxxxxxxxxxxxx"}]}"#
        );
        assert!(graphql::errors(got.as_bytes()));
    }
}
