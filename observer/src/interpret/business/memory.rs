//! The entities last seen, and what a committed row changes about them.
//!
//! A row that only shows something fills what is not known yet. It overwrites what is known only
//! where it was asked for after that was: else it may be older than what a transaction has changed
//! that committed meanwhile. What it overwrites happened unseen, and counts as nothing.
//!
//! ```text
//!   UPDATE … paid; COMMIT ├─────────────┤ told last: it counts
//!   SELECT                     ├────┤     shows `paid` before that
//! ```
//!
//! So that such a change is not taken for a repeat, what was shown does not count as known before
//! changes that were asked for until then.

use std::time::Duration;

use schnellru::{ByLength, LruMap};
use smallvec::SmallVec;

use super::effects::Happened;
use super::gauges::Gauges;
use super::program::{Entity, Program, Rule, Values};
use super::value::Datum;
use super::{Context, Fate};
use crate::correlate::postgres::Execution;
use crate::interpret::rules::business::{Does, Policy};
use crate::time::Timestamp;

/// What tells one entity of a kind from another.
pub(super) type Key = SmallVec<[Datum; 2]>;

/// What is known of an entity.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    pub(super) values: Values,
    /// When it was created, if that was seen.
    pub(super) created: Option<Timestamp>,
    /// It is no more; what comes late does not bring it back.
    pub(super) deleted: bool,
    /// When it was last told what is known: what was asked for until then may be older.
    pub(super) told: Timestamp,
    /// A change of it may have happened unseen, so that what is older teaches nothing.
    pub(super) doubted: bool,
    /// What a row that was shown took the place of, and when that was told.
    pub(super) replaced: Option<Box<(Timestamp, Values)>>,
}

/// When a statement's request reached the wire, and when its answer did; 0 where that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) asked: Timestamp,
    pub(super) told: Timestamp,
}

impl Span {
    pub(super) fn of(execution: &Execution) -> Self {
        let waited = Duration::try_from_secs_f64(execution.waited).unwrap_or_default();
        let waited = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        let asked = Timestamp(execution.began.0.saturating_sub(waited));
        Self {
            asked: if execution.timed { asked } else { Timestamp(0) },
            told: execution.ended,
        }
    }
}

/// What is done to an entity.
struct Deed<'a> {
    does: Does,
    values: &'a Values,
    span: Span,
}

/// The entities of every kind; the one not heard of for the longest is forgotten.
pub(super) struct Memory {
    kinds: Vec<LruMap<Key, Known, ByLength, foldhash::fast::RandomState>>,
    limit: usize,
    gauges: Gauges,
}

impl Memory {
    pub(super) fn new(program: &Program, limit: u32) -> Self {
        let limit = limit.max(1);
        let kind = || {
            let hasher = foldhash::fast::RandomState::default();
            LruMap::with_hasher(ByLength::new(limit), hasher)
        };
        Self {
            kinds: std::iter::repeat_with(kind)
                .take(program.entities.len())
                .collect(),
            limit: limit as usize,
            gauges: Gauges::new(program),
        }
    }

    /// How many of a kind are remembered.
    pub(super) fn limit(&self) -> u32 {
        u32::try_from(self.limit).unwrap_or(u32::MAX)
    }

    /// Takes everything out of the gauges that sum over it.
    pub(super) fn forget(self, context: &mut Context<'_>) {
        self.gauges.end(context);
    }

    /// What is known of an entity, if anything is.
    pub(super) fn get(&self, kind: usize, key: &Key) -> Option<&Known> {
        self.kinds.get(kind)?.peek(key)
    }

    /// A row that a rule speaks of; its key is known. `None` where it is nothing to count: it was
    /// to change what is not remembered.
    pub(super) fn apply(
        &mut self,
        program: &Program,
        rule: &Rule,
        values: &Values,
        span: Span,
        context: &mut Context<'_>,
    ) -> Option<Fate> {
        let entity = program.entities.get(rule.entity)?;
        if rule.does == Does::DeleteEvery {
            return self.delete_every(program, rule, values, context);
        }
        let key = key_of(entity, values)?;
        if key.is_empty() {
            let event = Known {
                values: values.clone(),
                ..Known::of(entity)
            };
            self.effects(program, entity, &Happened::Created, &event, &event, context);
            return Some(Fate::Published);
        }
        if rule.policy == Policy::Failed && self.get(rule.entity, &key).is_none() {
            return None;
        }
        let deed = Deed {
            does: rule.does,
            values,
            span,
        };
        self.happen(program, rule.entity, &key, &deed, context)
    }

    /// Whether this happened is not known: of an entity that is remembered, what it would have
    /// changed is not known any more either, be it what it said or what of it was not read.
    pub(super) fn doubt(
        &mut self,
        program: &Program,
        rule: &Rule,
        values: &Values,
        unread: &[usize],
        context: &mut Context<'_>,
    ) {
        if !matches!(rule.does, Does::Create | Does::Change) {
            return;
        }
        let entity = program.entities.get(rule.entity);
        let Some(key) = entity.and_then(|entity| key_of(entity, values)) else {
            return;
        };
        let kind = self.kinds.get_mut(rule.entity);
        let Some(known) = kind.and_then(|kind| kind.get(&key)) else {
            return;
        };
        let before = known.clone();
        known.told = context.time;
        known.doubted = true;
        known.replaced = None;
        for (known, said) in known.values.iter_mut().zip(values) {
            if said.is_some() && known != said {
                *known = None;
            }
        }
        for place in unread {
            if let Some(known) = known.values.get_mut(*place) {
                *known = None;
            }
        }
        let after = known.clone();
        self.gauges
            .weigh(program, rule.entity, Some(&before), Some(&after), context);
    }

    /// All that are remembered with the fields that the rule names are no more. Looks at every one
    /// of the kind: what deletes others is rare, and how many there are is bounded.
    fn delete_every(
        &mut self,
        program: &Program,
        rule: &Rule,
        values: &Values,
        context: &mut Context<'_>,
    ) -> Option<Fate> {
        let every = self.kinds.get(rule.entity)?.iter();
        let keys: Vec<Key> = every
            .filter(|(_, known)| !known.deleted && rule.strikes(values, known))
            .map(|(key, _)| key.clone())
            .collect();
        let nothing_else = Deed {
            does: Does::Delete,
            values: &Values::new(),
            span: Span::default(),
        };
        for key in &keys {
            self.happen(program, rule.entity, key, &nothing_else, context);
        }
        (!keys.is_empty()).then_some(Fate::Published)
    }

    /// Something is done to one entity.
    fn happen(
        &mut self,
        program: &Program,
        kind: usize,
        key: &Key,
        deed: &Deed<'_>,
        context: &mut Context<'_>,
    ) -> Option<Fate> {
        let entity = program.entities.get(kind)?;
        let known = self.enter(program, kind, key, context);
        let mut before = known.clone().unwrap_or_else(|| Known::of(entity));
        let mut after = before.clone();
        before.look_back(deed);
        let happened = after.take(deed, entity, &before, context.time);
        let fate = happened.fate(entity);
        let place = self.kinds.get_mut(kind).and_then(|kind| kind.get(key));
        if let Some(place) = place {
            *place = after.clone();
        }
        if known.as_ref() != Some(&after) {
            let known = known.as_ref();
            self.gauges
                .weigh(program, kind, known, Some(&after), context);
        }
        self.effects(program, entity, &happened, &before, &after, context);
        Some(fate)
    }

    /// What was known of an entity, which takes the place of the oldest if nothing was.
    fn enter(
        &mut self,
        program: &Program,
        kind: usize,
        key: &Key,
        context: &mut Context<'_>,
    ) -> Option<Known> {
        let (memory, entity) = (self.kinds.get_mut(kind)?, program.entities.get(kind)?);
        if let Some(known) = memory.get(key) {
            return Some(known.clone());
        }
        let forgotten = if memory.len() >= self.limit {
            memory.pop_oldest()
        } else {
            None
        };
        memory.insert(key.clone(), Known::of(entity));
        if let Some((_, forgotten)) = forgotten {
            self.gauges
                .weigh(program, kind, Some(&forgotten), None, context);
        }
        None
    }
}

impl Rule {
    /// Whether it deletes one of which this is known.
    fn strikes(&self, values: &Values, known: &Known) -> bool {
        let list = self.spares.map(|(_, list)| list);
        let mut named = self.told.iter().filter(|place| Some(**place) != list);
        named.all(|place| values.get(*place) == known.values.get(*place))
            && !self.spared(values, known)
    }

    fn spared(&self, values: &Values, known: &Known) -> bool {
        let Some((field, list)) = self.spares else {
            return false;
        };
        let value = known.values.get(field).and_then(Option::as_ref);
        match (value, values.get(list).and_then(Option::as_ref)) {
            (Some(Datum::Integer(value)), Some(Datum::Integers(spared))) => spared.contains(value),
            _ => false,
        }
    }
}

impl Known {
    /// One of which nothing is known.
    fn of(entity: &Entity) -> Self {
        Self {
            values: Values::from_elem(None, entity.types.len()),
            ..Self::default()
        }
    }

    /// Before a change that was under way when a row was shown: the row may show that change.
    fn look_back(&mut self, deed: &Deed<'_>) {
        let Some(replaced) = self.replaced.take().filter(|_| deed.does == Does::Change) else {
            return;
        };
        let (shown, values) = *replaced;
        if deed.span.asked > shown {
            return;
        }
        for ((known, before), said) in self.values.iter_mut().zip(&values).zip(deed.values) {
            if said.is_some() && before.is_some() {
                known.clone_from(before);
            }
        }
    }

    /// Takes a row; what that changed about what was known before it.
    fn take(
        &mut self,
        deed: &Deed<'_>,
        entity: &Entity,
        before: &Self,
        now: Timestamp,
    ) -> Happened {
        let happened = match deed.does {
            _ if self.deleted => return Happened::Nothing,
            Does::Show => {
                self.show(deed);
                return Happened::Nothing;
            }
            Does::Create if self.created.is_some() => return Happened::Nothing,
            Does::Create => {
                self.created = Some(now);
                Happened::Created
            }
            Does::Delete | Does::DeleteEvery => {
                self.deleted = true;
                Happened::Deleted
            }
            Does::Change => {
                let mut changed = SmallVec::new();
                let values = before.values.iter().zip(deed.values);
                for (place, (known, now)) in values.enumerate() {
                    if now.is_some() && known != now && !entity.key.contains(&place) {
                        changed.push((place, known.is_some()));
                    }
                }
                Happened::Changed(changed)
            }
        };
        self.told = now;
        self.replaced = None;
        self.overwrite(deed.values);
        happened
    }

    /// Takes a row that was there when it was read.
    fn show(&mut self, deed: &Deed<'_>) {
        if deed.span.asked > self.told {
            let pairs = self.values.iter().zip(deed.values);
            let mut news = pairs.filter(|(known, shown)| shown.is_some() && known != shown);
            if news.clone().any(|(known, _)| known.is_some()) {
                self.replaced = Some(Box::new((deed.span.told, self.values.clone())));
            }
            if news.next().is_some() {
                self.told = deed.span.told;
                self.overwrite(deed.values);
            }
        } else if !self.doubted {
            for (known, shown) in self.values.iter_mut().zip(deed.values) {
                if known.is_none() {
                    known.clone_from(shown);
                }
            }
        }
    }

    fn overwrite(&mut self, row: &Values) {
        for (known, now) in self.values.iter_mut().zip(row) {
            if now.is_some() {
                known.clone_from(now);
            }
        }
    }
}

/// The key's fields; `None` where one is not known.
pub(super) fn key_of(entity: &Entity, values: &Values) -> Option<Key> {
    entity
        .key
        .iter()
        .map(|place| values.get(*place)?.clone())
        .collect()
}
