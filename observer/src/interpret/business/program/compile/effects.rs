//! Which metrics effects move, and by what.

use serde_saphyr::Spanned;

use super::super::{By, Label, Moves, On};
use super::{AGE, Compiler, Place};
use crate::export::catalog::{CATALOG, Kind, Row};
use crate::interpret::business::value::Type;
use crate::interpret::rules::business::{self as rules, Effect, Event};

impl Compiler<'_, '_> {
    pub(super) fn effect(&mut self, number: usize, at: &Spanned<Effect>) {
        let effect = &at.value;
        let path = format!("business.effects[{number}]");
        let place = Place { path: &path, at };
        let before = self.problems.len();
        let found = self.entity(&effect.of, &format!("{path}.of"));
        let row = self.metric(&effect.metric, &format!("{path}.metric"));
        let (Some((entity, fields)), Some(row)) = (found, row) else {
            return;
        };
        let on = match &effect.on {
            Event::Created => Some(On::Created),
            Event::Deleted => Some(On::Deleted),
            Event::Remembered => Some(On::Remembered),
            Event::Changed(field) => self.field_of(fields, field, place).map(On::Changed),
        };
        if (on == Some(On::Remembered)) != (row.kind == Kind::Gauge) {
            self.add(
                place,
                "a gauge sums over what is remembered, and nothing else does",
            );
        }
        if on == Some(On::Remembered) && fields.key.is_empty() {
            self.add(place, "nothing is remembered of an entity without a key");
        }
        let names_values = !effect.from.is_empty() || !effect.to.is_empty();
        if names_values && !matches!(effect.on, Event::Changed(_)) {
            self.add(place, "`from` and `to` are those of a change");
        }
        if effect.lowest.is_some() && row.kind != Kind::Gauge {
            self.add(place, "`lowest` is for gauges");
        }
        let by = self.by(effect, fields, row, &path);
        let only = self.conditions(fields, &effect.only, &path);
        self.happens(effect, fields, place);
        let labels = self.labels(effect, fields, row, &path, place);
        let joins = |label: &Label| matches!(label, Label::Of { .. });
        if on == Some(On::Remembered) && labels.iter().any(joins) {
            self.add(place, "a gauge's labels are fields of its own entity");
        }
        if on == Some(On::Remembered) {
            self.gauge(effect, by, row, place);
        }
        let moves = Moves {
            on: match on {
                Some(on) if self.problems.len() == before => on,
                _ => return,
            },
            from: effect.from.clone(),
            to: effect.to.clone(),
            only,
            metric: row.metric,
            by,
            lowest: effect.lowest,
            labels,
        };
        if let Some(entity) = self.program.entities.get_mut(entity) {
            entity.effects.push(moves);
        }
    }

    /// A gauge's series come and go with what one effect sums up.
    fn gauge(&mut self, effect: &Effect, by: By, row: &Row, place: Place<'_, Effect>) {
        let is_same = |other: &&Moves| other.on == On::Remembered && other.metric == row.metric;
        let mut entities = self.program.entities.iter();
        if entities.any(|entity| entity.effects.iter().find(is_same).is_some()) {
            self.add(place, format!("another effect sums up `{}`", row.name));
        }
        if by == By::Age {
            self.add(
                place,
                "what is remembered gets older without a sign; a gauge has no age",
            );
        }
        if effect.lowest.is_some() && row.labels.is_empty() {
            self.add(place, "`lowest` needs a label that tells them apart");
        }
    }

    fn metric(&mut self, at: &Spanned<String>, path: &str) -> Option<&'static Row> {
        let found = CATALOG.iter().find(|row| row.name == at.value);
        if found.is_none() {
            let message = format!("there is no metric `{}`", at.value);
            let known = CATALOG.iter().map(|row| row.name);
            self.unknown(Place { path, at }, message, &at.value, known);
        }
        found
    }

    fn by(&mut self, effect: &Effect, fields: &rules::Entity, row: &Row, path: &str) -> By {
        let path = format!("{path}.value");
        let by = match &effect.value {
            None => By::One,
            Some(at) if at.value == AGE => By::Age,
            Some(at) => {
                let place = Place { path: &path, at };
                let field = self.field_of(fields, &at.value, place);
                field.map_or(By::One, By::Field)
            }
        };
        let of = effect
            .value
            .as_ref()
            .and_then(|value| fields.fields.get(&value.value));
        let is_money = of == Some(&Type::Money);
        let is_histogram = matches!(row.kind, Kind::Histogram(_));
        let at = &effect.metric;
        let place = Place { path: &path, at };
        if (row.kind == Kind::Money) != is_money && !(is_money && is_histogram) {
            self.add(
                place,
                "money, and only money, is added to a metric of money",
            );
        }
        if matches!(
            of,
            Some(Type::Text | Type::Uuid | Type::Time | Type::Integers)
        ) {
            self.add(place, "a value is an integer, money, a duration or `age`");
        }
        by
    }

    fn labels(
        &mut self,
        effect: &Effect,
        fields: &rules::Entity,
        row: &'static Row,
        path: &str,
        place: Place<'_, Effect>,
    ) -> Vec<Label> {
        for (name, at) in &effect.labels {
            if !row.labels.contains(&name.as_str()) {
                let path = format!("{path}.labels.{name}");
                let message = format!("the metric has no label `{name}`");
                let known = row.labels.iter().copied();
                self.unknown(Place { path: &path, at }, message, name, known);
            }
        }
        let mut labels = Vec::new();
        for name in row.labels {
            let Some(at) = effect.labels.get(*name) else {
                self.add(place, format!("the metric's label `{name}` is left out"));
                continue;
            };
            let path = format!("{path}.labels.{name}");
            labels.extend(self.label(fields, &at.value, Place { path: &path, at }));
        }
        labels
    }

    fn label(
        &mut self,
        fields: &rules::Entity,
        label: &rules::Label,
        place: Place<'_, rules::Label>,
    ) -> Option<Label> {
        let source = match label {
            rules::Label::Constant(constant) => {
                return Some(Label::Constant(constant.is.clone()));
            }
            rules::Label::Field(source) => source,
        };
        let Some((other, name)) = source.split_once('.') else {
            let of = fields.fields.get(source);
            if matches!(of, Some(of) if !matches!(of, Type::Text | Type::Integer)) {
                self.add(place, "a label is a text or an integer");
            }
            return self.field_of(fields, source, place).map(Label::Own);
        };
        let rules = self.rules;
        let mut entities = rules.entities.iter().enumerate();
        let Some((entity, (_, found))) = entities.find(|(_, (known, _))| *known == other) else {
            let message = format!("there is no entity `{other}`");
            let known = rules.entities.keys().map(String::as_str);
            self.unknown(place, message, other, known);
            return None;
        };
        let mut key = Vec::new();
        for field in &found.value.key {
            key.push(self.field_of(fields, &field.value, place)?);
        }
        Some(Label::Of {
            entity,
            key,
            field: self.field_of(&found.value, name, place)?,
        })
    }
}
