//! HTTP exchanges become facts: method, endpoint, status, shop, sizes.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::business::why::Why;
use super::business::{self, Answered, Business, Fate, Said};
use super::connections::Context;
use super::names::Names;
use super::plan::Plan;
use super::relays::{Relay, Relays};
use super::routes::{self, Route, fold};
use super::shops::{Claim, Shops};
use super::{fact, graphql};
use crate::correlate::http::{Aborted, Exchange, Request};
use crate::decode::Side;
use crate::export::{Fact, Metric, Symbol, Symbols};
use crate::time::Timestamp;

/// The methods that are label values (OpenTelemetry semantic conventions, `http.request.method`);
/// any other is `_other`.
pub(super) const METHODS: [&str; 9] = [
    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE",
];

/// Turns HTTP exchanges into facts.
pub(super) struct Http {
    methods: [Symbol; METHODS.len()],
    statuses: HashMap<u16, Symbol, foldhash::fast::RandomState>,
    /// By the routes' numbers.
    endpoints: Vec<Symbol>,
    /// Endpoints of GraphQL operations, by route and operation.
    operations: HashMap<(usize, Symbol), Symbol, foldhash::fast::RandomState>,
    operation_names: Names,
    unmatched: Names,
    relays: Relays,
    pending: VecDeque<Pending>,
    pending_limit: usize,
    text: String,
}

/// What requests are read with, and what they become.
pub(super) struct Desk<'a> {
    pub(super) plan: &'a Plan,
    pub(super) shops: &'a mut Shops,
    pub(super) business: &'a mut Business,
    pub(super) symbols: &'a mut Symbols,
    pub(super) out: &'a mut dyn FnMut(Fact),
}

/// An exchange of which something may still be on its way: the proof of its shop, or what it did
/// to the database, which its rules may speak of.
struct Pending {
    ended: Timestamp,
    shop: About,
    said: Vec<Said>,
    /// Itself, where it said something: it may have been passed on.
    served: Option<Relay>,
}

/// The shop that an exchange is about.
enum About {
    /// It was clear from the first, and the time it took is published.
    Told(Option<i64>),
    /// Not proven yet.
    Claimed(Claim, Labels),
}

#[derive(Clone, Copy)]
struct Labels {
    service: Symbol,
    method: Symbol,
    endpoint: Symbol,
    status: Symbol,
    /// The operation whose answer has errors.
    failed: Option<Symbol>,
    seconds: f64,
}

/// What a request asked for.
struct Endpoint<'p> {
    symbol: Symbol,
    route: Option<&'p Route>,
    operation: Option<Symbol>,
}

impl Http {
    pub(super) fn new(plan: &Plan, limits: &super::Settings, symbols: &mut Symbols) -> Self {
        let methods = METHODS.map(|method| symbols.intern(method));
        Self {
            methods,
            statuses: HashMap::default(),
            endpoints: endpoints(plan, symbols),
            operations: HashMap::default(),
            operation_names: Names::new(limits.graphql_operations),
            unmatched: Names::new(limits.unmatched_endpoints),
            relays: Relays::new(limits.pending),
            pending: VecDeque::new(),
            pending_limit: limits.pending,
            text: String::new(),
        }
    }

    /// Other rules are in force: routes have other numbers. What waits for a proof of its shop goes
    /// on waiting under the endpoint it had.
    pub(super) fn replace(&mut self, plan: &Plan, symbols: &mut Symbols) {
        self.endpoints = endpoints(plan, symbols);
        self.operations.clear();
    }

    /// An exchange, except for the time it took where its shop is not proven yet, and for what the
    /// rules of the business read of it.
    pub(super) fn exchange(&mut self, exchange: &Exchange, context: Context, desk: &mut Desk<'_>) {
        let request = &exchange.request;
        let method = self.method(&request.method);
        let endpoint = self.endpoint(desk.plan, request, exchange.status, desk.symbols);
        let status = self.status(exchange.status, desk.symbols);
        let seconds = exchange.ended.seconds_since(exchange.began);
        let service = context.service;
        let out = &mut *desk.out;
        if context.vantage == Side::Client {
            let labels = [service, context.peer, method, endpoint.symbol, status];
            out(fact(Metric::HttpClientRequestDuration, &labels, seconds));
            let is_read = endpoint
                .route
                .is_some_and(|route| !route.readers.is_empty());
            if is_read && context.other_end.is_some() {
                self.relays.made(Relay::new(context.cgroup, exchange));
            }
            return;
        }
        out(fact(Metric::HttpRequestWait, &[service], exchange.waited));
        let sized = [method, endpoint.symbol, service];
        out(fact(Metric::HttpRequestSize, &sized, bytes(request.size)));
        out(fact(
            Metric::HttpResponseSize,
            &sized,
            bytes(exchange.response_size),
        ));
        let errors = endpoint.route.is_some_and(|route| route.graphql)
            && exchange.status == 200
            && graphql::errors(&exchange.response_body);
        let said = endpoint.route.map_or_else(Vec::new, |route| {
            desk.plan.business.read(&Answered {
                exchange,
                route,
                errors,
            })
        });
        let claim = endpoint
            .route
            .map_or(Claim::NoTenant, |route| Claim::new(route, request));
        let labels = Labels {
            service,
            method,
            endpoint: endpoint.symbol,
            status,
            failed: endpoint.operation.filter(|_| errors),
            seconds,
        };
        let shop = desk.shops.label(&claim, exchange.ended);
        let shop = match shop.or_else(|| desk.shops.trusted(&claim, desk.symbols)) {
            Some(shop) => {
                labels.publish(shop, desk.out);
                About::Told(desk.shops.number(&claim, shop, exchange.ended))
            }
            None => About::Claimed(claim, labels),
        };
        if matches!(shop, About::Claimed(..)) || !said.is_empty() {
            let pending = Pending {
                ended: exchange.ended,
                shop,
                served: (!said.is_empty()).then(|| Relay::new(context.cgroup, exchange)),
                said,
            };
            self.wait(pending, desk);
        }
    }

    pub(super) fn aborted(
        aborted: &Aborted,
        context: Context,
        symbols: &mut Symbols,
        out: &mut dyn FnMut(Fact),
    ) {
        let reason = symbols.intern(aborted.reason.label());
        match context.vantage {
            Side::Server => out(fact(
                Metric::HttpRequestsAborted,
                &[context.service, reason],
                1.0,
            )),
            Side::Client => out(fact(
                Metric::HttpClientRequestsAborted,
                &[context.service, context.peer, reason],
                1.0,
            )),
        }
    }

    /// Everything that ended at `until` or before is known: what no one proved is unknown.
    pub(super) fn settle(&mut self, until: Timestamp, desk: &mut Desk<'_>) {
        while let Some(first) = self.pending.pop_front_if(|first| first.ended <= until) {
            first.publish(&mut self.relays, desk);
        }
    }

    /// Other rules are to be in force, for which what those before read has no meaning.
    pub(super) fn doubt(&mut self, business: &mut Business, context: &mut business::Context<'_>) {
        for pending in &mut self.pending {
            let said = std::mem::take(&mut pending.said);
            business.discard(&said, Fate::Unknown, &Why::OtherRules, context);
        }
    }

    fn wait(&mut self, pending: Pending, desk: &mut Desk<'_>) {
        while self.pending.len() >= self.pending_limit
            && let Some(first) = self.pending.pop_front()
        {
            first.publish(&mut self.relays, desk);
        }
        if self.pending_limit == 0 {
            pending.publish(&mut self.relays, desk);
        } else {
            self.pending.push_back(pending);
        }
    }

    fn method(&self, method: &str) -> Symbol {
        METHODS
            .iter()
            .zip(self.methods)
            .find(|(known, _)| **known == method)
            .map_or(Symbol::OTHER, |(_, symbol)| symbol)
    }

    fn status(&mut self, status: u16, symbols: &mut Symbols) -> Symbol {
        if let Some(symbol) = self.statuses.get(&status) {
            return *symbol;
        }
        if !(100..=999).contains(&status) {
            return Symbol::OTHER;
        }
        let symbol = symbols.intern(&status.to_string());
        self.statuses.insert(status, symbol);
        symbol
    }

    fn endpoint<'p>(
        &mut self,
        plan: &'p Plan,
        request: &Request,
        status: u16,
        symbols: &mut Symbols,
    ) -> Endpoint<'p> {
        let found = plan.routes.find(&request.path);
        let Some((number, route)) =
            found.and_then(|number| Some((number, plan.routes.get(number)?)))
        else {
            return Endpoint {
                symbol: self.unmatched(&request.path, status, symbols),
                route: None,
                operation: None,
            };
        };
        let operation = (route.graphql && !request.body.is_empty())
            .then(|| self.operation(&request.body, status, symbols));
        let symbol = match operation {
            Some(operation) => self.operation_endpoint(number, route, operation, symbols),
            None => self.endpoints.get(number).copied().unwrap_or(Symbol::OTHER),
        };
        Endpoint {
            symbol,
            route: Some(route),
            operation,
        }
    }

    /// A new name is learnt only from an answer that is not an error: scanners make up many.
    fn operation(&mut self, body: &[u8], status: u16, symbols: &mut Symbols) -> Symbol {
        if !graphql::operation(body, &mut self.text) {
            return Symbol::UNKNOWN;
        }
        if (200..300).contains(&status) {
            self.operation_names.learn(&self.text, symbols)
        } else {
            self.operation_names
                .get(&self.text)
                .unwrap_or(Symbol::OTHER)
        }
    }

    fn operation_endpoint(
        &mut self,
        number: usize,
        route: &Route,
        operation: Symbol,
        symbols: &mut Symbols,
    ) -> Symbol {
        *self
            .operations
            .entry((number, operation))
            .or_insert_with(|| {
                let label = format!("{} {}", route.template, symbols.value(operation));
                symbols.intern(&label)
            })
    }

    /// Likewise, a path that no rule knows makes a new endpoint only if it is there.
    fn unmatched(&mut self, target: &str, status: u16, symbols: &mut Symbols) -> Symbol {
        self.text.clear();
        if !fold::fold(routes::path(target), &mut self.text) {
            return Symbol::OTHER;
        }
        if matches!(status, 400 | 404) {
            self.unmatched.get(&self.text).unwrap_or(Symbol::OTHER)
        } else {
            self.unmatched.learn(&self.text, symbols)
        }
    }
}

/// The endpoint of each route, by its number.
fn endpoints(plan: &Plan, symbols: &mut Symbols) -> Vec<Symbol> {
    let routes = plan.routes.iter();
    routes
        .map(|route| symbols.intern(&route.template))
        .collect()
}

impl Pending {
    fn publish(self, relays: &mut Relays, desk: &mut Desk<'_>) {
        let shop = match self.shop {
            About::Told(shop) => shop,
            About::Claimed(claim, labels) => {
                let shop = desk.shops.label(&claim, self.ended);
                let shop = shop.unwrap_or(Symbol::UNKNOWN);
                labels.publish(shop, desk.out);
                desk.shops.number(&claim, shop, self.ended)
            }
        };
        let mut context = business::Context {
            time: self.ended,
            ..business::Context::aside(desk.symbols, desk.out)
        };
        if self.served.is_some_and(|served| relays.passed_on(&served)) {
            desk.business
                .discard(&self.said, Fate::Repeated, &Why::PassedOn, &mut context);
            return;
        }
        for said in self.said {
            desk.business.request(said, shop, &mut context);
        }
    }
}

impl Labels {
    fn publish(&self, shop: Symbol, out: &mut dyn FnMut(Fact)) {
        let labels = [self.method, self.endpoint, self.status, shop, self.service];
        out(fact(Metric::HttpRequestDuration, &labels, self.seconds));
        if let Some(operation) = self.failed {
            out(fact(
                Metric::GraphqlErrors,
                &[self.service, operation, shop],
                1.0,
            ));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size beyond 8 PiB may round")]
fn bytes(size: u64) -> f64 {
    size as f64
}
