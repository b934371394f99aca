//! Somebody who keeps shops: stocks products, changes and deletes them, and changes their mind.

use anyhow::{Context as _, Result};
use fastrand::Rng;
use postgres::types::{ToSql, Type};
use postgres::{Client, Row};
use uuid::Uuid;

use crate::sql;

macro_rules! statements {
    ($($name:ident $title:literal $text:literal;)*) => {
        $(const $name: &str = concat!("-- name: ", $title, "\n", $text);)*
    };
}

// What the platform has beside the statements of the shop.
statements! {
    CREATE_SHOP "CreateShop :one"
        "INSERT INTO shops (owner_id, title, subdomain) SELECT user_id, 'Kept', $1 FROM users LIMIT 1 RETURNING *";
    UPDATE_SHOP "UpdateShop :one"
        "UPDATE shops SET status = coalesce($1, status) WHERE shop_id = $2 RETURNING *";
    DELETE_SHOP "DeleteShop :exec" "DELETE FROM shops WHERE shop_id = $1";
    CREATE_PRODUCT "CreateProduct :one"
        "INSERT INTO products (title, description, shop_id) VALUES ('Cup', 'a cup', $1) RETURNING *";
    DELETE_PRODUCT "DeleteProduct :exec"
        "DELETE FROM products WHERE product_id = $1 AND shop_id = $2 RETURNING *";
    CREATE_VARIATION "CreateProductVariation :one"
        "INSERT INTO product_variations (sku, description, price, available_quantity, product_id, shop_id)\nVALUES (gen_random_uuid()::text, 'one', 4.99, $1, $2, $3) RETURNING *";
    UPDATE_VARIATION "UpdateProductVariation :one"
        "UPDATE product_variations SET available_quantity = coalesce($1, available_quantity)\nWHERE product_variation_id = $2 AND shop_id = $3 RETURNING *";
    DELETE_VARIATIONS "DeleteProductVariants :exec"
        "DELETE FROM product_variations WHERE shop_id = $1 AND product_id = $2\nAND product_variation_id != ALL($3::bigint[])";
    CREATE_DEPLOYMENT "CreateDeployment :one"
        "INSERT INTO shop_deployments (shop_id) VALUES ($1) RETURNING *";
    UPDATE_DEPLOYMENT "UpdateDeploymentStatus :exec"
        "UPDATE shop_deployments SET status = $2, message = $3 WHERE deployment_id = $1";
}

/// What the statements write to and the shop's schema lacks; what happened, as triggers wrote it in
/// the same transaction.
pub(crate) const SCHEMA: &str = "
CREATE TABLE shop_deployments (
    deployment_id bigserial PRIMARY KEY,
    shop_id bigint NOT NULL REFERENCES shops ON DELETE CASCADE,
    status varchar(50) NOT NULL DEFAULT 'deploying',
    message text
);
CREATE TABLE happened (what text NOT NULL, shop_id bigint NOT NULL, label text NOT NULL);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO happened VALUES ('customer deleted', OLD.shop_id, '');
    ELSIF TG_TABLE_NAME = 'shop_customers' THEN
        INSERT INTO happened VALUES ('customer registered', NEW.shop_id, '');
    ELSIF TG_TABLE_NAME = 'stock_movements' THEN
        INSERT INTO happened VALUES ('movement', NEW.shop_id, NEW.movement_type);
    ELSIF TG_OP = 'INSERT' OR NEW.status <> OLD.status THEN
        INSERT INTO happened VALUES ('deployment', NEW.shop_id, NEW.status);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR DELETE ON shop_customers FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT ON stock_movements FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT OR UPDATE ON shop_deployments FOR EACH ROW EXECUTE FUNCTION note();
";

const STATUS: [&str; 4] = ["DRAFT", "PUBLISHED", "ARCHIVED", "SUSPENDED"];
const MOVEMENTS: [&str; 5] = ["adjustment", "purchase", "damage", "transfer", "sale"];

/// A parameter, with its type: a pooler in transaction mode takes unnamed statements only.
type Given<'a> = (&'a (dyn ToSql + Sync), Type);

/// A product: its shop, its number, its variations.
type Product = (i64, i64, Vec<i64>);

/// What they keep; as it was when they began what they may change their mind about.
#[derive(Clone, Default)]
struct Stock {
    shops: Vec<i64>,
    products: Vec<Product>,
}

pub(crate) struct Keeper {
    random: Rng,
    client: Client,
    stock: Stock,
    /// Never deleted: the customers are theirs.
    home: i64,
    customers: Vec<(Uuid, String)>,
}

impl Keeper {
    pub(crate) fn new(seed: u64, client: Client) -> Result<Self> {
        let mut keeper = Self {
            random: Rng::with_seed(seed),
            client,
            stock: Stock::default(),
            home: 0,
            customers: Vec::new(),
        };
        keeper.home = keeper.shop()?;
        keeper.stock.shops.push(keeper.home);
        Ok(keeper)
    }

    /// Some things in one transaction, which ends in one way or the other; or one by itself.
    pub(crate) fn round(&mut self) -> Result<()> {
        if self.random.bool() {
            return self.act();
        }
        let before = self.stock.clone();
        self.client.batch_execute("begin")?;
        for _ in 0..self.random.usize(1..4) {
            self.act()?;
        }
        if self.random.u32(0..3) > 0 {
            return Ok(self.client.batch_execute("commit")?);
        }
        self.stock = before;
        Ok(self.client.batch_execute("rollback")?)
    }

    /// Things that no transaction is around.
    pub(crate) fn visit(&mut self) -> Result<()> {
        match self.random.u32(0..4) {
            0 | 1 => self.customer(),
            2 => self.leave(),
            _ => self.deploy(),
        }
    }

    fn act(&mut self) -> Result<()> {
        match self.random.u32(0..16) {
            0 => self.shop().map(|shop| self.stock.shops.push(shop)),
            1..=4 => self.product(),
            5..=9 => self.move_stock(),
            10 | 11 => self.rewrite(),
            12 => self.delete_product(),
            13 | 14 => self.status(),
            _ => self.delete_shop(),
        }
    }

    fn ask(&mut self, text: &str, parameters: &[Given<'_>]) -> Result<Vec<Row>> {
        Ok(self.client.query_typed(text, parameters)?)
    }

    fn number(&mut self, text: &str, parameters: &[Given<'_>], column: &str) -> Result<i64> {
        let row = self.ask(text, parameters)?.pop().context("no row")?;
        Ok(row.try_get(column)?)
    }

    fn shop(&mut self) -> Result<i64> {
        let subdomain = Uuid::from_u128(self.random.u128(..)).to_string();
        self.number(CREATE_SHOP, &[(&subdomain, Type::VARCHAR)], "shop_id")
    }

    fn any_shop(&mut self) -> i64 {
        self.random
            .choice(&self.stock.shops)
            .copied()
            .unwrap_or(self.home)
    }

    /// Takes one out, if there is any.
    fn any_product(&mut self) -> Option<Product> {
        let count = self.stock.products.len();
        (count > 0).then(|| self.stock.products.swap_remove(self.random.usize(..count)))
    }

    fn variation(&mut self, shop: i64, product: i64) -> Result<i64> {
        let available = self.random.i64(0..25);
        let column = "product_variation_id";
        self.number(
            CREATE_VARIATION,
            &[
                (&available, Type::INT8),
                (&product, Type::INT8),
                (&shop, Type::INT8),
            ],
            column,
        )
    }

    fn product(&mut self) -> Result<()> {
        let shop = self.any_shop();
        let product = self.number(CREATE_PRODUCT, &[(&shop, Type::INT8)], "product_id")?;
        let count = self.random.usize(0..4);
        let variations: Result<Vec<i64>> =
            (0..count).map(|_| self.variation(shop, product)).collect();
        self.stock.products.push((shop, product, variations?));
        Ok(())
    }

    fn move_stock(&mut self) -> Result<()> {
        let Some(product) = self.any_product() else {
            return Ok(());
        };
        if let Some(variation) = self.random.choice(&product.2).copied() {
            let amount = self.random.i64(0..20);
            let how = [sql::UPDATE_STOCK, sql::ADD_STOCK, sql::DEDUCT_STOCK];
            let how = self.random.choice(how).context("nothing to do")?;
            self.ask(
                how,
                &[
                    (&variation, Type::INT8),
                    (&product.0, Type::INT8),
                    (&amount, Type::INT8),
                ],
            )?;
            let of = self.random.choice(MOVEMENTS).context("no movement")?;
            let [change, none] = [1_i32, 0];
            let (reference, notes): (Option<i64>, _) = (None, "counted");
            self.ask(
                sql::CREATE_MOVEMENT,
                &[
                    (&variation, Type::INT8),
                    (&product.0, Type::INT8),
                    (&of, Type::VARCHAR),
                    (&change, Type::INT4),
                    (&none, Type::INT4),
                    (&change, Type::INT4),
                    (&reference, Type::INT8),
                    (&notes, Type::TEXT),
                ],
            )?;
        }
        self.stock.products.push(product);
        Ok(())
    }

    /// As the platform updates a product: some variations change, one is new, the rest goes.
    fn rewrite(&mut self) -> Result<()> {
        let Some((shop, product, variations)) = self.any_product() else {
            return Ok(());
        };
        let mut kept = vec![self.variation(shop, product)?];
        for variation in variations {
            if self.random.bool() {
                let available = self.random.bool().then(|| self.random.i64(0..25));
                self.ask(
                    UPDATE_VARIATION,
                    &[
                        (&available, Type::INT8),
                        (&variation, Type::INT8),
                        (&shop, Type::INT8),
                    ],
                )?;
                kept.push(variation);
            }
        }
        self.ask(
            DELETE_VARIATIONS,
            &[
                (&shop, Type::INT8),
                (&product, Type::INT8),
                (&kept, Type::INT8_ARRAY),
            ],
        )?;
        self.stock.products.push((shop, product, kept));
        Ok(())
    }

    fn delete_product(&mut self) -> Result<()> {
        if let Some((shop, product, _)) = self.any_product() {
            self.ask(
                DELETE_PRODUCT,
                &[(&product, Type::INT8), (&shop, Type::INT8)],
            )?;
            // Once more, and nothing happens.
            self.ask(
                DELETE_PRODUCT,
                &[(&product, Type::INT8), (&shop, Type::INT8)],
            )?;
        }
        Ok(())
    }

    fn status(&mut self) -> Result<()> {
        let status = self.random.choice(STATUS).context("no status")?;
        let shop = self.any_shop();
        self.ask(
            UPDATE_SHOP,
            &[(&status, Type::VARCHAR), (&shop, Type::INT8)],
        )?;
        Ok(())
    }

    fn delete_shop(&mut self) -> Result<()> {
        let shop = self.any_shop();
        if shop != self.home {
            self.ask(DELETE_SHOP, &[(&shop, Type::INT8)])?;
            self.stock.shops.retain(|kept| *kept != shop);
            self.stock.products.retain(|product| product.0 != shop);
        }
        Ok(())
    }

    /// Somebody registers, or comes back.
    fn customer(&mut self) -> Result<()> {
        let known = self
            .random
            .choice(&self.customers)
            .filter(|_| self.random.bool());
        let email = match known {
            Some((_, email)) => email.clone(),
            None => format!("{}@example.com", self.random.u64(..)),
        };
        let nothing: Option<String> = None;
        let home = self.home;
        let given: [Given<'_>; 8] = [
            (&email, Type::VARCHAR),
            (&"name", Type::VARCHAR),
            (&nothing, Type::VARCHAR),
            (&nothing, Type::VARCHAR),
            (&true, Type::BOOL),
            (&nothing, Type::VARCHAR),
            (&nothing, Type::VARCHAR),
            (&home, Type::INT8),
        ];
        let row = self
            .ask(sql::UPSERT_CUSTOMER, &given)?
            .pop()
            .context("no row")?;
        let customer = (row.get("shop_customer_id"), email);
        if !self.customers.contains(&customer) {
            self.customers.push(customer);
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        if let Some((customer, _)) = self.customers.pop() {
            let home = self.home;
            for _ in 0..2 {
                self.ask(
                    sql::DELETE_CUSTOMER,
                    &[(&customer, Type::UUID), (&home, Type::INT8)],
                )?;
            }
        }
        Ok(())
    }

    fn deploy(&mut self) -> Result<()> {
        let home = self.home;
        let deployment = self.number(CREATE_DEPLOYMENT, &[(&home, Type::INT8)], "deployment_id")?;
        if self.random.bool() {
            self.ask(
                UPDATE_DEPLOYMENT,
                &[
                    (&deployment, Type::INT8),
                    (&"failed", Type::VARCHAR),
                    (&"it broke", Type::TEXT),
                ],
            )?;
        }
        Ok(())
    }
}
