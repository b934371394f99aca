//! Which shops exist, and which shop a request is about.
//!
//! A number in a request is only a claim: any scanner makes one. It becomes a shop once the
//! database proves it, by a row that names it or by a statement with that number that wrote
//! something. Both tables are bounded; the shop not seen for the longest time is forgotten, and
//! must be proven again.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

use hashbrown::HashMap;
use schnellru::{ByLength, LruMap};
use smallvec::SmallVec;

use super::json;
use super::routes::{self, Place, Route};
use super::rules::Holds;
use crate::correlate::http::Request;
use crate::correlate::postgres::Value;
use crate::export::{Symbol, Symbols};
use crate::time::Timestamp;

/// Bytes of the longest subdomain (a DNS label, RFC 1035, section 2.3.4).
const SUBDOMAIN_LIMIT: usize = 63;

type Subdomain = SmallVec<[u8; 32]>;

/// What a request says about its shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Its route has no tenant.
    NoTenant,
    /// Nothing that could name a shop.
    Nothing,
    /// A number; whether it stood in the path.
    Id(i64, bool),
    /// A subdomain.
    Subdomain(Subdomain),
}

impl Claim {
    /// Reads a request's claim where its route says.
    #[must_use]
    pub fn new(route: &Route, request: &Request) -> Self {
        if route.places.is_empty() {
            return Self::NoTenant;
        }
        for place in &route.places {
            let (value, holds, in_path) = match place {
                Place::Segment(at, holds) => {
                    let segment = routes::path(&request.path).split('/').nth(*at);
                    (segment.unwrap_or_default().as_bytes(), holds, true)
                }
                Place::Query(name, holds) => (query(&request.query, name).as_bytes(), holds, false),
                Place::Body(name, holds) => {
                    let value = json::field(&request.body, name);
                    (value.unwrap_or_default(), holds, false)
                }
                Place::Header(holds) => (request.shop_subdomain.as_bytes(), holds, false),
                Place::HostLabel(holds) => (host_label(request).as_bytes(), holds, false),
            };
            if !value.is_empty() {
                return Self::read(value, *holds, in_path);
            }
        }
        Self::Nothing
    }

    fn read(value: &[u8], holds: Holds, in_path: bool) -> Self {
        match holds {
            Holds::Id => std::str::from_utf8(value)
                .ok()
                .and_then(|value| value.parse().ok())
                .filter(|id| *id > 0)
                .map_or(Self::Nothing, |id| Self::Id(id, in_path)),
            Holds::Subdomain if value.len() <= SUBDOMAIN_LIMIT => {
                Self::Subdomain(Subdomain::from_slice(value))
            }
            Holds::Subdomain => Self::Nothing,
        }
    }
}

/// The value of a parameter of a query string, as sent; empty where there is none.
pub(super) fn query<'a>(query: &'a str, name: &str) -> &'a str {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map_or("", |(_, value)| value)
}

/// The first label of `X-Forwarded-Host` (its first entry), else of `Host`.
fn host_label(request: &Request) -> &str {
    let forwarded = request
        .forwarded_host
        .split(',')
        .next()
        .unwrap_or_default()
        .trim();
    let host = if forwarded.is_empty() {
        request.host.trim()
    } else {
        forwarded
    };
    host.split(['.', ':']).next().unwrap_or_default()
}

/// A shop's number as it passed in SQL: an integer of any width, or its text.
#[must_use]
pub fn id_of(value: &Value) -> Option<i64> {
    /// `int8`, `int2`, `int4`; 0 is unknown.
    const INTEGERS: [u32; 4] = [0, 20, 21, 23];
    let bytes = value.bytes.as_deref()?;
    let id = if !value.binary {
        std::str::from_utf8(bytes).ok()?.parse().ok()?
    } else if !INTEGERS.contains(&value.oid) {
        return None;
    } else {
        match bytes.len() {
            8 => i64::from_be_bytes(bytes.try_into().ok()?),
            4 => i32::from_be_bytes(bytes.try_into().ok()?).into(),
            _ => i16::from_be_bytes(bytes.try_into().ok()?).into(),
        }
    };
    (id > 0).then_some(id)
}

#[derive(Clone, Copy, Debug)]
struct Proven {
    since: Timestamp,
    symbol: Symbol,
}

/// The shops that are known to exist.
pub struct Shops {
    proven: LruMap<i64, Proven, ByLength, foldhash::fast::RandomState>,
    subdomains: LruMap<Subdomain, (i64, Timestamp), ByLength, foldhash::fast::RandomState>,
    /// Numbers in paths accepted without proof.
    trusted: HashMap<i64, Symbol, foldhash::fast::RandomState>,
    /// How many of them; `None` accepts none.
    trust: Option<usize>,
    text: String,
}

impl Shops {
    /// Room for `limit` shops; with `trust`, so many numbers in paths are accepted without proof.
    #[must_use]
    pub fn new(limit: u32, trust: Option<usize>) -> Self {
        let limiter = || ByLength::new(limit.max(1));
        Self {
            proven: LruMap::with_hasher(limiter(), foldhash::fast::RandomState::default()),
            subdomains: LruMap::with_hasher(limiter(), foldhash::fast::RandomState::default()),
            trusted: HashMap::default(),
            trust,
            text: String::new(),
        }
    }

    /// What was proved so far was read in a way that is not right any more.
    pub(super) fn forget(&mut self) {
        self.proven.clear();
        self.subdomains.clear();
    }

    /// The database proved at `at` that the shop exists.
    pub fn prove(&mut self, id: i64, at: Timestamp, symbols: &mut Symbols) {
        if let Some(proven) = self.proven.get(&id) {
            proven.since = proven.since.min(at);
            return;
        }
        let symbol = intern(&mut self.text, id, symbols);
        self.proven.insert(id, Proven { since: at, symbol });
    }

    /// The database said at `at` which shop a subdomain is.
    pub fn learn(&mut self, subdomain: &[u8], id: i64, at: Timestamp) {
        if subdomain.is_empty() || subdomain.len() > SUBDOMAIN_LIMIT {
            return;
        }
        let subdomain = Subdomain::from_slice(subdomain);
        match self.subdomains.get(&subdomain) {
            Some((known, since)) if *known == id => *since = (*since).min(at),
            Some(entry) => *entry = (id, at),
            None => {
                self.subdomains.insert(subdomain, (id, at));
            }
        }
    }

    /// The label of a shop that was proven at `at` or before.
    pub fn proven(&mut self, id: i64, at: Timestamp) -> Option<Symbol> {
        let proven = self.proven.get(&id)?;
        (proven.since <= at).then_some(proven.symbol)
    }

    /// The label of a claim made by a response that ended at `at`; `None` while nothing proves it.
    pub fn label(&mut self, claim: &Claim, at: Timestamp) -> Option<Symbol> {
        match claim {
            Claim::NoTenant => Some(Symbol::EMPTY),
            Claim::Nothing => Some(Symbol::UNKNOWN),
            Claim::Id(id, _) => self.proven(*id, at),
            Claim::Subdomain(subdomain) => {
                let (id, since) = *self.subdomains.get(subdomain)?;
                if since <= at {
                    self.proven(id, at)
                } else {
                    None
                }
            }
        }
    }

    /// The number behind a label that a claim was given; `None` where that is no shop's.
    pub(super) fn number(&mut self, claim: &Claim, label: Symbol, at: Timestamp) -> Option<i64> {
        match claim {
            _ if [Symbol::EMPTY, Symbol::UNKNOWN, Symbol::OTHER].contains(&label) => None,
            Claim::NoTenant | Claim::Nothing => None,
            Claim::Id(id, _) => Some(*id),
            Claim::Subdomain(subdomain) => {
                let (id, since) = *self.subdomains.get(subdomain)?;
                (since <= at).then_some(id)
            }
        }
    }

    /// The label of a number in a path that no database is there to prove; over the budget
    /// `_other`. `None` where nothing is trusted.
    pub fn trusted(&mut self, claim: &Claim, symbols: &mut Symbols) -> Option<Symbol> {
        let (limit, Claim::Id(id, true)) = (self.trust?, claim) else {
            return None;
        };
        if let Some(symbol) = self.trusted.get(id) {
            return Some(*symbol);
        }
        if self.trusted.len() >= limit {
            return Some(symbols.refuse());
        }
        let symbol = intern(&mut self.text, *id, symbols);
        self.trusted.insert(*id, symbol);
        Some(symbol)
    }

    /// SQL is observed, so there is proof from now on, and nothing is trusted without.
    pub fn distrust(&mut self) {
        self.trust = None;
    }
}

fn intern(text: &mut String, id: i64, symbols: &mut Symbols) -> Symbol {
    text.clear();
    // Writing to a string does not fail.
    let _ = write!(text, "{id}");
    symbols.intern(text)
}

#[cfg(test)]
mod tests;
