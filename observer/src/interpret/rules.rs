//! What a platform's routes, shops and statements are: data, not code.
//!
//! The rules of Naytife are embedded ([`Rules::naytife`]); a file of the same shape describes
//! another platform. A rule that names something unknown is an error that says where and suggests
//! what may have been meant, never a silent no-op.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use business::Business;

/// A platform, as a file describes it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Routes.
    #[serde(default)]
    pub http: Http,
    /// Statements.
    #[serde(default)]
    pub sql: Sql,
    /// What they mean for the business.
    #[serde(default)]
    pub business: Business,
}

/// Routes, and where requests name their shop.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Route parameters that name a shop, in whichever route they stand.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Holds>")]
    pub path_parameters: BTreeMap<String, Spanned<Holds>>,
    /// By the service that answers them; the grouping is for readers.
    pub services: BTreeMap<String, Service>,
}

/// The routes of a service.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Templates: `/v1/shops/{shop_id}`, at the end perhaps `/{*rest}`.
    #[schemars(with = "Vec<String>", inner(regex(pattern = "^/")))]
    pub routes: Vec<Spanned<String>>,
    /// Which of them are GraphQL endpoints.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub graphql: Vec<Spanned<String>>,
    /// Which of them name their shop elsewhere than in a parameter of the path.
    #[serde(default)]
    pub shops: Vec<Tenant>,
}

/// Where the requests of a route name their shop.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The route.
    #[schemars(with = "String")]
    pub route: Spanned<String>,
    /// Places in order of precedence; none for a route without a tenant.
    #[schemars(with = "Vec<Place>")]
    pub places: Vec<Spanned<Place>>,
}

/// A place in a request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Which part of the request.
    pub from: Source,
    /// The parameter, header or field there.
    #[schemars(with = "Option<String>")]
    pub name: Option<Spanned<String>>,
    /// What it holds.
    pub holds: Holds,
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A parameter of the route.
    Path,
    /// A parameter of the query string.
    Query,
    /// A top-level field of a JSON body.
    Body,
    /// A header: `X-Shop-Subdomain`, the one that is kept.
    Header,
    /// The first label of `X-Forwarded-Host`, else of `Host`.
    HostLabel,
}

/// What names a shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// Its number.
    Id,
    /// Its subdomain, which SQL resolves.
    Subdomain,
}

/// What is known of statements.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// Columns that hold a shop's number.
    #[serde(default)]
    pub shop_columns: Vec<String>,
    /// Columns that hold a shop's subdomain.
    #[serde(default)]
    pub subdomain_columns: Vec<String>,
    /// By the name in the text's comment `-- name: X :kind`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Statement>")]
    pub statements: BTreeMap<String, Spanned<Statement>>,
}

/// What is known of a statement.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// In upper case, as in its tag.
    #[schemars(with = "String", regex(pattern = "^[A-Z]"))]
    pub operation: Spanned<String>,
    /// The parameter that holds the shop's number, 1-based.
    #[schemars(with = "Option<u16>", range(min = 1))]
    pub shop: Option<Spanned<u16>>,
    /// The parameter that holds the shop's subdomain, 1-based.
    #[schemars(with = "Option<u16>", range(min = 1))]
    pub subdomain: Option<Spanned<u16>>,
    /// 48 hexadecimal digits: the first 24 bytes of SHA-256 of the text.
    #[schemars(with = "Option<String>", regex(pattern = "^[0-9a-fA-F]{48}$"))]
    pub pgx: Option<Spanned<String>>,
}

/// Rules that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// Not YAML of this shape; it says where and what was expected.
    #[error("{0}")]
    Syntax(Box<serde_saphyr::Error>),
    /// Of the right shape, but some name nothing.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Problem>),
}

/// A rule that names nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which rule: `http.services.backend.graphql[0]`.
    pub path: String,
    /// Line and column, 1-based, where the rules came from a file.
    pub location: Option<(u64, u64)>,
    /// What is wrong.
    pub message: String,
    /// What may have been meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

impl Rules {
    /// Reads and checks rules.
    ///
    /// # Errors
    /// [`RulesError`] says where they are no rules, or what they name in vain.
    pub fn parse(yaml: &str) -> Result<Self, RulesError> {
        let rules: Self =
            serde_saphyr::from_str(yaml).map_err(|error| RulesError::Syntax(Box::new(error)))?;
        let problems = check::problems(&rules);
        if problems.is_empty() {
            Ok(rules)
        } else {
            Err(RulesError::Invalid(problems))
        }
    }

    /// The text of the rules of the Naytife platform.
    pub const NAYTIFE: &str = include_str!("naytife.yaml");

    /// The rules of the Naytife platform.
    ///
    /// # Errors
    /// None that a test does not rule out; the type is that of [`Rules::parse`].
    pub fn naytife() -> Result<Self, RulesError> {
        Self::parse(Self::NAYTIFE)
    }

    /// Everything these rules name in vain; empty for rules that [`Rules::parse`] returned.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        check::problems(self)
    }
}

pub mod business;
mod check;

pub(super) use check::nearest;

#[cfg(test)]
mod tests;
