//! The workers' batches, merged by kernel time.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use super::{Batch, Interpreter};
use crate::correlate::Exchange;
use crate::time::Timestamp;

/// Several ordered streams as one.
///
/// A worker's exchanges are *almost* in order of their end, and a connection's must stay in the
/// worker's order. So each goes by the latest end its worker has shown so far.
#[derive(Debug)]
pub struct Merge {
    lanes: Vec<Lane>,
    limit: usize,
    held: usize,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<(Timestamp, Exchange)>,
    latest: Timestamp,
    watermark: Timestamp,
}

impl Merge {
    /// For that many workers, holding at most `limit` exchanges.
    #[must_use]
    pub fn new(workers: usize, limit: usize) -> Self {
        Self {
            lanes: (0..workers).map(|_| Lane::default()).collect(),
            limit,
            held: 0,
        }
    }

    /// Takes a worker's batch.
    pub fn take(&mut self, worker: usize, batch: Batch) {
        if let Some(lane) = self.lanes.get_mut(worker) {
            lane.watermark = lane.watermark.max(batch.watermark);
            self.held += batch.exchanges.len();
            for exchange in batch.exchanges {
                lane.latest = lane.latest.max(exchange.ended);
                lane.waiting.push_back((lane.latest, exchange));
            }
        }
    }

    /// A worker has ended: nobody waits for it.
    pub fn end(&mut self, worker: usize) {
        if let Some(lane) = self.lanes.get_mut(worker) {
            lane.watermark = Timestamp(u64::MAX);
        }
    }

    /// Hands on everything up to the least watermark, and whatever is over the limit; the
    /// watermark.
    pub fn drain(&mut self, each: &mut impl FnMut(Exchange)) -> Timestamp {
        let marks = self.lanes.iter().map(|lane| lane.watermark);
        let watermark = marks.min().unwrap_or_default();
        while let Some((time, lane)) = self.earliest() {
            if time > watermark && self.held <= self.limit {
                break;
            }
            let Some((_, exchange)) = self
                .lanes
                .get_mut(lane)
                .and_then(|lane| lane.waiting.pop_front())
            else {
                break;
            };
            self.held -= 1;
            each(exchange);
        }
        watermark
    }

    fn earliest(&self) -> Option<(Timestamp, usize)> {
        let fronts = self.lanes.iter().enumerate();
        fronts
            .filter_map(|(index, lane)| Some((lane.waiting.front()?.0, index)))
            .min()
    }
}

/// The interpret thread: ends once every worker has.
pub(super) fn run<I: Interpreter>(
    mut queues: Vec<Receiver<Batch>>,
    limit: usize,
    mut interpreter: I,
) -> I {
    if let [queue] = &queues[..] {
        for batch in queue {
            batch
                .exchanges
                .into_iter()
                .for_each(|e| interpreter.exchange(e));
            interpreter.time(batch.watermark);
        }
        return interpreter;
    }
    let mut merge = Merge::new(queues.len(), limit);
    let mut open: Vec<_> = queues.drain(..).enumerate().collect();
    let mut last = Timestamp::default();
    while !open.is_empty() {
        let mut idle = true;
        open.retain(|(worker, queue)| match queue.try_recv() {
            Ok(batch) => {
                idle = false;
                merge.take(*worker, batch);
                true
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Disconnected) => {
                merge.end(*worker);
                false
            }
        });
        let watermark = merge.drain(&mut |exchange| interpreter.exchange(exchange));
        if watermark > last && watermark < Timestamp(u64::MAX) {
            last = watermark;
            interpreter.time(watermark);
        }
        if idle && !open.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    interpreter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::Body;
    use crate::reassemble::ConnectionKey;

    fn batch(watermark: u64, ends: &[(u64, u64)]) -> Batch {
        Batch {
            exchanges: ends
                .iter()
                .map(|(connection, ended)| Exchange {
                    connection: ConnectionKey(*connection),
                    ended: Timestamp(*ended),
                    body: Body::Opened,
                })
                .collect(),
            watermark: Timestamp(watermark),
        }
    }

    fn drain(merge: &mut Merge) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        merge.drain(&mut |e| out.push((e.connection.0, e.ended.0)));
        out
    }

    #[test]
    fn exchanges_of_all_workers_come_by_time_up_to_the_least_watermark() {
        let mut merge = Merge::new(2, 100);
        merge.take(0, batch(30, &[(1, 10), (1, 30)]));
        assert_eq!(
            drain(&mut merge),
            [],
            "the other worker may have earlier ones"
        );
        merge.take(1, batch(20, &[(2, 5), (2, 20)]));
        assert_eq!(drain(&mut merge), [(2, 5), (1, 10), (2, 20)]);
        merge.take(1, batch(40, &[]));
        assert_eq!(
            drain(&mut merge),
            [(1, 30)],
            "silence with a watermark suffices"
        );
    }

    #[test]
    fn a_workers_own_order_is_kept_where_clocks_disagree() {
        let mut merge = Merge::new(2, 100);
        merge.take(0, batch(30, &[(1, 20), (1, 19), (1, 21)]));
        merge.take(1, batch(30, &[(2, 20)]));
        assert_eq!(drain(&mut merge), [(1, 20), (1, 19), (2, 20), (1, 21)]);
    }

    #[test]
    fn a_worker_that_lags_or_ends_stops_nobody() {
        let mut merge = Merge::new(2, 2);
        merge.take(0, batch(30, &[(1, 1), (1, 2), (1, 3), (1, 4)]));
        assert_eq!(drain(&mut merge), [(1, 1), (1, 2)], "over the limit");
        merge.end(1);
        assert_eq!(drain(&mut merge), [(1, 3), (1, 4)]);
    }
}
