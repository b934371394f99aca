//! A database as one connection finds it: what it answers, and what its triggers would write.

use std::collections::BTreeMap;

use super::script::{Act, End, Fetch, Style, Transaction};
use super::statements::{Answer, Order, Sql, next, returned, text, written};
use super::wire;

/// Sums by series.
pub(super) type Sums = BTreeMap<String, f64>;

/// What one connection sends at once, and what it is answered.
pub(super) type Flight = (Vec<u8>, Vec<u8>);

/// What a trigger writes: a series, and by how much it grows.
type Event = (String, u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    None,
    Open,
    Failed,
}

pub(super) struct Session {
    number: u64,
    made: u64,
    /// As this connection sees them, and as they were before the open transaction.
    orders: Vec<Order>,
    before: Vec<Order>,
    block: Block,
    events: Vec<Event>,
    savepoints: Vec<(u8, usize, Vec<Order>)>,
    fetch: Fetch,
    /// A portal whose end is to be fetched, and how it is told.
    suspended: Option<(String, String)>,
    portals: u64,
    pub(super) flights: Vec<Flight>,
    pub(super) truth: Sums,
    /// Of transactions that wait for their second phase, and whether that commits.
    pub(super) prepared: Vec<(String, bool)>,
    /// Orders whose row came back, whatever became of them.
    pub(super) returned: u64,
}

impl Session {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            made: 0,
            orders: Vec::new(),
            before: Vec::new(),
            block: Block::None,
            events: Vec::new(),
            savepoints: Vec::new(),
            fetch: Fetch::All,
            suspended: None,
            portals: 0,
            flights: vec![(wire::startup(), wire::welcome())],
            truth: Sums::new(),
            prepared: Vec::new(),
            returned: 0,
        }
    }

    /// Goes on with the orders of another, who has come to an end.
    pub(super) fn inherit(&mut self, other: &Self) {
        self.orders.clone_from(&other.orders);
    }

    /// Leaves nothing open.
    pub(super) fn come_to_an_end(&mut self) {
        if self.block != Block::None {
            self.flight(Style::Simple, &[Sql::Rollback], false);
        }
    }

    /// Runs a transaction.
    pub(super) fn run(&mut self, transaction: &Transaction) {
        self.fetch = transaction.fetch;
        let in_block = transaction.end != End::Auto || self.block != Block::None;
        let mut statements = Vec::new();
        if in_block && self.block == Block::None {
            statements.push(Sql::Begin);
        }
        let steers = |act: &Act| {
            matches!(
                act,
                Act::Savepoint(_) | Act::RollbackTo(_) | Act::Release(_)
            )
        };
        let acts = transaction
            .acts
            .iter()
            .filter(|act| in_block || !steers(act));
        statements.extend(acts.copied().map(Sql::Act));
        match transaction.end {
            End::Auto => {}
            End::Commit => statements.push(Sql::Commit),
            End::Rollback => statements.push(Sql::Rollback),
            End::CommitAndChain => statements.push(Sql::CommitAndChain),
            End::RollbackAndChain => statements.push(Sql::RollbackAndChain),
            End::CommitAndFail => statements.extend([Sql::Commit, Sql::Act(Act::Fail)]),
            End::Prepare(commits) => {
                let id = format!("{}-{}", self.number, self.flights.len());
                statements.push(Sql::Prepare(id.clone()));
                self.prepared.push((id, commits));
            }
        }
        // What it prepares keeps others from the rows that it changed.
        let hides = matches!(transaction.end, End::Prepare(_));
        match transaction.style {
            Style::Simple | Style::Extended => {
                for statement in statements {
                    self.flight(transaction.style, &[statement], hides);
                }
            }
            Style::Together | Style::Pipelined => {
                self.flight(transaction.style, &statements, hides);
            }
        }
        if self.block == Block::Failed {
            self.flight(Style::Simple, &[Sql::Rollback], false);
        }
    }

    /// Ends what another connection prepared.
    pub(super) fn second_phase(&mut self, id: &str, commits: bool) {
        let word = if commits { "COMMIT" } else { "ROLLBACK" };
        let answer = [wire::tag(&format!("{word} PREPARED")), wire::ready(b'I')].concat();
        let text = format!("{word} PREPARED '{id}'");
        self.flights.push((wire::query(&text), answer));
    }

    /// Sends statements up to one `ReadyForQuery`.
    fn flight(&mut self, style: Style, statements: &[Sql], hides: bool) {
        let parameters = matches!(style, Style::Extended | Style::Pipelined);
        let (mut texts, mut sent, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        let mut failed = false;
        if self.block == Block::None {
            self.before = self.orders.clone();
        }
        for statement in statements {
            let order = self.order(statement, hides);
            let (text, values) = text(statement, order.as_ref(), parameters);
            let (portal, rows) = match self.fetch {
                Fetch::All => (String::new(), 0),
                Fetch::Part { named: false } => (String::new(), 1),
                _ => (format!("p{}", self.portals), 1),
            };
            self.portals += 1;
            if parameters {
                sent.extend(wire::execute(&portal, rows, &text, &values));
            }
            texts.push(text);
            if failed {
                continue;
            }
            let earlier = self.suspended.take();
            match self.answer(statement, order) {
                Ok(answer) => {
                    let suspends = parameters && rows > 0 && answer.is_fetched();
                    answers.extend(written(&answer, parameters, suspends));
                    let goes_on =
                        matches!(statement, Sql::Act(act) if !matches!(act, Act::RollbackTo(_)));
                    if let Some((portal, tag)) = earlier.filter(|_| parameters && goes_on) {
                        sent.extend(wire::fetch(&portal, 0));
                        answers.extend(wire::tag(&tag));
                    }
                    if suspends && self.fetch == Fetch::Later {
                        self.suspended = Some((portal, answer.tag));
                    }
                }
                Err(state) => {
                    if parameters {
                        answers.extend(wire::bound());
                    }
                    answers.extend(wire::error(state));
                    failed = true;
                    if self.block == Block::Open {
                        self.block = Block::Failed;
                    }
                }
            }
        }
        if parameters {
            sent.extend(wire::sync());
        } else {
            sent = wire::query(&texts.join(";\n"));
        }
        if self.block == Block::None {
            self.close(!failed);
            self.suspended = None;
        }
        answers.extend(wire::ready(match self.block {
            Block::None => b'I',
            Block::Open => b'T',
            Block::Failed => b'E',
        }));
        self.flights.push((sent, answers));
    }

    /// The order that a statement speaks of, as it would leave it.
    fn order(&self, statement: &Sql, hides: bool) -> Option<Order> {
        let (number, to) = match statement {
            Sql::Act(Act::Create { shop, amount }) => {
                return Some(Order {
                    number: self.number * 1_000_000 + self.made + 1,
                    shop: *shop,
                    amount: *amount,
                    status: "pending",
                    payment: "pending",
                });
            }
            Sql::Act(Act::Pay { order, to }) => (order, Some(to)),
            Sql::Act(Act::Show { order }) => (order, None),
            _ => return None,
        };
        let mine = if hides { self.before.len() } else { 0 };
        let orders = self.orders.get(mine..).unwrap_or_default();
        let mut order = orders
            .get(usize::from(*number) % orders.len().max(1))?
            .clone();
        if let Some(to) = to {
            (order.status, order.payment) = next(&order, *to);
        }
        Some(order)
    }

    /// What the server answers, or the SQLSTATE.
    fn answer(&mut self, statement: &Sql, order: Option<Order>) -> Result<Answer, &'static str> {
        let answer = |tag: &str| {
            Ok(Answer {
                tag: tag.to_owned(),
                row: None,
            })
        };
        let failed = self.block == Block::Failed;
        match statement {
            Sql::Commit | Sql::CommitAndChain | Sql::Prepare(_) if failed => {
                self.end(false, matches!(statement, Sql::CommitAndChain));
                answer("ROLLBACK")
            }
            Sql::Rollback | Sql::RollbackAndChain => {
                self.end(false, matches!(statement, Sql::RollbackAndChain));
                answer("ROLLBACK")
            }
            Sql::Act(Act::RollbackTo(name)) => {
                let place = self.find(*name).ok_or("3B001")?;
                self.savepoints.truncate(place + 1);
                let (_, events, orders) = self.savepoints[place].clone();
                self.events.truncate(events);
                self.orders = orders;
                self.block = Block::Open;
                answer("ROLLBACK")
            }
            _ if failed => Err("25P02"),
            Sql::Begin => {
                self.block = Block::Open;
                answer("BEGIN")
            }
            Sql::Commit | Sql::CommitAndChain => {
                self.end(true, matches!(statement, Sql::CommitAndChain));
                answer("COMMIT")
            }
            Sql::Prepare(id) => {
                let commits = self
                    .prepared
                    .iter()
                    .any(|(known, commits)| known == id && *commits);
                self.orders = self.before.clone();
                if !commits {
                    self.events.clear();
                }
                self.close(true);
                answer("PREPARE TRANSACTION")
            }
            Sql::Act(Act::Savepoint(name)) => {
                let savepoint = (*name, self.events.len(), self.orders.clone());
                self.savepoints.push(savepoint);
                answer("SAVEPOINT")
            }
            Sql::Act(Act::Release(name)) => {
                let place = self.find(*name).ok_or("3B001")?;
                self.savepoints.truncate(place);
                answer("RELEASE")
            }
            Sql::Act(Act::Fail) => Err("22012"),
            Sql::Act(Act::Create { .. }) => {
                let order = order.ok_or("XX000")?;
                self.made += 1;
                self.returned += 1;
                self.events
                    .push((format!("naytife_orders_total {} pending", order.shop), 1));
                let value = format!("naytife_orders_value_total {} unknown", order.shop);
                self.events.push((value, order.amount));
                self.orders.push(order.clone());
                Ok(returned("INSERT 0", Some(&order)))
            }
            Sql::Act(Act::Pay { .. }) => {
                if let Some(order) = &order {
                    self.pay(order);
                }
                Ok(returned("UPDATE", order.as_ref()))
            }
            Sql::Act(Act::Show { .. }) => Ok(returned("SELECT", order.as_ref())),
        }
    }

    fn pay(&mut self, order: &Order) {
        let orders = &mut self.orders;
        let Some(known) = orders.iter_mut().find(|known| known.number == order.number) else {
            return;
        };
        let (shop, payment) = (order.shop, order.payment);
        if known.status != order.status {
            let series = format!("naytife_orders_total {shop} {}", order.status);
            self.events.push((series, 1));
        }
        if known.payment != payment {
            let series = format!("naytife_payments_total {shop} paystack {payment}");
            self.events.push((series, 1));
            let money = match payment {
                "paid" => "naytife_revenue_total",
                "refunded" => "naytife_revenue_refunded_total",
                _ => "",
            };
            if !money.is_empty() {
                self.events
                    .push((format!("{money} {shop} unknown"), order.amount));
            }
        }
        *known = order.clone();
    }

    fn find(&self, name: u8) -> Option<usize> {
        self.savepoints
            .iter()
            .rposition(|(known, ..)| *known == name)
    }

    fn end(&mut self, commits: bool, chain: bool) {
        let open = self.block != Block::None;
        self.close(commits);
        if chain && open {
            self.block = Block::Open;
        }
    }

    /// The transaction is over.
    fn close(&mut self, commits: bool) {
        if commits {
            for (series, by) in self.events.drain(..) {
                *self.truth.entry(series).or_default() += f64::from(by);
            }
        } else {
            self.events.clear();
            self.orders = self.before.clone();
        }
        self.before = self.orders.clone();
        self.savepoints.clear();
        self.block = Block::None;
    }
}
