//! Answers of the API as far as they may be long: whoever reads them holds a page of a list, or a
//! line of a watch, as a whole before anything is made of it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::{Request, Response};
use memchr::{memchr, memrchr};
use tower::BoxError;

/// Bytes of a page of several objects.
pub(super) const LONGEST: usize = 4 << 20;
/// Bytes of one object, as a page of its own or as a line of a watch: an API server takes at most
/// 3 MiB, of which its answer may escape each byte as six (`\u003c`).
pub(super) const LONGEST_OBJECT: usize = 20 << 20;

/// It is longer than it may be.
#[derive(Debug, thiserror::Error)]
#[error("an answer is too long")]
pub(super) struct TooLong;

/// The body of an answer, that ends with [`TooLong`] where it is that.
pub(super) struct Bounded<B> {
    body: B,
    /// It is a line each that is held, rather than all of it.
    lines: bool,
    most: usize,
    held: usize,
    has_ended: bool,
}

/// The answer to a request.
pub(super) fn bounded<R, B>(
    request: &Request<R>,
) -> impl FnOnce(Response<B>) -> Response<Bounded<B>> + use<R, B> {
    let query = request.uri().query().unwrap_or_default();
    let has = |wanted: &str| query.split('&').any(|pair| pair == wanted);
    let watches = has("watch=true");
    let most = if watches || has("limit=1") {
        LONGEST_OBJECT
    } else {
        LONGEST
    };
    move |response| {
        // What is wrong is told in one piece.
        let lines = watches && response.status().is_success();
        response.map(|body| Bounded {
            body,
            lines,
            most,
            held: 0,
            has_ended: false,
        })
    }
}

impl<B> Bounded<B> {
    /// Whether there is room for more.
    fn has_room(&mut self, data: &[u8]) -> bool {
        let ends = |find: fn(u8, &[u8]) -> Option<usize>| find(b'\n', data).filter(|_| self.lines);
        let (first, last) = (ends(memchr), ends(memrchr));
        // Lines within one piece are shorter than what a connection reads at once.
        let longest = self.held + first.unwrap_or(data.len());
        self.held = last.map_or(longest, |last| data.len() - last - 1);
        longest <= self.most
    }
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let data = frame.data_ref().cloned().unwrap_or_default();
                self.has_ended = !self.has_room(&data);
                let too_long = self.has_ended.then(|| Err(TooLong.into()));
                Some(too_long.unwrap_or(Ok(frame)))
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of these pieces.
    struct Pieces(Vec<usize>, &'static [u8]);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            let end = self.1;
            let piece = self.0.pop().map(|length| {
                let mut piece = vec![b' '; length];
                piece.extend_from_slice(end);
                Ok(Frame::data(piece.into()))
            });
            Poll::Ready(piece)
        }
    }

    /// Whether an answer in these pieces, each with this at its end, comes to its own end.
    fn is_read(query: &str, status: u16, pieces: &[usize], end: &'static [u8]) -> bool {
        let request = Request::get(format!("/api/v1/pods{query}"))
            .body(())
            .unwrap();
        let response = Response::builder().status(status);
        let response = response.body(Pieces(pieces.to_vec(), end)).unwrap();
        let mut body = bounded(&request)(response).into_body();
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut is_read = true;
        while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut context) {
            assert!(is_read, "it goes on after its end");
            is_read = frame.is_ok();
        }
        is_read
    }

    #[test]
    fn a_page_and_a_line_of_a_watch_are_read_up_to_their_bound_and_a_watch_without() {
        let (half, whole) = (LONGEST / 2, LONGEST_OBJECT / 2);
        let (list, watch) = ("?limit=100", "?fieldSelector=a&watch=true");
        let single = "?fieldSelector=a&limit=1";
        for (query, status, pieces, end, expected) in [
            (list, 200, &[half, half][..], &b""[..], true),
            (list, 200, &[half, half, 1], b"", false),
            (list, 200, &[half, half], b"\n", false),
            (single, 200, &[whole, whole], b"", true),
            (single, 200, &[whole, whole, 1], b"", false),
            (watch, 200, &[whole, whole], b"", true),
            (watch, 200, &[whole, whole, 1], b"", false),
            (watch, 200, &[whole; 8], b"\n", true),
            (watch, 200, &[whole, whole, 1], b"\n\n", true),
            (watch, 200, &[LONGEST_OBJECT + 1], b"\n", false),
            (watch, 500, &[whole, whole], b"\n", false),
        ] {
            let read = is_read(query, status, pieces, end);
            assert_eq!(read, expected, "{query} {status} {pieces:?} {end:?}");
        }
    }
}
