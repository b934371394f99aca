#![expect(clippy::float_cmp, reason = "counts are whole numbers, and exact")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use smallvec::smallvec;

use super::*;
use crate::export::Metric;
use crate::export::agent::Agent;
use crate::export::encode::Scrape;

struct Bench {
    recorder: Recorder,
    registry: Arc<Registry>,
    symbols: Symbols,
}

impl Bench {
    fn new(limits: &Limits) -> Self {
        let (recorder, registry) = Recorder::new(limits);
        Self {
            recorder,
            registry,
            symbols: Symbols::new(65_536),
        }
    }

    fn fact(&mut self, metric: Metric, labels: &[&str], value: f64) {
        self.tell(metric, labels, value, false);
    }

    fn tell(&mut self, metric: Metric, labels: &[&str], value: f64, ends: bool) {
        let labels = labels
            .iter()
            .map(|label| self.symbols.intern(label))
            .collect();
        let fact = Fact {
            metric,
            labels,
            value,
            ends,
        };
        self.recorder.record(&fact, &self.symbols);
    }

    fn lookups(&mut self, service: &str, result: &str) {
        self.fact(Metric::RedisLookups, &[service, result], 1.0);
    }

    fn in_flight(&mut self, service: &str, difference: f64) {
        self.fact(Metric::HttpRequestsInFlight, &[service], difference);
    }

    fn tick(&mut self, seconds: u64) {
        self.recorder
            .tick(Timestamp(seconds * 1_000_000_000), &self.symbols);
    }

    fn gone(&mut self, service: &str) {
        let symbol = self.symbols.intern(service);
        self.recorder.forget(symbol);
    }

    /// Every line of the platform's metrics.
    fn lines(&self) -> BTreeMap<String, f64> {
        let scrape = Scrape::new(Arc::clone(&self.registry), Arc::new(Agent::default()));
        let text = String::from_utf8(scrape.flatten().collect()).unwrap();
        let of_the_platform = |line: &&str| CATALOG.iter().any(|row| line.starts_with(row.name));
        let lines = text.lines().filter(of_the_platform);
        let mut all = BTreeMap::new();
        for line in lines {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let before = all.insert(series.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{series} stands twice");
        }
        assert_eq!(all.len(), self.registry.lines());
        all
    }

    fn overflow(&self, metric: Metric) -> u64 {
        let family = self.registry.family(metric).unwrap();
        family.overflow.load(Ordering::Relaxed)
    }
}

fn limits(metric: Metric, lines: usize) -> Limits {
    Limits {
        metrics: BTreeMap::from([(metric.row().name.to_owned(), lines)]),
        ..Limits::default()
    }
}

fn lines<const N: usize>(expected: [(&str, f64); N]) -> BTreeMap<String, f64> {
    expected
        .map(|(series, value)| (series.to_owned(), value))
        .into()
}

#[test]
fn a_fact_is_counted_under_its_labels() {
    let mut bench = Bench::new(&Limits::default());
    bench.lookups("api", "hit");
    bench.lookups("api", "hit");
    bench.lookups("api", "miss");
    assert_eq!(
        bench.lines(),
        lines([
            (
                r#"naytife_redis_lookups_total{service="api",result="hit"}"#,
                2.0
            ),
            (
                r#"naytife_redis_lookups_total{service="api",result="miss"}"#,
                1.0
            ),
        ])
    );
}

#[test]
fn a_histogram_has_a_line_per_bound_and_three_more() {
    let mut bench = Bench::new(&Limits::default());
    let kind = Metric::RedisCommandDuration.row().kind;
    for seconds in [0.0001, 0.3, 11.0] {
        bench.fact(Metric::RedisCommandDuration, &["api", "get"], seconds);
    }
    let all = bench.lines();
    assert_eq!(all.len(), kind.lines());
    let value = |suffix: &str, bound: &str| {
        let series = format!(
            r#"naytife_redis_command_duration_seconds{suffix}{{service="api",command="get"{bound}}}"#
        );
        all[&series]
    };
    assert_eq!(value("_bucket", r#",le="0.0001""#), 1.0);
    assert_eq!(value("_bucket", r#",le="0.2""#), 1.0);
    assert_eq!(value("_bucket", r#",le="0.3""#), 2.0);
    assert_eq!(value("_bucket", r#",le="+Inf""#), 3.0);
    assert_eq!(value("_count", ""), 3.0);
    assert!((value("_sum", "") - 11.3001).abs() < 1e-9);
}

#[test]
fn a_fact_that_contradicts_the_catalog_is_refused_and_counted() {
    let mut bench = Bench::new(&Limits::default());
    bench.fact(Metric::RedisLookups, &["api"], 1.0);
    bench.fact(Metric::RedisLookups, &["api", "hit", "more"], 1.0);
    bench.fact(Metric::RedisLookups, &["api", "hit"], -1.0);
    bench.fact(Metric::RedisCommandWait, &["api"], f64::NAN);
    bench.fact(Metric::HttpRequestsInFlight, &["api"], f64::INFINITY);
    bench.in_flight("api", -1.0);
    assert_eq!(bench.lines(), BTreeMap::new());
    let refused = Refusal::ALL.map(|refusal| bench.registry.refused(refusal));
    assert_eq!(refused, [2, 3, 1]);
}

#[test]
fn past_the_limit_a_measurement_is_counted_once_under_other() {
    // Eight lines: one is set aside for the last label set, seven are for exact ones.
    let mut bench = Bench::new(&limits(Metric::RedisLookups, 8));
    for number in 0..20 {
        bench.lookups(&format!("service{number}"), "hit");
    }
    let all = bench.lines();
    assert_eq!(all.len(), 7);
    assert_eq!(all.values().sum::<f64>(), 20.0);
    assert_eq!(
        all[r#"naytife_redis_lookups_total{service="_other",result="hit"}"#],
        14.0
    );
    assert_eq!(bench.overflow(Metric::RedisLookups), 14);
}

#[test]
fn a_value_that_is_new_to_the_metric_is_folded_first() {
    let mut bench = Bench::new(&limits(Metric::RedisCommands, 16));
    for command in ["get", "set", "del", "incr", "hget", "hset"] {
        for outcome in ["ok", "WRONGTYPE"] {
            bench.fact(Metric::RedisCommands, &["api", command, outcome], 1.0);
        }
    }
    // `command` folds before `outcome`, but only `outcome` is new here.
    bench.fact(Metric::RedisCommands, &["api", "get", "ok"], 1.0);
    bench.fact(Metric::RedisCommands, &["web", "get", "ok"], 1.0);
    bench.fact(Metric::RedisCommands, &["api", "get", "NOAUTH"], 1.0);
    let all = bench.lines();
    let value = |labels: &str| all.get(&format!("naytife_redis_commands_total{{{labels}}}"));
    assert_eq!(
        value(r#"service="api",command="get",outcome="ok""#),
        Some(&2.0)
    );
    assert_eq!(
        value(r#"service="web",command="get",outcome="ok""#),
        Some(&1.0)
    );
    assert_eq!(
        value(r#"service="api",command="get",outcome="_other""#),
        Some(&1.0)
    );
    assert_eq!(bench.overflow(Metric::RedisCommands), 1);
}

#[test]
fn the_total_bounds_what_single_metrics_would_allow() {
    let limits = Limits {
        lines: Limits::least_lines(),
        ..Limits::default()
    };
    let mut bench = Bench::new(&limits);
    for number in 0..10_000 {
        bench.lookups(&format!("service{number}"), "hit");
        bench.fact(
            Metric::RedisCommandWait,
            &[&format!("service{number}")],
            0.1,
        );
    }
    assert!(bench.lines().len() <= limits.lines);
    assert!(bench.registry.lines() <= limits.lines);
}

#[test]
fn a_gauge_that_overflowed_counts_down_where_it_counted_up() {
    let mut bench = Bench::new(&limits(Metric::HttpRequestsInFlight, 3));
    let services = ["a", "b", "c", "d", "e"];
    for service in services {
        bench.in_flight(service, 1.0);
    }
    assert_eq!(bench.lines().values().sum::<f64>(), 5.0);
    // A place becomes free while some are counted elsewhere: they must not move into it.
    bench.in_flight("a", -1.0);
    bench.gone("a");
    bench.tick(1000);
    bench.tick(2000);
    for service in ["b", "c", "d", "e"] {
        bench.in_flight(service, 1.0);
        bench.in_flight(service, -1.0);
        bench.in_flight(service, -1.0);
    }
    assert!(bench.lines().values().all(|value| *value == 0.0));
    assert_eq!(bench.registry.refused(Refusal::Unbalanced), 0);
}

#[test]
fn series_of_a_workload_that_is_gone_are_removed_once_stale() {
    let mut bench = Bench::new(&Limits {
        stale: Duration::from_mins(5),
        ..Limits::default()
    });
    bench.tick(1000);
    bench.lookups("gone", "hit");
    bench.lookups("stays", "hit");
    bench.fact(Metric::TcpConnectionsOpened, &["stays", "gone"], 1.0);
    bench.gone("gone");
    bench.tick(1299);
    assert_eq!(bench.lines().len(), 3);
    // A late fact counts still, and moves the time of its own series only.
    bench.lookups("gone", "hit");
    bench.tick(1400);
    assert_eq!(bench.lines().len(), 2);
    bench.tick(1700);
    let left = r#"naytife_redis_lookups_total{service="stays",result="hit"}"#;
    assert_eq!(bench.lines(), lines([(left, 1.0)]));
    assert!(bench.recorder.gone.is_empty());
    // Who comes back begins at zero, as Prometheus expects.
    bench.lookups("gone", "hit");
    let back = r#"naytife_redis_lookups_total{service="gone",result="hit"}"#;
    assert_eq!(bench.lines(), lines([(left, 1.0), (back, 1.0)]));
}

#[test]
fn a_workload_that_comes_back_in_time_keeps_its_series() {
    let mut bench = Bench::new(&Limits::default());
    bench.lookups("api", "hit");
    bench.gone("api");
    bench.tick(100);
    let api = bench.symbols.intern("api");
    bench.recorder.remember(api);
    bench.tick(10_000);
    assert_eq!(bench.lines().len(), 1);
}

#[test]
fn a_gauge_that_is_not_back_at_zero_stays() {
    let mut bench = Bench::new(&Limits::default());
    bench.in_flight("api", 1.0);
    bench.gone("api");
    bench.tick(10_000);
    assert_eq!(bench.lines().len(), 1);
    bench.in_flight("api", -1.0);
    bench.tick(20_000);
    bench.tick(30_000);
    assert_eq!(bench.lines().len(), 0);
}

#[test]
fn removal_gives_the_room_back() {
    let mut bench = Bench::new(&limits(Metric::RedisLookups, 8));
    for round in 0..10_u64 {
        let services: Vec<String> = (0..6).map(|number| format!("{round}-{number}")).collect();
        for service in &services {
            bench.lookups(service, "hit");
        }
        for service in &services {
            bench.gone(service);
        }
        bench.tick((round + 1) * 1000);
        bench.tick((round + 1) * 1000 + 500);
    }
    assert_eq!(bench.overflow(Metric::RedisLookups), 0);
    assert_eq!(bench.lines().len(), 0);
}

#[test]
fn the_reserved_values_are_never_forgotten() {
    let mut bench = Bench::new(&Limits::default());
    for service in ["", "_other", "unknown"] {
        bench.lookups(service, "hit");
        bench.gone(service);
    }
    bench.tick(10_000);
    assert_eq!(bench.lines().len(), 3);
}

#[test]
fn every_row_of_the_catalog_can_be_recorded() {
    let mut bench = Bench::new(&Limits::default());
    for row in CATALOG {
        let labels = vec!["x"; row.labels.len()];
        bench.fact(row.metric, &labels, 1.0);
    }
    let expected: usize = CATALOG.iter().map(|row| row.kind.lines()).sum();
    assert_eq!(bench.lines().len(), expected);
    assert!(
        Refusal::ALL
            .iter()
            .all(|refusal| bench.registry.refused(*refusal) == 0)
    );
}

proptest! {
    #[test]
    fn nothing_is_lost_and_no_limit_is_passed(
        facts in prop::collection::vec((0_u8..40, 0_u8..12, 0_u8..4, prop::bool::weighted(0.05)), 0..600),
        limit in 1_usize..60,
    ) {
        let mut bench = Bench::new(&limits(Metric::RedisCommands, limit));
        let mut counted = 0.0;
        for (step, (service, command, outcome, gone)) in facts.iter().enumerate() {
            let labels: SmallVec<[String; 3]> = smallvec![
                format!("s{service}"), format!("c{command}"), format!("o{outcome}")
            ];
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            bench.fact(Metric::RedisCommands, &labels, 1.0);
            counted += 1.0;
            if *gone {
                let before: f64 = bench.lines().values().sum();
                bench.gone(&format!("s{service}"));
                bench.tick(step as u64 * 400);
                counted -= before - bench.lines().values().sum::<f64>();
            }
            prop_assert!(bench.registry.lines() <= limit);
        }
        prop_assert_eq!(bench.lines().values().sum::<f64>(), counted);
    }
}

#[test]
fn a_gauge_that_ends_is_not_there_and_gives_its_lines_back() {
    let mut bench = Bench::new(&Limits::default());
    let levels = Metric::InventoryLevels;
    bench.fact(levels, &["7", "5"], 3.0);
    bench.fact(levels, &["7", "6"], 0.0);
    assert_eq!(bench.lines().len(), 2);
    bench.tell(levels, &["7", "5"], -3.0, true);
    bench.tell(levels, &["7", "6"], 0.0, true);
    assert_eq!(bench.lines(), lines([]));
    bench.fact(levels, &["7", "5"], 2.0);
    let again = r#"naytife_inventory_levels{shop_id="7",product_id="5"}"#;
    assert_eq!(bench.lines(), lines([(again, 2.0)]));
}

#[test]
fn a_gauge_that_ends_where_all_are_counted_leaves_the_others_there() {
    let levels = Metric::InventoryLevels;
    let mut bench = Bench::new(&limits(levels, 2));
    let sum = |bench: &Bench| bench.lines().into_values().sum::<f64>();
    for product in ["4", "5", "6"] {
        bench.fact(levels, &["7", product], 3.0);
    }
    bench.fact(levels, &["7", "8"], 0.0);
    let before = bench.lines();
    bench.tell(levels, &["7", "8"], 0.0, true);
    assert_eq!(bench.lines(), before);
    bench.tell(levels, &["7", "6"], -3.0, true);
    assert_eq!(sum(&bench), 6.0);
    for product in ["5", "4"] {
        bench.tell(levels, &["7", product], -3.0, true);
    }
    assert_eq!(sum(&bench), 0.0);
}
