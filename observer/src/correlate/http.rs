//! HTTP/1: requests meet their responses in order.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::time::Timestamp;

mod correlator;
#[cfg(test)]
mod tests;

pub use correlator::{Correlator, KEPT_LIMIT};

/// Bytes of a JSON body kept for rules that read it (shop, GraphQL operation, provider).
pub const BODY_LIMIT: usize = 16 * 1024;
/// Bytes of the longest value of a header that rules name; of a longer one nothing is kept.
pub const HEADER_LIMIT: usize = 64;

/// A request and its whole response. Its `Debug` shows neither query nor bodies.
#[derive(Clone)]
pub struct Exchange {
    /// The request.
    pub request: Request,
    /// Status code of the final response, 100 to 999.
    pub status: u16,
    /// The later of the request's first byte and the previous response's last byte.
    pub began: Timestamp,
    /// Seconds the request waited behind others on its connection before [`Self::began`].
    pub waited: f64,
    /// The response's last byte.
    pub ended: Timestamp,
    /// Bytes of the response, head and body as transferred.
    pub response_size: u64,
    /// The beginning of a JSON response body, at most [`BODY_LIMIT`]; empty where the request's
    /// path asks for none (see [`Wants`]).
    pub response_body: Vec<u8>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("request", &self.request)
            .field("status", &self.status)
            .field("began", &self.began)
            .field("waited", &self.waited)
            .field("ended", &self.ended)
            .field("response_size", &self.response_size)
            .finish_non_exhaustive()
    }
}

/// What is kept of a request. Values of other headers never leave the decoder. Its `Debug` shows
/// neither query, headers nor body.
#[derive(Clone, Default)]
pub struct Request {
    /// As sent, at most 32 bytes.
    pub method: String,
    /// Path without query, as sent (not decoded), at most 4 KiB.
    pub path: String,
    /// Query string without `?`, at most 4 KiB; it may hold personal data: never a label.
    pub query: String,
    /// `Host`, at most 255 bytes.
    pub host: String,
    /// `X-Forwarded-Host`, at most 255 bytes.
    pub forwarded_host: String,
    /// `X-Shop-Subdomain`, at most 255 bytes.
    pub shop_subdomain: String,
    /// The headers that [`Wants`] asks for, as far as they are there; at most [`HEADER_LIMIT`] bytes
    /// each.
    pub headers: SmallVec<[(Arc<str>, String); 1]>,
    /// Bytes of the request, head and body as transferred; where the response was whole before
    /// the request, without chunk framing and only those that came before its end.
    pub size: u64,
    /// The beginning of a JSON body, at most [`BODY_LIMIT`], where [`Wants`] asks for it.
    pub body: Vec<u8>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("host", &self.host)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// A request that will have no whole response.
#[derive(Clone, Debug)]
pub struct Aborted {
    /// The request.
    pub request: Request,
    /// Why.
    pub reason: AbortReason,
    /// When it was known.
    pub ended: Timestamp,
}

/// Why a request has no whole response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AbortReason {
    /// The connection was reset.
    Reset,
    /// The connection was closed in order, before the response was whole.
    Closed,
    /// The connection was forgotten (bounded table) or the agent stopped.
    Evicted,
    /// Bytes were missing that hid the response.
    Lost,
}

impl AbortReason {
    /// As a label value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Evicted => "evicted",
            Self::Lost => "lost",
        }
    }
}

/// The parts of a request and its response that rules read, beside those that are always kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The request's JSON body.
    pub request: bool,
    /// The response's.
    pub response: bool,
    /// Headers of the request, by their names.
    pub headers: SmallVec<[Arc<str>; 1]>,
}

/// What the rules read; asked once per request, at its head.
pub trait Wants: Send {
    /// What they read of a request with this method and path.
    fn parts(&self, method: &str, path: &str) -> Parts;
}
