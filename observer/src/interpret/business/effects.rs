//! Which metrics move when something happened to an entity.

use smallvec::SmallVec;

use super::memory::{Key, Known, Memory};
use super::program::{self, By, Entity, Label, Moves, On, Program, Values};
use super::value::Datum;
use super::{Context, Fate};
use crate::export::catalog::Kind;
use crate::export::{Symbol, Symbols};
use crate::interpret::fact;

/// What a row changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// Nothing that was not known.
    Nothing,
    /// The entity is there.
    Created,
    /// The entity is no more.
    Deleted,
    /// Fields have other values: their places, and whether the value before was known.
    Changed(SmallVec<[(usize, bool); 4]>),
}

impl Happened {
    /// What that makes of the candidate: a change of a field that moves no metric is none, and what
    /// a gauge showed before is never asked.
    pub(super) fn fate(&self, entity: &Entity) -> Fate {
        let changed = match self {
            Self::Nothing => return Fate::Repeated,
            Self::Created | Self::Deleted => return Fate::Published,
            Self::Changed(changed) => changed,
        };
        let counted = |(place, _): &&(usize, bool)| entity.counts(*place);
        let mut counted = changed.iter().filter(counted).peekable();
        if counted.peek().is_some() {
            if counted.all(|(_, known)| *known) {
                Fate::Published
            } else {
                Fate::Unknown
            }
        } else if changed.iter().any(|(place, _)| entity.weighs(*place)) {
            Fate::Published
        } else {
            Fate::Repeated
        }
    }
}

impl Entity {
    /// Whether a change of a field is an event that moves a metric.
    pub(super) fn counts(&self, place: usize) -> bool {
        let mut effects = self.effects.iter();
        effects.any(|effect| effect.on == On::Changed(place))
    }

    /// Whether a gauge shows a field.
    pub(super) fn weighs(&self, place: usize) -> bool {
        let gauges = self.effects.iter();
        let mut gauges = gauges.filter(|effect| effect.on == On::Remembered);
        gauges.any(|gauge| {
            gauge.by == By::Field(place)
                || gauge.labels.contains(&Label::Own(place))
                || gauge.only.iter().any(|(field, _)| *field == place)
        })
    }
}

impl Memory {
    /// Moves the metrics of an event.
    pub(super) fn effects(
        &self,
        program: &Program,
        entity: &Entity,
        happened: &Happened,
        before: &Known,
        after: &Known,
        context: &mut Context<'_>,
    ) {
        for effect in &entity.effects {
            let unknown = match (happened, effect.on) {
                (Happened::Created, On::Created) | (Happened::Deleted, On::Deleted) => None,
                (Happened::Changed(changed), On::Changed(place)) => {
                    match changed.iter().find(|(changed, _)| *changed == place) {
                        Some((_, true)) if effect.leads(place, before, after) => None,
                        // From where is not known: it counts as unknown, and moves no money.
                        Some((_, false))
                            if effect.by == By::One
                                && effect.from.is_empty()
                                && is_any(&effect.to, at(after, place)) =>
                        {
                            Some(place)
                        }
                        _ => continue,
                    }
                }
                _ => continue,
            };
            if !program::hold(&effect.only, &after.values) {
                continue;
            }
            if let Some(value) = effect.value(program, after, context) {
                let labels = self.labels(effect, &after.values, unknown, context.symbols);
                (context.out)(fact(effect.metric, &labels, value));
            }
        }
    }

    fn labels(
        &self,
        effect: &Moves,
        values: &Values,
        unknown: Option<usize>,
        symbols: &mut Symbols,
    ) -> SmallVec<[Symbol; 6]> {
        let mut labels = SmallVec::new();
        for label in &effect.labels {
            labels.push(match label {
                Label::Own(place) if unknown == Some(*place) => Symbol::UNKNOWN,
                Label::Own(place) => symbol(values.get(*place), symbols),
                Label::Constant(word) => symbols.intern(word),
                Label::Of { entity, key, field } => {
                    let key: Option<Key> = key
                        .iter()
                        .map(|place| values.get(*place)?.clone())
                        .collect();
                    let other = key.and_then(|key| self.get(*entity, &key));
                    symbol(other.and_then(|other| other.values.get(*field)), symbols)
                }
            });
        }
        labels
    }
}

impl Moves {
    /// Whether a change of this field is one of those it speaks of.
    fn leads(&self, place: usize, before: &Known, after: &Known) -> bool {
        is_any(&self.from, at(before, place)) && is_any(&self.to, at(after, place))
    }

    /// By how much; `None` where that is not known.
    fn value(&self, program: &Program, known: &Known, context: &Context<'_>) -> Option<f64> {
        match self.by {
            By::One => Some(1.0),
            By::Age => Some(context.time.seconds_since(known.created?)),
            By::Field(place) => match at(known, place)? {
                // An amount below 2^53 hundredths is exact.
                #[expect(clippy::cast_precision_loss, reason = "a metric takes no more")]
                Datum::Money(amount) => {
                    let amount = amount.checked_mul(program.money)? as f64;
                    let exact = self.metric.row().kind == Kind::Money;
                    Some(if exact { amount } else { amount / 10_000.0 })
                }
                #[expect(clippy::cast_precision_loss, reason = "a metric takes no more")]
                Datum::Integer(number) => Some(*number as f64),
                #[expect(clippy::cast_precision_loss, reason = "a metric takes no more")]
                Datum::Duration(nanoseconds) => Some(*nanoseconds as f64 / 1e9),
                _ => None,
            },
        }
    }
}

/// A field of an entity, if anything is known of it.
pub(super) fn at<'k>(known: impl Into<Option<&'k Known>>, place: usize) -> Option<&'k Datum> {
    known.into()?.values.get(place)?.as_ref()
}

/// Whether a value is one of these, or nothing is asked of it. Names are compared without case.
fn is_any(allowed: &[String], value: Option<&Datum>) -> bool {
    allowed.is_empty()
        || matches!(value, Some(Datum::Text(text))
            if allowed.iter().any(|one| one.eq_ignore_ascii_case(text)))
}

fn symbol(value: Option<&Option<Datum>>, symbols: &mut Symbols) -> Symbol {
    match value {
        Some(Some(Datum::Text(text))) => symbols.intern(&text.to_lowercase()),
        Some(Some(Datum::Integer(number))) => symbols.intern(&number.to_string()),
        // Money, UUIDs and moments are no label values.
        _ => Symbol::UNKNOWN,
    }
}
