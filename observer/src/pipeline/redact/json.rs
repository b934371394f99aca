//! Overwrites JSON, byte for byte, so that it still reads as the same containers.

use super::walk::HIDDEN;
use crate::interpret::business::Told;
use crate::interpret::business::program::Source;
use crate::interpret::graphql;
use crate::interpret::json::{self, Json, Unescaped, Value};

/// What of a body is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// Fields at its top, with their values.
    pub(super) fields: Vec<String>,
    /// Fields that rules of the business read.
    pub(super) told: Vec<Told>,
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
    for told in &read.told {
        keep_told(told, &before, body);
    }
    let mut again = String::new();
    if known && !(graphql::operation(body, &mut again) && again == name) {
        blank(body);
    }
}

/// Keeps the way to a field, and its value where that makes a difference.
fn keep_told(told: &Told, before: &[u8], body: &mut [u8]) {
    let (Source::Body(path) | Source::Answer(path)) = &told.source else {
        return;
    };
    let mut copy = |inside: &[u8], value: &[u8]| {
        let at = inside.as_ptr().addr().wrapping_sub(before.as_ptr().addr());
        if let Some(place) = body.get_mut(at..at.saturating_add(inside.len())) {
            place.copy_from_slice(value);
        }
    };
    let found = json::follow(before, path, &mut |key| copy(key, key));
    let Some(value @ (Value::String(text) | Value::Scalar(text))) = found else {
        return;
    };
    if told.matters_in_json(value) {
        copy(text.raw, text.raw);
    } else {
        copy(text.raw, &indifferent(text.raw));
    }
}

/// A text of the same length, escapes resolved or not, that is no word, no number and no key.
fn indifferent(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(first) = rest.first() {
        let token: &[u8] = match (first, rest.get(1)) {
            (b'\\', Some(b'u')) if rest.len() >= 6 => b"\\u007e",
            (b'\\', Some(_)) => b"\\n",
            _ => b"~",
        };
        text.extend_from_slice(token);
        rest = rest.get(token.len()..).unwrap_or_default();
    }
    text
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
    use crate::interpret::{Plan, Rules};

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
    fn what_rules_of_the_business_read_stays_where_it_makes_a_difference() {
        let rules = "
http: { services: { shop: { routes: [/pay] } } }
business:
  entities: { payment: { key: [], fields: { way: text, size: integer } } }
  requests:
    Pay:
      routes: [/pay]
      entity: payment
      does: create
      fields: { way: { from: body, name: pay.0.way }, size: { from: body, name: size } }
";
        let plan = Plan::new(&Rules::parse(rules).unwrap()).unwrap();
        let route = plan.routes.get(plan.routes.find("/pay").unwrap()).unwrap();
        let read = Read {
            told: plan.business.told(route, "POST"),
            ..Read::default()
        };
        for (body, want) in [
            (
                r#"{"pay":[{"way":"card","pan":"42"},{"way":"jo"}],"size":12,"mail":"jo@x"}"#,
                r#"{"pay":[{"way":"card","xxx":"xx"},{"xxx":"xx"}],"size":12,"xxxx":"xxxx"}"#,
            ),
            (
                r#"{"pay":[{"way":"jo\u0040x \"y\""}],"size":"12 of them"}"#,
                r#"{"pay":[{"way":"~~\u007e~~\n~\n"}],"size":"~~~~~~~~~~"}"#,
            ),
            (
                r#"{"pay":[{"way":null}],"size":1.25,"way":"card"}"#,
                r#"{"pay":[{"way":null}],"size":~~~~,"xxx":"xxxx"}"#,
            ),
            (r#"{"pay":[{"way":"cut"#, r#"{"pay":[{"way":"xxx"#),
        ] {
            assert_eq!(overwritten(body, &read), want);
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
