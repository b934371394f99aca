//! What is on the shelves by the tables themselves, and what happened by their triggers.

use std::collections::BTreeMap;
use std::fmt::Debug;

use anyhow::{Result, ensure};
use observer_tests::scrape::{Scrape, Selection};
use postgres::Client;

const LEVELS: &str = "naytife_inventory_levels";
/// Without the shops that were there before anybody looked.
const SEEN: &str = "shop_id > 5";

/// Figures by label values.
type Figures<const N: usize> = BTreeMap<[String; N], f64>;

pub(crate) struct Shelves {
    /// By shop and product.
    levels: Figures<2>,
    low: Figures<1>,
    shops: Figures<1>,
    /// By what, shop and label.
    happened: Figures<3>,
}

fn read<const N: usize>(client: &mut Client, query: &str) -> Result<Figures<N>> {
    let rows = client.query(&query.replace("SEEN", SEEN), &[])?;
    let figures = rows.iter().map(|row| {
        let labels = std::array::from_fn(|place| row.get(place));
        let count: i64 = row.get(N);
        #[expect(clippy::cast_precision_loss, reason = "there are hundreds")]
        (labels, count as f64)
    });
    Ok(figures.collect())
}

impl Shelves {
    pub(crate) fn read(client: &mut Client) -> Result<Self> {
        Ok(Self {
            levels: read(
                client,
                "SELECT shop_id::text, product_id::text, sum(available_quantity)::bigint
                 FROM product_variations WHERE SEEN GROUP BY 1, 2",
            )?,
            low: read(
                client,
                "SELECT shop_id::text, count(*) FILTER (WHERE available_quantity <= 10)
                 FROM product_variations WHERE SEEN GROUP BY 1",
            )?,
            shops: read(
                client,
                "SELECT lower(status), count(*) FROM shops WHERE SEEN GROUP BY 1",
            )?,
            happened: read(
                client,
                "SELECT what, shop_id::text, label, count(*) FROM happened GROUP BY 1, 2, 3",
            )?,
        })
    }

    /// Products whose variations have some stock or none.
    pub(crate) fn products(&self) -> usize {
        self.levels.len()
    }

    /// Whether every gauge and counter is what the database says, and no series is too many.
    pub(crate) fn equals(&self, scrape: &Scrape) -> Result<()> {
        let levels = scrape.select(LEVELS);
        same(&levels, &levels.by(["shop_id", "product_id"]), &self.levels)?;
        let low = scrape.select("naytife_inventory_low_stock_variations");
        same(&low, &low.by(["shop_id"]), &self.low)?;
        // No shop of a status is a figure, too.
        let shops = scrape.select("naytife_shops");
        let mut by_status = shops.by(["status"]);
        by_status.retain(|_, count| *count > 0.0);
        same(&shops, &by_status, &self.shops)?;
        let active = scrape.select("naytife_shops_active_total");
        let published = self.shops.get(&["published".to_owned()]);
        let expected = BTreeMap::from([([], published.copied().unwrap_or(0.0))]);
        same(&active, &active.by([]), &expected)?;
        for (what, metric, label) in [
            ("movement", "naytife_stock_movements_total", "type"),
            ("deployment", "naytife_deployments_total", "status"),
            (
                "customer registered",
                "naytife_customers_registered_total",
                "",
            ),
            ("customer deleted", "naytife_customers_deleted_total", ""),
        ] {
            let told = scrape.select(metric);
            let mut expected = Figures::new();
            for ([happened, shop, label], count) in &self.happened {
                if happened == what {
                    expected.insert([shop.clone(), label.clone()], *count);
                }
            }
            ensure!(!expected.is_empty(), "no {what}");
            same(&told, &told.by(["shop_id", label]), &expected)?;
        }
        Ok(())
    }

    /// Whether the lowest so many products have series of their own, and the rest is summed up by
    /// shop.
    pub(crate) fn are_folded(&self, scrape: &Scrape, lowest: usize) -> Result<()> {
        let levels = scrape.select(LEVELS);
        let own = levels.clone().without("product_id", "_other");
        let own_levels = own.by(["shop_id", "product_id"]);
        for (product, level) in &own_levels {
            ensure!(
                self.levels.get(product) == Some(level),
                "{product:?}:\n{own}"
            );
        }
        let mut sorted: Vec<f64> = self.levels.values().copied().collect();
        sorted.sort_by(f64::total_cmp);
        sorted.truncate(lowest);
        let mut shown: Vec<f64> = own_levels.into_values().collect();
        shown.sort_by(f64::total_cmp);
        ensure!(shown == sorted, "{shown:?} instead of {sorted:?}");
        let mut by_shop = Figures::<1>::new();
        for ([shop, _], level) in &self.levels {
            *by_shop.entry([shop.clone()]).or_default() += level;
        }
        same(&levels, &levels.by(["shop_id"]), &by_shop)
    }
}

fn same<K: Ord + Debug>(
    told: &Selection<'_>,
    figures: &BTreeMap<K, f64>,
    expected: &BTreeMap<K, f64>,
) -> Result<()> {
    ensure!(figures == expected, "expected {expected:?}, found:\n{told}");
    Ok(())
}
