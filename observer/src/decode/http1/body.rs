//! Bodies: passed over, whatever their extent, and the holes in them.

use super::chunked::Chunked;
use super::framing::Extent;
use super::message::Piece;
use crate::decode::Lost;

/// The closing bytes of a chunked body without trailers.
const LAST_CHUNK: [u8; 7] = *b"\r\n0\r\n\r\n";

/// Where in a body the stream is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// A chunked body whose chunk borders a hole hid. Nothing else is in flight, so all that
    /// comes belongs to it, and it ends where the input ends with its last chunk: the capture
    /// copies the end of every segment.
    Blind(Blind),
}

/// What led up to the end of the input so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blind {
    pub(super) cause: Lost,
    tail: [u8; 7],
}

/// What taking bytes of a body led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on.
    More,
    /// It is over.
    Done,
    /// It is none.
    Broken(Lost),
}

/// What a hole in a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// All of it was body, which goes on.
    Inside,
    /// The body ended so many bytes into it.
    Past(u64),
    /// It hid borders of chunks.
    Borders,
}

impl Body {
    /// The body of that extent, where there is one.
    pub(super) fn of(extent: Extent) -> Option<Self> {
        match extent {
            Extent::Length(length) => Some(Self::Length(length)),
            Extent::Chunked => Some(Self::Chunked(Chunked::default())),
            Extent::UntilClose => Some(Self::UntilClose),
            Extent::Empty | Extent::Upgraded | Extent::Unknown => None,
        }
    }

    /// A chunked body from inside a hole on.
    pub(super) fn blind(cause: Lost) -> Self {
        Self::Blind(Blind {
            cause,
            tail: [0; 7],
        })
    }

    /// Takes bytes up to the body's end; the number taken, and what that led to. `piece` is
    /// offered the payload, and what is neither payload nor its framing.
    pub(super) fn take<'a>(
        &mut self,
        bytes: &'a [u8],
        piece: &mut dyn FnMut(Piece<'a>),
    ) -> (usize, Progress) {
        match self {
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX);
                let data = bytes.get(..length).unwrap_or(bytes);
                piece(Piece::Bytes(data));
                *left = left.saturating_sub(data.len() as u64);
                (data.len(), done(*left == 0))
            }
            Self::Chunked(chunked) => chunked.take(bytes, piece),
            Self::UntilClose => {
                piece(Piece::Bytes(bytes));
                (bytes.len(), Progress::More)
            }
            Self::Blind(blind) => {
                piece(Piece::Aside(bytes));
                (bytes.len(), done(blind.ends_with(bytes)))
            }
        }
    }

    /// Skips bytes that are missing.
    pub(super) fn skip(&mut self, hole: u64) -> Skipped {
        match self {
            Self::Length(left) if hole < *left => {
                *left -= hole;
                Skipped::Inside
            }
            Self::Length(left) => Skipped::Past(*left),
            Self::Chunked(chunked) => {
                if chunked.skip(hole) {
                    Skipped::Inside
                } else {
                    Skipped::Borders
                }
            }
            Self::UntilClose => Skipped::Inside,
            Self::Blind(blind) => {
                blind.tail = [0; 7];
                Skipped::Inside
            }
        }
    }
}

impl Blind {
    fn ends_with(&mut self, bytes: &[u8]) -> bool {
        let fresh = bytes.len().saturating_sub(self.tail.len());
        for byte in bytes.get(fresh..).unwrap_or_default() {
            self.tail.rotate_left(1);
            self.tail[6] = *byte;
        }
        self.tail == LAST_CHUNK
    }
}

fn done(done: bool) -> Progress {
    if done { Progress::Done } else { Progress::More }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_in_a_body_is_skipped_by_length() {
        let mut body = Body::Length(10);
        assert_eq!(body.skip(4), Skipped::Inside);
        assert_eq!(body.skip(6), Skipped::Past(6));
        assert_eq!(body.skip(9), Skipped::Past(6));
        assert_eq!(Body::UntilClose.skip(u64::MAX), Skipped::Inside);
    }

    #[test]
    fn a_blind_body_ends_with_a_last_chunk_at_the_end_of_an_input() {
        let rows: &[(&[&[u8]], bool)] = &[
            (&[b"abc\r\n0\r\n\r\n"], true),
            (&[b"abc\r\n", b"0\r\n\r\n"], true),
            (&[b"abc\r\n0\r\n\r\nmore"], false),
            (&[b"0\r\n\r\n"], false),
        ];
        for (inputs, ends) in rows {
            let mut body = Body::blind(Lost::Budget);
            let last = inputs
                .iter()
                .map(|bytes| body.take(bytes, &mut |_| {}).1)
                .last();
            assert_eq!(last, Some(done(*ends)), "{inputs:?}");
        }
        let mut body = Body::blind(Lost::Budget);
        body.take(b"abc\r\n", &mut |_| {});
        body.skip(1);
        assert_eq!(body.take(b"0\r\n\r\n", &mut |_| {}).1, Progress::More);
    }
}
