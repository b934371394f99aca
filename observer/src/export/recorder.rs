//! Facts become series. One thread writes; see [`super::registry`] for who reads.
//!
//! A known label set costs one look-up of three words and the atomics of its number. An unknown one
//! is admitted while there is room; past it, label values become `_other` until the rest is known
//! or fits, first those values that are new to the metric:
//!
//! ```text
//!   endpoint="/new" shop_id="7" status_code="200"       no room left
//!   endpoint="_other" shop_id="7" status_code="200"     fits, or exists: counted here, once
//!   endpoint="_other" shop_id="_other" …                else here, and so on
//! ```
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use super::Fact;
use super::catalog::{CATALOG, Kind, Row};
use super::encode::render_labels;
use super::limits::{Limits, Room, folding_order};
use super::registry::{Refusal, Registry};
use super::series::{Handle, Key, Series};
use super::symbols::{Symbol, Symbols};
use crate::time::Timestamp;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
type Set<K> = HashSet<K, foldhash::fast::RandomState>;

/// The one writer of a [`Registry`].
#[derive(Debug)]
pub struct Recorder {
    families: Vec<Family>,
    /// Lines of all metrics.
    total: Room,
    now: Timestamp,
    facts: u64,
    /// Workloads that are gone, and since when.
    gone: Map<Symbol, Timestamp>,
    stale_nanoseconds: u64,
    swept: Timestamp,
    registry: Arc<Registry>,
}

/// A metric's label sets.
#[derive(Debug)]
struct Family {
    row: &'static Row,
    index: Map<Key, Entry>,
    /// In how many label sets a value stands, by position.
    known: Map<(usize, Symbol), u32>,
    folding_order: Vec<usize>,
    /// Positions of the labels that name a workload.
    workloads: SmallVec<[usize; 2]>,
    room: Room,
    /// Every label `_other`; its lines are set aside, so there is always a place to count.
    last: Key,
    touched: Timestamp,
}

#[derive(Debug)]
struct Entry {
    handle: Handle,
    touched: Timestamp,
}

impl Recorder {
    /// A recorder and what scrapes read of it.
    #[must_use]
    pub fn new(limits: &Limits) -> (Self, Arc<Registry>) {
        let registry = Arc::new(Registry::new(limits));
        let families: Vec<Family> = CATALOG.iter().map(|row| Family::new(row, limits)).collect();
        let aside = families.iter().map(|family| family.room.used()).sum();
        let recorder = Self {
            total: Room::new(limits.lines.max(aside), aside),
            families,
            now: Timestamp::default(),
            facts: 0,
            gone: Map::default(),
            stale_nanoseconds: u64::try_from(limits.stale.as_nanos()).unwrap_or(u64::MAX),
            swept: Timestamp::default(),
            registry: Arc::clone(&registry),
        };
        (recorder, registry)
    }

    /// Takes a fact. `symbols` is the table its labels come from, always the same one.
    #[inline]
    pub fn record(&mut self, fact: &Fact, symbols: &Symbols) {
        self.facts += 1;
        let Some(family) = self.families.get_mut(fact.metric as usize) else {
            return;
        };
        if let Err(refusal) = valid(family.row, fact) {
            self.registry.refuse(refusal);
            return;
        }
        let key = Key::new(&fact.labels);
        family.touched = self.now;
        if let Some(entry) = family.index.get_mut(&key) {
            entry.touched = self.now;
            entry.handle.take(fact.value);
            if fact.ends {
                self.end(fact, key);
            }
        } else {
            self.record_unknown(fact, key, symbols);
        }
    }

    /// Nothing is counted under a label set any more. The last one stays, which is set aside.
    #[cold]
    fn end(&mut self, fact: &Fact, key: Key) {
        let (Some(family), Some(shared)) = (
            self.families.get_mut(fact.metric as usize),
            self.registry.family(fact.metric),
        ) else {
            return;
        };
        if key == family.last {
            return;
        }
        shared.remove(key);
        family.forget(key);
        let lines = family.row.kind.lines();
        family.room.give_back(lines);
        self.total.give_back(lines);
    }

    /// Says what time it is, publishes what the recorder counts about itself and removes what is
    /// stale. To be called about once a second, and before a fact that should carry that time.
    pub fn tick(&mut self, now: Timestamp, symbols: &Symbols) {
        self.now = now;
        let statistics = &self.registry.statistics;
        statistics.facts.store(self.facts, Ordering::Relaxed);
        statistics
            .label_values
            .store(symbols.stored(), Ordering::Relaxed);
        statistics
            .label_values_refused
            .store(symbols.refused(), Ordering::Relaxed);
        for (family, shared) in self.families.iter().zip(self.registry.families()) {
            shared.learnt.store(family.touched.0, Ordering::Relaxed);
        }
        if now.0.saturating_sub(self.swept.0) >= self.stale_nanoseconds / 8 {
            self.swept = now;
            self.sweep();
        }
    }

    /// A workload is gone: its series are removed once none of them was touched for the configured
    /// time. A counting gauge stays until it is back at zero, since whoever counted it up still owes
    /// the way down.
    pub fn forget(&mut self, workload: Symbol) {
        if !matches!(workload, Symbol::EMPTY | Symbol::OTHER | Symbol::UNKNOWN) {
            self.gone.insert(workload, self.now);
        }
    }

    /// A workload that was gone is back under the same name.
    pub fn remember(&mut self, workload: Symbol) {
        self.gone.remove(&workload);
    }

    #[cold]
    fn record_unknown(&mut self, fact: &Fact, key: Key, symbols: &Symbols) {
        let (Some(family), Some(shared)) = (
            self.families.get_mut(fact.metric as usize),
            self.registry.family(fact.metric),
        ) else {
            return;
        };
        let mut admission = Admission {
            family,
            total: &mut self.total,
            shared,
            symbols,
            now: self.now,
            overflowed: false,
        };
        let handle = match fact.metric.row().kind {
            Kind::Counter | Kind::Money | Kind::Histogram(_) => admission.exact_or_folded(key),
            Kind::Gauge if fact.value < 0.0 && !admission.counts_elsewhere() => {
                return self.registry.refuse(Refusal::Unbalanced);
            }
            // What ends without a series of its own was counted under the last label set.
            Kind::Gauge if fact.ends && (fact.value == 0.0 || !admission.counts_elsewhere()) => {
                return;
            }
            Kind::Gauge => admission.exact_or_last(key),
            Kind::Level => admission.exact_or_nothing(key),
        };
        if admission.overflowed {
            shared.overflow.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(handle) = handle {
            handle.take(fact.value);
        }
    }

    fn sweep(&mut self) {
        if self.gone.is_empty() {
            return;
        }
        let mut still_there = Set::<Symbol>::default();
        for (family, shared) in self.families.iter_mut().zip(self.registry.families()) {
            let mut removed = Set::<Key>::default();
            for (key, entry) in &family.index {
                let Some((workload, since)) = family.workloads.iter().find_map(|position| {
                    let workload = key.get(*position);
                    self.gone.get(&workload).map(|since| (workload, *since))
                }) else {
                    continue;
                };
                let idle_since = since.max(entry.touched).0;
                let idle = self.now.0.saturating_sub(idle_since) >= self.stale_nanoseconds;
                let balanced = entry.handle.balance().unwrap_or(0.0) == 0.0;
                if idle && balanced {
                    removed.insert(*key);
                } else {
                    still_there.insert(workload);
                }
            }
            if removed.is_empty() {
                continue;
            }
            shared.retain(|series| !removed.contains(&series.key));
            for key in removed {
                family.forget(key);
                let lines = family.row.kind.lines();
                family.room.give_back(lines);
                self.total.give_back(lines);
            }
        }
        let (now, stale) = (self.now.0, self.stale_nanoseconds);
        self.gone.retain(|workload, since| {
            still_there.contains(workload) || now.saturating_sub(since.0) < stale
        });
    }
}

/// Whether a fact says what the catalog says it may.
#[inline]
fn valid(row: &Row, fact: &Fact) -> Result<(), Refusal> {
    if fact.labels.len() != row.labels.len() {
        return Err(Refusal::Labels);
    }
    let may_fall = matches!(row.kind, Kind::Gauge | Kind::Level);
    if !fact.value.is_finite() || (fact.value < 0.0 && !may_fall) {
        return Err(Refusal::Value);
    }
    Ok(())
}

impl Family {
    fn new(row: &'static Row, limits: &Limits) -> Self {
        let lines = row.kind.lines();
        let workloads = ["service", "peer", "client", "server"]
            .iter()
            .filter_map(|name| row.labels.iter().position(|label| label == name))
            .collect();
        Self {
            row,
            index: Map::default(),
            known: Map::default(),
            folding_order: folding_order(row.labels),
            workloads,
            room: Room::new(limits.of(row.metric).max(lines), lines),
            last: (0..row.labels.len()).fold(Key::default(), |key, position| {
                key.with(position, Symbol::OTHER)
            }),
            touched: Timestamp::default(),
        }
    }

    fn forget(&mut self, key: Key) {
        self.index.remove(&key);
        for position in 0..self.row.labels.len() {
            let value = (position, key.get(position));
            if let Some(count) = self.known.get_mut(&value) {
                *count -= 1;
                if *count == 0 {
                    self.known.remove(&value);
                }
            }
        }
    }
}

/// A label set that is not known asks for a place.
struct Admission<'a> {
    family: &'a mut Family,
    total: &'a mut Room,
    shared: &'a super::registry::Family,
    symbols: &'a Symbols,
    now: Timestamp,
    /// The measurement does not stand where its labels say.
    overflowed: bool,
}

impl Admission<'_> {
    fn exact(&mut self, key: Key) -> Option<Handle> {
        let lines = self.family.row.kind.lines();
        let fits = self.family.room.fits_exact(lines) && self.total.fits_exact(lines);
        if !fits {
            return None;
        }
        self.family.room.take(lines);
        self.total.take(lines);
        self.create(key)
    }

    fn exact_or_folded(&mut self, key: Key) -> Option<Handle> {
        if key == self.family.last {
            return self.last();
        }
        self.exact(key).or_else(|| {
            self.overflowed = true;
            self.folded(key)
        })
    }

    /// The newest of several values under one label set would be a lie, so there is none.
    fn exact_or_nothing(&mut self, key: Key) -> Option<Handle> {
        let handle = self.exact(key);
        self.overflowed = handle.is_none();
        handle
    }

    /// A counting gauge that counted up in one place must count down there. While anything is
    /// counted under the last label set, what is not known goes there too, so both ways agree.
    fn exact_or_last(&mut self, key: Key) -> Option<Handle> {
        if key == self.family.last {
            return self.last();
        }
        if !self.counts_elsewhere()
            && let Some(handle) = self.exact(key)
        {
            return Some(handle);
        }
        self.overflowed = true;
        self.last()
    }

    fn counts_elsewhere(&self) -> bool {
        let last = self.family.index.get(&self.family.last);
        last.is_some_and(|entry| entry.handle.balance() != Some(0.0))
    }

    /// Values that are new to the metric are folded first: they are what there is no room for.
    fn folded(&mut self, mut key: Key) -> Option<Handle> {
        let lines = self.family.row.kind.lines();
        for new_ones in [true, false] {
            for place in 0..self.family.folding_order.len() {
                let Some(position) = self.family.folding_order.get(place).copied() else {
                    continue;
                };
                let value = key.get(position);
                let new = !self.family.known.contains_key(&(position, value));
                if new != new_ones || matches!(value, Symbol::OTHER | Symbol::EMPTY) {
                    continue;
                }
                key = key.with(position, Symbol::OTHER);
                if let Some(entry) = self.family.index.get_mut(&key) {
                    entry.touched = self.now;
                    return Some(entry.handle.clone());
                }
                let fits = self.family.room.fits_folded(lines) && self.total.fits_folded(lines);
                if fits && key != self.family.last {
                    self.family.room.take(lines);
                    self.total.take(lines);
                    return self.create(key);
                }
            }
        }
        self.last()
    }

    fn last(&mut self) -> Option<Handle> {
        let key = self.family.last;
        match self.family.index.get(&key) {
            Some(entry) => Some(entry.handle.clone()),
            None => self.create(key),
        }
    }

    fn create(&mut self, key: Key) -> Option<Handle> {
        // Fails only for a catalog row that the crate refuses; a test creates each.
        let handle = Handle::new(self.family.row).ok()?;
        let names = self.family.row.labels;
        let values = (0..names.len()).map(|position| self.symbols.value(key.get(position)));
        self.shared.push(Arc::new(Series {
            key,
            labels: render_labels(names.iter().copied().zip(values)),
            handle: handle.clone(),
        }));
        for position in 0..names.len() {
            *self
                .family
                .known
                .entry((position, key.get(position)))
                .or_insert(0) += 1;
        }
        let entry = Entry {
            handle: handle.clone(),
            touched: self.now,
        };
        self.family.index.insert(key, entry);
        Some(handle)
    }
}

#[cfg(test)]
mod tests;
