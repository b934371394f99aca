//! Finds what rules name in vain.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use serde_saphyr::Spanned;

use super::{Place, Problem, Rules, Service, Source, Sql};
use crate::interpret::business::program::Program;
use crate::interpret::routes;
use crate::interpret::sql::{pgx, text};

/// Every problem, in the order of the rules.
pub(super) fn problems(rules: &Rules) -> Vec<Problem> {
    let mut found = Found::default();
    let mut router = matchit::Router::new();
    let mut templates = BTreeSet::new();
    for (name, service) in &rules.http.services {
        let path = format!("http.services.{name}");
        let mut own = BTreeSet::new();
        for (at, route) in service.routes.iter().enumerate() {
            let path = format!("{path}.routes[{at}]");
            let template = &route.value;
            if !template.starts_with('/') || template.len() > routes::TEMPLATE_LIMIT {
                found.add(
                    &path,
                    Some(route),
                    "a route begins with `/` and has at most 200 bytes",
                );
            } else if !own.insert(template.as_str()) {
                found.add(&path, Some(route), format!("`{template}` is listed twice"));
            } else if templates.insert(template.as_str())
                && let Err(error) = router.insert(routes::normal_template(template), ())
            {
                found.add(&path, Some(route), format!("`{template}`: {error}"));
            }
        }
        found.service(&path, service);
    }
    for (name, holds) in &rules.http.path_parameters {
        let parameters = templates.iter().flat_map(|template| parameters(template));
        let parameters: BTreeSet<&str> = parameters.collect();
        if !parameters.contains(name.as_str()) {
            found.unknown(
                &format!("http.path_parameters.{name}"),
                Some(holds),
                format!("no route has the parameter `{name}`"),
                name,
                parameters.iter().copied(),
            );
        }
    }
    found.sql(&rules.sql);
    found.business(rules);
    found.problems
}

#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
}

impl Found {
    fn add<T>(&mut self, path: &str, at: Option<&Spanned<T>>, message: impl Into<String>) {
        self.problems.push(Problem {
            path: path.to_owned(),
            location: at
                .map(|at| (at.referenced.line(), at.referenced.column()))
                .filter(|(line, _)| *line > 0),
            message: message.into(),
            suggestion: None,
        });
    }

    fn unknown<'n, T>(
        &mut self,
        path: &str,
        at: Option<&Spanned<T>>,
        message: impl Into<String>,
        name: &str,
        known: impl Iterator<Item = &'n str>,
    ) {
        self.add(path, at, message);
        if let Some(problem) = self.problems.last_mut() {
            problem.suggestion = nearest(name, known).map(str::to_owned);
        }
    }

    fn route(&mut self, path: &str, route: &Spanned<String>, service: &Service) {
        if !service
            .routes
            .iter()
            .any(|known| known.value == route.value)
        {
            self.unknown(
                path,
                Some(route),
                format!("the service has no route `{}`", route.value),
                &route.value,
                service.routes.iter().map(|known| known.value.as_str()),
            );
        }
    }

    fn service(&mut self, path: &str, service: &Service) {
        for (at, route) in service.graphql.iter().enumerate() {
            self.route(&format!("{path}.graphql[{at}]"), route, service);
        }
        for (at, tenant) in service.shops.iter().enumerate() {
            let path = format!("{path}.shops[{at}]");
            self.route(&format!("{path}.route"), &tenant.route, service);
            for (at, place) in tenant.places.iter().enumerate() {
                self.place(&format!("{path}.places[{at}]"), place, &tenant.route);
            }
        }
    }

    fn place(&mut self, path: &str, at: &Spanned<Place>, route: &Spanned<String>) {
        let place = &at.value;
        let name = match (&place.name, place.from) {
            (None, Source::HostLabel) => return,
            (Some(name), Source::HostLabel) => {
                self.add(path, Some(name), "the host's label has no name");
                return;
            }
            (None, _) => {
                self.add(path, Some(at), "the place needs a name");
                return;
            }
            (Some(name), _) => name,
        };
        if place.from == Source::Path && !parameters(&route.value).any(|known| known == name.value)
        {
            self.unknown(
                path,
                Some(name),
                format!("the route has no parameter `{}`", name.value),
                &name.value,
                parameters(&route.value),
            );
        }
        if place.from == Source::Header && !name.value.eq_ignore_ascii_case(routes::SHOP_HEADER) {
            self.unknown(
                path,
                Some(name),
                format!("the header `{}` is not kept", name.value),
                routes::SHOP_HEADER,
                std::iter::once(routes::SHOP_HEADER),
            );
        }
    }

    fn business(&mut self, rules: &Rules) {
        Program::new(rules, &mut self.problems);
        let routes = rules.http.services.values().flat_map(|service| {
            let routes = service.routes.iter();
            routes.map(|route| route.value.as_str())
        });
        let routes: BTreeSet<&str> = routes.collect();
        for (name, request) in &rules.business.requests {
            for (at, route) in request.value.routes.iter().enumerate() {
                if !routes.contains(route.value.as_str()) {
                    self.unknown(
                        &format!("business.requests.{name}.routes[{at}]"),
                        Some(route),
                        format!("no service has the route `{}`", route.value),
                        &route.value,
                        routes.iter().copied(),
                    );
                }
            }
        }
    }

    fn sql(&mut self, sql: &Sql) {
        let mut hashes = BTreeSet::new();
        for (name, statement) in &sql.statements {
            let path = format!("sql.statements.{name}");
            let at = Some(statement);
            let statement = &statement.value;
            if !text::is_name(name) {
                self.add(&path, at, format!("`{name}` is no name that sqlc gives"));
            }
            let operation = &statement.operation;
            if !text::is_operation(&operation.value) {
                self.unknown(
                    &format!("{path}.operation"),
                    Some(operation),
                    format!("`{}` is no operation", operation.value),
                    &operation.value,
                    text::operations(),
                );
            }
            for parameter in [&statement.shop, &statement.subdomain] {
                if parameter.as_ref().is_some_and(|number| number.value == 0) {
                    self.add(&path, parameter.as_ref(), "parameters are counted from 1");
                }
            }
            if let Some(hash) = &statement.pgx {
                let path = format!("{path}.pgx");
                if pgx::Hash::parse(&hash.value).is_none() {
                    self.add(&path, Some(hash), "48 hexadecimal digits were expected");
                } else if !hashes.insert(&hash.value) {
                    self.add(&path, Some(hash), "another statement has this hash");
                }
            }
        }
    }
}

/// The names of a template's parameters.
fn parameters(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        Some(name.trim_start_matches('*'))
    })
}

/// The known name with the fewest edits, if they are few enough to be a slip.
pub(in crate::interpret) fn nearest<'n>(
    name: &str,
    known: impl Iterator<Item = &'n str>,
) -> Option<&'n str> {
    let lower = name.to_ascii_lowercase();
    known
        .map(|known| {
            (
                strsim::levenshtein(&lower, &known.to_ascii_lowercase()),
                known,
            )
        })
        .min()
        .filter(|(edits, _)| *edits <= (name.len() / 3).max(2))
        .map(|(_, known)| known)
}
