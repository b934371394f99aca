//! Reads the sources of a scrape, off the threads that serve it.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Semaphore;

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

    /// What they have now; nothing where one of them does not return. What is missing is counted.
    pub(super) async fn read(&self, scrapes: &Scrapes) -> Families {
        self.read_within(PATIENCE, scrapes).await
    }

    async fn read_within(&self, patience: Duration, scrapes: &Scrapes) -> Families {
        if self.list.is_empty() {
            return Families::default();
        }
        let Ok(permit) = Arc::clone(&self.readers).try_acquire_owned() else {
            scrapes.without_sources.fetch_add(1, Ordering::Relaxed);
            return Families::default();
        };
        let list = Arc::clone(&self.list);
        let reading = tokio::task::spawn_blocking(move || {
            let mut families = Families::default();
            for source in &*list {
                source.read(&mut families);
            }
            drop(permit);
            families
        });
        if let Ok(Ok(families)) = tokio::time::timeout(patience, reading).await {
            let refused = families.refused();
            scrapes.lines_refused.fetch_add(refused, Ordering::Relaxed);
            families
        } else {
            scrapes.without_sources.fetch_add(1, Ordering::Relaxed);
            Families::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc::{Receiver, channel};

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
        let families = runtime().block_on(sources.read(&scrapes));
        assert_eq!(families.names().collect::<Vec<_>>(), ["a"]);
        assert_eq!(losses(&scrapes), (0, 1));
    }

    #[test]
    fn a_source_that_never_returns_costs_a_bounded_number_of_threads() {
        let (hold, ends) = channel();
        let sources = Sources::new(vec![Box::new(Hangs(Mutex::new(ends)))]);
        let scrapes = Scrapes::default();
        runtime().block_on(async {
            for _ in 0..READERS + 2 {
                let read = sources.read_within(Duration::from_millis(1), &scrapes);
                assert_eq!(read.await.names().count(), 0);
            }
            assert_eq!(losses(&scrapes), (READERS as u64 + 2, 0));
            assert_eq!(sources.readers.available_permits(), 0);
            drop(hold);
        });
    }
}
