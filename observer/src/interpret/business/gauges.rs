//! Gauges that sum over what is remembered, and which of their series there are.
//!
//! A series that is labelled by a field of its entity's key ends when nothing is remembered under
//! its labels: a product without variations has no stock, which is not a stock of 0. One that is
//! labelled by anything else stays at 0: no shop is suspended. Where only the lowest have a series
//! of their own, the rest is in one whose last label is `_other`, and label values are lent, so that
//! those which come and go do not use up the room for label values.

use smallvec::SmallVec;

use super::Context;
use super::lowest::{Lowest, Moved, Place};
use super::memory::Known;
use super::program::{self, By, Entity, Label, Moves, On, Program};
use super::value::Datum;
use super::{Map, effects};
use crate::export::{Fact, Metric, Symbol, Symbols};

/// Of every entity, by its place in [`Program::entities`], its gauges.
#[derive(Debug)]
pub(super) struct Gauges(Vec<Vec<Sums>>);

impl Gauges {
    pub(super) fn new(program: &Program) -> Self {
        let sums = |entity: &Entity| {
            entity
                .gauges()
                .map(|gauge| Sums::new(entity, gauge))
                .collect()
        };
        Self(program.entities.iter().map(sums).collect())
    }

    /// An entity is known in another way than before, or not known on either side.
    pub(super) fn weigh(
        &mut self,
        program: &Program,
        kind: usize,
        before: Option<&Known>,
        after: Option<&Known>,
        context: &mut Context<'_>,
    ) {
        let (Some(sums), Some(entity)) = (self.0.get_mut(kind), program.entities.get(kind)) else {
            return;
        };
        for (sums, gauge) in sums.iter_mut().zip(entity.gauges()) {
            let weight = |known: Option<&Known>| gauge.weight(known?);
            sums.change(weight(before), weight(after), context);
        }
    }

    /// Nothing is remembered any more.
    pub(super) fn end(self, context: &mut Context<'_>) {
        for sums in self.0.into_iter().flatten() {
            sums.end(context);
        }
    }
}

impl Entity {
    fn gauges(&self) -> impl Iterator<Item = &Moves> {
        self.effects
            .iter()
            .filter(|effect| effect.on == On::Remembered)
    }
}

/// What the labels of a sum say; texts as they are shown.
type Labels = SmallVec<[Datum; 2]>;

/// What one entity adds to which sum.
type Weight = (Labels, i128);

impl Moves {
    /// `None` where the entity is in no sum. One that does not count, for it is not as it must be,
    /// is in the sum all the same: that none of them counts is known.
    fn weight(&self, known: &Known) -> Option<Weight> {
        let holds = program::hold(&self.only, &known.values);
        let amount = match self.by {
            _ if known.deleted => return None,
            By::One => i128::from(holds),
            By::Field(place) if holds => match effects::at(known, place)? {
                Datum::Integer(number) => i128::from(*number),
                Datum::Duration(nanoseconds) => i128::from(*nanoseconds),
                _ => return None,
            },
            By::Field(_) | By::Age => return None,
        };
        let labels = self.labels.iter().map(|label| {
            let value = match label {
                Label::Own(place) => effects::at(known, *place),
                Label::Constant(word) => return Datum::Text(word.as_str().into()),
                Label::Of { .. } => None,
            };
            match value {
                Some(Datum::Integer(number)) => Datum::Integer(*number),
                Some(Datum::Text(text)) => Datum::Text(text.to_lowercase().into()),
                _ => Datum::Text("unknown".into()),
            }
        });
        Some((labels.collect(), amount))
    }
}

/// A gauge's series.
#[derive(Debug)]
struct Sums {
    metric: Metric,
    /// What a sum is divided by to be shown.
    unit: f64,
    /// Whether a series ends with the last that is remembered under its labels.
    ends: bool,
    by_labels: Map<Labels, Sum>,
    /// Where only some have a series of their own.
    lowest: Option<Lowest<Labels>>,
    /// The rest, by all labels but the last.
    rest: Map<Labels, Rest>,
    arrived: u64,
}

type Series = SmallVec<[Symbol; 6]>;

/// Of those under the same labels.
#[derive(Debug)]
struct Sum {
    amount: i128,
    members: u32,
    number: u64,
    /// Its own series; without one it is in that of the rest.
    series: Option<Series>,
}

/// Sums without a series of their own.
#[derive(Debug, Default)]
struct Rest {
    amount: i128,
    sums: u32,
    series: Series,
}

impl Sums {
    fn new(entity: &Entity, gauge: &Moves) -> Self {
        let is_key =
            |label: &Label| matches!(label, Label::Own(place) if entity.key.contains(place));
        let is_duration = matches!(gauge.by, By::Field(place)
            if entity.types.get(place) == Some(&super::value::Type::Duration));
        let limit = gauge.lowest.map(|limit| limit as usize);
        Self {
            metric: gauge.metric,
            unit: if is_duration { 1e9 } else { 1.0 },
            ends: limit.is_some() || gauge.labels.iter().any(is_key),
            by_labels: Map::default(),
            lowest: limit.map(Lowest::new),
            rest: Map::default(),
            arrived: 0,
        }
    }

    fn change(&mut self, before: Option<Weight>, after: Option<Weight>, context: &mut Context<'_>) {
        match (before, after) {
            (Some((labels, was)), Some((same, is))) if labels == same => {
                if was != is {
                    self.add(&labels, is - was, 0, context);
                }
            }
            (before, after) => {
                if let Some((labels, amount)) = after {
                    self.add(&labels, amount, 1, context);
                }
                if let Some((labels, amount)) = before {
                    self.add(&labels, -amount, -1, context);
                }
            }
        }
    }

    fn add(&mut self, labels: &Labels, by: i128, members: i32, context: &mut Context<'_>) {
        let arrived = &mut self.arrived;
        let sum = self.by_labels.entry(labels.clone()).or_insert_with(|| {
            *arrived += 1;
            Sum {
                amount: 0,
                members: 0,
                number: *arrived,
                series: None,
            }
        });
        let place = |sum: &Sum| (sum.members > 0).then_some((sum.amount, sum.number));
        let from: Option<Place> = place(sum);
        let had_series = sum.series.clone();
        sum.amount += by;
        sum.members = sum.members.saturating_add_signed(members);
        let to = place(sum);
        let moved = match &mut self.lowest {
            Some(lowest) => lowest.change(from, to, labels),
            None => Moved {
                is_kept: to.is_some(),
                promoted: None,
                demoted: None,
            },
        };
        let (was, is) = (from.map(|(was, _)| was), to.map(|(is, _)| is));
        if let (Some(series), Some(_), true) = (&had_series, is, moved.is_kept) {
            self.tell(series, by, false, context);
        } else {
            if let Some(was) = was {
                self.leave(labels, was, context);
            }
            match is {
                Some(is) if moved.is_kept => self.show(labels, is, context),
                Some(is) => self.fold(labels, is, context),
                None => {
                    self.by_labels.remove(labels);
                }
            }
        }
        if let Some((labels, amount)) = self.amount(moved.demoted) {
            self.leave(&labels, amount, context);
            self.fold(&labels, amount, context);
        }
        if let Some((labels, amount)) = self.amount(moved.promoted) {
            self.leave(&labels, amount, context);
            self.show(&labels, amount, context);
        }
    }

    fn amount(&self, labels: Option<Labels>) -> Option<Weight> {
        let labels = labels?;
        let amount = self.by_labels.get(&labels)?.amount;
        Some((labels, amount))
    }

    /// A sum gets a series of its own, where there is room for its label values.
    fn show(&mut self, labels: &Labels, amount: i128, context: &mut Context<'_>) {
        let Some(series) = self.series(labels, context.symbols) else {
            return self.fold(labels, amount, context);
        };
        self.tell(&series, amount, false, context);
        if let Some(sum) = self.by_labels.get_mut(labels) {
            sum.series = Some(series);
        }
    }

    /// A sum leaves its series, or that of the rest.
    fn leave(&mut self, labels: &Labels, amount: i128, context: &mut Context<'_>) {
        let own = self
            .by_labels
            .get_mut(labels)
            .and_then(|sum| sum.series.take());
        if let Some(series) = own {
            return self.close(&series, amount, context);
        }
        let Some(rest) = self.rest.get_mut(but_last(labels)) else {
            return;
        };
        rest.amount -= amount;
        rest.sums -= 1;
        let (series, is_last) = (rest.series.clone(), rest.sums == 0);
        let ends = is_last && !rest.is_shared();
        if is_last {
            self.rest.remove(but_last(labels));
        }
        self.tell(&series, -amount, ends, context);
    }

    /// A sum's own series is left, and so are the label values that are no one else's.
    fn close(&self, series: &Series, amount: i128, context: &mut Context<'_>) {
        let ends = self.ends && !series.contains(&Symbol::OTHER);
        self.tell(series, -amount, ends, context);
        if let (Some(_), Some(last)) = (&self.lowest, series.last()) {
            context.symbols.take_back(*last);
        }
    }

    fn fold(&mut self, labels: &Labels, amount: i128, context: &mut Context<'_>) {
        let rest = self.rest.entry(but_last(labels).into()).or_default();
        if rest.sums == 0 {
            let symbols = &mut *context.symbols;
            let others = but_last(labels).iter().map(|label| intern(label, symbols));
            rest.series = others.collect();
            rest.series.push(Symbol::OTHER);
        }
        rest.amount += amount;
        rest.sums += 1;
        let series = rest.series.clone();
        self.tell(&series, amount, false, context);
    }

    /// `None` where one of many has no series that is its alone.
    fn series(&self, labels: &Labels, symbols: &mut Symbols) -> Option<Series> {
        if self.lowest.is_none() {
            return Some(labels.iter().map(|label| intern(label, symbols)).collect());
        }
        let others = but_last(labels).iter().map(|label| intern(label, symbols));
        let mut series: Series = others.collect();
        if series.contains(&Symbol::OTHER) {
            return None;
        }
        let last = match labels.last()? {
            Datum::Integer(number) => symbols.lend(&number.to_string()),
            Datum::Text(text) => symbols.lend(text),
            _ => None,
        };
        series.push(last?);
        Some(series)
    }

    fn tell(&self, series: &Series, by: i128, ends: bool, context: &mut Context<'_>) {
        #[expect(clippy::cast_precision_loss, reason = "a metric takes no more")]
        (context.out)(Fact {
            metric: self.metric,
            labels: series.clone(),
            value: by as f64 / self.unit,
            ends,
        });
    }

    fn end(self, context: &mut Context<'_>) {
        for sum in self.by_labels.values() {
            if let Some(series) = &sum.series {
                self.close(series, sum.amount, context);
            }
        }
        for rest in self.rest.values() {
            self.tell(&rest.series, -rest.amount, !rest.is_shared(), context);
        }
    }
}

impl Rest {
    /// Of several that found no room for their other labels this is the series of all.
    fn is_shared(&self) -> bool {
        but_last(&self.series).contains(&Symbol::OTHER)
    }
}

fn but_last<T>(labels: &[T]) -> &[T] {
    labels.split_last().map_or(&[], |(_, others)| others)
}

fn intern(label: &Datum, symbols: &mut Symbols) -> Symbol {
    match label {
        Datum::Integer(number) => symbols.intern(&number.to_string()),
        Datum::Text(text) => symbols.intern(text),
        _ => Symbol::UNKNOWN,
    }
}

#[cfg(test)]
mod tests;
