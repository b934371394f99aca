//! Somebody who makes orders, pays them and changes their mind, in every kind of transaction.

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use postgres::types::{ToSql, Type};
use postgres::{Client, GenericClient, Row};
use rust_decimal::Decimal;

use crate::sql;

const PAYMENT: [&str; 5] = ["pending", "paid", "failed", "refunded", "partial_refund"];
const STATUS: [&str; 5] = [
    "pending",
    "processing",
    "completed",
    "cancelled",
    "refunded",
];
const PROVIDERS: [&str; 3] = ["paystack", "stripe", "flutterwave"];

/// Two connections, and the orders that were made over them.
pub(crate) struct Shopper {
    random: Rng,
    seed: u64,
    clients: [Client; 2],
    /// Number, shop and transaction id of each.
    orders: Vec<(i64, i64, String)>,
    made: u64,
}

/// An order that was written, and may yet be rolled back.
type Made = (i64, i64, String);

impl Shopper {
    pub(crate) fn new(seed: u64, clients: [Client; 2]) -> Self {
        Self {
            random: Rng::with_seed(seed),
            seed,
            clients,
            orders: Vec::new(),
            made: 0,
        }
    }

    /// One thing that somebody might do.
    pub(crate) fn round(&mut self) -> Result<()> {
        match self.random.u32(0..14) {
            0 => self.autocommit(),
            1..=3 => self.whole(),
            4 => self.rolled_back(),
            5 => self.failed_item(),
            6 => self.savepoint(),
            7 => self.chained(),
            8 => self.two_phases(),
            9 => self.nobody(),
            10 | 11 => self.webhook(),
            12 => self.rewrite(true),
            _ => self.rewrite(false),
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
        Ok(self.clients[0].batch_execute("commit")?)
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
        self.item(client, &made, 1)?;
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
        ensure!(
            self.item(0, &made, 1_000_000).is_err(),
            "there is such a variation"
        );
        // In a failed transaction it is answered with ROLLBACK.
        let end = if self.random.bool() {
            "commit"
        } else {
            "rollback"
        };
        self.say(0, end)
    }

    fn savepoint(&mut self) -> Result<()> {
        self.say(0, "begin")?;
        let first = self.insert(0)?;
        self.say(0, "savepoint a")?;
        let second = self.insert(0)?;
        if self.random.bool() {
            ensure!(self.item(0, &second, 1_000_000).is_err());
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
        self.made += 1;
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

    /// A payment of an order that is nobody's: the statement changes nothing.
    fn nobody(&mut self) -> Result<()> {
        let changed = self.settle(0, "no such transaction", 1, "processing", "paid")?;
        ensure!(changed == 0);
        Ok(())
    }

    fn webhook(&mut self) -> Result<()> {
        let Some((_, shop, transaction)) = self.random.choice(&self.orders).cloned() else {
            return self.autocommit();
        };
        let (status, payment) = (self.pick(&STATUS), self.pick(&PAYMENT));
        let client = self.random.usize(0..2);
        let in_block = self.random.bool();
        if in_block {
            self.say(client, "begin")?;
        }
        self.settle(client, &transaction, shop, status, payment)?;
        match (in_block, self.random.bool()) {
            (true, true) => self.say(client, "rollback"),
            (true, false) => self.say(client, "commit"),
            _ => Ok(()),
        }
    }

    /// The platform reads the row and writes all of it, whether anything has changed or not.
    fn rewrite(&mut self, changes: bool) -> Result<()> {
        let Some((order, shop, _)) = self.random.choice(&self.orders).cloned() else {
            return self.autocommit();
        };
        let (new_status, new_payment) = (self.pick(&STATUS), self.pick(&PAYMENT));
        let client = &mut self.clients[0];
        let key: [(&(dyn ToSql + Sync), Type); 2] = [(&order, Type::INT8), (&shop, Type::INT8)];
        let row = client
            .query_typed(sql::GET_ORDER, &key)?
            .pop()
            .context("the order is gone")?;
        let text = |column| row.get::<_, String>(column);
        let optional = |column| row.get::<_, Option<String>>(column);
        let money = |column| row.get::<_, Decimal>(column);
        let status = if changes {
            new_status.into()
        } else {
            text("status")
        };
        let payment = if changes {
            new_payment.into()
        } else {
            text("payment_status")
        };
        let values: [(&(dyn ToSql + Sync), Type); 17] = [
            (&status, Type::TEXT),
            (&money("amount"), Type::NUMERIC),
            (&money("discount"), Type::NUMERIC),
            (&money("shipping_cost"), Type::NUMERIC),
            (&money("tax"), Type::NUMERIC),
            (&text("shipping_address"), Type::TEXT),
            (&text("payment_method"), Type::TEXT),
            (&payment, Type::TEXT),
            (&text("shipping_method"), Type::VARCHAR),
            (&text("shipping_status"), Type::TEXT),
            (&optional("transaction_id"), Type::TEXT),
            (&text("username"), Type::VARCHAR),
            (&text("customer_name"), Type::VARCHAR),
            (&optional("customer_email"), Type::VARCHAR),
            (&optional("customer_phone"), Type::VARCHAR),
            (&order, Type::INT8),
            (&shop, Type::INT8),
        ];
        client.query_typed(sql::UPDATE_ORDER, &values)?;
        Ok(())
    }

    fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all.get(self.random.usize(0..all.len()))
            .copied()
            .unwrap_or_default()
    }

    fn say(&mut self, client: usize, text: &str) -> Result<()> {
        Ok(self.clients[client].batch_execute(text)?)
    }

    fn insert(&mut self, client: usize) -> Result<Made> {
        self.made += 1;
        let transaction = format!("t-{}-{}", self.seed, self.made);
        let shop = i64::from(self.random.i32(1..=5));
        let provider = self.pick(&PROVIDERS);
        // Minor units in a column for major ones, and some that are not whole.
        let amount = Decimal::new(i64::from(self.random.i32(1..90_000_000)), 2);
        let nothing: Option<String> = None;
        let nobody: Option<uuid::Uuid> = None;
        let values: [(&(dyn ToSql + Sync), Type); 17] = [
            (&"pending", Type::TEXT),
            (&amount, Type::NUMERIC),
            (&Decimal::ZERO, Type::NUMERIC),
            (&Decimal::ZERO, Type::NUMERIC),
            (&Decimal::ZERO, Type::NUMERIC),
            (&"1 Long Street", Type::TEXT),
            (&provider, Type::TEXT),
            (&"pending", Type::TEXT),
            (&"courier", Type::VARCHAR),
            (&"pending", Type::TEXT),
            (&transaction, Type::TEXT),
            (&"guest", Type::VARCHAR),
            (&nobody, Type::UUID),
            (&shop, Type::INT8),
            (&"Jo Customer", Type::VARCHAR),
            (&nothing, Type::VARCHAR),
            (&nothing, Type::VARCHAR),
        ];
        let row: Row = self.clients[client]
            .query_typed(sql::CREATE_ORDER, &values)?
            .pop()
            .context("no order came back")?;
        Ok((row.get("order_id"), shop, transaction))
    }

    fn item(&mut self, client: usize, made: &Made, variation: i64) -> Result<()> {
        let values: [(&(dyn ToSql + Sync), Type); 5] = [
            (&1_i64, Type::INT8),
            (&Decimal::ONE, Type::NUMERIC),
            (&variation, Type::INT8),
            (&made.0, Type::INT8),
            (&made.1, Type::INT8),
        ];
        self.clients[client].query_typed(sql::CREATE_ORDER_ITEM, &values)?;
        Ok(())
    }

    /// What a webhook runs; how many orders it changed.
    fn settle(
        &mut self,
        client: usize,
        transaction: &str,
        shop: i64,
        status: &str,
        payment: &str,
    ) -> Result<usize> {
        let client = &mut self.clients[client];
        let key: [(&(dyn ToSql + Sync), Type); 2] =
            [(&transaction, Type::TEXT), (&shop, Type::INT8)];
        client.query_typed(sql::GET_ORDER_BY_TRANSACTION, &key)?;
        let values: [(&(dyn ToSql + Sync), Type); 4] = [
            (&transaction, Type::TEXT),
            (&shop, Type::INT8),
            (&status, Type::TEXT),
            (&payment, Type::TEXT),
        ];
        let rows = client.query_typed(sql::UPDATE_ORDER_BY_TRANSACTION, &values)?;
        Ok(rows.len())
    }
}
