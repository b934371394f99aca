//! What happened, as triggers wrote it inside the same transactions; and what is in the tables at
//! the end.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::SubAssign;

use anyhow::{Result, ensure};
use observer_tests::scrape::{Scrape, Selection};
use postgres::{Client, Row};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

/// A row for each order that is made, and one for each change of a status into another.
pub(crate) const SCHEMA: &str = "
CREATE TABLE history (
    shop_id bigint NOT NULL, field text NOT NULL, was text, became text NOT NULL,
    provider text NOT NULL, amount numeric NOT NULL
);
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO history VALUES (NEW.shop_id, 'status', NULL, NEW.status, NEW.payment_method, NEW.amount);
        RETURN NULL;
    END IF;
    IF NEW.status IS DISTINCT FROM OLD.status THEN
        INSERT INTO history VALUES (NEW.shop_id, 'status', OLD.status, NEW.status, NEW.payment_method, NEW.amount);
    END IF;
    IF NEW.payment_status IS DISTINCT FROM OLD.payment_status THEN
        INSERT INTO history VALUES
            (NEW.shop_id, 'payment', OLD.payment_status, NEW.payment_status, NEW.payment_method, NEW.amount);
    END IF;
    RETURN NULL;
END $$;
ALTER TABLE order_items ALTER CONSTRAINT order_items_product_variation_id_fkey DEFERRABLE;
CREATE TRIGGER remember AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION remember();
";

/// What is told in a currency.
pub(crate) const MONEY: [&str; 3] = [
    "naytife_orders_value_total",
    "naytife_revenue_total",
    "naytife_revenue_refunded_total",
];

/// Counts and stored amounts, by shop and by what the metric's other labels say.
#[derive(Clone, Default)]
pub(crate) struct History {
    statuses: BTreeMap<[String; 2], u64>,
    payments: BTreeMap<[String; 3], u64>,
    value: BTreeMap<String, Decimal>,
    revenue: BTreeMap<String, Decimal>,
    refunded: BTreeMap<String, Decimal>,
    orders: u64,
}

impl History {
    pub(crate) fn read(client: &mut Client) -> Result<Self> {
        let mut history = Self::default();
        let rows = client.query(
            "SELECT shop_id::text, field, was, became, provider, amount FROM history",
            &[],
        )?;
        for row in rows {
            let shop: String = row.get(0);
            let (field, was): (String, Option<String>) = (row.get(1), row.get(2));
            let (became, provider): (String, String) = (row.get(3), row.get(4));
            let amount: Decimal = row.get(5);
            let was = was.as_deref();
            if field == "status" {
                if was.is_none() {
                    history.orders += 1;
                    *history.value.entry(shop.clone()).or_default() += amount;
                }
                *history.statuses.entry([shop, became]).or_default() += 1;
                continue;
            }
            let paid = matches!(was, Some("paid" | "partial_refund"));
            if became == "paid" && was != Some("partial_refund") {
                *history.revenue.entry(shop.clone()).or_default() += amount;
            }
            if became == "refunded" && paid {
                *history.refunded.entry(shop.clone()).or_default() += amount;
            }
            if became != "pending" {
                *history
                    .payments
                    .entry([shop, provider, became])
                    .or_default() += 1;
            }
        }
        Ok(history)
    }

    /// Orders that were made.
    pub(crate) fn orders(&self) -> u64 {
        self.orders
    }

    /// The same, to be compared with what was published.
    pub(crate) fn orders_made(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "there are thousands")]
        let made = self.orders as f64;
        made
    }

    /// The same without what happened before.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        self.orders -= before.orders;
        subtract(&mut self.statuses, &before.statuses);
        subtract(&mut self.payments, &before.payments);
        subtract(&mut self.value, &before.value);
        subtract(&mut self.revenue, &before.revenue);
        subtract(&mut self.refunded, &before.refunded);
        self
    }

    /// Whether every published figure is that of the history.
    pub(crate) fn equals(&self, scrape: &Scrape) -> Result<()> {
        let orders = scrape.select("naytife_orders_total");
        for ([shop, status], count) in &self.statuses {
            orders
                .clone()
                .with("shop_id", shop)
                .with("status", status)
                .is(*count)?;
        }
        orders.is(self.statuses.values().sum())?;
        let payments = scrape.select("naytife_payments_total");
        for ([shop, provider, status], count) in &self.payments {
            let one = payments.clone().with("shop_id", shop);
            one.with("provider", provider)
                .with("status", status)
                .is(*count)?;
        }
        payments.is(self.payments.values().sum())?;
        let amounts = [&self.value, &self.revenue, &self.refunded];
        for (metric, amounts) in MONEY.into_iter().zip(amounts) {
            for (shop, amount) in amounts {
                costs(&scrape.select(metric).with("shop_id", shop), *amount)?;
            }
            costs(&scrape.select(metric), amounts.values().sum())?;
        }
        Ok(())
    }

    /// Whether nothing was published that did not happen, where some of it could not be known.
    pub(crate) fn bounds(&self, scrape: &Scrape) -> Result<()> {
        scrape
            .select("observer_facts_total")
            .with("rule", "CreateOrder")
            .with("outcome", "published")
            .is(self.orders)?;
        let orders = scrape.select("naytife_orders_total");
        let unknown = orders.clone().with("status", "unknown");
        ensure!(
            !unknown.is_empty(),
            "an order older than the agent has no unknown status"
        );
        let known = orders.without("status", "unknown");
        within(known.by(["shop_id", "status"]), &self.statuses)?;
        let payments = scrape.select("naytife_payments_total");
        let payments = payments.without("status", "unknown");
        let mut of_any = BTreeMap::new();
        for ([shop, _, status], count) in &self.payments {
            *of_any.entry([shop.clone(), status.clone()]).or_default() += count;
        }
        within(payments.by(["shop_id", "status"]), &of_any)?;
        // A payment may be told of whose provider never was.
        let known = payments.without("provider", "unknown");
        within(known.by(["shop_id", "provider", "status"]), &self.payments)?;
        let amounts = [&self.value, &self.revenue, &self.refunded];
        for (metric, amounts) in MONEY.into_iter().zip(amounts) {
            for ([shop], published) in scrape.select(metric).by(["shop_id"]) {
                let happened = amounts.get(&shop).copied().unwrap_or_default();
                ensure!(
                    published <= major(happened) + 0.005,
                    "{metric} of shop {shop}: {published} of {happened}"
                );
            }
        }
        Ok(())
    }
}

/// Takes away what was there before.
fn subtract<K: Clone + Ord, V: Default + SubAssign + Copy>(
    all: &mut BTreeMap<K, V>,
    before: &BTreeMap<K, V>,
) {
    for (key, amount) in before {
        *all.entry(key.clone()).or_default() -= *amount;
    }
}

/// Whether each series that was published happened as often.
fn within<K: Debug + Ord>(published: BTreeMap<K, f64>, happened: &BTreeMap<K, u64>) -> Result<()> {
    for (series, count) in published {
        let most = happened.get(&series).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "there are hundreds")]
        let most = most as f64;
        ensure!(count <= most, "{series:?}: {count} of {most}");
    }
    Ok(())
}

/// What is in the tables, without regard to how it came there: what the orders that are paid for,
/// at least in part, are worth in each shop.
pub(crate) struct Books(BTreeMap<String, Decimal>);

impl Books {
    pub(crate) fn read(client: &mut Client) -> Result<Self> {
        let rows = client.query(
            "SELECT shop_id::text, sum(amount) FILTER
                 (WHERE payment_status IN ('paid', 'partial_refund'))
             FROM orders GROUP BY shop_id",
            &[],
        )?;
        let worth = |row: &Row| row.get::<_, Option<Decimal>>(1).unwrap_or_default();
        Ok(Self(
            rows.iter().map(|row| (row.get(0), worth(row))).collect(),
        ))
    }

    /// Whether every shop that has orders is told of, and has earned that.
    pub(crate) fn equal(&self, scrape: &Scrape) -> Result<()> {
        let shops = scrape.select("naytife_orders_total").by(["shop_id"]);
        ensure!(shops.len() == self.0.len(), "{shops:?} of {:?}", self.0);
        for (shop, worth) in &self.0 {
            let of = |metric| scrape.select(metric).with("shop_id", shop).sum();
            let earned = of("naytife_revenue_total") - of("naytife_revenue_refunded_total");
            let expected = major(*worth);
            ensure!(
                (earned - expected).abs() < 0.005,
                "shop {shop} earned {earned}, its orders are worth {expected}"
            );
        }
        Ok(())
    }
}

/// Whether a sum of money is this one, to the cent.
fn costs(published: &Selection<'_>, stored: Decimal) -> Result<()> {
    let expected = major(stored);
    ensure!(
        (published.sum() - expected).abs() < 0.005,
        "expected {expected}, found {}:\n{published}",
        published.sum()
    );
    Ok(())
}

/// The platform stores minor units in a column for major ones.
fn major(stored: Decimal) -> f64 {
    (stored / Decimal::ONE_HUNDRED).to_f64().unwrap_or(f64::NAN)
}
