//! Rules made ready for use, and what earlier stages must keep for them.
#![forbid(unsafe_code)]

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use hashbrown::HashMap;

use super::business::program::{Program, Sources};
use super::routes::Routes;
use super::rules::{Rules, RulesError};
use super::sql::text::{self, Columns, Facts};
use super::sql::{self, pgx};
use crate::correlate::http::{Parts, Wants};
use crate::correlate::postgres::{Interest, Statement, Wanted};

/// Which of a statement's values name a shop, or say what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// What [`crate::correlate`] is asked to keep.
    pub wanted: Arc<Wanted>,
    /// Index of the shop's number among the wanted parameters.
    pub shop: Option<usize>,
    /// Index of the subdomain among the wanted parameters.
    pub subdomain: Option<usize>,
    /// So many of the wanted columns, from the first, hold a shop's number.
    pub shop_columns: u16,
    /// Those from there up to here hold a subdomain.
    pub named_columns: u16,
    /// Where the fields stand of the entities that it speaks of, for each rule that says so.
    pub business: Vec<Sources>,
}

/// A statement of the rules.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its operation.
    pub operation: String,
    /// Its values that name a shop, for when its text is not known.
    pub reads: Arc<Reads>,
    shop: Option<u16>,
    subdomain: Option<u16>,
}

/// Rules made ready for use.
#[derive(Debug)]
pub struct Plan {
    /// The routes.
    pub routes: Routes,
    /// What statements mean for the business.
    pub business: Arc<Program>,
    shop_columns: Vec<String>,
    subdomain_columns: Vec<String>,
    /// For statements none of whose parameters name a shop.
    columns_only: Arc<Reads>,
    named: Vec<Named>,
    by_name: HashMap<String, usize, foldhash::fast::RandomState>,
    by_hash: HashMap<pgx::Hash, usize, foldhash::fast::RandomState>,
}

impl Plan {
    /// Checks rules and makes them ready.
    ///
    /// # Errors
    /// [`RulesError::Invalid`] for rules that name something unknown.
    pub fn new(rules: &Rules) -> Result<Arc<Self>, RulesError> {
        let problems = rules.problems();
        if !problems.is_empty() {
            return Err(RulesError::Invalid(problems));
        }
        let mut plan = Self {
            routes: Routes::new(&rules.http),
            business: Arc::new(Program::new(rules, &mut Vec::new())),
            shop_columns: rules.sql.shop_columns.clone(),
            subdomain_columns: rules.sql.subdomain_columns.clone(),
            columns_only: Arc::default(),
            named: Vec::new(),
            by_name: HashMap::default(),
            by_hash: HashMap::default(),
        };
        plan.routes.attend(&plan.business);
        plan.columns_only = Arc::new(plan.make_reads(None, None, None));
        for (name, statement) in &rules.sql.statements {
            let statement = &statement.value;
            let number = plan.named.len();
            plan.by_name.insert(name.clone(), number);
            if let Some(hash) = statement
                .pgx
                .as_ref()
                .and_then(|hash| pgx::Hash::parse(&hash.value))
            {
                plan.by_hash.insert(hash, number);
            }
            let shop = statement.shop.as_ref().map(|number| number.value);
            let subdomain = statement.subdomain.as_ref().map(|number| number.value);
            plan.named.push(Named {
                name: name.clone(),
                operation: statement.operation.value.clone(),
                reads: plan.share(plan.make_reads(shop, subdomain, Some(name))),
                shop,
                subdomain,
            });
        }
        Ok(Arc::new(plan))
    }

    /// The statement whose pgx name has this hash.
    #[must_use]
    pub fn by_hash(&self, hash: pgx::Hash) -> Option<&Named> {
        self.named.get(*self.by_hash.get(&hash)?)
    }

    /// The values of a text that name a shop, as [`text::read`] found them: where the text tells,
    /// it is right; the rules know it as it was in one release.
    #[must_use]
    pub fn reads_of(&self, facts: &Facts, name: Option<&str>) -> Arc<Reads> {
        let named = name
            .and_then(|name| self.by_name.get(name))
            .and_then(|number| self.named.get(*number));
        let fingerprint = match (name, facts.statements.as_slice()) {
            (None, [one]) if self.business.reads_fingerprints() => Some(sql::fingerprint(one)),
            _ => None,
        };
        let mut reads = self.make_reads(
            facts.shop.or_else(|| named?.shop),
            facts.subdomain.or_else(|| named?.subdomain),
            name.or(fingerprint.as_deref()),
        );
        if facts.statements.len() != 1 {
            for sources in &mut reads.business {
                sources.ambiguous = true;
            }
        }
        self.share(reads)
    }

    /// The columns the rules look for.
    #[must_use]
    pub fn columns(&self) -> Columns<'_> {
        Columns {
            shop: &self.shop_columns,
            subdomain: &self.subdomain_columns,
        }
    }

    /// Whether statements tell of shops in the same way.
    #[must_use]
    pub fn reads_like(&self, other: &Self) -> bool {
        fn of(plan: &Plan) -> impl Iterator<Item = (&str, Option<u16>, Option<u16>)> {
            let named = plan.named.iter();
            named.map(|named| (named.name.as_str(), named.shop, named.subdomain))
        }
        self.shop_columns == other.shop_columns
            && self.subdomain_columns == other.subdomain_columns
            && of(self).eq(of(other))
    }

    /// Most statements read the same, so they share it.
    fn share(&self, reads: Reads) -> Arc<Reads> {
        if reads == *self.columns_only {
            Arc::clone(&self.columns_only)
        } else {
            Arc::new(reads)
        }
    }

    fn make_reads(&self, shop: Option<u16>, subdomain: Option<u16>, name: Option<&str>) -> Reads {
        let mut parameters: Vec<u16> = shop.into_iter().chain(subdomain).collect();
        let columns = self.shop_columns.iter().chain(&self.subdomain_columns);
        let mut columns: Vec<String> = columns.cloned().collect();
        let place = |place: usize| u16::try_from(place).unwrap_or(u16::MAX);
        let named_columns = place(columns.len());
        let business = name.map_or_else(Vec::new, |name| {
            self.business.sources(name, &mut parameters, &mut columns)
        });
        Reads {
            shop: shop.map(|_| 0),
            subdomain: subdomain.map(|_| usize::from(shop.is_some())),
            shop_columns: place(self.shop_columns.len()),
            named_columns,
            wanted: Arc::new(Wanted {
                parameters,
                columns,
                rows: business.iter().any(|sources| !sources.columns.is_empty()),
            }),
            business,
        }
    }
}

/// What the rules in force need of earlier stages; cheap to clone, all clones are one.
#[derive(Clone, Debug)]
pub struct Needs(Arc<ArcSwap<Plan>>);

impl Needs {
    /// Those of a plan.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        Self(Arc::new(ArcSwap::new(plan)))
    }

    /// Other rules are in force from now on. What was asked of statements before is to be asked again: see
    /// [`Shared::ask_again`](crate::correlate::postgres::Shared::ask_again).
    pub fn replace(&self, plan: Arc<Plan>) {
        self.0.store(plan);
    }

    /// The plan in force.
    #[must_use]
    pub fn plan(&self) -> Arc<Plan> {
        self.0.load_full()
    }

    /// To be told when another one is.
    #[must_use]
    pub fn follow(&self) -> Followed {
        Followed {
            plan: self.plan(),
            latest: Cache::new(Arc::clone(&self.0)),
        }
    }
}

/// The plan in force, looked at over and over: a look costs next to nothing.
#[derive(Debug)]
pub struct Followed {
    plan: Arc<Plan>,
    latest: Cache<Arc<ArcSwap<Plan>>, Arc<Plan>>,
}

impl Followed {
    /// The plan in force, if it is another than at the last look.
    pub fn changed(&mut self) -> Option<Arc<Plan>> {
        let latest = self.latest.load();
        if Arc::ptr_eq(latest, &self.plan) {
            return None;
        }
        self.plan = Arc::clone(latest);
        Some(Arc::clone(latest))
    }
}

impl Wants for Needs {
    fn parts(&self, method: &str, path: &str) -> Parts {
        self.0.load().routes.parts(method, path)
    }
}

impl Interest for Needs {
    fn wanted(&self, statement: &Statement) -> Arc<Wanted> {
        let (plan, text) = (self.0.load(), &statement.text);
        // Without parameters there is nothing to find in the text but what it is called.
        let reads = if memchr::memchr(b'$', text.as_bytes()).is_none()
            && !text::name(text).is_some_and(|name| plan.business.speaks_of(name))
            && !plan.business.reads_fingerprints()
        {
            Arc::clone(&plan.columns_only)
        } else {
            let facts = text::read(text, plan.columns());
            plan.reads_of(&facts, text::name(text))
        };
        Arc::clone(&reads.wanted)
    }

    fn wanted_by_name(&self, name: &str) -> Option<Arc<Wanted>> {
        let plan = self.0.load();
        let named = plan.by_hash(pgx::Hash::of_name(name)?)?;
        Some(Arc::clone(&named.reads.wanted))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::rules::Rules;
    use super::{Needs, Plan};
    use crate::correlate::http::Wants as _;
    use crate::correlate::postgres::{Interest as _, Statement};

    #[test]
    fn a_text_is_asked_for_its_own_parameters_and_for_the_rules_where_it_does_not_tell() {
        let needs = Needs::new(Plan::new(&Rules::naytife().unwrap()).unwrap());
        for (text, parameters) in [
            (
                "-- name: GetOrder :one\nSELECT * FROM orders WHERE order_id = $1 AND shop_id = $2",
                vec![2],
            ),
            (
                "-- name: GetOrder :one\nSELECT * FROM orders WHERE shop_id = $1 AND order_id = $2",
                vec![1],
            ),
            (
                "-- name: BatchUpsertProductAttributeValues :batchmany\nINSERT INTO x SELECT unnest($1)",
                vec![5],
            ),
            (
                "-- name: GetShopIDBySubDomain :one\nSELECT shop_id FROM shops WHERE subdomain = $1",
                vec![1],
            ),
            (
                "-- name: CountOrders :one\nSELECT count(*) FROM orders",
                vec![],
            ),
            ("SELECT 1", vec![]),
        ] {
            let statement = Statement {
                id: 1,
                text: text.into(),
                cut: false,
            };
            let wanted = needs.wanted(&statement);
            assert_eq!(wanted.parameters, parameters, "{text}");
            assert!(
                wanted
                    .columns
                    .starts_with(&["shop_id".into(), "subdomain".into()])
            );
            let speaks_of_business = text.contains("GetOrder");
            assert_eq!(wanted.columns.len() > 2, speaks_of_business, "{text}");
            assert_eq!(wanted.rows, speaks_of_business, "{text}");
        }
        let by_name = |name| {
            needs
                .wanted_by_name(name)
                .map(|wanted| wanted.parameters.clone())
        };
        assert_eq!(
            by_name("stmtcache_cf9216af7e7f7a05b65307575ed0a75881e22154efea3f4b"),
            Some(vec![14])
        );
        assert_eq!(by_name("stmtcache_00"), None);
        assert_eq!(by_name("PGBOUNCER_3"), None);
        assert!(needs.parts("POST", "/query").response);
    }

    #[test]
    fn whoever_follows_is_told_once_of_other_rules_and_all_ask_the_new_ones() {
        let plan = |yaml: &str| Plan::new(&Rules::parse(yaml).unwrap()).unwrap();
        let needs = Needs::new(plan(
            "http: {services: {}}\nsql: {shop_columns: [shop_id]}\n",
        ));
        let mut followed = needs.follow();
        assert!(followed.changed().is_none());
        let clone = needs.clone();
        let other = plan(
            "http: {services: {a: {routes: [/q], graphql: [/q]}}}\nsql: {shop_columns: [owner]}\n",
        );
        assert!(!other.reads_like(&needs.plan()));
        needs.replace(Arc::clone(&other));
        assert!(Arc::ptr_eq(&followed.changed().unwrap(), &other));
        assert!(followed.changed().is_none());
        assert!(clone.parts("POST", "/q").response);
        let statement = Statement {
            id: 1,
            text: "SELECT 1".into(),
            cut: false,
        };
        assert_eq!(clone.wanted(&statement).columns, ["owner"]);
    }
}
