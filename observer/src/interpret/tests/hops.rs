//! Who is a pooler, by what is seen of its connections.

use super::*;

const APP: u64 = 1;
const POOLER: u64 = 2;
const DATABASE: u64 = 3;
const UNKNOWN: u64 = 0;

/// How a connection is seen.
#[derive(Clone, Copy)]
struct End {
    cgroup: u64,
    vantage: Side,
    /// The cgroup of its other end, where that is observed.
    other: Option<u64>,
    /// It is older than the agent.
    joined: bool,
}

const fn client(cgroup: u64, other: Option<u64>) -> End {
    End {
        cgroup,
        vantage: Side::Client,
        other,
        joined: false,
    }
}

const fn server(cgroup: u64) -> End {
    End {
        cgroup,
        vantage: Side::Server,
        other: None,
        joined: false,
    }
}

const fn joined(end: End) -> End {
    End {
        joined: true,
        ..end
    }
}

/// Two connections, and whether the second is the first one's pooler's way to the database.
struct Row {
    name: &'static str,
    front: End,
    back: End,
    is_hop: bool,
}

const ROWS: [Row; 8] = [
    Row {
        name: "seen at the pooler alone",
        front: server(POOLER),
        back: client(POOLER, None),
        is_hop: true,
    },
    Row {
        name: "seen at the application and the pooler",
        front: client(APP, Some(POOLER)),
        back: client(POOLER, None),
        is_hop: true,
    },
    Row {
        name: "seen everywhere",
        front: client(APP, Some(POOLER)),
        back: client(POOLER, Some(DATABASE)),
        is_hop: true,
    },
    Row {
        name: "application and pooler in one cgroup",
        front: client(APP, Some(APP)),
        back: client(APP, None),
        is_hop: true,
    },
    Row {
        name: "older than the agent",
        front: joined(server(POOLER)),
        back: joined(client(POOLER, None)),
        is_hop: true,
    },
    Row {
        name: "application and database in one cgroup",
        front: client(APP, Some(APP)),
        back: client(APP, Some(APP)),
        is_hop: false,
    },
    Row {
        name: "no pooler",
        front: client(APP, Some(DATABASE)),
        back: client(APP, Some(DATABASE)),
        is_hop: false,
    },
    Row {
        name: "cgroups that are unknown",
        front: server(UNKNOWN),
        back: client(UNKNOWN, None),
        is_hop: false,
    },
];

/// Both connections are there.
fn meet(story: &mut Story, row: &Row) {
    for (key, end) in [(1, &row.front), (2, &row.back)] {
        story.join(key, end.cgroup, end.vantage, end.other, end.joined);
        if !end.joined {
            let session = postgres::Session {
                database: "shop".into(),
                accepted: true,
            };
            story.at(key, 1, Body::SqlSession(Box::new(session)));
        }
    }
}

/// One execution by the database, which answers the pooler first; one more when the client has
/// gone.
fn play(row: &Row) -> Story {
    let mut story = Story::new(&Settings::default());
    meet(&mut story, row);
    story.sql(2, 2, execution("SELECT 1", "SELECT", 1));
    story.at(2, 2, Body::SqlTransaction(postgres::Transaction::Commit));
    story.at(2, 2, Body::SqlError(SqlState(*b"42P01")));
    story.sql(1, 3, execution("SELECT 1", "SELECT", 1));
    story.at(1, 4, Body::Closed(Reason::Finished));
    story.sql(2, 5, execution("SELECT 1", "SELECT", 1));
    story
}

#[test]
fn what_a_pooler_passes_on_is_a_hop_and_no_second_execution() {
    for row in &ROWS {
        let story = play(row);
        let times = |metric| -> u32 { story.see(metric).iter().map(|(_, _, times)| times).sum() };
        let (executions, hops) = if row.is_hop { (1, 2) } else { (3, 0) };
        let counted = times("database_query_duration_seconds");
        assert_eq!(counted, executions, "{}", row.name);
        let passed_on = times("database_hop_executions_total");
        assert_eq!(passed_on, hops, "{}", row.name);
        for metric in ["database_transactions_total", "database_errors_total"] {
            assert_eq!(times(metric), u32::from(!row.is_hop), "{}", row.name);
        }
    }
}

#[test]
fn who_only_claims_to_be_a_client_makes_no_pooler() {
    let mut story = Story::new(&Settings::default());
    // A server's end at which no server has answered.
    story.connect(1, APP, Side::Server);
    story.connect(2, APP, Side::Client);
    story.sql(2, 2, execution("SELECT 1", "SELECT", 1));
    assert!(story.see("database_hop_executions_total").is_empty());
    assert_eq!(story.see("database_query_duration_seconds").len(), 1);
}

/// Deletes a shop on a connection, and commits.
fn deletes(story: &mut Story, connection: u64, shop: i64) {
    let execution = Execution {
        parameters: smallvec![Some(int8(shop))],
        ..execution("-- name: DeleteShop :exec\nDELETE", "DELETE", 1)
    };
    story.sql(connection, 2, execution);
    story.at(
        connection,
        2,
        Body::SqlTransaction(postgres::Transaction::Commit),
    );
}

#[test]
fn each_fact_is_owned_by_one_end_whichever_the_setting_says() {
    for row in &ROWS {
        for authority in [Authority::Client, Authority::Server] {
            let mut story = Story::new(&Settings {
                authority,
                ..Settings::default()
            });
            meet(&mut story, row);
            let side = match authority {
                Authority::Client => Side::Client,
                Authority::Server => Side::Server,
            };
            let is_seen = |end: &End| end.vantage == side || end.other.is_some();
            let by_client = authority == Authority::Client;
            let back = is_seen(&row.back) && !(row.is_hop && by_client);
            let front = is_seen(&row.front) && (!row.is_hop || by_client);
            // The shops differ, so that what is told twice is counted twice.
            deletes(&mut story, 2, 8);
            deletes(&mut story, 1, 7);
            let published = story
                .series
                .get("observer_facts_total{DeleteShop,published}");
            let published = published.map_or(0, |(_, times)| *times);
            let expected = u32::from(back) + u32::from(front);
            assert_eq!(published, expected, "{} {authority:?}", row.name);
            let facts = story.series.iter();
            let facts = facts.filter(|(series, _)| series.starts_with("observer_facts_total"));
            assert_eq!(facts.count(), usize::from(expected > 0), "{}", row.name);
            if row.is_hop {
                assert!(expected <= 1, "{}", row.name);
            }
        }
    }
}

#[test]
fn what_is_hidden_on_a_poolers_way_to_the_database_leaves_nothing_sure() {
    let mut story = Story::new(&Settings {
        authority: Authority::Server,
        ..Settings::default()
    });
    let row = ROWS.iter().find(|row| row.name == "seen everywhere");
    meet(&mut story, row.unwrap());
    let execution = Execution {
        parameters: smallvec![Some(int8(7))],
        ..execution("-- name: DeleteShop :exec\nDELETE", "DELETE", 1)
    };
    story.sql(2, 2, execution);
    story.at(2, 3, Body::SqlHidden);
    story.at(2, 4, Body::SqlTransaction(postgres::Transaction::Commit));
    assert!(
        story
            .series
            .contains_key("observer_facts_total{DeleteShop,unknown}")
    );
    assert!(
        !story
            .series
            .contains_key("observer_facts_total{DeleteShop,published}")
    );
}
