//! Looks up every name that the rules use, and says which name nothing.

use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use super::{Program, Request, Rule, Source};
use crate::interpret::business::value::{Datum, Type};
use crate::interpret::rules::business::{self as rules, Business, Condition, Does, Part, Policy};
use crate::interpret::rules::{Problem, Rules, Sql, nearest};

mod checks;
mod effects;
mod requests;
mod statements;

/// Seconds since an entity was created, as a value.
const AGE: &str = "age";
/// Digits of the stored unit's hundredth, which is as fine as amounts are kept.
const MONEY_SCALE_LIMIT: u32 = 2;

pub(super) fn compile(rules: &Rules, problems: &mut Vec<Problem>) -> Program {
    let sql = &rules.sql;
    let rules = &rules.business;
    let mut compiler = Compiler {
        rules,
        sql,
        problems,
        program: Program::default(),
    };
    compiler.money();
    compiler.entities();
    for (name, statement) in &rules.statements {
        compiler.statement(name, statement);
    }
    for (name, request) in &rules.requests {
        compiler.request(name, request);
    }
    for (at, effect) in rules.effects.iter().enumerate() {
        compiler.effect(at, effect);
    }
    compiler.endless();
    compiler.words();
    compiler.shown();
    compiler.program
}

struct Compiler<'r, 'p> {
    rules: &'r Business,
    sql: &'r Sql,
    problems: &'p mut Vec<Problem>,
    program: Program,
}

/// Where a name stands, and what it is a name of.
struct Place<'a, T> {
    path: &'a str,
    at: &'a Spanned<T>,
}

impl<T> Clone for Place<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Place<'_, T> {}

impl<'r> Compiler<'r, '_> {
    fn add<T>(&mut self, place: Place<'_, T>, message: impl Into<String>) {
        let at = place.at.referenced;
        self.problems.push(Problem {
            path: place.path.to_owned(),
            location: Some((at.line(), at.column())).filter(|(line, _)| *line > 0),
            message: message.into(),
            suggestion: None,
        });
    }

    fn unknown<'n, T>(
        &mut self,
        place: Place<'_, T>,
        message: String,
        name: &str,
        known: impl Iterator<Item = &'n str>,
    ) {
        let suggestion = nearest(name, known).map(str::to_owned);
        self.add(place, message);
        if let Some(problem) = self.problems.last_mut() {
            problem.suggestion = suggestion;
        }
    }

    fn money(&mut self) {
        let scale = self.rules.money_scale.as_ref();
        let digits = scale.map_or(0, |scale| scale.value);
        if let Some(at) = scale.filter(|_| digits > MONEY_SCALE_LIMIT) {
            let path = "business.money_scale";
            self.add(Place { path, at }, "it is 0, 1 or 2");
        }
        // Ten-thousandths, so that hundredths of any scale are whole.
        self.program.money = 10_i64.pow(MONEY_SCALE_LIMIT.saturating_sub(digits));
    }

    fn entities(&mut self) {
        for (name, at) in &self.rules.entities {
            let entity = &at.value;
            let mut key = Vec::new();
            for field in &entity.key {
                let path = format!("business.entities.{name}.key");
                let place = Place {
                    path: &path,
                    at: field,
                };
                key.extend(self.field_of(entity, &field.value, place));
            }
            self.program.entities.push(super::Entity {
                name: name.clone(),
                types: entity.fields.values().copied().collect(),
                fields: entity.fields.keys().cloned().collect(),
                key,
                effects: Vec::new(),
                shown: Vec::new(),
            });
        }
    }

    fn entity(&mut self, name: &Spanned<String>, path: &str) -> Option<(usize, &'r rules::Entity)> {
        let rules = self.rules;
        let mut entities = rules.entities.iter().enumerate();
        if let Some((at, (_, entity))) = entities.find(|(_, (known, _))| **known == name.value) {
            return Some((at, &entity.value));
        }
        let message = format!("there is no entity `{}`", name.value);
        let known = rules.entities.keys().map(String::as_str);
        self.unknown(Place { path, at: name }, message, &name.value, known);
        None
    }

    fn field_of<T>(
        &mut self,
        entity: &rules::Entity,
        name: &str,
        place: Place<'_, T>,
    ) -> Option<usize> {
        let found = entity.fields.keys().position(|known| known == name);
        if found.is_none() {
            let message = format!("the entity has no field `{name}`");
            let known = entity.fields.keys().map(String::as_str);
            self.unknown(place, message, name, known);
        }
        found
    }

    fn conditions(
        &mut self,
        entity: &rules::Entity,
        conditions: &BTreeMap<String, Spanned<Condition>>,
        path: &str,
    ) -> Vec<(usize, Condition)> {
        let mut found = Vec::new();
        for (name, at) in conditions {
            let path = format!("{path}.only.{name}");
            let (place, condition) = (Place { path: &path, at }, &at.value);
            let Some(field) = self.field_of(entity, name, place) else {
                continue;
            };
            let of = entity.fields.get(name);
            let fits = match condition {
                Condition::Any(_) => of == Some(&Type::Text),
                Condition::Range(_) => of == Some(&Type::Integer),
            };
            if !fits {
                let message = format!(
                    "`{name}`: a text is one of a list, an integer lies `at_least` or `at_most`"
                );
                self.add(place, message);
            }
            found.push((field, condition.clone()));
        }
        found
    }

    fn constants(
        &mut self,
        entity: &rules::Entity,
        constants: &BTreeMap<String, Spanned<String>>,
        path: &str,
    ) -> Vec<(usize, Datum)> {
        let mut found = Vec::new();
        for (name, at) in constants {
            let path = format!("{path}.constants.{name}");
            let (place, constant) = (Place { path: &path, at }, &at.value);
            if entity.fields.get(name).is_some_and(|of| *of != Type::Text) {
                self.add(place, format!("`{name}` is no text, so no constant"));
            }
            let field = self.field_of(entity, name, place);
            found.extend(field.map(|field| (field, Datum::Text(constant.as_str().into()))));
        }
        found
    }

    /// The key must be told, or one row is not told from another; of what is deleted with others,
    /// anything.
    fn key<T>(
        &mut self,
        entity: &rules::Entity,
        does: Does,
        is_told: impl Fn(&str) -> bool,
        place: Place<'_, T>,
    ) {
        if does == Does::DeleteEvery {
            if !entity.fields.keys().any(|field| is_told(field)) {
                self.add(place, "it does not say by which field it deletes");
            }
            return;
        }
        for field in &entity.key {
            if !is_told(&field.value) {
                let message = format!("it does not say where the key's field `{}` is", field.value);
                self.add(place, message);
            }
        }
    }

    fn request(&mut self, name: &str, at: &Spanned<rules::Request>) {
        let request = &at.value;
        let path = format!("business.requests.{name}");
        let place = Place { path: &path, at };
        if self.rules.statements.contains_key(name) {
            self.add(place, format!("a statement is called `{name}` too"));
        }
        let Some((entity, fields)) = self.entity(&request.entity, &format!("{path}.entity")) else {
            return;
        };
        let mut sources = Vec::new();
        for (name, at) in &request.fields {
            let path = format!("{path}.fields.{name}");
            let place = Place { path: &path, at };
            let Some(field) = self.field_of(fields, name, place) else {
                continue;
            };
            match Source::new(&at.value) {
                Some(source) => sources.push((field, source)),
                None => self.add(place, "path, query, header, body and answer need a name"),
            }
            self.named(place);
            if let Some(of) = fields.fields.get(name) {
                self.readable(request, *of, place);
            }
            let is_duration = at.value.from == Part::Duration;
            if is_duration != (fields.fields.get(name) == Some(&Type::Duration)) {
                self.add(place, "a duration, and nothing else, is of type `duration`");
            }
        }
        self.headers(place);
        let told = |field: &str| request.fields.contains_key(field);
        self.key(fields, request.does, told, place);
        self.event(fields, request.does, place);
        for at in &request.methods {
            let path = format!("{path}.methods");
            self.method(Place { path: &path, at });
        }
        let mut statuses = Vec::new();
        for at in &request.statuses {
            let path = format!("{path}.statuses");
            match status(&at.value) {
                Some(status) => statuses.push(status),
                None => self.add(Place { path: &path, at }, "`404` or `4xx` was expected"),
            }
        }
        let rule = Rule {
            name: name.to_owned(),
            entity,
            does: request.does,
            policy: Policy::Completed,
            tag: None,
            equal: None,
            spares: None,
            told: sources.iter().map(|(field, _)| *field).collect(),
            only: self.conditions(fields, &request.only, &path),
            constants: self.constants(fields, &request.constants, &path),
        };
        self.program.requests.push(Request {
            rule: self.program.rules.len(),
            routes: request
                .routes
                .iter()
                .map(|route| route.value.clone())
                .collect(),
            methods: request
                .methods
                .iter()
                .map(|method| method.value.to_uppercase())
                .collect(),
            statuses,
            fields: sources,
        });
        self.program.rules.push(rule);
    }
}

impl Source {
    /// `None` where a name is missing.
    fn new(source: &rules::Source) -> Option<Self> {
        let name = || source.name.clone().filter(|name| !name.is_empty());
        let path = || Some(name()?.split('.').map(str::to_owned).collect());
        Some(match source.from {
            Part::Path => Self::Path(name()?),
            Part::Query => Self::Query(name()?),
            Part::Header => Self::Header(name()?),
            Part::Body => Self::Body(path()?),
            Part::Answer => Self::Answer(path()?),
            Part::Shop => Self::Shop,
            Part::Duration => Self::Duration,
            Part::Outcome => Self::Outcome,
            Part::Status => Self::Status,
            Part::Method => Self::Method,
        })
    }
}

/// `404`, or all of a class: `4xx`.
fn status(text: &str) -> Option<(u16, u16)> {
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=9).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let status = text
        .parse()
        .ok()
        .filter(|status| (100..=999).contains(status))?;
    Some((status, status))
}
