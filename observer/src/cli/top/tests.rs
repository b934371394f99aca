use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::screen::{draw, text};
use super::sheet::cut;
use super::state::{Flow, State};
use super::*;
use crate::export::status::{
    Command, Durations, Entry, Link, Metric, Query, Route, Shop, Status, Table, Trouble,
};

/// A status `seconds` after the agent's start, of a platform that does the same each second.
fn status(seconds: u32) -> Status {
    let times = u64::from(seconds);
    let mut status = Status {
        format: 1,
        version: "0.1.0".into(),
        start_time_seconds: 1000.0,
        uptime_seconds: f64::from(seconds),
        connections: 12,
        ..Status::default()
    };
    status.rates.seconds = 10.0;
    status.rates.requests = 412.4;
    status.rates.bytes = 3.1e6;
    status.ledger.seen = 1_000_000 * times;
    status.ledger.lost = vec![Entry {
        stage: "kernel".into(),
        reason: "ring_full".into(),
        bytes: 2048 * times,
    }];
    status.ledger.skipped = vec![entry("tls", 4096), entry("other", 0)];
    status.errors = vec![Trouble {
        stage: "http".into(),
        kind: "accept".into(),
        count: 3,
        last_seconds: None,
    }];
    status.series.metrics = vec![Metric {
        name: "naytife_redis_commands_total".into(),
        overflow: 2 * times,
        ..Metric::default()
    }];
    let bounds = vec![0.01, 0.1, 10.0];
    status.tables.bounds.requests.clone_from(&bounds);
    status.tables.bounds.stores.clone_from(&bounds);
    status.tables.bounds.round_trips = bounds;
    let duration = Durations {
        buckets: vec![5 * times, 9 * times, 10 * times, 10 * times],
        ..Durations::default()
    };
    let route = |endpoint: &str, requests: u64, failed: u64| Route {
        service: "shop".into(),
        method: "GET".into(),
        endpoint: endpoint.into(),
        requests: requests * times,
        client_errors: 0,
        server_errors: failed * times,
        duration: duration.clone(),
    };
    let product = "/v1/shops/{shop_id}/products/{product_id}";
    status.tables.routes = table(vec![
        route(product, 90, 9),
        route("/health", 10, 0),
        route("/naïve\u{1b}[2J/日本", 1, 0),
    ]);
    status.tables.shops = table(vec![Shop {
        shop_id: "1".into(),
        requests: 90 * times,
        executions: 200 * times,
        duration: duration.clone(),
        ..Shop::default()
    }]);
    status.tables.queries = table(vec![Query {
        service: "shop".into(),
        database: "naytifedb".into(),
        query: "GetShop".into(),
        operation: "SELECT".into(),
        executions: 20 * times,
        rows: 30 * times,
        duration: duration.clone(),
    }]);
    let command = |service: &str, commands: u64| Command {
        service: service.into(),
        command: "get".into(),
        commands: commands * times,
        errors: times,
        duration: duration.clone(),
    };
    status.tables.redis = table(vec![command("shop", 5), command("worker", 50)]);
    status.tables.connections = table(vec![Link {
        service: "shop".into(),
        peer: "postgres".into(),
        opened: 2 * times,
        refused: times,
        round_trip: duration,
        ..Link::default()
    }]);
    status
}

fn entry(reason: &str, bytes: u64) -> Entry {
    Entry {
        stage: "decode".into(),
        reason: reason.into(),
        bytes,
    }
}

fn table<R>(rows: Vec<R>) -> Table<R> {
    Table {
        of: rows.len(),
        rows,
    }
}

/// After two answers, ten seconds apart.
fn state(view: View) -> State {
    let mut state = State::new(view, None).unwrap();
    state.take(status(100));
    state.take(status(110));
    state
}

fn press(state: &mut State, keys: &str) -> Flow {
    keys.chars()
        .map(|key| state.key(KeyCode::Char(key).into()))
        .last()
        .unwrap_or(Flow::Continue)
}

/// What 80 × 24 show.
fn screen(state: &mut State) -> String {
    screen_at(state, Instant::now())
}

fn screen_at(state: &mut State, now: Instant) -> String {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal
        .draw(|frame| draw(frame, state, "127.0.0.1:9464", now))
        .unwrap();
    terminal.backend().to_string()
}

#[test]
fn each_view_fits_80_by_24() {
    for view in View::ALL {
        insta::assert_snapshot!(view.title(), screen(&mut state(view)));
    }
}

#[test]
fn what_is_printed_once_are_totals() {
    insta::assert_snapshot!(text(&state(View::Routes)));
}

#[test]
fn rates_are_what_happened_between_two_answers() {
    let mut state = State::new(View::Routes, None).unwrap();
    state.take(status(100));
    assert!(screen(&mut state).contains("per second since the start"));
    for seconds in 101..130 {
        state.take(status(seconds));
    }
    let shown = screen(&mut state);
    assert!(shown.contains("per second over the last 10 s"), "{shown}");
    assert!(shown.contains(" 90.0 "), "{shown}");
    press(&mut state, "t");
    let shown = screen(&mut state);
    assert!(shown.contains("in all since the start"), "{shown}");
    assert!(shown.contains(" 11610 "), "{shown}");
}

#[test]
fn a_row_that_was_left_out_before_has_no_rate() {
    let mut cut = status(100);
    cut.tables.routes.rows.truncate(1);
    let mut state = State::new(View::Routes, None).unwrap();
    state.take(cut);
    state.take(status(110));
    let shown = screen(&mut state);
    let health = shown.lines().find(|line| line.contains("/health")).unwrap();
    assert!(health.contains("      -       -"), "{health}");
}

#[test]
fn an_agent_that_starts_again_begins_a_new_history() {
    let mut state = state(View::Routes);
    let mut again = status(5);
    again.start_time_seconds = 2000.0;
    state.take(again);
    let shown = screen(&mut state);
    assert!(shown.contains("per second since the start"), "{shown}");
    assert!(shown.contains("up 5 s"), "{shown}");
}

#[test]
fn a_silent_agent_is_stale_until_it_answers_again() {
    let mut state = state(View::Routes);
    let now = Instant::now();
    state.miss("connection refused".into(), now);
    state.miss("connection refused".into(), now + Duration::from_secs(2));
    let shown = screen_at(&mut state, now + Duration::from_secs(4));
    assert!(shown.contains("STALE 4 s: connection refused"), "{shown}");
    assert!(shown.contains("/health"), "what was known stays: {shown}");
    state.take(status(120));
    assert!(!screen(&mut state).contains("STALE"));
}

#[test]
fn a_pause_holds_the_picture() {
    let mut state = state(View::Routes);
    press(&mut state, "p");
    state.take(status(500));
    assert_eq!(state.latest().uptime_seconds.to_bits(), 110.0_f64.to_bits());
    assert!(screen(&mut state).contains("PAUSED"));
    press(&mut state, "p");
    state.take(status(501));
    assert_eq!(state.latest().uptime_seconds.to_bits(), 501.0_f64.to_bits());
}

fn first_row(state: &mut State) -> String {
    screen(state).lines().nth(5).unwrap().to_owned()
}

#[test]
fn keys_sort_reverse_and_filter() {
    let mut state = state(View::Routes);
    assert!(first_row(&mut state).contains("{product_id}"));
    press(&mut state, "r");
    assert!(first_row(&mut state).contains("naïve"));
    press(&mut state, "r<<");
    let shown = screen(&mut state);
    assert!(shown.contains("ROUTE▼"), "{shown}");
    assert!(first_row(&mut state).contains("/health"));
    press(&mut state, "/PROD");
    let shown = screen(&mut state);
    assert!(shown.contains("filter: PROD▏"), "{shown}");
    assert!(shown.contains("1 row,"), "{shown}");
    // In a filter q is a letter; escape gives the rows back and does not quit.
    assert_eq!(press(&mut state, "q"), Flow::Continue);
    assert!(screen(&mut state).contains("0 rows,"));
    assert_eq!(state.key(KeyCode::Esc.into()), Flow::Continue);
    assert!(screen(&mut state).contains("3 rows,"));
    assert!(State::new(View::Routes, Some("P95")).is_ok());
}

#[test]
fn keys_choose_the_view_and_quit() {
    let mut state = state(View::Routes);
    state.key(KeyCode::Tab.into());
    assert_eq!(state.view, View::Shops);
    state.key(KeyCode::BackTab.into());
    state.key(KeyCode::BackTab.into());
    assert_eq!(state.view, View::Losses);
    for (place, view) in View::ALL.iter().enumerate() {
        press(&mut state, &(place + 1).to_string());
        assert_eq!(state.view, *view);
    }
    assert_eq!(press(&mut state, "789x"), Flow::Continue);
    assert_eq!(press(&mut state, "q"), Flow::Quit);
    assert_eq!(state.key(KeyCode::Esc.into()), Flow::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    state.typing = true;
    assert_eq!(state.key(interrupt), Flow::Quit);
}

#[test]
fn scrolling_ends_at_the_last_row() {
    let mut state = state(View::Routes);
    let mut long = status(120);
    let first = long.tables.routes.rows[0].clone();
    long.tables.routes = table((0..50).map(|_| first.clone()).collect());
    state.take(long);
    for _ in 0..9 {
        state.key(KeyCode::PageDown.into());
    }
    let shown = screen(&mut state);
    assert!(shown.contains("50 rows from 33,"), "{shown}");
    state.key(KeyCode::Home.into());
    assert!(screen(&mut state).contains("50 rows,"));
}

#[test]
fn a_column_that_is_not_there_is_one_clear_sentence() {
    let error = State::new(View::Redis, Some("rows")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no column \"rows\" in that view; there are \
         command, workload, cmd, errors, p50, p95, p99"
    );
}

#[test]
fn long_names_lose_their_middle_and_control_characters_are_shown() {
    let cases = [
        ("short", 10, "short"),
        ("0123456789", 10, "0123456789"),
        ("0123456789", 7, "012…789"),
        ("0123456789", 6, "012…89"),
        ("日本語日本語", 7, "日…本語"),
        ("a\u{1b}[2J\nb", 20, "a\u{fffd}[2J\u{fffd}b"),
        ("anything", 0, "…"),
    ];
    for (text, columns, expected) in cases {
        assert_eq!(cut(text, columns), expected);
    }
}

#[test]
fn an_interval_has_bounds() {
    assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
    for wrong in ["0s", "99ms", "2h", "two", ""] {
        assert!(interval(wrong).is_err(), "{wrong}");
    }
}
