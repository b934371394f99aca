//! The platform's statements about orders, as its driver sends them or with the values in the text.

use anyhow::{Context as _, Result};
use postgres::types::{ToSql, Type};
use postgres::{Client, Row};
use rust_decimal::Decimal;

use crate::sql;
use crate::wire;

type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// An order that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) shop: i64,
    pub(crate) transaction: String,
    pub(crate) provider: &'static str,
    pub(crate) amount: Decimal,
}

/// One that was made, and may yet be rolled back.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) number: i64,
    pub(crate) shop: i64,
    pub(crate) transaction: String,
}

impl New {
    /// Makes it.
    pub(crate) fn insert(self, client: &mut Client) -> Result<Made> {
        let nothing: Option<String> = None;
        let nobody: Option<uuid::Uuid> = None;
        let values: [Value<'_>; 17] = [
            (&"pending", Type::TEXT),
            (&self.amount, Type::NUMERIC),
            (&Decimal::ZERO, Type::NUMERIC),
            (&Decimal::ZERO, Type::NUMERIC),
            (&Decimal::ZERO, Type::NUMERIC),
            (&"1 Long Street", Type::TEXT),
            (&self.provider, Type::TEXT),
            (&"pending", Type::TEXT),
            (&"courier", Type::VARCHAR),
            (&"pending", Type::TEXT),
            (&self.transaction, Type::TEXT),
            (&"guest", Type::VARCHAR),
            (&nobody, Type::UUID),
            (&self.shop, Type::INT8),
            (&"Jo Customer", Type::VARCHAR),
            (&nothing, Type::VARCHAR),
            (&nothing, Type::VARCHAR),
        ];
        let rows = client.query_typed(sql::CREATE_ORDER, &values)?;
        let row = rows.first().context("no order came back")?;
        Ok(Made {
            number: row.get("order_id"),
            shop: self.shop,
            transaction: self.transaction,
        })
    }

    /// The same statement with its values in the text.
    pub(crate) fn text(&self) -> String {
        let texts = [
            "1 Long Street",
            self.provider,
            "pending",
            "courier",
            "pending",
        ];
        let mut values = vec!["'pending'".to_owned(), self.amount.to_string()];
        values.extend(["0", "0", "0"].map(str::to_owned));
        values.extend(texts.map(|text| format!("'{text}'")));
        values.push(format!("'{}'", self.transaction));
        values.extend(["'guest'", "NULL"].map(str::to_owned));
        values.push(self.shop.to_string());
        values.extend(["'Jo Customer'", "NULL", "NULL"].map(str::to_owned));
        let mut text = sql::CREATE_ORDER.to_owned();
        // $17 before $1.
        for (number, value) in (1..).zip(&values).collect::<Vec<_>>().into_iter().rev() {
            text = text.replace(&format!("${number}"), value);
        }
        text
    }
}

impl Made {
    /// Gives it an item; fails where there is no such variation.
    pub(crate) fn item(&self, client: &mut Client, variation: i64) -> Result<()> {
        let values: [Value<'_>; 5] = [
            (&1_i64, Type::INT8),
            (&Decimal::ONE, Type::NUMERIC),
            (&variation, Type::INT8),
            (&self.number, Type::INT8),
            (&self.shop, Type::INT8),
        ];
        client.query_typed(sql::CREATE_ORDER_ITEM, &values)?;
        Ok(())
    }

    /// Its row, as a webhook reads it.
    pub(crate) fn look(&self, client: &mut Client) -> Result<Option<Row>> {
        let key: [Value<'_>; 2] = [(&self.transaction, Type::TEXT), (&self.shop, Type::INT8)];
        let mut rows = client.query_typed(sql::GET_ORDER_BY_TRANSACTION, &key)?;
        Ok(rows.pop())
    }

    /// What a webhook writes; how many orders that changed.
    pub(crate) fn settle(
        &self,
        client: &mut Client,
        [status, payment]: [&str; 2],
    ) -> Result<usize> {
        let values: [Value<'_>; 4] = [
            (&self.transaction, Type::TEXT),
            (&self.shop, Type::INT8),
            (&status, Type::TEXT),
            (&payment, Type::TEXT),
        ];
        let rows = client.query_typed(sql::UPDATE_ORDER_BY_TRANSACTION, &values)?;
        Ok(rows.len())
    }

    /// Reads the row and writes all of it, with what `change` makes of its status and payment.
    pub(crate) fn rewrite(
        &self,
        client: &mut Client,
        change: impl FnOnce([String; 2]) -> [String; 2],
    ) -> Result<()> {
        let key: [Value<'_>; 2] = [(&self.number, Type::INT8), (&self.shop, Type::INT8)];
        let row = client
            .query_typed(sql::GET_ORDER, &key)?
            .pop()
            .context("the order is gone")?;
        let text = |column| row.get::<_, String>(column);
        let optional = |column| row.get::<_, Option<String>>(column);
        let money = |column| row.get::<_, Decimal>(column);
        let [status, payment] = change([text("status"), text("payment_status")]);
        let values: [Value<'_>; 17] = [
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
            (&self.number, Type::INT8),
            (&self.shop, Type::INT8),
        ];
        client.query_typed(sql::UPDATE_ORDER, &values)?;
        Ok(())
    }
}

/// What tells a shop's currency.
pub(crate) fn look_at_shop(client: &mut Client, shop: i64) -> Result<()> {
    client.query_typed(sql::GET_SHOP, &[(&shop, Type::INT8)])?;
    Ok(())
}

/// Statements by the extended protocol, all sent before the first answer, with one Sync.
pub(crate) fn batch(texts: &[&str]) -> Vec<u8> {
    let mut messages = Vec::new();
    for text in texts {
        messages.extend(wire::parse("", text));
        messages.extend(wire::message(b'B', &[0; 8]));
        messages.extend(wire::message(b'D', b"P\0"));
        messages.extend(wire::message(b'E', &[0; 5]));
    }
    messages.extend(wire::sync());
    messages
}
