//! What every name of a rule is right for, and the rule is wrong all the same.

use super::{AGE, Compiler, Place};
use crate::interpret::business::value::Type;
use crate::interpret::http::METHODS;
use crate::interpret::rules::business::{self as rules, Does, Effect, Event};
use crate::interpret::sql::text;

impl Compiler<'_, '_> {
    /// Whether rows can have a field.
    pub(super) fn row_has<T>(&mut self, entity: &rules::Entity, field: &str, place: Place<'_, T>) {
        if entity.fields.get(field) == Some(&Type::Duration) {
            self.add(place, "a duration is that of a request; no row has one");
        }
    }

    /// Of what is not remembered nothing can change.
    pub(super) fn event<T>(&mut self, entity: &rules::Entity, does: Does, place: Place<'_, T>) {
        if entity.key.is_empty() && does != Does::Create {
            let message = format!(
                "the entity has no key, so it is an event: `create` it rather than `{}`",
                does.label()
            );
            self.add(place, message);
        }
    }

    /// Whether a statement can end with a tag.
    pub(super) fn tag(&mut self, place: Place<'_, String>) {
        let tag = &place.at.value;
        if !text::is_operation(tag) {
            let message = format!("no statement ends with the tag `{tag}`");
            self.unknown(place, message, tag, text::operations());
        }
    }

    /// Whether there is such a method.
    pub(super) fn method(&mut self, place: Place<'_, String>) {
        let method = &place.at.value;
        if !METHODS.contains(&method.to_uppercase().as_str()) {
            let message = format!("`{method}` is no method");
            self.unknown(place, message, method, METHODS.into_iter());
        }
    }

    /// Whether a part of a request that there is once has no name.
    pub(super) fn named(&mut self, place: Place<'_, rules::Source>) {
        let source = &place.at.value;
        if source.name.is_some() && !source.from.is_named() {
            self.add(
                place,
                "only path, query, header, body and answer have names",
            );
        }
    }

    /// Whether what an effect waits for can happen to its entity.
    pub(super) fn happens(
        &mut self,
        effect: &Effect,
        entity: &rules::Entity,
        place: Place<'_, Effect>,
    ) {
        let is_event = entity.key.is_empty();
        if is_event && matches!(effect.on, Event::Changed(_) | Event::Deleted) {
            self.add(
                place,
                "the entity has no key, so it is an event: it is only ever created",
            );
        }
        let age = effect.value.as_ref().filter(|value| value.value == AGE);
        if age.is_some() && is_event {
            self.add(place, "an event has no age");
        }
        if let Event::Changed(field) = &effect.on {
            let names_values = !effect.from.is_empty() || !effect.to.is_empty();
            let of = entity.fields.get(field);
            if names_values && of.is_some_and(|of| *of != Type::Text) {
                self.add(
                    place,
                    format!("`from` and `to` are texts, and `{field}` is none"),
                );
            }
            if entity.key.iter().any(|key| key.value == *field) {
                self.add(
                    place,
                    format!("`{field}` is of the key, so it never changes"),
                );
            }
        }
    }
}
