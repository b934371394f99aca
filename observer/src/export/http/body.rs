//! Bodies of answers: a scrape chunk by chunk, a view as a whole.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use crate::export::agent::Agent;
use crate::export::encode::Scrape;

/// Renders a chunk whenever the client has taken the one before; counts how it ended.
pub(super) struct ScrapeBody {
    scrape: Scrape,
    agent: Arc<Agent>,
    finished: bool,
    _permit: OwnedSemaphorePermit,
}

impl ScrapeBody {
    pub(super) fn new(scrape: Scrape, agent: Arc<Agent>, permit: OwnedSemaphorePermit) -> Self {
        Self {
            scrape,
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
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.scrape.next();
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
