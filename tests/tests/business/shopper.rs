//! Somebody who makes orders, pays them and changes their mind, in every kind of transaction.

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use postgres::Client;
use rust_decimal::Decimal;

use crate::statements::{Made, New, batch, look_at_shop};
use crate::wire::Wire;

/// Shops that the schema has.
pub(crate) const SHOPS: i64 = 5;

const PAYMENT: [&str; 5] = ["pending", "paid", "failed", "refunded", "partial_refund"];
const STATUS: [&str; 5] = [
    "pending",
    "processing",
    "completed",
    "cancelled",
    "refunded",
];
const PROVIDERS: [&str; 3] = ["paystack", "stripe", "flutterwave"];
/// No product has it.
const NO_VARIATION: i64 = 1_000_000;
const FAILS: &str = "SELECT 1/0";
/// Orders of half a batch.
const HALF: u64 = 4;

/// The connections of one shopper.
pub(crate) struct Connections {
    pub(crate) clients: [Client; 2],
    /// One for what no driver sends when asked to.
    pub(crate) wire: Wire,
}

/// Connections, and the orders that were made over them.
pub(crate) struct Shopper {
    random: Rng,
    seed: u64,
    clients: [Client; 2],
    wire: Wire,
    /// Payments go only where a shop would let them: none is paid twice, none unpaid refunded.
    sensible: bool,
    orders: Vec<Made>,
    made: u64,
    /// Orders whose row came back, whatever became of them.
    pub(crate) returned: u64,
}

/// Each goes on with the orders of the next.
pub(crate) fn hand_over(shoppers: &mut [Shopper]) {
    for next in 1..shoppers.len() {
        let (before, after) = shoppers.split_at_mut(next);
        if let (Some(last), Some(first)) = (before.last_mut(), after.first_mut()) {
            std::mem::swap(&mut last.orders, &mut first.orders);
        }
    }
}

impl Shopper {
    pub(crate) fn new(seed: u64, connections: Connections) -> Self {
        Self {
            random: Rng::with_seed(seed),
            seed,
            clients: connections.clients,
            wire: connections.wire,
            sensible: false,
            orders: Vec::new(),
            made: 0,
            returned: 0,
        }
    }

    /// Pays as people do.
    pub(crate) fn sensible(mut self) -> Self {
        self.sensible = true;
        self
    }

    /// Looks at every shop.
    pub(crate) fn look_around(&mut self) -> Result<()> {
        (1..=SHOPS).try_for_each(|shop| look_at_shop(&mut self.clients[0], shop))
    }

    /// One thing that somebody might do.
    pub(crate) fn round(&mut self) -> Result<()> {
        match self.random.u32(0..20) {
            0 => self.autocommit(),
            1..=3 => self.whole(),
            4 => self.rolled_back(),
            5 => self.failed_item(),
            6 => self.failed_commit(),
            7 => self.savepoint(),
            8 => self.chained(),
            9 => self.two_phases(),
            10 => self.texts(),
            11 => self.batches(),
            12 => self.nobody(),
            13 => self.retried(),
            14..=16 => self.webhook(),
            17 => self.rewrite(false),
            _ => self.rewrite(true),
        }
    }

    /// Begins a transaction; the process that serves it.
    pub(crate) fn begin(&mut self) -> Result<i32> {
        let client = &mut self.clients[0];
        let pid = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
        client.batch_execute("begin")?;
        Ok(pid)
    }

    /// Makes an order in it.
    pub(crate) fn create(&mut self) -> Result<()> {
        self.insert(0).map(drop)
    }

    pub(crate) fn commit(&mut self) -> Result<()> {
        self.say(0, "commit")
    }

    /// Sends an order and its COMMIT at once, and leaves without an answer.
    pub(crate) fn leave(mut self) -> Result<()> {
        let order = self.new_order().text();
        let messages = batch(&["BEGIN", &order, "COMMIT"]);
        std::io::Write::write_all(self.wire.stream(), &messages)?;
        Ok(())
    }

    fn autocommit(&mut self) -> Result<()> {
        let made = self.insert(0)?;
        self.orders.push(made);
        Ok(())
    }

    fn whole(&mut self) -> Result<()> {
        let client = self.random.usize(0..2);
        self.say(client, "begin")?;
        let made = self.insert(client)?;
        made.item(self.client(client), 1)?;
        self.say(client, "commit")?;
        self.orders.push(made);
        Ok(())
    }

    fn rolled_back(&mut self) -> Result<()> {
        self.say(0, "begin")?;
        self.insert(0)?;
        self.say(0, "rollback")
    }

    /// The order's row comes back, and then an item names a variation that is not there.
    fn failed_item(&mut self) -> Result<()> {
        self.say(0, "begin")?;
        let made = self.insert(0)?;
        self.no_item(&made)?;
        // In a failed transaction it is answered with ROLLBACK.
        let end = if self.random.bool() {
            "commit"
        } else {
            "rollback"
        };
        self.say(0, end)
    }

    /// The same, and it is found out at the COMMIT.
    fn failed_commit(&mut self) -> Result<()> {
        self.say(0, "begin; set constraints all deferred")?;
        let made = self.insert(0)?;
        made.item(&mut self.clients[0], NO_VARIATION)?;
        ensure!(self.say(0, "commit").is_err(), "there is such a variation");
        Ok(())
    }

    fn savepoint(&mut self) -> Result<()> {
        self.say(0, "begin")?;
        let first = self.insert(0)?;
        self.say(0, "savepoint a")?;
        let second = self.insert(0)?;
        if self.random.bool() {
            self.no_item(&second)?;
        }
        self.say(0, "rollback to savepoint a")?;
        let third = self.insert(0)?;
        self.say(0, "release a")?;
        self.say(0, "commit")?;
        self.orders.extend([first, third]);
        Ok(())
    }

    fn chained(&mut self) -> Result<()> {
        self.say(0, "begin")?;
        let kept = self.insert(0)?;
        self.say(0, "commit and chain")?;
        self.insert(0)?;
        self.say(0, "rollback and chain")?;
        let last = self.insert(0)?;
        self.say(0, "commit")?;
        self.orders.extend([kept, last]);
        Ok(())
    }

    /// Prepared on one connection, ended on the other.
    fn two_phases(&mut self) -> Result<()> {
        let id = format!("{}-{}", self.seed, self.made);
        self.say(0, "begin")?;
        let made = self.insert(0)?;
        self.say(0, &format!("prepare transaction '{id}'"))?;
        if self.random.bool() {
            self.say(1, &format!("commit prepared '{id}'"))?;
            self.orders.push(made);
        } else {
            self.say(1, &format!("rollback prepared '{id}'"))?;
        }
        Ok(())
    }

    /// Several statements in one text, of which the last fails.
    fn texts(&mut self) -> Result<()> {
        let [some, others] = self.several().map(|texts| texts.join("; "));
        let text = match self.random.u32(0..3) {
            0 => format!("{some}; {others}; {FAILS}"),
            1 => format!("{some}; {others}; COMMIT; {FAILS}"),
            _ => format!("BEGIN; {some}; COMMIT; BEGIN; {others}; ROLLBACK; {FAILS}"),
        };
        ensure!(self.say(0, &text).is_err(), "one by zero is something");
        Ok(())
    }

    /// The same by the extended protocol, sent before the first answer.
    fn batches(&mut self) -> Result<()> {
        let [some, others] = self.several();
        let all = [some.as_slice(), others.as_slice()].concat();
        let then = |texts: &[String], last: &[&str]| {
            let texts = texts.iter().map(String::as_str);
            batch(&texts.chain(last.iter().copied()).collect::<Vec<_>>())
        };
        let (messages, times) = match self.random.u32(0..4) {
            0 => (then(&all, &[]), 1),
            1 => (then(&all, &[FAILS]), 1),
            2 => (then(&all, &["COMMIT", FAILS]), 1),
            _ => ([then(&some, &[FAILS]), then(&others, &[])].concat(), 2),
        };
        self.wire.send(&messages, times)
    }

    /// A payment of an order that is nobody's: the statement changes nothing.
    fn nobody(&mut self) -> Result<()> {
        let nobody = Made {
            number: 0,
            shop: 1,
            transaction: "no such transaction".into(),
        };
        let changed = nobody.settle(&mut self.clients[0], ["processing", "paid"])?;
        ensure!(changed == 0, "somebody's");
        Ok(())
    }

    /// Of two that write one order at the same time the database turns one away, who tries again.
    fn retried(&mut self) -> Result<()> {
        let Some(order) = self.any() else {
            return self.autocommit();
        };
        for client in 0..2 {
            self.say(client, "begin isolation level repeatable read")?;
            order.look(self.client(client))?;
        }
        let first = self.next(&order, 0)?;
        order.settle(&mut self.clients[0], first)?;
        self.say(0, "commit")?;
        let turned_away = order.settle(&mut self.clients[1], first);
        ensure!(turned_away.is_err(), "both were let through");
        self.say(1, "rollback")?;
        self.say(1, "begin isolation level repeatable read")?;
        let second = self.next(&order, 1)?;
        order.settle(&mut self.clients[1], second)?;
        self.say(1, "commit")
    }

    fn webhook(&mut self) -> Result<()> {
        let Some(order) = self.any() else {
            return self.autocommit();
        };
        let client = self.random.usize(0..2);
        let in_block = self.random.bool();
        if in_block {
            self.say(client, "begin")?;
        }
        // Some write without a look at the row.
        let to = if self.sensible || self.random.bool() {
            self.next(&order, client)?
        } else {
            [self.pick(&STATUS), self.pick(&PAYMENT)]
        };
        order.settle(self.client(client), to)?;
        match (in_block, self.random.bool()) {
            (true, true) => self.say(client, "rollback"),
            (true, false) => self.say(client, "commit"),
            _ => Ok(()),
        }
    }

    /// The platform writes all of a row, whether anything has changed or not.
    fn rewrite(&mut self, changes: bool) -> Result<()> {
        let Some(order) = self.any() else {
            return self.autocommit();
        };
        let to = self.next(&order, 0)?.map(str::to_owned);
        order.rewrite(&mut self.clients[0], |was| if changes { to } else { was })
    }

    /// Where an order goes from where it is.
    fn next(&mut self, order: &Made, client: usize) -> Result<[&'static str; 2]> {
        let row = order.look(self.client(client))?;
        let payment: String = row.context("the order is gone")?.get("payment_status");
        if !self.sensible {
            return Ok([self.pick(&STATUS), self.pick(&PAYMENT)]);
        }
        let payments: &[&'static str] = match payment.as_str() {
            "pending" => &["pending", "paid", "failed"],
            "failed" => &["failed", "paid"],
            "paid" => &["paid", "refunded", "partial_refund"],
            "partial_refund" => &["partial_refund", "refunded"],
            _ => &["refunded"],
        };
        Ok([self.pick(&STATUS), self.pick(payments)])
    }

    /// The first, or the other one.
    fn client(&mut self, number: usize) -> &mut Client {
        let [first, other] = &mut self.clients;
        if number == 0 { first } else { other }
    }

    fn any(&mut self) -> Option<Made> {
        self.random.choice(&self.orders).cloned()
    }

    fn pick(&mut self, all: &[&'static str]) -> &'static str {
        self.random.choice(all).copied().unwrap_or_default()
    }

    fn say(&mut self, client: usize, text: &str) -> Result<()> {
        Ok(self.client(client).batch_execute(text)?)
    }

    fn no_item(&mut self, order: &Made) -> Result<()> {
        let given = order.item(&mut self.clients[0], NO_VARIATION);
        ensure!(given.is_err(), "there is such a variation");
        Ok(())
    }

    fn new_order(&mut self) -> New {
        self.made += 1;
        New {
            shop: self.random.i64(1..=SHOPS),
            transaction: format!("t-{}-{}", self.seed, self.made),
            provider: self.pick(&PROVIDERS),
            // Minor units in a column for major ones, and some that are not whole.
            amount: Decimal::new(self.random.i64(1..90_000_000), 2),
        }
    }

    /// Statements that make orders, in two halves; their rows come back.
    fn several(&mut self) -> [Vec<String>; 2] {
        self.returned += 2 * HALF;
        [(); 2].map(|()| (0..HALF).map(|_| self.new_order().text()).collect())
    }

    fn insert(&mut self, client: usize) -> Result<Made> {
        let order = self.new_order();
        let made = order.insert(self.client(client))?;
        self.returned += 1;
        Ok(made)
    }
}
