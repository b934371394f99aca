//! HTTP exchanges become facts: method, endpoint, status, shop, sizes.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::connections::Context;
use super::names::Names;
use super::plan::Plan;
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
    pending: VecDeque<Pending>,
    pending_limit: usize,
    text: String,
}

/// An exchange whose shop is not proven, while the proof may still be on its way.
struct Pending {
    ended: Timestamp,
    claim: Claim,
    labels: Labels,
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

    /// An exchange, except for the time it took where its shop is not proven yet.
    pub(super) fn exchange(
        &mut self,
        exchange: &Exchange,
        context: Context,
        plan: &Plan,
        shops: &mut Shops,
        symbols: &mut Symbols,
        out: &mut dyn FnMut(Fact),
    ) {
        let request = &exchange.request;
        let method = self.method(&request.method);
        let endpoint = self.endpoint(plan, request, exchange.status, symbols);
        let status = self.status(exchange.status, symbols);
        let seconds = exchange.ended.seconds_since(exchange.began);
        let service = context.service;
        if context.vantage == Side::Client {
            let labels = [service, context.peer, method, endpoint.symbol, status];
            out(fact(Metric::HttpClientRequestDuration, &labels, seconds));
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
        let failed = endpoint
            .operation
            .filter(|_| exchange.status == 200 && graphql::errors(&exchange.response_body));
        let claim = endpoint
            .route
            .map_or(Claim::NoTenant, |route| Claim::new(route, request));
        let labels = Labels {
            service,
            method,
            endpoint: endpoint.symbol,
            status,
            failed,
            seconds,
        };
        let shop = shops.label(&claim, exchange.ended);
        match shop.or_else(|| shops.trusted(&claim, symbols)) {
            Some(shop) => labels.publish(shop, out),
            None => self.wait(
                Pending {
                    ended: exchange.ended,
                    claim,
                    labels,
                },
                shops,
                out,
            ),
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
    pub(super) fn settle(
        &mut self,
        until: Timestamp,
        shops: &mut Shops,
        out: &mut dyn FnMut(Fact),
    ) {
        while let Some(first) = self.pending.front() {
            if first.ended > until {
                break;
            }
            let Some(first) = self.pending.pop_front() else {
                break;
            };
            first.publish(shops, out);
        }
    }

    fn wait(&mut self, pending: Pending, shops: &mut Shops, out: &mut dyn FnMut(Fact)) {
        while self.pending.len() >= self.pending_limit
            && let Some(first) = self.pending.pop_front()
        {
            first.publish(shops, out);
        }
        if self.pending_limit == 0 {
            pending.publish(shops, out);
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
    fn publish(&self, shops: &mut Shops, out: &mut dyn FnMut(Fact)) {
        let shop = shops
            .label(&self.claim, self.ended)
            .unwrap_or(Symbol::UNKNOWN);
        self.labels.publish(shop, out);
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
