//! Each way a transaction can end: what was counted, what the server's statistics say, and what a
//! second connection finds in the table.

use std::net::TcpStream;

use anyhow::{Result, ensure};
use observer_tests::agent::Agent;

use super::account::{Issued, agree, compare};
use super::scene::Scene;
use super::wire::{Wire, extended, sync};

/// What goes to the server at once, and is answered before the next goes.
enum Turn {
    /// One Query message.
    Query(&'static str),
    /// Parse, Bind and Execute of each, and one Sync.
    Batch(&'static [&'static str]),
    /// Parse, Bind, Execute and Sync of each.
    Pipeline(&'static [&'static str]),
    /// One Query message on another connection.
    Elsewhere(&'static str),
}

use Turn::{Batch, Elsewhere, Pipeline, Query};

/// A way to end.
struct Row {
    /// The claim, and the name of its database.
    name: &'static str,
    turns: &'static [Turn],
    /// What is in the table afterwards.
    kept: &'static [i32],
    commits: i64,
    rollbacks: i64,
    failed: i64,
    unknown: i64,
    /// Commits in the server's statistics that are none.
    idle: i64,
}

const ROW: Row = Row {
    name: "",
    turns: &[],
    kept: &[],
    commits: 0,
    rollbacks: 0,
    failed: 0,
    unknown: 0,
    idle: 0,
};

const ONE: &str = "INSERT INTO deferred VALUES (1)";
const TWO: &str = "INSERT INTO deferred VALUES (2)";

const ROWS: [Row; 20] = [
    Row {
        name: "commit_before_an_error_in_one_query_keeps",
        turns: &[Query("INSERT INTO deferred VALUES (1); COMMIT; SELECT 1/0")],
        kept: &[1],
        commits: 1,
        failed: 1,
        ..ROW
    },
    Row {
        name: "commit_before_an_error_in_one_batch_keeps",
        turns: &[Batch(&[ONE, "COMMIT", "SELECT quotient(0)"])],
        kept: &[1],
        commits: 1,
        failed: 1,
        ..ROW
    },
    Row {
        name: "commits_and_rollbacks_within_one_query_each_count",
        turns: &[Query(
            "INSERT INTO deferred VALUES (1); COMMIT; INSERT INTO deferred VALUES (2); ROLLBACK; \
             INSERT INTO deferred VALUES (3)",
        )],
        kept: &[1, 3],
        commits: 2,
        rollbacks: 1,
        ..ROW
    },
    Row {
        name: "a_block_within_one_query_ends_before_the_rest_fails",
        turns: &[Query(
            "BEGIN; INSERT INTO deferred VALUES (1); COMMIT; INSERT INTO deferred VALUES (2); \
             SELECT 1/0",
        )],
        kept: &[1],
        commits: 1,
        failed: 1,
        ..ROW
    },
    Row {
        name: "several_statements_of_one_query_fail_together",
        turns: &[Query("INSERT INTO deferred VALUES (1); SELECT 1/0")],
        failed: 1,
        ..ROW
    },
    Row {
        name: "commit_and_chain_commits",
        turns: &[
            Query("BEGIN"),
            Query(ONE),
            Query("COMMIT AND CHAIN"),
            Query(TWO),
            Query("ROLLBACK"),
        ],
        kept: &[1],
        commits: 1,
        rollbacks: 1,
        ..ROW
    },
    Row {
        name: "rollback_and_chain_rolls_back",
        turns: &[
            Query("BEGIN"),
            Query(ONE),
            Query("ROLLBACK AND CHAIN"),
            Query(TWO),
            Query("COMMIT"),
        ],
        kept: &[2],
        commits: 1,
        rollbacks: 1,
        ..ROW
    },
    Row {
        name: "commit_with_the_next_begin_behind_it_commits",
        turns: &[
            Query("BEGIN"),
            Query(ONE),
            Pipeline(&["COMMIT", "BEGIN"]),
            Query(TWO),
            Query("ROLLBACK"),
        ],
        kept: &[1],
        commits: 1,
        rollbacks: 1,
        ..ROW
    },
    Row {
        name: "a_deferred_constraint_fails_a_batch_at_its_sync",
        turns: &[Batch(&[ONE, ONE])],
        failed: 1,
        ..ROW
    },
    Row {
        name: "a_deferred_constraint_fails_the_commit",
        turns: &[Query("BEGIN"), Query(ONE), Query(ONE), Query("COMMIT")],
        failed: 1,
        ..ROW
    },
    Row {
        name: "commit_of_a_failed_block_rolls_back",
        turns: &[
            Query("BEGIN"),
            Query(ONE),
            Query("SELECT 1/0"),
            Query("COMMIT"),
        ],
        failed: 1,
        ..ROW
    },
    Row {
        name: "rollback_to_a_savepoint_ends_nothing",
        turns: &[
            Query("BEGIN"),
            Query(ONE),
            Query("SAVEPOINT a"),
            Query(TWO),
            Query("ROLLBACK TO a"),
            Query("COMMIT"),
        ],
        kept: &[1],
        commits: 1,
        ..ROW
    },
    Row {
        name: "a_released_savepoint_is_kept",
        turns: &[
            Query("BEGIN"),
            Query(ONE),
            Query("SAVEPOINT a"),
            Query(TWO),
            Query("RELEASE a"),
            Query("COMMIT"),
        ],
        kept: &[1, 2],
        commits: 1,
        ..ROW
    },
    Row {
        name: "a_savepoint_recovers_a_failed_block",
        turns: &[
            Query("BEGIN"),
            Query(ONE),
            Query("SAVEPOINT a"),
            Query("SELECT 1/0"),
            Query("ROLLBACK TO a"),
            Query(TWO),
            Query("COMMIT"),
        ],
        kept: &[1, 2],
        commits: 1,
        ..ROW
    },
    Row {
        name: "rollback_on_request_is_no_failure",
        turns: &[Query("BEGIN"), Query(ONE), Query("ROLLBACK")],
        rollbacks: 1,
        ..ROW
    },
    Row {
        name: "a_prepared_transaction_counts_when_it_is_committed",
        turns: &[
            Query("BEGIN"),
            Query(ONE),
            Query("PREPARE TRANSACTION 'kept'"),
            Elsewhere("COMMIT PREPARED 'kept'"),
        ],
        kept: &[1],
        commits: 1,
        // COMMIT PREPARED is a transaction of its own there, too.
        idle: 1,
        ..ROW
    },
    Row {
        name: "a_prepared_transaction_counts_when_it_is_rolled_back",
        turns: &[
            Query("BEGIN"),
            Query(ONE),
            Query("PREPARE TRANSACTION 'dropped'"),
            Elsewhere("ROLLBACK PREPARED 'dropped'"),
        ],
        rollbacks: 1,
        idle: 1,
        ..ROW
    },
    Row {
        name: "what_cannot_be_prepared_failed",
        turns: &[
            Query("BEGIN"),
            Query("SELECT 1/0"),
            Query("PREPARE TRANSACTION 'never'"),
        ],
        failed: 1,
        ..ROW
    },
    Row {
        name: "statements_outside_a_block_commit_each",
        turns: &[
            Query(ONE),
            Pipeline(&[TWO]),
            Batch(&["SELECT 1", "SELECT 2"]),
        ],
        kept: &[1, 2],
        commits: 3,
        ..ROW
    },
    Row {
        name: "what_is_open_at_the_end_is_unknown",
        turns: &[Query("BEGIN"), Query(ONE)],
        unknown: 1,
        ..ROW
    },
];

#[test]
fn every_way_a_transaction_ends_is_counted_as_a_second_connection_finds_it() -> Result<()> {
    let scene = Scene::new(&ROWS.each_ref().map(|row| row.name))?;
    let agent = Agent::observe(&[&scene.clients])?;
    let played = ROWS
        .iter()
        .map(|row| play(row, &scene))
        .collect::<Result<Vec<_>>>()?;
    let scrape = agent.settled()?;
    let mut differences = Vec::new();
    for issued in &played {
        differences.extend(compare(issued, &scene.server, &scrape, "client")?);
    }
    agree(&differences, &scrape)?;
    for row in &ROWS {
        let mut second = scene.server.client(row.name)?;
        let found = second.query("SELECT a FROM deferred ORDER BY a", &[])?;
        let found: Vec<i32> = found.iter().map(|found| found.get(0)).collect();
        ensure!(found == row.kept, "{}: {found:?}", row.name);
    }
    Ok(())
}

fn play(row: &Row, scene: &Scene) -> Result<Issued> {
    let mut issued = Issued {
        scenario: row.name.into(),
        commits: row.commits,
        rollbacks: row.rollbacks,
        failed: row.failed,
        unknown: row.unknown,
        idle: Some(row.idle),
        ..Issued::default()
    };
    let mut connect = || {
        issued.connections += 1;
        let open = || Ok(TcpStream::connect(scene.server.address())?);
        Wire::start(scene.clients.host(open)?, row.name)
    };
    let mut wires = vec![connect()?];
    if row.turns.iter().any(|turn| matches!(turn, Elsewhere(_))) {
        wires.push(connect()?);
    }
    for turn in row.turns {
        let (index, messages, ready) = match turn {
            Query(text) => (0, super::wire::query(text), 1),
            Elsewhere(text) => (1, super::wire::query(text), 1),
            Batch(texts) => {
                let mut messages: Vec<u8> = texts.iter().copied().flat_map(extended).collect();
                messages.extend(sync());
                (0, messages, 1)
            }
            Pipeline(texts) => {
                let one = |text: &&str| [extended(text), sync()].concat();
                (0, texts.iter().flat_map(one).collect(), texts.len())
            }
        };
        if let Some(wire) = wires.get_mut(index) {
            wire.send(&messages, ready)?;
        }
    }
    for wire in wires {
        for tag in &wire.tags {
            let number = tag.rsplit(' ').next().and_then(|last| last.parse().ok());
            issued.rows += number.unwrap_or(0_i64);
        }
        for state in wire.errors {
            *issued.errors.entry(state).or_default() += 1;
        }
    }
    Ok(issued)
}
