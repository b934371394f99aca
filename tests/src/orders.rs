//! Orders as the database itself knows them: what a trigger writes inside the transactions that
//! make and pay them.

use anyhow::Result;
use postgres::{Client, Config, NoTls};

use crate::account::{Line, Lines};
use crate::scrape::Scrape;

/// One row for each order that is created, becomes paid, or is refunded.
const TRIGGER: &str = "
CREATE TABLE order_events (shop_id bigint NOT NULL, event text NOT NULL, amount numeric NOT NULL);
CREATE FUNCTION note_order() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE held boolean;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO order_events VALUES (NEW.shop_id, 'created', NEW.amount);
        RETURN NULL;
    END IF;
    held := OLD.payment_status::text IN ('paid', 'partial_refund');
    IF NEW.payment_status::text = 'paid' AND NOT held THEN
        INSERT INTO order_events VALUES (NEW.shop_id, 'paid', NEW.amount);
    ELSIF NEW.payment_status::text = 'refunded' AND held THEN
        INSERT INTO order_events VALUES (NEW.shop_id, 'refunded', NEW.amount);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note_order AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note_order();
";

/// Stored amounts are hundredths of the currency's unit.
const EVENTS: &str = "SELECT shop_id::text, event, count(*), sum(amount)::bigint
FROM order_events GROUP BY shop_id, event";

/// What the agent makes of each event.
const COUNTED: [(&str, &str); 3] = [
    ("created", "naytife_orders_value_total"),
    ("paid", "naytife_revenue_total"),
    ("refunded", "naytife_revenue_refunded_total"),
];

/// Tells our statements from the shop's in the statement log.
const NAME: &str = "trigger";

/// From now on the database at `url` notes what happens to orders.
///
/// # Errors
/// Where it has no table of orders.
pub fn note(url: &str) -> Result<()> {
    let mut config: Config = url.parse()?;
    let mut client = config.application_name(NAME).connect(NoTls)?;
    Ok(client.batch_execute(TRIGGER)?)
}

/// Orders and money by shop: what was noted beside what was counted.
///
/// # Errors
/// Where the database does not answer.
pub fn account(client: &mut Client, scrape: &Scrape) -> Result<Vec<Line>> {
    let mut lines = Lines::default();
    for row in client.query(EVENTS, &[])? {
        let (shop, event): (String, String) = (row.get(0), row.get(1));
        let (count, cents): (i64, i64) = (row.get(2), row.get(3));
        if event == "created" {
            lines.sent(orders(&shop), count.try_into()?);
        }
        lines.sent(cents_of(&shop, &event), cents.try_into()?);
    }
    // An order is created as pending, and none becomes so later.
    let created = scrape
        .select("naytife_orders_total")
        .with("status", "pending");
    for ([shop], count) in created.by(["shop_id"]) {
        lines.counted(orders(&shop), count);
    }
    for (event, metric) in COUNTED {
        for ([shop], amount) in scrape.select(metric).by(["shop_id"]) {
            lines.counted(cents_of(&shop, event), (amount * 100.0).round());
        }
    }
    Ok(lines.list())
}

fn orders(shop: &str) -> String {
    format!("shop {shop}: orders")
}

fn cents_of(shop: &str, event: &str) -> String {
    format!("shop {shop}: {event}, in cents")
}
