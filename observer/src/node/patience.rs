//! Work that may never return: a dead file server holds whoever asks for it in the kernel.
//!
//! It is done on a thread of its own, which is left behind where it takes too long. What it hangs in
//! is not asked for again until it has returned, so there are never more such threads than things to
//! hang in. A thread that comes to its end waits for the next work: to begin one costs a scrape
//! more than most tables.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::hash::Hash;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::clock;

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For one thing.
    pub(crate) each: Duration,
    /// For all of them.
    pub(crate) all: Duration,
}

/// What is to be done for each thing.
pub(crate) type Work<K, T> = Arc<dyn Fn(&K) -> T + Send + Sync>;

/// Things that somebody is still waiting for, and a thread that has nothing to do.
#[derive(Debug)]
pub(crate) struct Patience<K> {
    pending: Arc<Mutex<HashSet<K>>>,
    idle: Arc<Mutex<Option<Sender<Job>>>>,
}

/// What a thread does; it says when it is through.
type Job = Box<dyn FnOnce() + Send>;

impl<K> Default for Patience<K> {
    fn default() -> Self {
        Self {
            pending: Arc::default(),
            idle: Arc::default(),
        }
    }
}

impl<K: Eq + Hash + Clone + Send + 'static> Patience<K> {
    /// Does the work for each thing, in their order; `take` gets `None` with those that do not
    /// answer in time, or have not since an earlier time.
    pub(crate) fn work<T: Send + 'static>(
        &self,
        things: impl IntoIterator<Item = K>,
        limits: Limits,
        work: &Work<K, T>,
        mut take: impl FnMut(K, Option<T>),
    ) {
        let started = clock::now();
        let left = || {
            let spent = clock::now().seconds_since(started);
            limits.all.saturating_sub(Duration::from_secs_f64(spent))
        };
        let mut things: VecDeque<K> = things.into_iter().collect();
        while !things.is_empty() && !left().is_zero() {
            let Ok(batch) = self.begin(things.clone(), work) else {
                break;
            };
            loop {
                let ended = batch.ends(limits.each.min(left()));
                let answers = batch.answers();
                let is_late = answers.is_empty();
                for (thing, answer) in things.drain(..answers.len()).zip(answers) {
                    take(thing, answer);
                }
                if ended || is_late {
                    break;
                }
            }
            // It hangs in this one, or its work panicked.
            if let Some(thing) = things.pop_front() {
                take(thing, None);
            }
        }
        for thing in things {
            take(thing, None);
        }
    }

    fn begin<T: Send + 'static>(
        &self,
        things: VecDeque<K>,
        work: &Work<K, T>,
    ) -> io::Result<Batch<T>> {
        let (alive, ended) = channel::<Infallible>();
        let answers = Arc::new(Mutex::new(Some(Vec::new())));
        let (pending, work) = (Arc::clone(&self.pending), Arc::clone(work));
        let theirs = Arc::clone(&answers);
        self.employ(Box::new(move || {
            // Dropped at the end, however that comes.
            let _alive = alive;
            for thing in things {
                let is_free = lock(&pending).insert(thing.clone());
                let answer = is_free.then(|| {
                    let _done = Done {
                        pending: &pending,
                        thing: &thing,
                    };
                    work(&thing)
                });
                match lock(&theirs).as_mut() {
                    Some(answers) => answers.push(answer),
                    // Nobody waited.
                    None => return,
                }
            }
        }))?;
        Ok(Batch { answers, ended })
    }

    /// Gives a job to the idle thread, or to a new one.
    fn employ(&self, mut job: Job) -> io::Result<()> {
        let idle = lock(&self.idle).take();
        if let Some(idle) = idle {
            match idle.send(job) {
                Ok(()) => return Ok(()),
                Err(refused) => job = refused.0,
            }
        }
        let idle = Arc::downgrade(&self.idle);
        let thread = thread::Builder::new().name("observer-node".into());
        thread.spawn(move || {
            loop {
                job();
                // Whoever waited for it may ask again before this thread is idle, and get another:
                // one of them stays.
                let (sender, jobs) = channel();
                let Some(idle) = idle.upgrade() else { return };
                match &mut *lock(&idle) {
                    Some(_) => return,
                    nobody => *nobody = Some(sender),
                }
                drop(idle);
                match jobs.recv() {
                    Ok(next) => job = next,
                    Err(_) => return,
                }
            }
        })?;
        Ok(())
    }
}

/// What a thread does for somebody who waits.
///
/// Answers are gathered until the end: to wake whoever waits for each costs more than most of them.
struct Batch<T> {
    /// `None` once nobody waits any more.
    answers: Arc<Mutex<Option<Vec<Option<T>>>>>,
    ended: Receiver<Infallible>,
}

impl<T> Batch<T> {
    /// Waits for the thread's end; whether it came.
    fn ends(&self, patience: Duration) -> bool {
        self.ended.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }

    /// Those that came since the last time.
    fn answers(&self) -> Vec<Option<T>> {
        let mut answers = lock(&self.answers);
        answers.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

impl<T> Drop for Batch<T> {
    fn drop(&mut self) {
        *lock(&self.answers) = None;
    }
}

/// Lets a thing be asked for again, also where the work for it panicked.
struct Done<'a, K: Eq + Hash> {
    pending: &'a Mutex<HashSet<K>>,
    thing: &'a K,
}

impl<K: Eq + Hash> Drop for Done<'_, K> {
    fn drop(&mut self) {
        lock(self.pending).remove(self.thing);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn answers(
        patience: &Patience<u32>,
        limits: Limits,
        work: &Work<u32, u32>,
    ) -> Vec<(u32, Option<u32>)> {
        let mut answers = Vec::new();
        patience.work(0..4, limits, work, |thing, answer| {
            answers.push((thing, answer));
        });
        answers
    }

    #[test]
    fn what_hangs_is_left_behind_until_it_returns_and_costs_nobody_else() {
        let patience = Patience::default();
        let (hold, ends) = channel::<()>();
        let ends = Mutex::new(ends);
        let work: Work<u32, u32> = Arc::new(move |thing| {
            if *thing == 1 {
                let _gone = lock(&ends).recv();
            }
            thing * 10
        });
        let limits = Limits {
            each: Duration::from_millis(20),
            all: LONG,
        };
        let expected = [(0, Some(0)), (1, None), (2, Some(20)), (3, Some(30))];
        assert_eq!(answers(&patience, limits, &work), expected);
        // Nobody waits for it a second time.
        let limits = Limits {
            each: LONG,
            all: LONG,
        };
        assert_eq!(answers(&patience, limits, &work), expected);
        drop(hold);
        while !lock(&patience.pending).is_empty() {
            thread::yield_now();
        }
        assert_eq!(answers(&patience, limits, &work)[1], (1, Some(10)));
    }

    #[test]
    fn a_thread_that_is_through_does_the_next_work_too() {
        let patience = Patience::default();
        let work: Work<u32, thread::ThreadId> = Arc::new(|_| thread::current().id());
        let limits = Limits {
            each: LONG,
            all: LONG,
        };
        let mut threads = HashSet::new();
        for _ in 0..50 {
            patience.work(0..4, limits, &work, |_, thread| {
                threads.insert(thread.unwrap());
            });
            while lock(&patience.idle).is_none() {
                thread::yield_now();
            }
        }
        assert_eq!(threads.len(), 1);
    }

    #[test]
    fn an_idle_thread_ends_with_whom_it_waits_for() {
        let patience = Patience::default();
        let held = Arc::new(());
        let theirs = Arc::clone(&held);
        let work: Work<u32, u32> = Arc::new(move |thing| {
            drop(Arc::clone(&theirs));
            *thing
        });
        let limits = Limits {
            each: LONG,
            all: LONG,
        };
        answers(&patience, limits, &work);
        let idle = Arc::downgrade(&patience.idle);
        drop((patience, work));
        while idle.strong_count() > 0 || Arc::strong_count(&held) > 1 {
            thread::yield_now();
        }
    }

    #[test]
    fn all_of_them_together_have_a_limit_too() {
        let work: Work<u32, u32> = Arc::new(|thing| *thing);
        let limits = Limits {
            each: LONG,
            all: Duration::ZERO,
        };
        let nobody = [(0, None), (1, None), (2, None), (3, None)];
        assert_eq!(answers(&Patience::default(), limits, &work), nobody);
    }

    #[test]
    fn work_that_panics_is_no_answer_and_may_be_tried_again() {
        let patience = Patience::default();
        let work: Work<u32, u32> = Arc::new(|thing| {
            assert_ne!(*thing, 2, "a bug");
            *thing
        });
        let limits = Limits {
            each: LONG,
            all: LONG,
        };
        for _ in 0..2 {
            let expected = [(0, Some(0)), (1, Some(1)), (2, None), (3, Some(3))];
            assert_eq!(answers(&patience, limits, &work), expected);
        }
    }
}
