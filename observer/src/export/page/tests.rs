use super::*;
use crate::export::status::{Probe, Ring, Route, Selected, Table, Trouble};

const NASTY: &str = "<script>alert('1')</script>&\"";

fn status() -> Status {
    let mut status = Status {
        version: "1.2.3".into(),
        start_time_seconds: 1000.0,
        uptime_seconds: 7260.0,
        selection: vec![Selected {
            cgroup: NASTY.into(),
            present: false,
        }],
        probes: vec![Probe {
            name: "observer_life".into(),
            missing: Some(NASTY.into()),
            without: NASTY.into(),
            ..Probe::default()
        }],
        rings: vec![Ring {
            used_bytes: 1024,
            size_bytes: 8 << 20,
        }],
        errors: vec![Trouble {
            stage: "http".into(),
            kind: "accept".into(),
            count: 3,
            last_seconds: Some(8200.0),
        }],
        ..Status::default()
    };
    status.ledger.lost = vec![Entry {
        stage: "kernel".into(),
        reason: "ring_full".into(),
        bytes: 4096,
    }];
    status.tables.bounds.requests = vec![0.1, 10.0];
    status.tables.routes = Table {
        of: 7,
        rows: vec![Route {
            service: NASTY.into(),
            method: NASTY.into(),
            endpoint: NASTY.into(),
            requests: 10,
            server_errors: 1,
            ..Route::default()
        }],
    };
    status
}

#[test]
fn what_came_from_the_wire_is_text() {
    let page = page(&status());
    assert!(!page.contains("<script>alert"), "{page}");
    assert_eq!(page.matches("&lt;script&gt;alert").count(), 6);
}

#[test]
fn it_tells_what_is_attached_what_is_lost_and_where_to_go_on() {
    let page = page(&status());
    for told in [
        "since 2 h 1 min",
        "is not there",
        "missing: ",
        "4.00 KiB lost",
        "lost: ring_full",
        "10.0 %",
        "the first 1 of 7",
        "http accept",
        "1 min ago",
        "1.00 KiB of 8.00 MiB",
    ] {
        assert!(page.contains(told), "{told}");
    }
    for (path, _) in LINKS {
        assert!(page.contains(&format!("href=\"{path}\"")), "{path}");
    }
}

#[test]
fn each_table_says_what_it_is() {
    let page = page(&status());
    let tables = page.matches("<table>").count();
    assert!(tables >= 10, "{tables}");
    assert_eq!(page.matches("<caption>").count(), tables);
    assert_eq!(page.matches("<thead>").count(), tables);
}

#[test]
fn the_policy_names_the_style_and_the_script_that_are_on_the_page() {
    let page = page(&Status::default());
    for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
        let (_, rest) = page.split_once(&format!("<{tag}>")).unwrap();
        let (text, rest) = rest.split_once(&format!("</{tag}>")).unwrap();
        assert!(!rest.contains(&format!("<{tag}")), "one {tag} only");
        let hash = BASE64_STANDARD.encode(Sha256::digest(text));
        let allowed = format!("{directive} 'sha256-{hash}'");
        assert!(policy().contains(&allowed), "{}", policy());
    }
    assert!(!page.contains("style=") && !page.contains("onclick="));
}

#[test]
fn nothing_on_it_comes_from_elsewhere() {
    let page = page(&status());
    for elsewhere in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
}
