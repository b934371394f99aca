//! What the words of a reply say: of a status line, of an error, of what a subscriber is sent.

use crate::decode::redis::command::Family;
use crate::decode::redis::{Answer, Name, Status};

/// What the line behind a sign says; `top` is outside every aggregate.
pub(super) fn answer_of(sign: u8, text: &[u8], top: bool) -> Answer {
    match sign {
        b'-' => Answer::Error(error_word(text)),
        b'+' if top => Answer::Status(Status::of(text)),
        _ => Answer::Value,
    }
}

impl Status {
    fn of(text: &[u8]) -> Self {
        match text {
            b"QUEUED" => Self::Queued,
            [b'0'..=b'9', ..] => Self::Monitored,
            _ if text.starts_with(b"FULLRESYNC ") || text.starts_with(b"CONTINUE") => Self::Resync,
            _ => Self::Other,
        }
    }
}

impl Name {
    /// What the first element of an aggregate says.
    pub(crate) fn of(word: &[u8]) -> Self {
        match word {
            b"message" | b"pmessage" | b"smessage" => Self::Delivered,
            b"subscribe" => Self::Subscribed(Family::Channel),
            b"psubscribe" => Self::Subscribed(Family::Pattern),
            b"ssubscribe" => Self::Subscribed(Family::Shard),
            b"unsubscribe" => Self::Unsubscribed(Family::Channel),
            b"punsubscribe" => Self::Unsubscribed(Family::Pattern),
            b"sunsubscribe" => Self::Unsubscribed(Family::Shard),
            _ => Self::Other,
        }
    }
}

/// An error's first word, where it looks like one of a server: of a script's own errors the first
/// word may be anything, a customer's data included.
pub(crate) fn error_word(text: &[u8]) -> [u8; 16] {
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let mut out = [0; 16];
    let plain = word.iter().all(|b| b.is_ascii_uppercase() || *b == b'_');
    match out.get_mut(..word.len()) {
        Some(place) if plain && !word.is_empty() => place.copy_from_slice(word),
        _ => out = *b"_other\0\0\0\0\0\0\0\0\0\0",
    }
    out
}
