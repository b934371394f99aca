//! The operation a GraphQL request names, and errors behind HTTP 200.
//!
//! A request is a JSON object with `query` (the text), and perhaps `operationName` (GraphQL over
//! HTTP, section 5). The body may be cut, so both are read with [`super::json`], and the text with
//! a scanner that stops at the first name it needs (GraphQL October 2021, section 2).
#![forbid(unsafe_code)]

use std::iter::Peekable;

use super::json::{Json, Unescaped, Value};

/// Bytes of the longest name that becomes a label; a longer one is treated as unknown.
pub const NAME_LIMIT: usize = 64;

/// Writes the operation's name into `name`: `operationName`, else the first name behind `query`,
/// `mutation` or `subscription`, else the first root field. False where none of them is there.
pub fn operation(body: &[u8], name: &mut String) -> bool {
    name.clear();
    let named = memchr::memmem::find(body, b"\"operationName\"").is_some();
    let mut text = None;
    for item in Json::new(body) {
        if item.depth != 1 {
            continue;
        }
        match (item.key, item.value) {
            (Some(b"operationName"), Value::String(value)) if value.whole && is_name(value.raw) => {
                name.extend(value.raw.iter().copied().map(char::from));
                return true;
            }
            (Some(b"query"), Value::String(value)) => {
                text = Some(value);
                if !named {
                    break;
                }
            }
            _ => {}
        }
    }
    text.is_some_and(|text| {
        let mut scanner = Scanner {
            bytes: Unescaped::new(text.raw).peekable(),
            whole: text.whole,
        };
        let found = scanner.operation(name);
        if !found {
            name.clear();
        }
        found
    })
}

/// Whether a response carries errors: `errors` at the top or of a field of `data`, not empty.
#[must_use]
pub fn errors(body: &[u8]) -> bool {
    if memchr::memmem::find(body, b"\"errors\"").is_none() {
        return false;
    }
    let mut in_data = false;
    let mut items = Json::new(body);
    while let Some(item) = items.next() {
        if item.depth == 1 && item.key.is_some() {
            in_data = item.key == Some(b"data");
        }
        let placed = item.depth == 1 || (item.depth == 3 && in_data);
        if placed && item.key == Some(b"errors") && item.value == Value::Array {
            match items.next() {
                Some(first) if first.value != Value::End => return true,
                _ => {}
            }
        }
    }
    false
}

fn is_name(raw: &[u8]) -> bool {
    raw.len() <= NAME_LIMIT
        && raw.first().is_some_and(|first| starts_name(*first))
        && raw.iter().all(|byte| continues_name(*byte))
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn continues_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// Its bytes are in the buffer; false for one that is too long or cut.
    Name(bool),
    Mark(u8),
}

/// Reads a document's text.
struct Scanner<I: Iterator<Item = u8>> {
    bytes: Peekable<I>,
    whole: bool,
}

impl<I: Iterator<Item = u8>> Scanner<I> {
    fn operation(&mut self, name: &mut String) -> bool {
        while let Some(token) = self.token(name) {
            match token {
                Token::Name(true) => match name.as_str() {
                    "query" | "mutation" | "subscription" => return self.named(name),
                    "fragment" => self.skip_block(name),
                    _ => {}
                },
                Token::Mark(b'{') => return self.root_field(name),
                _ => {}
            }
        }
        false
    }

    /// Behind the operation's type: its name, else its first field.
    fn named(&mut self, name: &mut String) -> bool {
        let mut parentheses = 0_u32;
        let mut first = true;
        while let Some(token) = self.token(name) {
            match token {
                Token::Name(usable) if first => return usable,
                Token::Mark(b'(') => parentheses = parentheses.saturating_add(1),
                Token::Mark(b')') => parentheses = parentheses.saturating_sub(1),
                // A brace among the variables belongs to a default value.
                Token::Mark(b'{') if parentheses == 0 => return self.root_field(name),
                _ => {}
            }
            first = false;
        }
        false
    }

    /// Behind the selection's brace: the first field, not its alias.
    fn root_field(&mut self, name: &mut String) -> bool {
        let Some(Token::Name(usable)) = self.token(name) else {
            return false;
        };
        self.skip_ignored();
        if self.bytes.peek() != Some(&b':') {
            return usable;
        }
        self.bytes.next();
        matches!(self.token(name), Some(Token::Name(true)))
    }

    fn skip_block(&mut self, name: &mut String) {
        let mut depth = 0_u32;
        while let Some(token) = self.token(name) {
            match token {
                Token::Mark(b'{') => depth = depth.saturating_add(1),
                Token::Mark(b'}') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    fn token(&mut self, name: &mut String) -> Option<Token> {
        self.skip_ignored();
        let byte = self.bytes.next()?;
        if starts_name(byte) {
            return Some(Token::Name(self.name(byte, name)));
        }
        if byte == b'"' {
            self.skip_string();
        }
        Some(Token::Mark(byte))
    }

    fn name(&mut self, first: u8, name: &mut String) -> bool {
        name.clear();
        name.push(char::from(first));
        let mut usable = true;
        while let Some(byte) = self.bytes.next_if(|byte| continues_name(*byte)) {
            usable = name.len() < NAME_LIMIT;
            if usable {
                name.push(char::from(byte));
            }
        }
        // At the end of a cut text the name may go on.
        usable && (self.whole || self.bytes.peek().is_some())
    }

    /// White space, commas and comments mean nothing between tokens.
    fn skip_ignored(&mut self) {
        while let Some(byte) = self
            .bytes
            .next_if(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'#'))
        {
            if byte == b'#' {
                while self.bytes.next_if(|byte| *byte != b'\n').is_some() {}
            }
        }
    }

    /// Behind an opening quote, of a string or of a block string.
    fn skip_string(&mut self) {
        if self.bytes.next_if_eq(&b'"').is_some() {
            if self.bytes.next_if_eq(&b'"').is_none() {
                return;
            }
            let mut quotes = 0;
            while quotes < 3 {
                match self.bytes.next() {
                    Some(b'"') => quotes += 1,
                    Some(b'\\') => {
                        quotes = 0;
                        self.bytes.next();
                    }
                    Some(_) => quotes = 0,
                    None => return,
                }
            }
            return;
        }
        while let Some(byte) = self.bytes.next() {
            match byte {
                b'"' => return,
                b'\\' => {
                    self.bytes.next();
                }
                _ => {}
            }
        }
    }
}

/// Any bytes: reading ends, and a name is one that GraphQL allows.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn fuzz(data: &[u8]) {
    let mut name = String::new();
    if operation(data, &mut name) {
        assert!(is_name(name.as_bytes()));
    } else {
        assert!(name.is_empty());
    }
    let _ = errors(data);
}

#[cfg(test)]
mod tests {
    use super::{errors, operation};

    #[test]
    fn an_operation_is_named_by_the_request_or_its_text_or_its_first_field() {
        for (body, want) in [
            (
                r#"{"query":"query GetShop { shop { id } }"}"#,
                Some("GetShop"),
            ),
            (
                r#"{"query":"query GetProducts($first: Int) { products }"}"#,
                Some("GetProducts"),
            ),
            (
                r#"{"operationName":"B","query":"query A {a} query B {b}"}"#,
                Some("B"),
            ),
            (
                r#"{"query":"query A {a}","variables":{"operationName":"X"},"operationName":null}"#,
                Some("A"),
            ),
            (
                r#"{"query":"mutation { createOrder(input: {a: 1}) { order } }"}"#,
                Some("createOrder"),
            ),
            (r#"{"query":"{ shop { id } }"}"#, Some("shop")),
            (r#"{"query":"{ mine: shop { id } }"}"#, Some("shop")),
            (
                r##"{"query":"# query Wrong\n\n  subscription  Live { x }"}"##,
                Some("Live"),
            ),
            (
                r#"{"query":"fragment F on Shop { a { b } } query Q { ...F }"}"#,
                Some("Q"),
            ),
            (
                r#"{"query":"query ($a: In = {b: \"}\"}) { real }"}"#,
                Some("real"),
            ),
            (r#"{"query":"\u0071uery Escaped { x }"}"#, Some("Escaped")),
            (r#"{"query":"{ ...F }"}"#, None),
            (r#"{"query":"query Cut"#, None),
            (r#"{"query":"query Cut {"#, Some("Cut")),
            (r#"{"operationName":"a b","query":"{"}"#, None),
            (
                r#"{"operationName":"jo@example.com","query":"{ shop }"}"#,
                Some("shop"),
            ),
            (
                r#"{"extensions":{"persistedQuery":{"sha256Hash":"00"}}}"#,
                None,
            ),
            ("", None),
        ] {
            let mut name = String::new();
            let found = operation(body.as_bytes(), &mut name);
            assert_eq!(found.then_some(name.as_str()), want, "{body}");
        }
    }

    #[test]
    fn errors_count_at_the_top_and_in_a_field_of_data_only() {
        for (body, want) in [
            (r#"{"errors":[{"message":"x"}],"data":null}"#, true),
            (
                r#"{"data":{"createOrder":{"order":null,"errors":[{"m":1}]}}}"#,
                true,
            ),
            (r#"{"data":{"createOrder":{"errors":[]}}}"#, false),
            (r#"{"data":{"a":{"b":{"errors":[1]}}}}"#, false),
            (r#"{"data":{"a":[{"errors":[1]}]}}"#, false),
            (r#"{"extensions":{"a":{"errors":[1]}}}"#, false),
            (r#"{"errors":null,"data":{}}"#, false),
            (r#"{"errors":["#, false),
            (r#"{"data":{"a":"\"errors\":[1]"}}"#, false),
        ] {
            assert_eq!(errors(body.as_bytes()), want, "{body}");
        }
    }
}
