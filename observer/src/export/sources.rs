//! Reads the sources of a scrape, off the threads that serve it.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::agent::Scrapes;
use super::families::{Families, Source};

/// How long a scrape waits for its sources: Prometheus gives up after ten seconds unless told
/// otherwise, and each source ends by itself before.
const PATIENCE: Duration = Duration::from_secs(8);
/// Scrapes that may be reading at a time. A source that never returns costs these threads and no
/// more; scrapes then come without it.
const READERS: usize = 4;

/// Everything that is read at a scrape.
#[derive(Clone)]
pub struct Sources {
    list: Arc<[Box<dyn Source>]>,
    readers: Arc<Semaphore>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("sources", &self.list.len())
            .finish_non_exhaustive()
    }
}

impl Default for Sources {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Sources {
    /// These.
    #[must_use]
    pub fn new(list: Vec<Box<dyn Source>>) -> Self {
        Self {
            list: list.into(),
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Begins to read what they have now.
    pub(super) fn begin(&self) -> Reading {
        if self.list.is_empty() {
            return Reading::Nothing;
        }
        let Ok(permit) = Arc::clone(&self.readers).try_acquire_owned() else {
            return Reading::Refused;
        };
        let list = Arc::clone(&self.list);
        let reading = tokio::task::spawn_blocking(move || {
            let (families, failed) = together(&list);
            drop(permit);
            Read {
                refused: families.refused(),
                failed,
                text: families.into_text().into(),
            }
        });
        Reading::Begun(Instant::now(), reading)
    }
}

/// Reads them at the same time, each on a thread; their lines come in the order of the sources. And
/// whether one panicked, which has nothing then.
fn together(list: &Arc<[Box<dyn Source>]>) -> (Families, bool) {
    let runtime = Handle::current();
    let one = |place: usize| {
        let list = Arc::clone(list);
        move || {
            let mut families = Families::default();
            if let Some(source) = list.get(place) {
                source.read(&mut families);
            }
            families
        }
    };
    let others: Vec<_> = (1..list.len())
        .map(|place| runtime.spawn_blocking(one(place)))
        .collect();
    let first = catch_unwind(AssertUnwindSafe(one(0))).ok();
    let others = others.into_iter().map(|other| runtime.block_on(other).ok());
    let (mut families, mut failed) = (Families::default(), false);
    for read in [first].into_iter().chain(others) {
        match read {
            Some(read) => families.append(read),
            None => failed = true,
        }
    }
    (families, failed)
}

/// Sources that are being read while the scrape renders what is published.
pub(super) enum Reading {
    /// There are none.
    Nothing,
    /// Too many scrapes wait for a source already.
    Refused,
    /// By threads, since then.
    Begun(Instant, JoinHandle<Read>),
}

/// What they had.
pub(super) struct Read {
    text: Bytes,
    /// Lines that were left out.
    refused: u64,
    /// Whether a source came to nothing.
    failed: bool,
}

impl Reading {
    /// The text, which is empty where a source does not return. What is missing is counted, for the
    /// next scrape to show.
    pub(super) async fn text(self, scrapes: &Scrapes) -> Bytes {
        self.text_within(PATIENCE, scrapes).await
    }

    async fn text_within(self, patience: Duration, scrapes: &Scrapes) -> Bytes {
        let read = match self {
            Self::Nothing => return Bytes::new(),
            Self::Refused => None,
            Self::Begun(since, reading) => {
                let read = tokio::time::timeout_at(since + patience, reading).await;
                read.ok()
            }
        };
        if let Some(Ok(read)) = read {
            let lost = u64::from(read.failed);
            scrapes.without_sources.fetch_add(lost, Ordering::Relaxed);
            scrapes
                .lines_refused
                .fetch_add(read.refused, Ordering::Relaxed);
            read.text
        } else {
            scrapes.without_sources.fetch_add(1, Ordering::Relaxed);
            Bytes::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Barrier, Mutex};

    use super::*;

    struct Constant;

    impl Source for Constant {
        fn read(&self, families: &mut Families) {
            families.gauge("a", "A.", 1.0);
            families.gauge("a", "Twice.", 1.0);
        }
    }

    struct Hangs(Mutex<Receiver<()>>);

    impl Source for Hangs {
        fn read(&self, _: &mut Families) {
            // Ends when the test drops the other end.
            let _gone = self.0.lock().unwrap().recv();
        }
    }

    /// Scrapes without their sources, and lines left out.
    fn losses(scrapes: &Scrapes) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&scrapes.without_sources), of(&scrapes.lines_refused))
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn lines_that_were_left_out_are_counted() {
        let sources = Sources::new(vec![Box::new(Constant)]);
        let scrapes = Scrapes::default();
        let text = runtime().block_on(async { sources.begin().text(&scrapes).await });
        assert_eq!(text, "# HELP a A.\n# TYPE a gauge\na 1\n");
        assert_eq!(losses(&scrapes), (0, 1));
    }

    #[test]
    fn sources_are_read_at_the_same_time_and_told_in_their_order() {
        /// Returns when the other is there too.
        struct Meets(Arc<Barrier>, f64);

        impl Source for Meets {
            fn read(&self, families: &mut Families) {
                self.0.wait();
                families.gauge("a", "A.", self.1);
            }
        }

        let barrier = Arc::new(Barrier::new(2));
        let one = |value| -> Box<dyn Source> { Box::new(Meets(Arc::clone(&barrier), value)) };
        let sources = Sources::new(vec![one(1.0), one(2.0)]);
        let scrapes = Scrapes::default();
        let text = runtime().block_on(async { sources.begin().text(&scrapes).await });
        assert_eq!(text, "# HELP a A.\n# TYPE a gauge\na 1\n");
        assert_eq!(losses(&scrapes), (0, 1));
    }

    #[test]
    fn a_source_that_panics_is_counted_and_costs_the_others_nothing() {
        struct Panics;

        impl Source for Panics {
            fn read(&self, _: &mut Families) {
                panic!("a bug");
            }
        }

        let orders: [Vec<Box<dyn Source>>; 2] = [
            vec![Box::new(Constant), Box::new(Panics)],
            vec![Box::new(Panics), Box::new(Constant)],
        ];
        for list in orders {
            let sources = Sources::new(list);
            let scrapes = Scrapes::default();
            let text = runtime().block_on(async { sources.begin().text(&scrapes).await });
            assert_eq!(text, "# HELP a A.\n# TYPE a gauge\na 1\n");
            assert_eq!(losses(&scrapes), (1, 1));
        }
    }

    #[test]
    fn a_source_that_never_returns_costs_a_bounded_number_of_threads() {
        let (hold, ends) = channel();
        let sources = Sources::new(vec![Box::new(Hangs(Mutex::new(ends)))]);
        let scrapes = Scrapes::default();
        runtime().block_on(async {
            for _ in 0..READERS + 2 {
                let reading = sources.begin();
                let text = reading.text_within(Duration::from_millis(1), &scrapes);
                assert_eq!(text.await, "");
            }
            assert_eq!(losses(&scrapes), (READERS as u64 + 2, 0));
            assert_eq!(sources.readers.available_permits(), 0);
            drop(hold);
        });
    }
}
