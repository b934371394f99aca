//! The statements of the stories, as they are sent and as they are answered.

use super::script::Act;
use super::wire;

#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) shop: u8,
    pub(super) amount: u32,
    pub(super) status: &'static str,
    pub(super) payment: &'static str,
}

/// A statement as it is sent.
#[derive(Clone, Debug)]
pub(super) enum Sql {
    Begin,
    Act(Act),
    Commit,
    CommitAndChain,
    Rollback,
    RollbackAndChain,
    Prepare(String),
}

/// A tag, and the row before it.
pub(super) struct Answer {
    pub(super) tag: String,
    pub(super) row: Option<Vec<String>>,
}

impl Answer {
    /// Whether it has a row that is fetched.
    pub(super) fn is_fetched(&self) -> bool {
        // The UPDATE with parameters returns nothing.
        let returns = !self.tag.starts_with("UPDATE");
        returns && self.row.as_ref().is_some_and(|row| !row.is_empty())
    }
}

const COLUMNS: [&str; 6] = [
    "shop_id",
    "order_id",
    "status",
    "payment_status",
    "amount",
    "payment_method",
];

/// Where a payment leads that makes sense to a shop, or where it is.
pub(super) fn next(order: &Order, to: u8) -> (&'static str, &'static str) {
    match (order.payment, to % 3) {
        ("pending", 0) | ("failed", 1) => ("processing", "paid"),
        ("pending", 1) => ("cancelled", "failed"),
        ("paid" | "partial_refund", 0) => ("refunded", "refunded"),
        ("paid", 1) => ("completed", "partial_refund"),
        _ => (order.status, order.payment),
    }
}

pub(super) fn returned(tag: &str, order: Option<&Order>) -> Answer {
    Answer {
        tag: format!("{tag} {}", u8::from(order.is_some())),
        row: Some(order.map_or_else(Vec::new, cells)),
    }
}

fn cells(order: &Order) -> Vec<String> {
    vec![
        order.shop.to_string(),
        order.number.to_string(),
        order.status.to_owned(),
        order.payment.to_owned(),
        amount(order),
        "paystack".to_owned(),
    ]
}

fn amount(order: &Order) -> String {
    format!("{}.{:02}", order.amount / 100, order.amount % 100)
}

/// The answer, with the tag or, where no end is told yet, without.
pub(super) fn written(answer: &Answer, parameters: bool, suspends: bool) -> Vec<u8> {
    let mut bytes = if parameters {
        wire::bound()
    } else {
        Vec::new()
    };
    match &answer.row {
        // It returns nothing.
        Some(_) if answer.tag.starts_with("UPDATE") && parameters => {
            bytes.extend(wire::no_data());
        }
        Some(row) => {
            bytes.extend(wire::described(&COLUMNS));
            if !row.is_empty() {
                bytes.extend(wire::row(row));
            }
        }
        None if parameters => bytes.extend(wire::no_data()),
        None => {}
    }
    bytes.extend(if suspends {
        wire::suspended()
    } else {
        wire::tag(&answer.tag)
    });
    bytes
}

/// A statement's text, and the values of its parameters.
pub(super) fn text(
    statement: &Sql,
    order: Option<&Order>,
    parameters: bool,
) -> (String, Vec<String>) {
    let plain = |text: &str| (text.to_owned(), Vec::new());
    match statement {
        Sql::Begin => plain("BEGIN"),
        Sql::Commit => plain("COMMIT"),
        Sql::CommitAndChain => plain("COMMIT AND CHAIN"),
        Sql::Rollback => plain("rollback"),
        Sql::RollbackAndChain => plain("ROLLBACK AND CHAIN"),
        Sql::Prepare(id) => plain(&format!("PREPARE TRANSACTION '{id}'")),
        Sql::Act(Act::Savepoint(name)) => plain(&format!("SAVEPOINT s{name}")),
        Sql::Act(Act::RollbackTo(name)) => plain(&format!("ROLLBACK TO s{name}")),
        Sql::Act(Act::Release(name)) => plain(&format!("RELEASE SAVEPOINT s{name}")),
        Sql::Act(Act::Fail) => plain("SELECT 1/0"),
        Sql::Act(Act::Create { .. }) => {
            named("CreateOrder", "INSERT INTO orders", order, parameters)
        }
        Sql::Act(Act::Show { .. }) => named("GetOrder", "SELECT * FROM orders", order, parameters),
        Sql::Act(Act::Pay { .. }) if parameters => {
            let (text, _) = named("UpdateOrder", "UPDATE orders", order, true);
            let mut values = vec![String::new(); 17];
            if let Some(order) = order {
                values[0] = order.status.to_owned();
                values[1] = amount(order);
                values[6] = "paystack".to_owned();
                values[7] = order.payment.to_owned();
                values[15] = order.number.to_string();
                values[16] = order.shop.to_string();
            }
            (text, values)
        }
        Sql::Act(Act::Pay { .. }) => {
            let name = "UpdateOrderStatusByTransactionID";
            named(name, "UPDATE orders", order, parameters)
        }
    }
}

fn named(
    name: &str,
    statement: &str,
    order: Option<&Order>,
    parameters: bool,
) -> (String, Vec<String>) {
    let values = order.map_or_else(Vec::new, cells);
    let shown = if parameters {
        "$1, $2, $3, $4, $5, $6".to_owned()
    } else {
        format!("'{}'", values.join("', '"))
    };
    (
        format!("-- name: {name} :one\n{statement} ({shown})"),
        values,
    )
}
