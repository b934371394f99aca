//! What statements do to entities.

use serde_saphyr::Spanned;

use super::super::{Rule, Statement};
use super::{Compiler, Place};
use crate::interpret::business::value::Type;
use crate::interpret::rules::business::{self as rules, Does, Policy};
use crate::interpret::sql;

impl Compiler<'_, '_> {
    pub(super) fn statement(&mut self, name: &str, at: &Spanned<rules::Statement>) {
        let statement = &at.value;
        let path = format!("business.statements.{name}");
        let place = Place { path: &path, at };
        let Some((entity, fields)) = self.entity(&statement.entity, &format!("{path}.entity"))
        else {
            return;
        };
        let mut columns = Vec::new();
        for (field, at) in &statement.columns {
            let path = format!("{path}.columns.{field}");
            let place = Place { path: &path, at };
            self.row_has(fields, field, place);
            let field = self.field_of(fields, field, place);
            columns.extend(field.map(|field| (field, at.value.clone())));
        }
        let mut parameters = Vec::new();
        for (field, at) in &statement.parameters {
            let path = format!("{path}.parameters.{field}");
            let place = Place { path: &path, at };
            if at.value == 0 {
                self.add(place, "parameters are counted from 1");
            }
            if statement.columns.contains_key(field) {
                self.add(place, format!("a column tells `{field}` already"));
            }
            self.row_has(fields, field, place);
            let field = self.field_of(fields, field, place);
            parameters.extend(field.map(|field| (field, at.value)));
        }
        if statement.transaction == Policy::Failed && !statement.columns.is_empty() {
            self.add(place, "what fails returns no row; its parameters tell");
        }
        if statement.does == Does::Show && statement.transaction != Policy::Committed {
            self.add(place, "what only shows something waits for its transaction");
        }
        let told = |field: &str| {
            statement.columns.contains_key(field) || statement.parameters.contains_key(field)
        };
        self.key(fields, statement.does, told, place);
        self.event(fields, statement.does, place);
        if let Some(at) = &statement.tag {
            let path = format!("{path}.tag");
            self.tag(Place { path: &path, at });
        }
        let equal = match &statement.equal {
            Some([one, other]) => {
                let path = format!("{path}.equal");
                let mut field = |at: &Spanned<String>| {
                    self.field_of(fields, &at.value, Place { path: &path, at })
                };
                field(one).zip(field(other))
            }
            None => None,
        };
        let spares = match &statement.spares {
            Some(pair) => self.spares(fields, statement.does, pair, &path),
            None => None,
        };
        let query = match &statement.query {
            Some(at) => {
                let path = format!("{path}.query");
                self.query(&at.value, Place { path: &path, at })
            }
            None => self.query(name, place),
        };
        let sql = self.sql;
        let operation = || Some(sql.statements.get(query)?.value.operation.value.clone());
        let rule = Rule {
            name: name.to_owned(),
            entity,
            does: statement.does,
            policy: statement.transaction,
            tag: match &statement.tag {
                Some(tag) => Some(tag.value.clone()),
                None => operation(),
            },
            equal,
            spares,
            told: columns
                .iter()
                .map(|(field, _)| *field)
                .chain(parameters.iter().map(|(field, _)| *field))
                .collect(),
            only: self.conditions(fields, &statement.only, &path),
            constants: self.constants(fields, &statement.constants, &path),
        };
        let program = &mut self.program;
        let known = program.by_query.entry(query.to_owned()).or_default();
        known.push(program.statements.len());
        program.statements.push(Statement {
            rule: program.rules.len(),
            columns,
            parameters,
        });
        program.rules.push(rule);
    }

    fn spares(
        &mut self,
        fields: &rules::Entity,
        does: Does,
        [field, list]: &[Spanned<String>; 2],
        path: &str,
    ) -> Option<(usize, usize)> {
        let path = format!("{path}.spares");
        let place = |at| Place { path: &path, at };
        let is = |name: &Spanned<String>, of| fields.fields.get(&name.value) == Some(&of);
        if does != Does::DeleteEvery {
            self.add(place(field), "only `delete_every` spares");
        }
        let found = self
            .field_of(fields, &field.value, place(field))
            .zip(self.field_of(fields, &list.value, place(list)));
        if found.is_some() && !(is(field, Type::Integer) && is(list, Type::Integers)) {
            self.add(
                place(field),
                "an integer is spared by a field of type `integers`",
            );
        }
        found
    }

    /// A query must be known by its name, unless it is named by its fingerprint.
    fn query<'q, T>(&mut self, query: &'q str, place: Place<'_, T>) -> &'q str {
        if sql::is_fingerprint(query) {
            self.program.fingerprints = true;
        } else if !self.sql.statements.contains_key(query) {
            let message = format!("there is no statement `{query}` in sql.statements");
            let known = self.sql.statements.keys().map(String::as_str);
            self.unknown(place, message, query, known);
        }
        query
    }
}
