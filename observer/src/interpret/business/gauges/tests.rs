//! Whatever comes and goes, the series are those that adding up and sorting gives.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::interpret::business::program::Values;
use crate::interpret::business::value::Type;
use crate::interpret::rules::business::{Condition, Range};

const SHOP: usize = 0;
const PRODUCT: usize = 1;
const AVAILABLE: usize = 2;

/// Gauges of variations in shops, and what a scrape would show of them.
struct Shelf {
    program: Program,
    gauges: Gauges,
    symbols: Symbols,
    known: BTreeMap<i64, Known>,
    arrived: BTreeMap<[i64; 2], usize>,
    shown: BTreeMap<String, f64>,
}

fn gauge(metric: Metric, by: By, lowest: Option<u32>, labels: &[usize]) -> Moves {
    Moves {
        on: On::Remembered,
        from: Vec::new(),
        to: Vec::new(),
        only: Vec::new(),
        metric,
        by,
        lowest,
        labels: labels.iter().copied().map(Label::Own).collect(),
    }
}

/// Stock by product, the lowest ones apart.
fn levels(lowest: u32) -> Moves {
    let by = By::Field(AVAILABLE);
    gauge(Metric::InventoryLevels, by, Some(lowest), &[SHOP, PRODUCT])
}

/// Variations of a shop of which at most one is there.
fn low() -> Moves {
    let condition = Condition::Range(Range {
        at_least: None,
        at_most: Some(1),
    });
    Moves {
        only: vec![(AVAILABLE, condition)],
        ..gauge(Metric::LowStock, By::One, None, &[SHOP])
    }
}

impl Shelf {
    fn new(effects: Vec<Moves>, label_values: usize) -> Self {
        let names = ["shop", "product", "available"];
        let mut program = Program::default();
        program.entities.push(Entity {
            shown: Vec::new(),
            name: "product".to_owned(),
            types: vec![Type::Integer; names.len()],
            fields: names.map(str::to_owned).to_vec(),
            key: vec![SHOP],
            effects,
        });
        Self {
            gauges: Gauges::new(&program),
            program,
            symbols: Symbols::new(label_values),
            known: BTreeMap::new(),
            arrived: BTreeMap::new(),
            shown: BTreeMap::new(),
        }
    }

    fn with(&mut self, run: impl FnOnce(&mut Gauges, &Program, &mut Context<'_>)) {
        let mut facts = Vec::new();
        let mut out = |fact| facts.push(fact);
        let mut context = Context::aside(&mut self.symbols, &mut out);
        run(&mut self.gauges, &self.program, &mut context);
        for fact in facts {
            let labels: Vec<&str> = fact
                .labels
                .iter()
                .map(|label| self.symbols.value(*label))
                .collect();
            let series = format!("{} {}", fact.metric.row().name, labels.join(" "));
            *self.shown.entry(series.clone()).or_default() += fact.value;
            if fact.ends {
                assert_eq!(self.shown.remove(&series), Some(0.0), "{series}");
            }
        }
        self.symbols.recorded();
    }

    /// A variation has so much of a product in a shop, or is gone.
    fn set(&mut self, variation: i64, what: Option<[i64; 3]>) {
        let after = what.map(|what| Known {
            values: what
                .map(|value| Some(Datum::Integer(value)))
                .into_iter()
                .collect::<Values>(),
            ..Known::default()
        });
        let before = match &after {
            Some(after) => self.known.insert(variation, after.clone()),
            None => self.known.remove(&variation),
        };
        self.with(|gauges, program, context| {
            gauges.weigh(program, 0, before.as_ref(), after.as_ref(), context);
        });
        // Which product was there first.
        let there: Vec<[i64; 2]> = self.stock().into_keys().collect();
        self.arrived.retain(|product, _| there.contains(product));
        let next = self.arrived.values().max().map_or(0, |last| last + 1);
        for product in there {
            self.arrived.entry(product).or_insert(next);
        }
    }

    /// Variations' quantities by product.
    fn stock(&self) -> BTreeMap<[i64; 2], i64> {
        let mut stock = BTreeMap::new();
        for known in self.known.values() {
            let [shop, product, available] =
                [SHOP, PRODUCT, AVAILABLE].map(|place| match known.values[place] {
                    Some(Datum::Integer(value)) => value,
                    _ => panic!("a test knows every value"),
                });
            *stock.entry([shop, product]).or_default() += available;
        }
        stock
    }

    fn levels(&self, limit: usize) -> BTreeMap<String, f64> {
        let mut sorted: Vec<([i64; 2], i64)> = self.stock().into_iter().collect();
        sorted.sort_by_key(|(product, sum)| (*sum, self.arrived[product]));
        let mut levels = BTreeMap::new();
        for (rank, ([shop, product], sum)) in sorted.into_iter().enumerate() {
            let product = if rank < limit {
                product.to_string()
            } else {
                "_other".to_owned()
            };
            let series = format!("naytife_inventory_levels {shop} {product}");
            *levels.entry(series).or_default() += float(sum);
        }
        levels
    }
}

fn float(sum: i64) -> f64 {
    f64::from(i32::try_from(sum).unwrap())
}

fn one(series: &str, value: f64) -> BTreeMap<String, f64> {
    [(series.to_owned(), value)].into()
}

proptest! {
    #[test]
    fn the_lowest_have_series_and_the_rest_is_summed_up(
        limit in 0_u32..6,
        changes in proptest::collection::vec(
            (0_i64..12, proptest::option::of([0_i64..3, 0_i64..4, 0_i64..5])), 1..80),
    ) {
        let mut shelf = Shelf::new(vec![levels(limit)], 1000);
        for (variation, what) in changes {
            shelf.set(variation, what);
            let levels = shelf.levels(limit as usize);
            prop_assert_eq!(&shelf.shown, &levels);
        }
        // Three values of the table's own, three shops, and what is lent now.
        prop_assert!(shelf.symbols.stored() <= 6 + limit as usize);
    }

    #[test]
    fn without_room_for_label_values_the_sum_of_all_is_right(
        label_values in 3_usize..8,
        changes in proptest::collection::vec(
            (0_i64..12, proptest::option::of([0_i64..3, 0_i64..4, 0_i64..5])), 1..80),
    ) {
        let mut shelf = Shelf::new(vec![levels(4)], label_values);
        for (variation, what) in changes {
            shelf.set(variation, what);
            let sum: i64 = shelf.stock().values().sum();
            let shown = shelf.shown.values().sum::<f64>();
            prop_assert!((shown - float(sum)).abs() < 0.5, "{} {}", shown, sum);
        }
        prop_assert!(shelf.symbols.stored() <= label_values);
    }
}

#[test]
fn what_is_out_of_stock_is_0_and_what_is_gone_is_not_there() {
    let mut shelf = Shelf::new(vec![levels(5)], 100);
    shelf.set(1, Some([7, 5, 0]));
    assert_eq!(shelf.shown, one("naytife_inventory_levels 7 5", 0.0));
    shelf.set(1, None);
    assert!(shelf.shown.is_empty());
}

#[test]
fn that_none_of_a_shops_variations_is_low_is_known_until_the_last_is_gone() {
    let mut shelf = Shelf::new(vec![low()], 100);
    shelf.set(1, Some([7, 5, 9]));
    assert_eq!(
        shelf.shown,
        one("naytife_inventory_low_stock_variations 7", 0.0)
    );
    shelf.set(2, Some([7, 5, 1]));
    assert_eq!(
        shelf.shown,
        one("naytife_inventory_low_stock_variations 7", 1.0)
    );
    shelf.set(2, None);
    assert_eq!(
        shelf.shown,
        one("naytife_inventory_low_stock_variations 7", 0.0)
    );
    shelf.set(1, None);
    assert!(shelf.shown.is_empty());
}

#[test]
fn a_count_by_anything_but_the_key_stays_at_0() {
    let by_product = gauge(Metric::LowStock, By::One, None, &[PRODUCT]);
    let mut shelf = Shelf::new(vec![by_product], 100);
    shelf.set(1, Some([7, 5, 9]));
    shelf.set(1, None);
    assert_eq!(
        shelf.shown,
        one("naytife_inventory_low_stock_variations 5", 0.0)
    );
}

#[test]
fn with_other_rules_every_series_of_a_product_ends() {
    let mut shelf = Shelf::new(vec![levels(2)], 100);
    for product in 0..5 {
        shelf.set(product, Some([7, product, 9]));
    }
    assert_eq!(shelf.shown.len(), 3);
    shelf.with(|gauges, program, context| {
        std::mem::replace(gauges, Gauges::new(program)).end(context);
    });
    assert!(shelf.shown.is_empty());
}

#[test]
fn a_label_is_shown_as_it_is_written_everywhere() {
    let mut shelf = Shelf::new(vec![levels(2)], 100);
    let known = |product: Option<&str>| Known {
        values: [
            Some(Datum::Integer(7)),
            product.map(|text| Datum::Text(text.into())),
            Some(Datum::Integer(1)),
        ]
        .into_iter()
        .collect(),
        ..Known::default()
    };
    for one in [
        known(Some("Cup")),
        known(Some("CUP")),
        known(None),
        known(Some("unknown")),
    ] {
        shelf.with(|gauges, program, context| gauges.weigh(program, 0, None, Some(&one), context));
    }
    assert_eq!(
        shelf.shown.into_iter().collect::<Vec<_>>(),
        [
            ("naytife_inventory_levels 7 cup".to_owned(), 2.0),
            ("naytife_inventory_levels 7 unknown".to_owned(), 2.0)
        ]
    );
}
