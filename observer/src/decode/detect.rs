//! Which protocol a direction speaks, from its first bytes.
//!
//! Pure functions of the first bytes that were seen of a direction, at the start of its stream or
//! of a turn in its middle. A wrong guess costs more than a late one (a decoder would read another
//! protocol's bytes), so a guess needs a form that another protocol does not have by accident; a
//! later turn may be asked again.

mod hello;
mod http;
mod postgres;
mod redis;
#[cfg(test)]
mod tests;
mod tls;

use observer_ebpf::Protocol;

use super::Side;

pub use hello::server_name;

/// Bytes after which waiting for more is no use: with as many, the answer is never
/// [`Guess::Undecided`].
pub const ENOUGH: usize = 64;

/// What a direction seems to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// The bytes may yet become something known; there are too few of them.
    Undecided,
    /// This protocol, and who sends in this direction; `None` where both sides send such bytes.
    Found(Protocol, Option<Side>),
    /// None of the protocols known here, or at a place that shows none.
    Other,
}

/// Guesses from the bytes that begin a direction or a turn; more than [`ENOUGH`] may be given.
#[must_use]
pub fn guess(first: &[u8]) -> Guess {
    let mut undecided = first.is_empty();
    for ask in [tls::guess, http::guess, redis::guess, postgres::guess] {
        match ask(first) {
            found @ Guess::Found(..) => return found,
            Guess::Undecided => undecided = true,
            Guess::Other => {}
        }
    }
    if undecided && first.len() < ENOUGH {
        Guess::Undecided
    } else {
        Guess::Other
    }
}

/// Big-endian numbers at the front of what is left; `None` is "more is needed".
trait Front {
    fn u16_at(&self, at: usize) -> Option<u16>;
    fn u32_at(&self, at: usize) -> Option<u32>;
}

impl Front for [u8] {
    fn u16_at(&self, at: usize) -> Option<u16> {
        let bytes = self.get(at..)?.first_chunk()?;
        Some(u16::from_be_bytes(*bytes))
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        let bytes = self.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes))
    }
}

/// Whether `bytes` begin with `form`, or are a beginning of it.
fn compare(bytes: &[u8], form: &[u8]) -> Compared {
    if bytes.starts_with(form) {
        Compared::Whole
    } else if form.starts_with(bytes) {
        Compared::SoFar
    } else {
        Compared::Different
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    Whole,
    SoFar,
    Different,
}
