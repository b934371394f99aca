//! A value as PostgreSQL or a request sent it becomes one that rules can compare, add and name.
//!
//! Formats: <https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES>;
//! the binary ones are those of the server's `…send` functions (`numeric_send` in
//! `src/backend/utils/adt/numeric.c`).

use schemars::JsonSchema;
use serde::Deserialize;

use crate::correlate::postgres::Value;

/// What a rule says a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// `int2`, `int4`, `int8`.
    Integer,
    /// `numeric`, or an integer: an amount in the unit that the database stores.
    Money,
    /// `text`, `varchar`, an enumeration; as a label it is in lower case.
    Text,
    /// `uuid`.
    Uuid,
    /// `timestamp`, `timestamptz`, `date`: only ever compared with another of the same row.
    Time,
    /// How long something took; of requests only.
    Duration,
    /// `int8[]` and the like, of one dimension: only ever to look for an integer in.
    Integers,
}

/// A value that a rule may read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Datum {
    /// A whole number.
    Integer(i64),
    /// Hundredths of the stored unit.
    Money(i64),
    /// Text, at most [`TEXT_LIMIT`] bytes.
    Text(Box<str>),
    /// Sixteen bytes of a UUID.
    Uuid([u8; 16]),
    /// A moment, as it was sent.
    Time(Box<[u8]>),
    /// Nanoseconds.
    Duration(u64),
    /// Whole numbers.
    Integers(Box<[i64]>),
}

/// Bytes of the longest text a rule reads; a longer one is unknown.
pub const TEXT_LIMIT: usize = 64;

/// `numeric`'s digits are in this base.
const BASE: i128 = 10_000;

impl Datum {
    /// Reads a value; `None` for NULL and for what is not of this type.
    #[must_use]
    pub fn read(value: &Value, of: Type) -> Option<Self> {
        let bytes = value.bytes.as_deref()?;
        match of {
            Type::Integer if value.binary => integer(bytes).map(Self::Integer),
            Type::Integer => text(bytes)?.parse().ok().map(Self::Integer),
            Type::Money if !value.binary => hundredths_of(text(bytes)?).map(Self::Money),
            Type::Money if is_integer(value.oid) => {
                integer(bytes)?.checked_mul(100).map(Self::Money)
            }
            Type::Money => numeric(bytes).map(Self::Money),
            Type::Text | Type::Time if bytes.len() > TEXT_LIMIT => None,
            Type::Text => text(bytes).map(|text| Self::Text(text.into())),
            Type::Uuid if value.binary => bytes.try_into().ok().map(Self::Uuid),
            Type::Uuid => uuid(bytes).map(Self::Uuid),
            Type::Time => Some(Self::Time(bytes.into())),
            Type::Duration => None,
            Type::Integers if value.binary => array(bytes).map(Self::Integers),
            Type::Integers => listed(text(bytes)?).map(Self::Integers),
        }
    }

    /// Reads a value that was sent as text, as parts of a URL and of JSON are.
    #[must_use]
    pub fn parse(text: &[u8], of: Type) -> Option<Self> {
        let value = Value {
            binary: false,
            oid: 0,
            bytes: Some(text.into()),
        };
        Self::read(&value, of)
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Whether an OID is that of `int8`, `int2` or `int4`.
const fn is_integer(oid: u32) -> bool {
    matches!(oid, 20 | 21 | 23)
}

fn integer(bytes: &[u8]) -> Option<i64> {
    Some(match bytes.len() {
        8 => i64::from_be_bytes(bytes.try_into().ok()?),
        4 => i32::from_be_bytes(bytes.try_into().ok()?).into(),
        2 => i16::from_be_bytes(bytes.try_into().ok()?).into(),
        _ => return None,
    })
}

/// `numeric` in binary: digits, weight of the first, sign, scale, then the digits.
///
/// ```text
///   00 02 | 00 00 | 00 00 | 00 02 | 0f 9d 17 70      3997.60 = 3997 × 10⁴⁰ + 6000 × 10⁻⁴
/// ```
fn numeric(bytes: &[u8]) -> Option<i64> {
    const NEGATIVE: u16 = 0x4000;
    let mut words = bytes
        .as_chunks()
        .0
        .iter()
        .map(|pair| u16::from_be_bytes(*pair));
    let count = words.next()?;
    let weight = i32::from(words.next()?.cast_signed());
    let sign = words.next()?;
    words.next()?;
    if sign != 0 && sign != NEGATIVE {
        // NaN and the infinities.
        return None;
    }
    let mut sum: i128 = 0;
    for place in 0..i32::from(count) {
        let digit = i128::from(words.next()?);
        if digit >= BASE {
            return None;
        }
        // Ten-thousandths: the digit behind the point is a whole number of them.
        let exponent = weight - place + 1;
        match u32::try_from(exponent) {
            Ok(exponent) => {
                let unit = BASE.checked_pow(exponent)?;
                sum = sum.checked_add(digit.checked_mul(unit)?)?;
            }
            Err(_) if digit == 0 => {}
            // Finer than a hundredth of what is stored.
            Err(_) => return None,
        }
    }
    if words.next().is_some() || sum % 100 != 0 {
        return None;
    }
    let amount = i64::try_from(sum / 100).ok()?;
    Some(if sign == NEGATIVE { -amount } else { amount })
}

/// A decimal number in hundredths; `None` where it is finer.
fn hundredths_of(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let (cents, finer) = fraction.split_at_checked(2).unwrap_or((fraction, ""));
    if finer.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let cents = match cents.len() {
        0 => 0,
        1 => cents.parse::<i64>().ok()? * 10,
        _ => cents.parse().ok()?,
    };
    let amount = whole
        .parse::<i64>()
        .ok()?
        .checked_mul(100)?
        .checked_add(cents)?;
    Some(if negative { -amount } else { amount })
}

/// An array in binary: dimensions, whether there are NULLs, the elements' OID, then for the one
/// dimension its length and first index, then the elements, each with its length. `None` also for
/// one that was cut.
fn array(bytes: &[u8]) -> Option<Box<[i64]>> {
    let (head, mut rest) = bytes.split_at_checked(12)?;
    match head {
        [0, 0, 0, 0, ..] => return Some(Box::default()),
        [0, 0, 0, 1, ..] => {}
        _ => return None,
    }
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at_checked(length)?;
        rest = left;
        Some(taken)
    };
    let count = integer(take(8)?.get(..4)?)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let length = integer(take(4)?)?;
        found.push(integer(take(usize::try_from(length).ok()?)?)?);
    }
    Some(found.into())
}

/// An array as text: `{1,2}`.
fn listed(text: &str) -> Option<Box<[i64]>> {
    let inside = text.strip_prefix('{')?.strip_suffix('}')?;
    let elements = inside.split(',').filter(|_| !inside.is_empty());
    elements.map(|element| element.parse().ok()).collect()
}

/// 32 hexadecimal digits, with or without hyphens.
fn uuid(bytes: &[u8]) -> Option<[u8; 16]> {
    let mut digits = bytes.iter().filter(|byte| **byte != b'-').map(|byte| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    });
    let mut read = [0; 16];
    for byte in &mut read {
        *byte = digits.next()?? << 4 | digits.next()??;
    }
    digits.next().is_none().then_some(read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(binary: bool, oid: u32, bytes: &[u8]) -> Value {
        Value {
            binary,
            oid,
            bytes: Some(bytes.into()),
        }
    }

    fn money(binary: bool, bytes: &[u8]) -> Option<i64> {
        match Datum::read(&value(binary, 1700, bytes), Type::Money)? {
            Datum::Money(amount) => Some(amount),
            other => panic!("{other:?}"),
        }
    }

    /// As `numeric_send` writes it.
    fn send(hundredths: i64, scale: u16) -> Vec<u8> {
        let mut left = i128::from(hundredths).unsigned_abs() * 100;
        let mut digits = Vec::new();
        while left > 0 {
            digits.push(u16::try_from(left % 10_000).unwrap());
            left /= 10_000;
        }
        let weight = i16::try_from(digits.len()).unwrap() - 2;
        digits.reverse();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let sign = if hundredths < 0 { 0x4000_u16 } else { 0 };
        let count = u16::try_from(digits.len()).unwrap();
        let head = [count, weight.cast_unsigned(), sign, scale];
        let words = head.into_iter().chain(digits);
        words.flat_map(u16::to_be_bytes).collect()
    }

    #[test]
    fn integers_come_in_every_width_and_as_text() {
        let read = |binary, bytes: &[u8]| Datum::read(&value(binary, 0, bytes), Type::Integer);
        for (binary, bytes) in [
            (true, &[0, 7][..]),
            (true, &[0, 0, 0, 7]),
            (true, &[0, 0, 0, 0, 0, 0, 0, 7]),
            (false, b"7"),
        ] {
            assert_eq!(read(binary, bytes), Some(Datum::Integer(7)));
        }
        assert_eq!(read(false, b"7x"), None);
        assert_eq!(read(true, &[7]), None);
    }

    #[test]
    fn money_is_exact_or_unknown() {
        // 3997.60, as the server sends it.
        let sent = [0, 2, 0, 0, 0, 0, 0, 2, 0x0f, 0x9d, 0x17, 0x70];
        assert_eq!(money(true, &sent), Some(399_760));
        // Zero, as parameters carry it.
        assert_eq!(money(true, &[0, 0, 0xff, 0xff, 0, 0, 0, 0]), Some(0));
        // NaN; a digit of another base; a hundred-thousandth; a digit that is missing.
        assert_eq!(money(true, &[0, 0, 0, 0, 0xc0, 0, 0, 0]), None);
        assert_eq!(money(true, &[0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10]), None);
        assert_eq!(money(true, &[0, 1, 0xff, 0xfe, 0, 0, 0, 5, 3, 0xe8]), None);
        assert_eq!(money(true, &[0, 2, 0, 0, 0, 0, 0, 0, 0, 1]), None);
        for (text, amount) in [
            ("3997.60", Some(399_760)),
            ("-0.05", Some(-5)),
            ("7", Some(700)),
            ("7.5", Some(750)),
            ("7.500", Some(750)),
            ("7.505", None),
            ("NaN", None),
            ("", None),
            (".5", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(money(false, text.as_bytes()), amount, "{text}");
        }
        let whole = Datum::read(&value(true, 20, &[0; 8]), Type::Money);
        assert_eq!(whole, Some(Datum::Money(0)));
    }

    #[test]
    fn a_uuid_is_the_same_in_both_formats() {
        let text = b"0f8fad5b-d9cb-469f-a165-70867728950e";
        let Some(Datum::Uuid(bytes)) = Datum::read(&value(false, 0, text), Type::Uuid) else {
            panic!("no uuid")
        };
        assert_eq!(
            Datum::read(&value(true, 0, &bytes), Type::Uuid),
            Some(Datum::Uuid(bytes))
        );
        assert_eq!(Datum::read(&value(false, 0, b"0f8f"), Type::Uuid), None);
    }

    #[test]
    fn a_list_is_the_same_in_both_formats_and_one_that_was_cut_is_none() {
        // As `array_send` writes {7,-1} of type int8.
        let mut sent = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 1];
        for element in [7_i64, -1] {
            sent.extend(8_u32.to_be_bytes());
            sent.extend(element.to_be_bytes());
        }
        let read = |binary, bytes: &[u8]| Datum::read(&value(binary, 0, bytes), Type::Integers);
        let both = Some(Datum::Integers(Box::new([7, -1])));
        assert_eq!(read(true, &sent), both);
        assert_eq!(read(false, b"{7,-1}"), both);
        let empty = Some(Datum::Integers(Box::default()));
        assert_eq!(read(true, &[0; 12]), empty);
        assert_eq!(read(false, b"{}"), empty);
        for length in 0..sent.len() {
            assert_eq!(read(true, &sent[..length]), None, "{length}");
        }
        for text in ["{7,NULL}", "{7,-1", "{{7},{-1}}", "7"] {
            assert_eq!(read(false, text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn null_is_nothing() {
        let null = Value {
            binary: true,
            oid: 0,
            bytes: None,
        };
        assert_eq!(Datum::read(&null, Type::Text), None);
    }

    proptest! {
        #[test]
        fn what_numeric_sends_is_read_back(hundredths in any::<i64>(), scale in 0_u16..3) {
            prop_assert_eq!(money(true, &send(hundredths, scale)), Some(hundredths));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>(), binary: bool, oid in 0_u32..30) {
            for of in [Type::Integer, Type::Money, Type::Text, Type::Uuid, Type::Time, Type::Integers] {
                let _ = Datum::read(&value(binary, oid, &bytes), of);
            }
        }
    }
}
