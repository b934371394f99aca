//! HTTP requests that were answered become facts: what the rules read of them.
//!
//! A word that no rule names is learnt only from an answer that neither refuses the request nor
//! fails: a scanner makes up what it likes.

use std::collections::BTreeSet;
use std::sync::Arc;

use smallvec::SmallVec;

use super::program::{Program, Request, Source, Values};
use super::value::{Datum, TEXT_LIMIT, Type};
use super::why::Why;
use super::words::{OTHER, is_closed, looks_like_a_word, word};
use super::{Business, Candidate, Context, Fate};
use crate::correlate::http::Exchange;
use crate::interpret::http::METHODS;
use crate::interpret::json::{self, Unescaped, Value};
use crate::interpret::routes::{self, Route};
use crate::interpret::rules::business::Does;
use crate::interpret::shops;

/// A request that was answered, at the server's end.
pub(in crate::interpret) struct Answered<'a> {
    pub(in crate::interpret) exchange: &'a Exchange,
    pub(in crate::interpret) route: &'a Route,
    /// Its answer is GraphQL and has errors.
    pub(in crate::interpret) errors: bool,
}

/// What a request did to an entity, but for the shop that it is about.
#[derive(Debug)]
pub(in crate::interpret) struct Said {
    rule: usize,
    values: Values,
    /// Places of fields that are the shop.
    shop: SmallVec<[usize; 1]>,
    /// Places of texts that may become labels, and whether new ones may.
    texts: SmallVec<[usize; 2]>,
    learns: bool,
}

impl Program {
    /// What the rules read of a request; nothing of most.
    pub(in crate::interpret) fn read(&self, answered: &Answered<'_>) -> Vec<Said> {
        let method = answered.exchange.request.method.as_str();
        let status = answered.exchange.status;
        let readers = answered.route.readers.iter();
        readers
            .filter_map(|reader| self.requests.get(reader.rule))
            .filter(|request| request.speaks_of(method, status))
            .filter_map(|request| self.said(request, answered))
            .collect()
    }

    fn said(&self, request: &Request, answered: &Answered<'_>) -> Option<Said> {
        let rule = self.rules.get(request.rule)?;
        let entity = self.entities.get(rule.entity)?;
        let mut said = Said {
            rule: request.rule,
            values: Values::from_elem(None, entity.types.len()),
            shop: SmallVec::new(),
            texts: SmallVec::new(),
            learns: answered.exchange.status < 400,
        };
        for (place, constant) in &rule.constants {
            *said.values.get_mut(*place)? = Some(constant.clone());
        }
        for (place, source) in &request.fields {
            let of = *entity.types.get(*place)?;
            *said.values.get_mut(*place)? = source.read(answered, of);
            if *source == Source::Shop {
                said.shop.push(*place);
            }
            if source.is_told() && of == Type::Text {
                if !entity.key.contains(place) {
                    said.texts.push(*place);
                } else if !is_text_of_key(said.values.get(*place)) {
                    *said.values.get_mut(*place)? = None;
                }
            }
        }
        Some(said)
    }
}

impl Request {
    fn speaks_of(&self, method: &str, status: u16) -> bool {
        let mut statuses = self.statuses.iter();
        let within = |(least, most): &(u16, u16)| (*least..=*most).contains(&status);
        self.is_of(method) && (self.statuses.is_empty() || statuses.any(within))
    }

    fn is_of(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|one| one == method)
    }
}

impl Source {
    fn read(&self, answered: &Answered<'_>, of: Type) -> Option<Datum> {
        let Answered {
            exchange, route, ..
        } = answered;
        let request = &exchange.request;
        match self {
            Self::Path(name) => {
                let segment = routes::segment(&route.template, &request.path, name)?;
                Datum::parse(segment.as_bytes(), of)
            }
            Self::Query(name) => {
                let value = shops::query(&request.query, name);
                Some(value.as_bytes())
                    .filter(|value| !value.is_empty())
                    .and_then(|value| Datum::parse(value, of))
            }
            Self::Header(name) => {
                let mut headers = request.headers.iter();
                let (_, value) = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
                Datum::parse(value.as_bytes(), of)
            }
            Self::Body(path) => field(&request.body, path, of),
            Self::Answer(path) => field(&exchange.response_body, path, of),
            // It may have yet to be proven.
            Self::Shop => None,
            Self::Duration => {
                let taken = exchange.ended.0.saturating_sub(exchange.began.0);
                Some(Datum::Duration(taken))
            }
            Self::Outcome => {
                let failed = exchange.status >= 400 || answered.errors;
                let outcome = if failed { "failure" } else { "success" };
                Some(Datum::Text(outcome.into()))
            }
            Self::Status => Some(Datum::Integer(exchange.status.into())),
            Self::Method => {
                let known = METHODS.iter().find(|known| **known == request.method);
                Some(Datum::Text(known.copied().unwrap_or(OTHER).into()))
            }
        }
    }
}

/// A field of a JSON body.
fn field(body: &[u8], path: &[String], of: Type) -> Option<Datum> {
    Datum::parse(&plain(json::at(body, path)?)?, of)
}

/// What a JSON value says, `null` being nothing.
fn plain(value: Value<'_>) -> Option<SmallVec<[u8; 72]>> {
    match value {
        // One byte more than may be, so that a longer text is not taken for a shorter one.
        Value::String(text) => Some(Unescaped::new(text.raw).take(TEXT_LIMIT + 1).collect()),
        Value::Scalar(text) if text.raw != b"null" => Some(text.raw.into()),
        _ => None,
    }
}

/// A field that rules read of a request or of its answer: for whoever overwrites the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Where it stands.
    pub(crate) source: Source,
    of: Type,
    is_key: bool,
    words: Arc<BTreeSet<String>>,
}

impl Told {
    /// Whether a value makes a difference: another that does not would lead to the same facts.
    pub(crate) fn matters(&self, value: &[u8]) -> bool {
        match Datum::parse(value, self.of) {
            Some(Datum::Text(text)) if self.is_key => is_closed(&text),
            Some(Datum::Text(text)) => {
                looks_like_a_word(&text) || self.words.contains(&text.to_ascii_lowercase())
            }
            Some(_) => true,
            None => false,
        }
    }

    /// Likewise of a value in JSON.
    pub(crate) fn matters_in_json(&self, value: Value<'_>) -> bool {
        plain(value).is_none_or(|text| self.matters(&text))
    }
}

impl Program {
    /// What the rules read of requests of a route with a method.
    pub(crate) fn told(&self, route: &Route, method: &str) -> Vec<Told> {
        let readers = route.readers.iter();
        let requests = readers
            .filter_map(|reader| self.requests.get(reader.rule))
            .filter(|request| request.is_of(method));
        let fields = requests.flat_map(|request| {
            let entity = self.rules.get(request.rule);
            let entity = entity.and_then(|rule| self.entities.get(rule.entity));
            request.fields.iter().zip(std::iter::repeat(entity))
        });
        fields
            .filter(|((_, source), _)| source.is_told())
            .filter_map(|((place, source), entity)| {
                let entity = entity?;
                Some(Told {
                    source: source.clone(),
                    of: *entity.types.get(*place)?,
                    is_key: entity.key.contains(place),
                    words: Arc::clone(&self.words),
                })
            })
            .collect()
    }
}

impl Business {
    /// A request was answered, and the shop that it is about is known as far as it will be.
    pub(in crate::interpret) fn request(
        &mut self,
        mut said: Said,
        shop: Option<i64>,
        context: &mut Context<'_>,
    ) {
        let program = Arc::clone(&self.program);
        let Some(rule) = program.rules.get(said.rule) else {
            return;
        };
        for place in &said.shop {
            if let Some(slot) = said.values.get_mut(*place) {
                *slot = shop.map(Datum::Integer);
            }
        }
        let mut candidate = Candidate::new(said.rule, rule, &program, None, said.values.into());
        if !self.is_meant(&candidate, rule, context) {
            return;
        }
        for place in &said.texts {
            let values = candidate.values.as_mut().ok();
            if let Some(Some(Datum::Text(text))) = values.and_then(|v| v.get_mut(*place)) {
                *text = word(
                    text,
                    &program,
                    said.learns,
                    &mut self.words_of_requests,
                    context.symbols,
                );
            }
        }
        self.publish(&candidate, context);
    }

    /// A request says nothing, or nothing that is not said elsewhere.
    pub(in crate::interpret) fn discard(
        &mut self,
        said: &[Said],
        fate: Fate,
        why: &Why,
        context: &mut Context<'_>,
    ) {
        let program = Arc::clone(&self.program);
        for said in said {
            let Some(rule) = program.rules.get(said.rule) else {
                continue;
            };
            let values = &said.values;
            let may_hold = rule.lacks(values, &program).is_some() || rule.unmet(values).is_none();
            if may_hold && rule.does != Does::Show {
                self.note(said.rule, Some(values), Some(fate), context, || why.clone());
                self.count(said.rule, fate, context);
            }
        }
    }
}

/// A key is no phrase and no address either.
fn is_text_of_key(value: Option<&Option<Datum>>) -> bool {
    matches!(value, Some(Some(Datum::Text(text))) if is_closed(text))
}

#[cfg(test)]
mod tests;
