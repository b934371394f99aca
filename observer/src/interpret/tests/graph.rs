//! The service graph: each request on one edge, with its outcome.

use super::*;

fn edges(story: &Story) -> Vec<(&str, f64)> {
    let edges = story.see("service_requests_total");
    edges
        .into_iter()
        .map(|(edge, sum, _)| (edge, sum))
        .collect()
}

fn timed(story: &Story) -> Vec<(&str, u32)> {
    let timed = story.see("service_request_duration_seconds");
    timed
        .into_iter()
        .map(|(edge, _, times)| (edge, times))
        .collect()
}

/// A request, a statement and a command on each of these connections.
fn ask(story: &mut Story, keys: impl IntoIterator<Item = u64>) {
    for key in keys {
        story.http(key, 1, "GET", "/health", 200);
        story.sql(key, 2, execution("SELECT 1", "SELECT", 1));
        story.at(key, 3, command(redis::Outcome::Ok, redis::Time::Server));
    }
}

fn command(outcome: redis::Outcome, time: redis::Time) -> Body {
    Body::Redis(redis::Exchange {
        command: &crate::decode::redis::command::OTHER,
        began: Timestamp(0),
        ended: Timestamp(1),
        waited: 0.0,
        time,
        outcome,
        hits: 0,
        misses: 0,
    })
}

#[test]
fn a_request_is_on_one_edge_whichever_of_its_ends_are_observed() {
    let both = |connection: Connection| Connection {
        other_end: Some(9),
        ..connection
    };
    let elsewhere = |connection: Connection| Connection {
        elsewhere: true,
        ..connection
    };
    let client = connection(1, 1, Side::Client);
    let server = connection(2, 2, Side::Server);
    let at_client = "{s1,p5432,";
    for (name, ends, edge) in [
        ("the client's", vec![client.clone()], at_client),
        ("the server's", vec![server.clone()], "{p5432,s2,"),
        (
            "both here",
            vec![both(client.clone()), both(server.clone())],
            at_client,
        ),
        (
            "both, on two nodes",
            vec![client, elsewhere(server.clone())],
            at_client,
        ),
        ("the client's on another node", vec![elsewhere(server)], ""),
    ] {
        let mut story = Story::new(&Settings::default());
        let keys: Vec<u64> = ends.iter().map(|end| end.key.0).collect();
        for end in ends {
            story.meet(end);
        }
        // Statements and commands of both ends here are read at the client's alone.
        let read = if name == "both here" {
            &keys[..1]
        } else {
            &keys
        };
        ask(&mut story, read.iter().copied());
        for key in keys.iter().filter(|key| !read.contains(key)) {
            story.http(*key, 1, "GET", "/health", 200);
        }
        let protocols = ["http", "postgresql", "redis"];
        let expected: Vec<String> = protocols
            .iter()
            .filter(|_| !edge.is_empty())
            .map(|protocol| format!("{edge}{protocol}"))
            .collect();
        let counted = |ends_with: &str| -> Vec<String> {
            expected
                .iter()
                .map(|edge| format!("{edge}{ends_with}"))
                .collect()
        };
        let (seen, seen_timed) = (edges(&story), timed(&story));
        assert!(
            seen.iter().all(|(_, sum)| (*sum - 1.0).abs() < 0.1),
            "{name}: {seen:?}"
        );
        let names: Vec<_> = seen.iter().map(|(edge, _)| *edge).collect();
        assert_eq!(names, counted(",success}"), "{name}");
        let names: Vec<_> = seen_timed.iter().map(|(edge, _)| *edge).collect();
        assert_eq!(names, counted("}"), "{name}");
    }
}

#[test]
fn what_was_not_seen_has_an_unknown_outcome_and_what_the_server_did_not_do_is_an_error() {
    let mut story = Story::new(&Settings::default());
    story.connect(1, 1, Side::Client);
    for (number, (status, outcome)) in (1..).zip([
        (200, "success"),
        (404, "success"),
        (499, "success"),
        (500, "error"),
        (503, "error"),
    ]) {
        let before = edge(&story, "http", outcome);
        story.http(1, number, "GET", "/health", status);
        assert_eq!(edge(&story, "http", outcome), before + 1, "{status}");
    }
    for (reason, outcome) in [
        (AbortReason::Reset, "error"),
        (AbortReason::Closed, "error"),
        (AbortReason::Evicted, "unknown"),
        (AbortReason::Lost, "unknown"),
    ] {
        let before = edge(&story, "http", outcome);
        let aborted = http::Aborted {
            request: Request::default(),
            reason,
            ended: Timestamp(6),
        };
        story.at(1, 6, Body::HttpAborted(Box::new(aborted)));
        assert_eq!(edge(&story, "http", outcome), before + 1, "{reason:?}");
    }
    for (ended, outcome) in [
        (Outcome::Completed, "success"),
        (Outcome::Failed(SqlState(*b"23505")), "error"),
        (Outcome::Unknown, "unknown"),
    ] {
        let execution = Execution {
            outcome: ended,
            timed: ended != Outcome::Unknown,
            ..execution("SELECT 1", "SELECT", 1)
        };
        story.sql(1, 7, execution);
        assert_eq!(edge(&story, "postgresql", outcome), 1, "{ended:?}");
    }
    // It is no statement that ran.
    story.at(1, 8, Body::SqlError(SqlState(*b"42601")));
    for (ended, time, outcome) in [
        (redis::Outcome::Queued, redis::Time::Server, "success"),
        (redis::Outcome::Ok, redis::Time::Blocked, "success"),
        (
            redis::Outcome::Error([b'E'; 16]),
            redis::Time::Server,
            "error",
        ),
        (redis::Outcome::Unknown, redis::Time::Unknown, "unknown"),
    ] {
        let before = edge(&story, "redis", outcome);
        story.at(1, 9, command(ended, time));
        assert_eq!(edge(&story, "redis", outcome), before + 1, "{ended:?}");
    }
    assert_eq!(
        timed(&story),
        [
            ("{s1,p5432,http}", 5),
            ("{s1,p5432,postgresql}", 2),
            ("{s1,p5432,redis}", 2)
        ]
    );
}

/// How many requests of a protocol ended so.
fn edge(story: &Story, protocol: &str, outcome: &str) -> u32 {
    let series = format!("service_requests_total{{s1,p5432,{protocol},{outcome}}}");
    story.series.get(&series).map_or(0, |(_, times)| *times)
}

#[test]
fn both_ways_of_a_pooler_are_edges() {
    let mut story = Story::new(&Settings::default());
    story.connect(1, 2, Side::Server);
    story.connect(2, 2, Side::Client);
    let session = postgres::Session {
        database: "shop".into(),
        accepted: true,
    };
    for key in [1, 2] {
        story.at(key, 1, Body::SqlSession(Box::new(session.clone())));
        story.sql(key, 2, execution("SELECT 1", "SELECT", 1));
    }
    assert_eq!(
        edges(&story),
        [
            ("{p5432,s2,postgresql,success}", 1.0),
            ("{s2,p5432,postgresql,success}", 1.0)
        ]
    );
    assert_eq!(story.see("database_hop_executions_total").len(), 1);
}

#[test]
fn what_counts_on_another_node_leaves_no_trace_here_but_who_serves() {
    let mut story = Story::new(&Settings::default());
    story.meet(Connection {
        elsewhere: true,
        ..connection(1, 2, Side::Server)
    });
    story.connect(2, 2, Side::Client);
    let session = postgres::Session {
        database: "shop".into(),
        accepted: true,
    };
    for key in [1, 2] {
        story.at(key, 1, Body::SqlSession(Box::new(session.clone())));
        story.sql(key, 2, execution("SELECT 1", "SELECT", 1));
        story.at(key, 3, Body::SqlTransaction(postgres::Transaction::Commit));
    }
    story.at(1, 3, command(redis::Outcome::Ok, redis::Time::Server));
    let names: Vec<_> = story.series.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "database_connections_active{shop,s2}",
            "database_hop_executions_total{s2,shop}",
            "service_request_duration_seconds{s2,p5432,postgresql}",
            "service_requests_total{s2,p5432,postgresql,success}",
        ],
        "the pooler is known for one, and its way to the database is its own"
    );
    let active = story.see("database_connections_active{shop,s2}")[0].1;
    assert!((active - 1.0).abs() < 0.5, "{active}");
}
