//! What rules may read of requests: what is there, no secret, and no label without end.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Compiler, Place};
use crate::interpret::business::program;
use crate::interpret::business::value::{Datum, Type};
use crate::interpret::rules::business::{self as rules, Condition, Label, Part};

/// Headers that the rules of one request may name.
const HEADERS: usize = 8;

/// Words in the names of what holds a secret, or says who somebody is.
const SECRETS: [&str; 43] = [
    "address",
    "apikey",
    "auth",
    "authorization",
    "birthday",
    "card",
    "cardnumber",
    "cookie",
    "cookie2",
    "credential",
    "credentials",
    "csrf",
    "cvc",
    "cvv",
    "email",
    "firstname",
    "fullname",
    "hash",
    "iban",
    "jwt",
    "key",
    "keys",
    "lastname",
    "mail",
    "mobile",
    "pan",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "phone",
    "pin",
    "secret",
    "session",
    "sig",
    "signature",
    "ssn",
    "street",
    "surname",
    "telephone",
    "token",
    "tokens",
    "username",
];

impl Compiler<'_, '_> {
    /// Whether a field can be read where the rule says.
    pub(super) fn readable(
        &mut self,
        request: &rules::Request,
        of: Type,
        place: Place<'_, rules::Source>,
    ) {
        let source = &place.at.value;
        let name = source.name.as_deref().unwrap_or_default();
        match source.from {
            Part::Path | Part::Query | Part::Header | Part::Body | Part::Answer
                if of == Type::Time =>
            {
                self.add(place, "moments are told by rows, not by requests");
            }
            from if from.is_named() && is_secret(name) => self.add(
                place,
                format!("`{name}` may be a secret or say who somebody is, and rules read neither"),
            ),
            Part::Path => {
                for route in &request.routes {
                    let segments = route.value.split('/');
                    let parameters =
                        segments.filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
                    if !parameters.clone().any(|known| known == name) {
                        let message =
                            format!("the route `{}` has no parameter `{name}`", route.value);
                        self.unknown(place, message, name, parameters);
                    }
                }
            }
            Part::Shop | Part::Status if of != Type::Integer => {
                self.add(place, "a shop and a status are integers");
            }
            Part::Outcome | Part::Method if of != Type::Text => {
                self.add(place, "an outcome and a method are texts");
            }
            _ => {}
        }
    }

    /// Whether a request's rule names more headers than are kept.
    pub(super) fn headers(&mut self, place: Place<'_, rules::Request>) {
        let fields = place.at.value.fields.values();
        let headers = fields.filter(|source| source.value.from == Part::Header);
        if headers.count() > HEADERS {
            self.add(place, format!("it reads more than {HEADERS} headers"));
        }
    }

    /// A number or a key that requests tell may be any: as a label there would be no end of them.
    pub(super) fn endless(&mut self) {
        let rules = self.rules;
        for (at, effect) in rules.effects.iter().enumerate() {
            for (name, at_label) in &effect.value.labels {
                let Label::Field(source) = &at_label.value else {
                    continue;
                };
                let (entity, field) = source
                    .split_once('.')
                    .unwrap_or((&effect.value.of.value, source));
                if self.is_endless(entity, field) {
                    let path = format!("business.effects[{at}].labels.{name}");
                    let place = Place {
                        path: &path,
                        at: at_label,
                    };
                    let message = format!(
                        "requests tell `{source}`: there is no end of its values, so it is no label"
                    );
                    self.add(place, message);
                }
            }
        }
    }

    fn is_endless(&self, entity: &str, field: &str) -> bool {
        let Some(fields) = self.rules.entities.get(entity) else {
            return false;
        };
        let mut key = fields.value.key.iter();
        let of = fields.value.fields.get(field);
        let may_be_any = of == Some(&Type::Integer) || key.any(|known| known.value == field);
        let tells = |request: &rules::Request| {
            let source = request.fields.get(field);
            request.entity.value == entity
                && source.is_some_and(|source| source.value.from.is_named())
        };
        let mut requests = self.rules.requests.values();
        may_be_any && requests.any(|request| tells(&request.value))
    }

    /// The texts that rules name.
    pub(super) fn words(&mut self) {
        let mut words = BTreeSet::new();
        for rule in &self.program.rules {
            let constants = rule.constants.iter().filter_map(|(_, datum)| match datum {
                Datum::Text(text) => Some(text.to_ascii_lowercase()),
                _ => None,
            });
            words.extend(constants);
            for (_, condition) in &rule.only {
                if let Condition::Any(texts) = condition {
                    words.extend(texts.iter().map(|text| text.to_ascii_lowercase()));
                }
            }
        }
        let entities = self.program.entities.iter();
        for effect in entities.flat_map(|entity| &entity.effects) {
            let only = effect
                .only
                .iter()
                .filter_map(|(_, condition)| match condition {
                    Condition::Any(texts) => Some(texts),
                    Condition::Range(_) => None,
                });
            let texts = only.chain([&effect.from, &effect.to]).flatten();
            words.extend(texts.map(|text| text.to_ascii_lowercase()));
        }
        self.program.words = Arc::new(words);
    }

    /// The fields that labels show.
    pub(super) fn shown(&mut self) {
        let mut shown = BTreeSet::new();
        for (own, entity) in self.program.entities.iter().enumerate() {
            let labels = entity.effects.iter().flat_map(|effect| &effect.labels);
            shown.extend(labels.filter_map(|label| match label {
                program::Label::Own(field) => Some((own, *field)),
                program::Label::Of { entity, field, .. } => Some((*entity, *field)),
                program::Label::Constant(_) => None,
            }));
        }
        for (entity, field) in shown {
            if let Some(entity) = self.program.entities.get_mut(entity) {
                entity.shown.push(field);
            }
        }
    }
}

/// Whether a word of a name says that its value is one of those: `client_secret`, `clientSecret`
/// and `data.secret.0` as well as `secret`.
fn is_secret(name: &str) -> bool {
    let mut parted = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && parted.ends_with(|last: char| last.is_ascii_lowercase()) {
            parted.push('_');
        }
        parted.push(letter);
    }
    parted
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .any(|word| SECRETS.contains(&word.to_ascii_lowercase().as_str()))
}
