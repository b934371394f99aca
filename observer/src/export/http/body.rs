//! Bodies of answers: a scrape chunk by chunk, a view as a whole.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use crate::export::agent::Agent;
use crate::export::encode::{CHUNK, Scrape};
use crate::export::sources::Reading;

/// Renders a chunk whenever the client has taken the one before, what was read for it last; counts
/// how it ended.
pub(super) struct ScrapeBody {
    scrape: Scrape,
    read: Last,
    agent: Arc<Agent>,
    finished: bool,
    _permit: OwnedSemaphorePermit,
}

impl ScrapeBody {
    pub(super) fn new(
        scrape: Scrape,
        reading: Reading,
        agent: Arc<Agent>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let of = Arc::clone(&agent);
        Self {
            scrape,
            read: Last::Reading(Box::pin(async move { reading.text(&of.scrapes).await })),
            agent,
            finished: false,
            _permit: permit,
        }
    }
}

impl http_body::Body for ScrapeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = match self.scrape.next() {
            Some(chunk) => Some(chunk),
            None => ready!(self.read.poll_chunk(context)),
        };
        self.finished = chunk.is_none();
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

impl Drop for ScrapeBody {
    fn drop(&mut self) {
        let count = if self.finished {
            &self.agent.scrapes.served
        } else {
            &self.agent.scrapes.cut
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// What comes last: on its way, or what is left of it.
enum Last {
    Reading(Pin<Box<dyn Future<Output = Bytes> + Send>>),
    Rest(Bytes),
}

impl Last {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Self::Reading(reading) = self {
            *self = Self::Rest(ready!(reading.as_mut().poll(context)));
        }
        let Self::Rest(rest) = self else {
            return Poll::Ready(None);
        };
        let chunk = rest.split_to(rest.len().min(CHUNK));
        Poll::Ready((!chunk.is_empty()).then_some(chunk))
    }
}

/// A body that keeps its place among the views until it is sent.
pub(super) struct Held {
    text: Option<Bytes>,
    _permit: OwnedSemaphorePermit,
}

impl Held {
    pub(super) fn new(text: Vec<u8>, permit: OwnedSemaphorePermit) -> Self {
        Self {
            text: Some(text.into()),
            _permit: permit,
        }
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.text.take().map(|text| Ok(Frame::data(text))))
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.text.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(left as u64)
    }
}
