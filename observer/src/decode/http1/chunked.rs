//! The chunked transfer coding (RFC 9112 §7.1), one byte of state at a time.
//!
//! Nothing is held back: sizes are summed up digit by digit; extensions and trailers are passed
//! over, however long. Lines may end in a bare LF.

use memchr::memchr;

use super::body::Progress;
use super::message::Piece;
use crate::decode::Lost;

/// Where in a chunked body the stream is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunked {
    at: At,
    /// Bytes of the current chunk's data still to come; its size while that is being read.
    left: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the first digit of a size.
    #[default]
    Start,
    /// In its digits.
    Size,
    /// Behind them, up to the end of the line.
    Extension,
    Data,
    /// Before the line end behind the data.
    DataEnd,
    /// Between its CR and its LF.
    DataEndLf,
    /// At the beginning of a trailer line or of the closing empty one.
    Line,
    /// Between CR and LF of the closing line.
    LastLf,
    Trailer,
}

impl Chunked {
    /// Takes bytes up to the body's end; the number taken, and what that led to.
    pub(super) fn take<'a>(
        &mut self,
        bytes: &'a [u8],
        piece: &mut dyn FnMut(Piece<'a>),
    ) -> (usize, Progress) {
        let mut rest = bytes;
        let mut progress = Progress::More;
        while let ([byte, tail @ ..], Progress::More) = (rest, progress) {
            (rest, progress) = match self.at {
                At::Data => (self.data(rest, piece), Progress::More),
                At::Extension | At::Trailer => (self.pass(rest, piece), Progress::More),
                _ => {
                    let progress = self.step(*byte);
                    if self.at == At::Trailer {
                        piece(Piece::Aside(rest.get(..1).unwrap_or_default()));
                    }
                    (tail, progress)
                }
            };
        }
        (bytes.len() - rest.len(), progress)
    }

    /// Skips bytes that are missing, where they are all of one chunk's data.
    pub(super) fn skip(&mut self, length: u64) -> bool {
        let inside = self.at == At::Data && length <= self.left;
        if inside {
            self.left -= length;
            if self.left == 0 {
                self.at = At::DataEnd;
            }
        }
        inside
    }

    fn data<'a>(&mut self, rest: &'a [u8], piece: &mut dyn FnMut(Piece<'a>)) -> &'a [u8] {
        let length = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(rest.len());
        let (data, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        piece(Piece::Bytes(data));
        self.skip(data.len() as u64);
        rest
    }

    /// Passes over a line that says nothing to us, with its end.
    fn pass<'a>(&mut self, rest: &'a [u8], piece: &mut dyn FnMut(Piece<'a>)) -> &'a [u8] {
        let Some(end) = memchr(b'\n', rest) else {
            piece(Piece::Aside(rest));
            return &[];
        };
        piece(Piece::Aside(rest.get(..=end).unwrap_or_default()));
        self.at = match self.at {
            At::Extension if self.left > 0 => At::Data,
            _ => At::Line,
        };
        rest.get(end + 1..).unwrap_or_default()
    }

    fn step(&mut self, byte: u8) -> Progress {
        self.at = match (self.at, byte) {
            (At::Start | At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).map(u64::from);
                let sum = self.left.checked_mul(16).zip(digit);
                let Some(size) = sum.map(|(sum, digit)| sum | digit) else {
                    return Progress::Broken(Lost::Malformed);
                };
                self.left = size;
                At::Size
            }
            (At::Size, b';' | b' ' | b'\t' | b'\r') => At::Extension,
            (At::Size, b'\n') if self.left > 0 => At::Data,
            (At::Size, b'\n') => At::Line,
            (At::DataEnd, b'\r') => At::DataEndLf,
            (At::DataEnd | At::DataEndLf, b'\n') => At::Start,
            (At::Line, b'\r') => At::LastLf,
            (At::Line | At::LastLf, b'\n') => return Progress::Done,
            (At::Line, _) => At::Trailer,
            _ => return Progress::Broken(Lost::Malformed),
        };
        Progress::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(piece: Piece<'_>) -> &[u8] {
        match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Aside(_) | Piece::Hole(_) => &[],
        }
    }

    /// Taken, data, and how it ended, whole and byte by byte.
    fn take(text: &str) -> (usize, String, Progress) {
        let bytes = text.as_bytes();
        let mut data = Vec::new();
        let (taken, progress) =
            Chunked::default().take(bytes, &mut |piece| data.extend(payload(piece)));
        let (mut single, mut at, mut last) = (Chunked::default(), 0, Progress::More);
        let mut data_single = Vec::new();
        while at < bytes.len() && last == Progress::More {
            last = single
                .take(&bytes[at..=at], &mut |piece| {
                    data_single.extend(payload(piece));
                })
                .1;
            at += 1;
        }
        assert_eq!(
            (at, &data_single, last),
            (taken, &data, progress),
            "{text:?}"
        );
        (taken, String::from_utf8(data).unwrap(), progress)
    }

    #[test]
    fn a_chunked_body_ends_with_its_last_line() {
        let rows = [
            ("0\r\n\r\n", ""),
            ("0\n\n", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc"),
            ("3;a=\"b\"\r\nabc\r\n00 ;x\r\nT: 1\r\nU: 2\r\n\r\n", "abc"),
            ("A\r\n0\r\n\r\n56789\r\n0\r\n\r\n", "0\r\n\r\n56789"),
        ];
        for (text, data) in rows {
            let more = format!("{text}HTTP/1.1");
            assert_eq!(
                take(&more),
                (text.len(), data.into(), Progress::Done),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_not_chunked_is_given_up() {
        for text in [
            "x",
            "\r\n",
            ";\r\n",
            "1\r\nab",
            "11111111111111111\r\n",
            "0\r\n\rx",
        ] {
            let (_, _, progress) = take(text);
            assert_eq!(progress, Progress::Broken(Lost::Malformed), "{text:?}");
        }
    }

    #[test]
    fn only_a_chunks_data_can_be_skipped() {
        let mut chunked = Chunked::default();
        assert!(!chunked.skip(1));
        chunked.take(b"5\r\nab", &mut |_| {});
        assert!(!chunked.skip(4));
        assert!(chunked.skip(3));
        assert_eq!(
            chunked.take(b"\r\n0\r\n\r\n", &mut |_| {}).1,
            Progress::Done
        );
    }
}
