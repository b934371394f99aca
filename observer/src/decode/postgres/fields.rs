//! Reads rows, parameters and descriptions in place, without an allocation.

use std::fmt;

use super::VALUE_LIMIT;
use super::cursor::Cursor;
use super::keep::MISSING;
use crate::decode::HELD_LIMIT;

/// A value of a row or a parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// Its first bytes, at most [`VALUE_LIMIT`] of them.
    Bytes(&'a [u8]),
    /// It passed, but its beginning was not captured.
    Missing,
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => write!(f, "Null"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Missing => write!(f, "Missing"),
        }
    }
}

/// The values of a `DataRow` or the parameters of a `Bind`, in order.
///
/// It ends early where the rest was not captured, or is beyond [`HELD_LIMIT`] bytes once every
/// value is cut to [`VALUE_LIMIT`].
#[derive(Clone, Debug)]
pub struct Values<'a> {
    cursor: Cursor<'a>,
    left: u16,
    /// Whether values beyond the limit are cut already.
    condensed: bool,
    /// Bytes that the condensed form has up to here.
    spent: usize,
}

impl<'a> Values<'a> {
    pub(super) fn new(body: &'a [u8], condensed: bool) -> Self {
        Self::after(Cursor::new(body), condensed, 0)
    }

    fn after(mut cursor: Cursor<'a>, condensed: bool, spent: usize) -> Self {
        let left = cursor.u16().unwrap_or(0);
        Self {
            cursor,
            left,
            condensed,
            spent: spent.saturating_add(2),
        }
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        let value = self.read();
        if value.is_none() {
            self.left = 0;
            self.cursor = Cursor::new(&[]);
        }
        value
    }
}

impl<'a> Values<'a> {
    #[inline]
    fn read(&mut self) -> Option<Value<'a>> {
        let length = self.cursor.i32()?;
        self.spent = self.spent.saturating_add(4);
        if length < 0 {
            let value = if length == MISSING {
                Value::Missing
            } else {
                Value::Null
            };
            return (self.spent <= HELD_LIMIT).then_some(value);
        }
        let length = usize::try_from(length).ok()?;
        let kept = length.min(VALUE_LIMIT as usize);
        self.spent = self.spent.saturating_add(kept);
        if self.spent > HELD_LIMIT {
            return None;
        }
        let bytes = self
            .cursor
            .take(if self.condensed { kept } else { length })?;
        bytes.get(..kept).map(Value::Bytes)
    }
}

/// Format codes of parameters or columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats<'a>(&'a [u8]);

impl Formats<'_> {
    /// Whether the value with this index is in binary: none means all text, one goes for all.
    #[must_use]
    pub fn binary(&self, index: usize) -> bool {
        let mut codes = self.0.chunks_exact(2);
        let code = if self.0.len() == 2 {
            codes.next()
        } else {
            codes.nth(index)
        };
        code == Some(&[0, 1])
    }

    /// Whether each code says binary, as they were sent: none, one for all, or one each.
    pub fn iter(&self) -> impl Iterator<Item = bool> {
        self.0.chunks_exact(2).map(|code| code == [0, 1])
    }
}

/// `Bind`: a portal is made of a statement and parameters.
#[derive(Clone, Debug)]
pub struct Bind<'a> {
    /// The portal's name; empty is the unnamed one; `None` where it was not captured.
    pub portal: Option<&'a [u8]>,
    /// The statement's name, likewise.
    pub statement: Option<&'a [u8]>,
    /// The parameters' formats.
    pub formats: Formats<'a>,
    /// The parameters.
    pub values: Values<'a>,
}

impl<'a> Bind<'a> {
    pub(super) fn new(body: &'a [u8], condensed: bool) -> Self {
        let mut cursor = Cursor::new(body);
        let portal = cursor.text().map(name);
        let statement = cursor.text().map(name);
        let formats = codes(&mut cursor).unwrap_or(Formats(&[]));
        let spent = body.len().saturating_sub(cursor.rest().len());
        Self {
            portal,
            statement,
            formats,
            values: Values::after(cursor, condensed, spent),
        }
    }

    /// The result columns' formats, which follow the parameters; `None` where they were not
    /// captured.
    #[must_use]
    pub fn results(&self) -> Option<Formats<'a>> {
        let mut values = self.values.clone();
        while values.left > 0 {
            values.next()?;
        }
        codes(&mut values.cursor)
    }
}

fn codes<'a>(cursor: &mut Cursor<'a>) -> Option<Formats<'a>> {
    let count = cursor.u16()?;
    cursor.take(usize::from(count).checked_mul(2)?).map(Formats)
}

/// The server keeps 63 bytes of a name and compares no more.
pub(super) fn name(name: &[u8]) -> &[u8] {
    name.get(..super::NAME_LIMIT).unwrap_or(name)
}

/// A column of a `RowDescription`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name, at most 63 bytes.
    pub name: &'a [u8],
    /// Its type's OID.
    pub oid: u32,
    /// Whether its values are in binary; always `false` in answer to a `Describe` of a statement.
    pub binary: bool,
}

/// The columns of a `RowDescription`, as far as they were captured.
#[derive(Clone, Debug)]
pub struct Columns<'a> {
    cursor: Cursor<'a>,
    left: u16,
}

impl<'a> Columns<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        let mut cursor = Cursor::new(body);
        let left = cursor.u16().unwrap_or(0);
        Self { cursor, left }
    }
}

impl<'a> Iterator for Columns<'a> {
    type Item = Column<'a>;

    fn next(&mut self) -> Option<Column<'a>> {
        self.left = self.left.checked_sub(1)?;
        let name = name(self.cursor.text()?);
        // Table (4), attribute (2); type (4); size (2), modifier (4); format (2).
        self.cursor.take(6)?;
        let oid = self.cursor.u32()?;
        self.cursor.take(6)?;
        let binary = self.cursor.u16()? == 1;
        Some(Column { name, oid, binary })
    }
}

/// Type OIDs of parameters, as far as they were captured.
#[derive(Clone, Debug)]
pub struct Types<'a> {
    cursor: Cursor<'a>,
    left: u16,
}

impl<'a> Types<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        let mut cursor = Cursor::new(body);
        let left = cursor.u16().unwrap_or(0);
        Self { cursor, left }
    }
}

impl Iterator for Types<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        self.cursor.u32()
    }
}

#[cfg(test)]
mod tests {
    use super::super::keep::{Keeper, Shape};
    use super::*;

    fn row(values: &[Option<usize>]) -> Vec<u8> {
        let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for (index, value) in values.iter().enumerate() {
            match value {
                Some(length) => {
                    body.extend(i32::try_from(*length).unwrap().to_be_bytes());
                    let byte = b'a' + u8::try_from(index % 26).unwrap();
                    body.extend(std::iter::repeat_n(byte, *length));
                }
                None => body.extend((-1_i32).to_be_bytes()),
            }
        }
        body
    }

    fn condensed(body: &[u8], piece: usize) -> Vec<u8> {
        let mut keeper = Keeper::new(Shape::Row);
        let mut held = Vec::new();
        for piece in body.chunks(piece) {
            keeper.bytes(piece, &mut held);
        }
        held
    }

    #[test]
    fn a_condensed_row_reads_like_the_whole() {
        let many = vec![Some(300); 1000];
        for values in [
            vec![],
            vec![None],
            vec![Some(0), None, Some(256), Some(257), Some(100_000), Some(3)],
            many,
        ] {
            let body = row(&values);
            let whole: Vec<_> = Values::new(&body, false).collect();
            for piece in [1, 7, 4096, body.len()] {
                let held = condensed(&body, piece);
                assert!(held.len() <= HELD_LIMIT);
                let again: Vec<_> = Values::new(&held, true).collect();
                assert_eq!(again, whole, "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_hole_in_a_value_hides_that_value_or_nothing() {
        let body = row(&[Some(10), Some(1000), Some(5)]);
        // Its length lies at 16, its value from 20 to 1020.
        for (from, to, missing) in [(20, 30, true), (100, 1020, true), (276, 1020, false)] {
            let mut keeper = Keeper::new(Shape::Row);
            let mut held = Vec::new();
            keeper.bytes(&body[..from], &mut held);
            keeper.hole(u32::try_from(to - from).unwrap(), &mut held);
            keeper.bytes(&body[to..], &mut held);
            let values: Vec<_> = Values::new(&held, true).collect();
            assert_eq!(values.len(), 3, "hole {from}..{to}");
            assert_eq!(values[1] == Value::Missing, missing, "hole {from}..{to}");
            assert_eq!(values[2], Value::Bytes(b"ccccc"));
        }
    }

    #[test]
    fn a_hole_over_a_length_ends_the_values() {
        let body = row(&[Some(10), Some(1000), Some(5)]);
        let mut keeper = Keeper::new(Shape::Row);
        let mut held = Vec::new();
        keeper.bytes(&body[..17], &mut held);
        keeper.hole(100, &mut held);
        keeper.bytes(&body[117..], &mut held);
        assert_eq!(Values::new(&held, true).count(), 1);
    }
}
