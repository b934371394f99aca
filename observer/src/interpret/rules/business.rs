//! What traffic means for the business: data, in two layers.
//!
//! A *statement* or a *request* makes, changes, deletes or shows an *entity*, and says where its
//! fields stand. An *effect* says which metric moves when an entity is created, changes or is
//! deleted. Neither knows the other, so a new statement needs no new effect, and the other way
//! round.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::interpret::business::value::Type;

/// The business of a platform.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Business {
    /// Amounts are stored multiplied by ten to this power: 0, 1 or 2.
    #[schemars(with = "u32", range(max = 2))]
    pub money_scale: Option<Spanned<u32>>,
    /// What the platform's rows are rows of, by name.
    #[schemars(with = "BTreeMap<String, Entity>")]
    pub entities: BTreeMap<String, Spanned<Entity>>,
    /// What statements do.
    #[schemars(with = "BTreeMap<String, Statement>")]
    pub statements: BTreeMap<String, Spanned<Statement>>,
    /// What HTTP requests do.
    #[schemars(with = "BTreeMap<String, Request>")]
    pub requests: BTreeMap<String, Spanned<Request>>,
    /// Which metrics move.
    #[schemars(with = "Vec<Effect>")]
    pub effects: Vec<Spanned<Effect>>,
}

/// Something that has a row of its own, or an event that is over once it happened.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    /// The fields that tell one from another; none for an event, of which nothing is remembered.
    #[schemars(with = "Vec<String>")]
    pub key: Vec<Spanned<String>>,
    /// Every field, those of the key too.
    pub fields: BTreeMap<String, Type>,
}

/// What a SQL statement does to an entity.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// What the label `query` of the metrics calls it: the name in its text's comment, or operation,
    /// table and fingerprint (`INSERT orders 5f3a9c1d`). The rule's own name without.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub query: Option<Spanned<String>>,
    /// The tag it must end with, without its numbers; any, if none is named.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub tag: Option<Spanned<String>>,
    /// When that happens.
    #[serde(default)]
    pub transaction: Policy,
    /// Which entity.
    #[schemars(with = "String")]
    pub entity: Spanned<String>,
    /// What.
    pub does: Does,
    /// Fields that stand in columns of its rows, by the column's name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub columns: BTreeMap<String, Spanned<String>>,
    /// Fields that stand in its parameters, counted from 1.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, u16>")]
    pub parameters: BTreeMap<String, Spanned<u16>>,
    /// Fields of type `text` that are always these.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub constants: BTreeMap<String, Spanned<String>>,
    /// Two fields that must be equal, else it does nothing: an upsert that inserted.
    #[serde(default)]
    #[schemars(with = "Option<[String; 2]>")]
    pub equal: Option<[Spanned<String>; 2]>,
    /// Of `delete_every`: a field, and the list of those of its values that are spared.
    #[serde(default)]
    #[schemars(with = "Option<[String; 2]>")]
    pub spares: Option<[Spanned<String>; 2]>,
    /// What fields must be, else it does nothing.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Condition>")]
    pub only: BTreeMap<String, Spanned<Condition>>,
}

/// When what a statement does to an entity happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// When the transaction that it completed in commits.
    #[default]
    Committed,
    /// When it completes, whatever becomes of its transaction.
    Completed,
    /// When it fails, and only to an entity that is remembered.
    Failed,
}

/// What an HTTP request does to an entity, once it is answered.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its routes.
    #[schemars(with = "Vec<String>")]
    pub routes: Vec<Spanned<String>>,
    /// Its methods; any, if none is named.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub methods: Vec<Spanned<String>>,
    /// Its status codes, `404` or all of a class, `4xx`; any, if none is named.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub statuses: Vec<Spanned<String>>,
    /// Which entity.
    #[schemars(with = "String")]
    pub entity: Spanned<String>,
    /// What.
    pub does: Does,
    /// Where its fields stand.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Source>")]
    pub fields: BTreeMap<String, Spanned<Source>>,
    /// Fields of type `text` that are always these.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub constants: BTreeMap<String, Spanned<String>>,
    /// What fields must be, else it does nothing.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Condition>")]
    pub only: BTreeMap<String, Spanned<Condition>>,
}

/// Where a request, or its answer, has a field.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Which part of it.
    pub from: Part,
    /// The parameter, the header, or the path of a JSON body's field (`data.object.status`).
    #[serde(default)]
    pub name: Option<String>,
}

/// A part of a request or of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A parameter of the route.
    Path,
    /// A parameter of the query string.
    Query,
    /// A header of the request.
    Header,
    /// A field of the request's JSON body.
    Body,
    /// A field of the answer's JSON body.
    Answer,
    /// The shop that the request names, once it is proven.
    Shop,
    /// The time it took.
    Duration,
    /// `success` where the status is below 400 and a GraphQL answer has no errors, else `failure`.
    Outcome,
    /// The status code.
    Status,
    /// The method.
    Method,
}

impl Part {
    /// Whether a name says which of several.
    #[must_use]
    pub const fn is_named(self) -> bool {
        matches!(
            self,
            Self::Path | Self::Query | Self::Header | Self::Body | Self::Answer
        )
    }
}

/// What a field must be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a list of texts was expected, or `at_least` and `at_most`"
)]
pub enum Condition {
    /// One of these texts, without regard to case.
    Any(Vec<String>),
    /// A number within bounds.
    Range(Range),
}

/// Bounds of a number, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The least it may be.
    #[serde(default)]
    pub at_least: Option<i64>,
    /// The most it may be.
    #[serde(default)]
    pub at_most: Option<i64>,
}

/// What can be done to an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// It is there from now on.
    Create,
    /// Fields have these values from now on.
    Change,
    /// It is no more.
    Delete,
    /// Every one that is remembered with all fields that are named, be they the key or not, is no
    /// more: what a deleted row takes with it.
    DeleteEvery,
    /// Nothing; fields have these values now.
    Show,
}

impl Does {
    /// As the rules write it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
            Self::DeleteEvery => "delete_every",
            Self::Show => "show",
        }
    }
}

/// A metric that moves.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// The entity.
    #[schemars(with = "String")]
    pub of: Spanned<String>,
    /// What must happen to it.
    pub on: Event,
    /// Of a change: the values it must have had; any, if none is named.
    #[serde(default)]
    pub from: Vec<String>,
    /// Of a change: the values it must have got; any, if none is named.
    #[serde(default)]
    pub to: Vec<String>,
    /// What other fields must be.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Condition>")]
    pub only: BTreeMap<String, Spanned<Condition>>,
    /// The metric, by its name in the catalog.
    #[schemars(with = "String")]
    pub metric: Spanned<String>,
    /// The field that is added or observed, or `age`: seconds since it was created; 1 without.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub value: Option<Spanned<String>>,
    /// Of a gauge: this many of the lowest sums have a series, the rest is summed up with the last
    /// label `_other`. Of equal ones, those that were seen first.
    #[serde(default)]
    pub lowest: Option<u32>,
    /// The metric's labels.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Label>")]
    pub labels: BTreeMap<String, Spanned<Label>>,
}

/// What a label is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a field was expected, `entity.field`, or `is` and a word"
)]
pub enum Label {
    /// A field, or `entity.field` of the entity whose key this one has.
    Field(String),
    /// Always the same.
    Constant(Constant),
}

/// A word that does not depend on what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The word.
    pub is: String,
}

/// What can happen to an entity.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was created.
    Created,
    /// A field got another value.
    Changed(String),
    /// It was deleted.
    Deleted,
    /// It is remembered: a gauge sums over all that are. Where a label is a field of the entity's
    /// key, a series ends with the last that is remembered under its labels; else it stays at 0.
    Remembered,
}
