//! What connections carry, and the gauges they are in.

use super::*;
use crate::decode::redis::command::find;

#[test]
fn gauges_are_balanced_whatever_ends_a_connection() {
    let session = |database: &str| {
        Body::SqlSession(Box::new(postgres::Session {
            database: database.into(),
            accepted: true,
        }))
    };
    let mut story = Story::new(&Settings {
        connections: 3,
        ..Settings::default()
    });
    story.connect(1, 1, Side::Server);
    story.at(1, 1, Body::HttpBegan);
    story.at(1, 1, Body::HttpBegan);
    story.connect(2, 2, Side::Client);
    story.at(2, 1, Body::SqlTransaction(postgres::Transaction::Commit));
    story.at(2, 1, session("jo@example.com"));
    story.at(2, 1, session("naytifedb"));
    story.connect(2, 3, Side::Client);
    let open = [
        ("{_other,s2}", 0.0, 2),
        ("{naytifedb,s2}", 0.0, 2),
        ("{naytifedb,s3}", 1.0, 1),
        ("{unknown,s2}", 0.0, 2),
    ];
    assert_eq!(story.see("database_connections_active"), open);
    assert_eq!(story.see("http_requests_in_flight"), [("{s1}", 2.0, 2)]);
    story.at(
        1,
        2,
        Body::HttpAborted(Box::new(http::Aborted {
            request: Request::default(),
            reason: AbortReason::Reset,
            ended: Timestamp(2),
        })),
    );
    story.at(1, 3, Body::Closed(Reason::ResetByPeer));
    story.connect(3, 4, Side::Client);
    story.connect(4, 5, Side::Client);
    story.connect(5, 6, Side::Client);
    for family in ["http_requests_in_flight", "database_connections_active"] {
        assert!(
            story.see(family).iter().all(|(_, sum, _)| *sum == 0.0),
            "{family}"
        );
    }
    assert_eq!(
        story.see("http_requests_aborted_total"),
        [("{s1,reset}", 1.0, 1)]
    );
    assert_eq!(
        story.see("tcp_connections_reset_total"),
        [("{s1,p5432,peer}", 1.0, 1)]
    );
}

#[test]
fn sql_is_counted_with_its_errors_rows_and_transactions() {
    let mut story = Story::new(&Settings::default());
    story.connect(2, 1, Side::Client);
    story.sql(
        2,
        1,
        execution("-- name: ListOrders :many\nSELECT 1", "SELECT", 12),
    );
    story.sql(
        2,
        2,
        Execution {
            outcome: Outcome::Failed(SqlState(*b"23505")),
            rows: None,
            ..execution(
                "-- name: CreateOrder :one\nINSERT INTO orders (a) VALUES ($1)",
                "",
                0,
            )
        },
    );
    story.at(2, 3, Body::SqlError(SqlState(*b"22P02")));
    story.at(2, 4, Body::SqlTransaction(postgres::Transaction::Failed));
    assert_eq!(
        story.see("database_query_duration_seconds"),
        [
            ("{s1,unknown,CreateOrder,INSERT}", 0.5, 1),
            ("{s1,unknown,ListOrders,SELECT}", 0.5, 1),
        ]
    );
    assert_eq!(
        story.see("database_rows_total"),
        [("{s1,unknown,ListOrders,SELECT}", 12.0, 1)]
    );
    assert_eq!(
        story.see("database_errors_total"),
        [
            ("{s1,unknown,22P02}", 1.0, 1),
            ("{s1,unknown,23505}", 1.0, 1)
        ]
    );
    assert_eq!(
        story.see("database_transactions_total"),
        [("{s1,unknown,failed}", 1.0, 1)]
    );
    assert_eq!(
        story.see("database_connections_active"),
        [("{unknown,s1}", 1.0, 1)]
    );
}

#[test]
fn redis_commands_are_counted_by_outcome_and_timed_where_the_time_is_theirs() {
    let mut story = Story::new(&Settings::default());
    story.connect(3, 1, Side::Client);
    let mut word = [0; 16];
    word[..9].copy_from_slice(b"WRONGTYPE");
    let mut odd = [0; 16];
    odd[..4].copy_from_slice(b"a@b!");
    for (outcome, time, hits, misses) in [
        (redis::Outcome::Ok, redis::Time::Server, 2, 1),
        (redis::Outcome::Ok, redis::Time::Blocked, 0, 0),
        (redis::Outcome::Ok, redis::Time::Unknown, 0, 0),
        (redis::Outcome::Queued, redis::Time::Server, 0, 0),
        (redis::Outcome::Error(word), redis::Time::Server, 0, 0),
        (redis::Outcome::Error(odd), redis::Time::Server, 0, 0),
        (redis::Outcome::Unknown, redis::Time::Unknown, 0, 0),
    ] {
        story.at(
            3,
            1,
            Body::Redis(redis::Exchange {
                command: find(b"mget").unwrap(),
                began: Timestamp(0),
                ended: Timestamp(1_000_000_000),
                waited: 0.25,
                time,
                outcome,
                hits,
                misses,
            }),
        );
    }
    assert_eq!(
        story.see("redis_command_duration_seconds"),
        [("{s1,mget}", 4.0, 4)]
    );
    assert_eq!(
        story.see("redis_command_blocked_seconds"),
        [("{s1,mget}", 1.0, 1)]
    );
    assert_eq!(story.see("redis_command_wait_seconds"), [("{s1}", 1.25, 5)]);
    assert_eq!(
        story.see("redis_commands_total"),
        [
            ("{s1,mget,WRONGTYPE}", 1.0, 1),
            ("{s1,mget,_other}", 1.0, 1),
            ("{s1,mget,ok}", 3.0, 3),
            ("{s1,mget,queued}", 1.0, 1),
            ("{s1,mget,unknown}", 1.0, 1),
        ]
    );
    assert_eq!(
        story.see("redis_lookups_total"),
        [("{s1,hit}", 2.0, 1), ("{s1,miss}", 1.0, 1)]
    );
}

#[test]
fn tcp_events_are_counted_by_both_ends_names() {
    let mut story = Story::new(&Settings::default());
    story.connect(1, 1, Side::Client);
    story.at(1, 1, Body::Opened);
    story.at(1, 2, Body::Retransmitted(3));
    story.at(1, 3, Body::RoundTrip(250));
    story.at(1, 4, Body::Closed(Reason::Finished));
    story.at(1, 5, Body::Closed(Reason::ResetByUs));
    story.connect(2, 1, Side::Client);
    story.at(2, 6, Body::Failed(Reason::Refused));
    story.at(9, 7, Body::Accepted);
    story.settle(7);
    let seen: Vec<_> = story
        .see("tcp_")
        .into_iter()
        .map(|(name, sum, _)| (name, sum))
        .collect();
    assert_eq!(
        seen,
        [
            ("connections_accepted_total{unknown,unknown}", 1.0),
            ("connections_opened_total{s1,p5432}", 1.0),
            ("connections_refused_total{s1,p5432,refused}", 1.0),
            ("round_trip_seconds{s1,p5432}", 0.000_25),
            ("segments_retransmitted_total{s1,p5432}", 3.0),
        ]
    );
}

#[test]
fn an_execution_whose_time_was_hidden_counts_and_is_in_no_duration() {
    let mut story = Story::new(&Settings::default());
    story.connect(2, 1, Side::Client);
    story.sql(
        2,
        1,
        Execution {
            timed: false,
            outcome: Outcome::Unknown,
            parameters: smallvec![Some(int8(7))],
            ..execution(COUNT, "", 0)
        },
    );
    assert_eq!(
        story.see("database_executions_untimed_total"),
        [("{s1,unknown,CountOrders,SELECT}", 1.0, 1)]
    );
    for family in [
        "database_query_duration_seconds",
        "database_query_wait_seconds",
        "database_shop_query_duration_seconds",
    ] {
        assert_eq!(story.see(family), [], "{family}");
    }
}

/// Who is not let in makes names up, and may not use up the room for those of databases.
#[test]
fn a_database_that_nobody_was_let_into_is_no_label() {
    let mut story = Story::new(&Settings {
        databases: 2,
        ..Settings::default()
    });
    let session = |database: String, accepted| {
        Body::SqlSession(Box::new(postgres::Session { database, accepted }))
    };
    for guess in 0..10 {
        story.connect(guess, 1, Side::Server);
        story.at(guess, 1, session(format!("guess{guess}"), false));
        story.at(guess, 2, Body::SqlError(SqlState(*b"28P01")));
        story.at(guess, 3, Body::Closed(Reason::Finished));
    }
    story.connect(10, 1, Side::Server);
    story.at(10, 4, session("naytifedb".into(), true));
    story.connect(11, 1, Side::Server);
    story.at(11, 5, session("naytifedb".into(), false));
    story.at(11, 5, Body::SqlError(SqlState(*b"28P01")));
    assert_eq!(
        story.see("database_errors_total"),
        [
            ("{s1,_other,28P01}", 10.0, 10),
            ("{s1,naytifedb,28P01}", 1.0, 1),
        ]
    );
    assert_eq!(
        story.see("database_connections_active"),
        [("{_other,s1}", 0.0, 20), ("{naytifedb,s1}", 2.0, 2)]
    );
}
