//! A YAML document as a tree in which everything knows its place.
//!
//! Types that are read at once stop at the first mistake and forget where a value stood. A tree
//! lets every mistake be told, and a value that proves wrong only later be found again.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// Line and column, counted from 1.
pub(super) type Spot = (u64, u64);

/// A value.
#[derive(Debug)]
pub(super) enum Node {
    /// Nothing.
    Null,
    /// A single value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Placed>),
    /// A map, in its order.
    Map(Vec<(String, Spot, Placed)>),
}

/// A single value.
#[derive(Debug)]
pub(super) struct Scalar {
    /// What YAML makes of it: `0x10` is `16`.
    pub(super) read: String,
    /// As it is written: a cgroup may be called `12e4`.
    pub(super) written: String,
}

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) node: Node,
    pub(super) spot: Spot,
}

impl Node {
    /// What it is, for a sentence.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Scalar(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl Placed {
    /// The tree of a document.
    pub(super) fn parse(text: &str) -> Result<Self, serde_saphyr::Error> {
        serde_saphyr::from_str::<Spanned<Raw>>(text).map(|raw| place(raw, text))
    }
}

/// As the deserializer gives it.
enum Raw {
    Null,
    /// The value, and whether it is one of those that YAML rewrites.
    Scalar(String, bool),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

fn spot(at: Location) -> Spot {
    (at.line().max(1), at.column().max(1))
}

fn place(raw: Spanned<Raw>, text: &str) -> Placed {
    let spot_of = spot(raw.referenced);
    let node = match raw.value {
        Raw::Null => Node::Null,
        Raw::Scalar(read, rewritten) => Node::Scalar(Scalar {
            written: rewritten
                .then(|| slice(raw.defined, text))
                .flatten()
                .unwrap_or(&read)
                .to_owned(),
            read,
        }),
        Raw::List(list) => Node::List(list.into_iter().map(|item| place(item, text)).collect()),
        Raw::Map(map) => {
            let entries = map.into_iter();
            Node::Map(
                entries
                    .map(|(key, value)| (key.value, spot(key.referenced), place(value, text)))
                    .collect(),
            )
        }
    };
    Placed {
        node,
        spot: spot_of,
    }
}

/// What stands at a place.
fn slice(at: Location, text: &str) -> Option<&str> {
    let span = at.span();
    let from = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    text.get(from..from.checked_add(length)?)
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string(), true))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string(), true))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string(), true))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string(), true))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_owned(), false))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = access.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = access.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_rewrites_is_kept_as_it_is_written_too() {
        let tree = Placed::parse("- 12e4\n- 0x10\n- &a no\n- *a\n- \"0123\"\n- ~\n").unwrap();
        let Node::List(items) = tree.node else {
            panic!("{tree:?}")
        };
        let seen: Vec<_> = items
            .iter()
            .map(|item| match &item.node {
                Node::Scalar(scalar) => (scalar.read.as_str(), scalar.written.as_str(), item.spot),
                other => (other.kind(), "", item.spot),
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("120000", "12e4", (1, 3)),
                ("16", "0x10", (2, 3)),
                ("false", "no", (3, 6)),
                ("false", "no", (4, 3)),
                ("0123", "0123", (5, 3)),
                ("nothing", "", (6, 3)),
            ]
        );
    }
}
