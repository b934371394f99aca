//! The entities last seen, and what a committed row changes about them.
//!
//! A row that only shows something fills what is not known yet and never overwrites: it may be
//! older than what a transaction that committed meanwhile has changed.

use schnellru::{ByLength, LruMap};
use smallvec::SmallVec;

use super::effects::Happened;
use super::gauges::Gauges;
use super::program::{Entity, Program, Rule, Values};
use super::value::Datum;
use super::{Context, Fate};
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
        self.happen(program, rule.entity, &key, (rule.does, values), context)
    }

    /// Whether this happened is not known: of an entity that is remembered, what it would have
    /// changed is not known any more either.
    pub(super) fn doubt(
        &mut self,
        program: &Program,
        rule: &Rule,
        values: &Values,
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
        for (known, said) in known.values.iter_mut().zip(values) {
            if said.is_some() && known != said {
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
        for key in &keys {
            let nothing_else = (Does::Delete, &Values::new());
            self.happen(program, rule.entity, key, nothing_else, context);
        }
        (!keys.is_empty()).then_some(Fate::Published)
    }

    /// Something is done to one entity.
    fn happen(
        &mut self,
        program: &Program,
        kind: usize,
        key: &Key,
        (does, values): (Does, &Values),
        context: &mut Context<'_>,
    ) -> Option<Fate> {
        let entity = program.entities.get(kind)?;
        let known = self.enter(program, kind, key, context);
        let before = known.clone().unwrap_or_else(|| Known::of(entity));
        let mut after = before.clone();
        let happened = after.take(does, entity, values, context.time);
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

    /// Takes a row; what that changed.
    fn take(&mut self, does: Does, entity: &Entity, row: &Values, now: Timestamp) -> Happened {
        match does {
            Does::Show => {
                if !self.deleted {
                    for (known, shown) in self.values.iter_mut().zip(row) {
                        if known.is_none() {
                            known.clone_from(shown);
                        }
                    }
                }
                Happened::Nothing
            }
            Does::Create if self.created.is_some() => Happened::Nothing,
            Does::Create => {
                self.deleted = false;
                self.created = Some(now);
                self.overwrite(row);
                Happened::Created
            }
            Does::Delete | Does::DeleteEvery if self.deleted => Happened::Nothing,
            Does::Delete | Does::DeleteEvery => {
                self.deleted = true;
                self.overwrite(row);
                Happened::Deleted
            }
            Does::Change => {
                let mut changed = SmallVec::new();
                for (place, (known, now)) in self.values.iter().zip(row).enumerate() {
                    if now.is_some() && known != now && !entity.key.contains(&place) {
                        changed.push((place, known.is_some()));
                    }
                }
                self.overwrite(row);
                Happened::Changed(changed)
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
