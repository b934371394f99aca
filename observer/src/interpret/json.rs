//! Reads the keys and values of a JSON text that may be cut or malformed, in one pass.
//!
//! Bodies arrive cut at a limit, so a parser that wants the whole text is of no use. This one
//! yields what is there in order and stops at the end, or where nesting is deeper than
//! [`DEPTH_LIMIT`]; it neither recurses nor allocates. It does not check that a text is valid: a
//! malformed one yields some items, never a panic.
#![forbid(unsafe_code)]

/// Containers open at once before reading stops.
pub const DEPTH_LIMIT: u32 = 128;

/// A value in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Containers around it; 0 is the text itself.
    pub depth: u32,
    /// Its key, escapes not resolved, where it stands in an object.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Value<'a>,
}

/// A value, or a container's bracket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `}` or `]`; its depth is that of the container.
    End,
    /// A string without quotes, escapes not resolved.
    String(Text<'a>),
    /// A number, `true`, `false` or `null`.
    Scalar(Text<'a>),
}

/// The bytes of a string or scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// As they stand in the text.
    pub raw: &'a [u8],
    /// Whether its end was there; otherwise the text was cut inside.
    pub whole: bool,
}

/// The reader.
#[derive(Clone, Debug)]
pub struct Json<'a> {
    rest: &'a [u8],
    depth: u32,
    /// One bit for each open container, the innermost lowest: set for an object.
    objects: u128,
    key: Option<&'a [u8]>,
}

impl<'a> Json<'a> {
    /// Reads `text` from its beginning.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            rest: text,
            depth: 0,
            objects: 0,
            key: None,
        }
    }

    fn open(&mut self, object: bool) -> Option<Item<'a>> {
        let item = Item {
            depth: self.depth,
            key: self.key.take(),
            value: if object { Value::Object } else { Value::Array },
        };
        if self.depth == DEPTH_LIMIT {
            self.rest = &[];
            return None;
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u128::from(object);
        Some(item)
    }

    fn close(&mut self) -> Option<Item<'a>> {
        self.depth = self.depth.checked_sub(1)?;
        self.objects >>= 1;
        self.key = None;
        Some(Item {
            depth: self.depth,
            key: None,
            value: Value::End,
        })
    }

    fn item(&mut self, value: Value<'a>) -> Item<'a> {
        Item {
            depth: self.depth,
            key: self.key.take(),
            value,
        }
    }

    /// The string whose opening quote was just read.
    fn string(&mut self) -> Text<'a> {
        let mut from = 0;
        while let Some(found) = self
            .rest
            .get(from..)
            .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
        {
            let at = from + found;
            if self.rest.get(at) == Some(&b'"') {
                let (raw, rest) = self.rest.split_at(at);
                self.rest = rest.get(1..).unwrap_or_default();
                return Text { raw, whole: true };
            }
            from = at + 2;
        }
        let raw = std::mem::take(&mut self.rest);
        Text { raw, whole: false }
    }

    fn scalar(&mut self) -> Text<'a> {
        let end = self.rest.iter().position(|byte| {
            matches!(byte, b',' | b'}' | b']' | b':' | b'"') || byte.is_ascii_whitespace()
        });
        let whole = end.is_some() || self.depth == 0;
        let (raw, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Text { raw, whole }
    }
}

impl<'a> Iterator for Json<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let (&first, rest) = self.rest.split_first()?;
            match first {
                b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => self.rest = rest,
                b'{' | b'[' => {
                    self.rest = rest;
                    return self.open(first == b'{');
                }
                b'}' | b']' => {
                    self.rest = rest;
                    return self.close();
                }
                b'"' => {
                    self.rest = rest;
                    let text = self.string();
                    if self.objects & 1 == 1 && self.key.is_none() {
                        self.key = Some(text.raw);
                    } else {
                        return Some(self.item(Value::String(text)));
                    }
                }
                _ => {
                    let text = self.scalar();
                    if text.raw.is_empty() {
                        // A byte that begins nothing, such as a control character.
                        self.rest = rest;
                    } else {
                        return Some(self.item(Value::Scalar(text)));
                    }
                }
            }
        }
    }
}

/// The value of a top-level field that is a string or scalar and whole.
#[must_use]
pub fn field<'a>(text: &'a [u8], key: &str) -> Option<&'a [u8]> {
    // Most bodies do not have the field at all, and a search costs a tenth of a walk.
    memchr::memmem::find(text, key.as_bytes())?;
    Json::new(text)
        .filter(|item| item.depth == 1 && item.key == Some(key.as_bytes()))
        .find_map(|item| match item.value {
            Value::String(text) | Value::Scalar(text) if text.whole => Some(text.raw),
            _ => None,
        })
}

/// The value behind a path, each step of which is a field's name or a place in an array, counted
/// from 0; `None` where it is a container, or not whole.
#[must_use]
pub fn at<'a>(text: &'a [u8], path: &[impl AsRef<str>]) -> Option<Value<'a>> {
    follow(text, path, &mut |_| {})
}

/// Likewise, and shows the keys on the way.
pub fn follow<'a>(
    text: &'a [u8],
    path: &[impl AsRef<str>],
    show: &mut dyn FnMut(&'a [u8]),
) -> Option<Value<'a>> {
    let mut steps = path.iter().map(AsRef::as_ref);
    let mut step = steps.next()?;
    // Around what is looked for next; in an array, how many items have passed there.
    let mut depth = 0;
    let mut passed = None;
    for item in Json::new(text) {
        if item.depth == 0 && item.value == Value::Array {
            passed = Some(0_usize);
        }
        if item.value == Value::End {
            if item.depth <= depth {
                return None;
            }
            continue;
        }
        if item.depth != depth + 1 {
            continue;
        }
        let is_step = match &mut passed {
            Some(place) => {
                *place += 1;
                step.parse() == Ok(*place - 1)
            }
            None => item.key == Some(step.as_bytes()),
        };
        if !is_step {
            continue;
        }
        show(item.key.unwrap_or_default());
        match (item.value, steps.next()) {
            (Value::Object, Some(next)) => (step, passed) = (next, None),
            (Value::Array, Some(next)) => (step, passed) = (next, Some(0)),
            (value @ (Value::String(text) | Value::Scalar(text)), None) if text.whole => {
                return Some(value);
            }
            _ => return None,
        }
        depth += 1;
    }
    None
}

/// A string's bytes with escapes resolved; what is not ASCII behind `\u` becomes `?`.
#[derive(Clone, Debug)]
pub struct Unescaped<'a>(std::slice::Iter<'a, u8>);

impl<'a> Unescaped<'a> {
    /// Resolves the escapes of a string's inside.
    #[must_use]
    pub fn new(raw: &'a [u8]) -> Self {
        Self(raw.iter())
    }
}

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let byte = *self.0.next()?;
        if byte != b'\\' {
            return Some(byte);
        }
        Some(match *self.0.next()? {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' | b'f' => b' ',
            b'u' => {
                let mut code = 0_u32;
                for _ in 0..4 {
                    let digit = char::from(*self.0.next()?).to_digit(16)?;
                    code = code * 16 + digit;
                }
                u8::try_from(code).ok().filter(u8::is_ascii).unwrap_or(b'?')
            }
            other => other,
        })
    }
}

/// Any bytes: reading ends, and every item lies within the text.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn fuzz(data: &[u8]) {
    let mut items = 0_usize;
    for item in Json::new(data) {
        items += 1;
        assert!(item.depth <= DEPTH_LIMIT);
        if let Value::String(text) | Value::Scalar(text) = item.value {
            assert!(Unescaped::new(text.raw).count() <= text.raw.len());
        }
    }
    assert!(items <= data.len(), "an item takes at least a byte");
}

#[cfg(test)]
mod tests {
    use super::{Json, Value, at, field, fuzz};

    #[test]
    fn a_field_is_found_only_whole_and_only_at_the_top() {
        for (text, want) in [
            (r#"{"shop_id": 7}"#, Some("7")),
            (r#"{"a":{"shop_id":1},"shop_id":"8"}"#, Some("8")),
            (r#"{"a":[{"shop_id":1}]}"#, None),
            (
                r#"{"a":"shop_id","b":"\"shop_id\":3","shop_id" : 42 }"#,
                Some("42"),
            ),
            (r#"{"shop_id":12"#, None),
            (r#"{"shop_id":"12"#, None),
            (r#"{"shop_id":{"x":1}}"#, None),
            (r#"["shop_id", 1]"#, None),
            ("", None),
        ] {
            let got =
                field(text.as_bytes(), "shop_id").map(|raw| std::str::from_utf8(raw).unwrap());
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn a_path_leads_through_objects_and_arrays() {
        let text =
            br#"{"a":{"b":[{"c":1},{"c":"x","d":null}]},"b":[[1],2],"c":3,"e":{"b":4},"c":5}"#;
        for (path, want) in [
            ("c", Some("3")),
            ("a.b.0.c", Some("1")),
            ("a.b.1.c", Some("x")),
            ("a.b.1.d", Some("null")),
            ("a.b.2.c", None),
            ("a.b.c", None),
            ("a.b", None),
            ("b.1", Some("2")),
            ("b.0.0", Some("1")),
            ("e.b", Some("4")),
            ("a.c", None),
            ("c.d", None),
            ("d", None),
        ] {
            let steps: Vec<&str> = path.split('.').collect();
            let got = at(text, &steps).map(|value| match value {
                Value::String(text) | Value::Scalar(text) => std::str::from_utf8(text.raw).unwrap(),
                other => panic!("{other:?}"),
            });
            assert_eq!(got, want, "{path}");
        }
        assert!(at(b"[7]", &["0"]).is_some());
        for cut in [&br#"{"a":"x"#[..], br#"{"a":7"#, b"7", b""] {
            assert_eq!(at(cut, &["a"]), None);
        }
    }

    #[test]
    fn every_prefix_yields_a_prefix_of_the_items() {
        let text = br#"{"a":[1,2,{"b":null}],"c":"d\"e","f":-1.5e3}"#;
        let all: Vec<_> = Json::new(text).collect();
        for end in 0..text.len() {
            let cut: Vec<_> = Json::new(&text[..end]).collect();
            let whole = cut
                .iter()
                .take_while(
                    |item| !matches!(item.value, Value::String(t) | Value::Scalar(t) if !t.whole),
                )
                .count();
            assert_eq!(cut[..whole], all[..whole], "cut at {end}");
            assert!(cut.len() - whole <= 1);
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = vec![b'['; 100_000];
        assert!(Json::new(&deep).count() <= 128);
        fuzz(&deep);
    }
}
