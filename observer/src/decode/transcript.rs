//! Transcripts: a connection's bytes as readable text, one fixture per story.
//!
//! ```text
//! # tests/fixtures/postgres/prepared_reuse.txt
//! > 50 00000020 "s1\0" "SELECT 1\0" 0000    what the client sent: hexadecimal bytes and strings
//! < 31 00000004                             what the server sent
//! ~ > 4096                                  a hole of the client's: passed, not captured
//! @ +12ms                                   time goes on (ns, us, ms, s)
//! ```
//!
//! Strings know `\r \n \t \0 \\ \"` and `\xNN`; everything else stands for its UTF-8 bytes. Blank
//! lines and lines that begin with `#` say nothing.

use super::Side;
use crate::time::Timestamp;

/// One line of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Who sent it.
    pub side: Side,
    /// When.
    pub time: Timestamp,
    /// What.
    pub data: Data,
}

/// What a step carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Payload.
    Bytes(Vec<u8>),
    /// Payload that was not captured.
    Hole(u64),
}

/// A line that is none of a transcript, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Invalid {
    line: usize,
    what: &'static str,
}

/// Reads a transcript.
///
/// # Errors
/// [`Invalid`] names the first line that cannot be read.
pub fn parse(text: &str) -> Result<Vec<Step>, Invalid> {
    let mut steps = Vec::new();
    let mut time = Timestamp(1_000_000_000);
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let fail = |what| Invalid {
            line: line_number,
            what,
        };
        let trimmed = line.trim();
        let Some(first) = trimmed.chars().next() else {
            continue;
        };
        let rest = trimmed.get(first.len_utf8()..).unwrap_or_default().trim();
        match first {
            '#' => {}
            '>' | '<' => {
                let data = Data::Bytes(bytes(rest).map_err(fail)?);
                steps.push(Step {
                    side: side(first),
                    time,
                    data,
                });
            }
            '~' => {
                let mut words = rest.split_whitespace();
                let side = match words.next() {
                    Some(">") => Side::Client,
                    Some("<") => Side::Server,
                    _ => return Err(fail("a hole needs a direction, > or <")),
                };
                let length = words.next().and_then(|word| word.parse().ok());
                let length = length.ok_or_else(|| fail("a hole needs its length"))?;
                steps.push(Step {
                    side,
                    time,
                    data: Data::Hole(length),
                });
            }
            '@' => time = Timestamp(time.0 + elapsed(rest).ok_or_else(|| fail("no time"))?),
            _ => return Err(fail("a line begins with > < ~ @ or #")),
        }
    }
    Ok(steps)
}

fn side(sign: char) -> Side {
    if sign == '>' {
        Side::Client
    } else {
        Side::Server
    }
}

fn elapsed(text: &str) -> Option<u64> {
    let text = text.strip_prefix('+')?;
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let number: u64 = number.parse().ok()?;
    let scale = match unit.split_whitespace().next()? {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(scale)
}

fn bytes(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' => {}
            '"' => string(&mut rest, &mut out)?,
            _ => {
                let low = rest.next().ok_or("half a hexadecimal byte")?;
                out.push(hexadecimal(c, low)?);
            }
        }
    }
    Ok(out)
}

fn string(rest: &mut impl Iterator<Item = char>, out: &mut Vec<u8>) -> Result<(), &'static str> {
    loop {
        match rest.next().ok_or("a string without its end")? {
            '"' => return Ok(()),
            '\\' => match rest.next().ok_or("a string without its end")? {
                'r' => out.push(b'\r'),
                'n' => out.push(b'\n'),
                't' => out.push(b'\t'),
                '0' => out.push(0),
                'x' => {
                    let high = rest.next().ok_or("half a hexadecimal byte")?;
                    let low = rest.next().ok_or("half a hexadecimal byte")?;
                    out.push(hexadecimal(high, low)?);
                }
                escaped @ ('\\' | '"') => out.push(escaped as u8),
                _ => return Err("an unknown escape"),
            },
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn hexadecimal(high: char, low: char) -> Result<u8, &'static str> {
    let digit = |c: char| c.to_digit(16).and_then(|d| u8::try_from(d).ok());
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Ok(high << 4 | low),
        _ => Err("not hexadecimal"),
    }
}

/// Writes steps as a transcript that [`parse`] reads back.
#[must_use]
pub fn format(steps: &[Step]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut time = steps.first().map_or(0, |step| step.time.0);
    for step in steps {
        if step.time.0 > time {
            let _ = writeln!(text, "@ +{}ns", step.time.0 - time);
            time = step.time.0;
        }
        let sign = if step.side == Side::Client { '>' } else { '<' };
        match &step.data {
            Data::Hole(length) => {
                let _ = writeln!(text, "~ {sign} {length}");
            }
            Data::Bytes(bytes) => {
                text.push(sign);
                text.push_str(" \"");
                for byte in bytes {
                    match byte {
                        b'\r' => text.push_str("\\r"),
                        b'\n' => text.push_str("\\n"),
                        b'\t' => text.push_str("\\t"),
                        b'\\' => text.push_str("\\\\"),
                        b'"' => text.push_str("\\\""),
                        0x20..0x7f => text.push(char::from(*byte)),
                        _ => {
                            let _ = write!(text, "\\x{byte:02x}");
                        }
                    }
                }
                text.push_str("\"\n");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bytes_strings_holes_and_time() {
        let steps =
            parse("# x\n> 50 0001 \"s\\x01\\r\"\n@ +2ms\n< \"é\"\n~ > 4096  note\n").unwrap();
        assert_eq!(steps[0].data, Data::Bytes(vec![0x50, 0, 1, b's', 1, b'\r']));
        assert_eq!(steps[1].time.0 - steps[0].time.0, 2_000_000);
        assert_eq!(steps[2].data, Data::Hole(4096));
        assert_eq!(parse(&format(&steps)).unwrap()[1].data, steps[1].data);
    }

    #[test]
    fn names_the_line_that_cannot_be_read() {
        assert_eq!(
            parse("> 5\n").unwrap_err().to_string(),
            "line 1: half a hexadecimal byte"
        );
        assert_eq!(
            parse("\n! x").unwrap_err().to_string(),
            "line 2: a line begins with > < ~ @ or #"
        );
    }
}
