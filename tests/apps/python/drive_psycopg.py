"""Drives PostgreSQL with psycopg: each scenario in the database of its name."""

import concurrent.futures
import time

import psycopg
from psycopg import errors

from issued import address, named, scenarios


def simple(connect, issued):
    connection = connect(cursor_factory=psycopg.ClientCursor)
    for number in range(10):
        connection.execute(named("Simple", "SELECT %s, 'it''s; one'"), [number])
    issued.ran("Simple", 10, rows=10, commits=10)
    connection.execute("SELECT 1; SELECT generate_series(1, 5); SET application_name = 'a'")
    issued.ran("SELECT", 2, rows=6)
    issued.ran("SET", commits=1)


def unnamed(connect, issued):
    connection = connect()
    for number in range(10):
        text = named("Unnamed", "SELECT generate_series(1, %s::int4)")
        connection.execute(text, [number], prepare=False)
    issued.ran("Unnamed", 10, rows=45, commits=10)


def prepared(connect, issued):
    connection = connect(prepare_threshold=5)
    for number in range(10):
        text = named("Named", "SELECT generate_series(1, %s::int4)")
        connection.execute(text, [number], prepare=True)
    issued.ran("Named", 10, rows=45, commits=10)
    issued.idle += 1


def cache(connect, issued):
    connection = connect(prepare_threshold=2)
    connection.prepared_max = 2
    for _ in range(5):
        for kind in range(5):
            text = named(f"Cache{kind}", f"SELECT {kind}, %s::int4")
            connection.execute(text, [kind])
            issued.ran(f"Cache{kind}", rows=1, commits=1)
    for _ in range(5):
        connection.execute(named("Kept", "SELECT 1, %s::int4"), [1])
    issued.ran("Kept", 5, rows=5, commits=5)
    issued.idle += 1


def pipeline(connect, issued):
    connection = connect()
    with connection.pipeline() as open_pipeline:
        for _ in range(2):
            for number in range(10):
                text = named("Piped", "SELECT generate_series(1, %s::int4)")
                connection.execute(text, [number], prepare=False)
            open_pipeline.sync()
    issued.ran("Piped", 20, rows=90, commits=2)


def batch(connect, issued):
    connection = connect()
    text = named("Batch", "INSERT INTO orders (status) VALUES (%s)")
    with connection.cursor() as cursor:
        cursor.executemany(text, [["new"]] * 1000)
    issued.ran("Batch", 1000, rows=1000, commits=1)


def cursor(connect, issued):
    connection = connect(autocommit=False)
    with connection.cursor(name="part") as part:
        part.itersize = 10
        part.execute(named("Part", "SELECT generate_series(1, 25)"))
        assert len(list(part)) == 25
    connection.commit()
    issued.ran("BEGIN")
    issued.ran("DECLARE CURSOR")
    issued.ran("FETCH", 3, rows=25)
    issued.ran("CLOSE CURSOR")
    issued.ran("COMMIT", commits=1)


def copy(connect, issued):
    connection = connect()
    with connection.cursor() as cursor:
        with cursor.copy("COPY orders (status) FROM STDIN") as into:
            for number in range(2000):
                into.write_row([f"status {number}"])
        with cursor.copy("COPY orders TO STDOUT") as out:
            assert sum(1 for _ in out.rows()) == 2000
        try:
            with cursor.copy("COPY orders (order_id) FROM STDIN") as into:
                into.write("no number\n")
        except errors.InvalidTextRepresentation:
            issued.broke("COPY", "22P02")
        try:
            with cursor.copy("COPY orders (status) FROM STDIN") as into:
                into.write_row(["a"])
                raise ValueError
        except ValueError:
            issued.broke("COPY", "57014")
    issued.ran("COPY", 2, rows=4000, commits=2)


def notify(connect, issued):
    listener, speaker = connect(), connect()
    listener.execute("LISTEN orders")
    for number in range(5):
        speaker.execute("NOTIFY orders, 'jo@example.com'")
    assert sum(1 for _ in listener.notifies(timeout=10, stop_after=5)) == 5
    listener.execute(named("Heard", "SELECT 1"))
    issued.ran("LISTEN", commits=1)
    issued.ran("NOTIFY", 5, commits=5)
    issued.ran("Heard", rows=1, commits=1)
    # What wakes a listener's server process is a transaction in its statistics, or several are.
    issued.idle = None


def skipped(connect, issued):
    connection = connect()
    try:
        with connection.pipeline():
            for divisor in [1, 2, 0, 4, 5]:
                text = named("Divided", "SELECT quotient(%s::int4)")
                connection.execute(text, [divisor], prepare=False)
    except errors.DivisionByZero:
        issued.ran("Divided", 2, rows=2)
        issued.broke("Divided", "22012")
    try:
        connection.execute("SELEC 1")
    except errors.SyntaxError:
        issued.broke("unknown", "42601")
    connection.execute(named("After", "SELECT 1"))
    issued.ran("After", rows=1, commits=1)


def notice(connect, issued):
    connection = connect()
    text = named("Noticed", "SELECT noisy(%s::int4)")
    for number in range(3):
        connection.execute(text, [number])
    issued.ran("Noticed", 3, rows=3, commits=3)


def large(connect, issued):
    connection = connect()
    for size in [2000, 2 << 20]:
        literal = "x" * size
        connection.execute(named("LargeText", f"SELECT length('{literal}')"))
        connection.execute(named("LargeValue", "SELECT length(%s)"), [literal])
        connection.execute(named("LargeRow", "SELECT repeat('y', %s)"), [size])
    for name in ["LargeText", "LargeValue", "LargeRow"]:
        issued.ran(name, 2, rows=2, commits=2)


def large_object(connect, issued):
    connection = connect(autocommit=False)
    made = connection.execute(
        named("Create", "SELECT lo_from_bytea(0, %s)"), [b"z" * 300_000]
    ).fetchone()[0]
    text = named("Read", "SELECT lo_get(%s, %s, 100000)")
    for offset in range(0, 300_000, 100_000):
        assert len(connection.execute(text, [made, offset]).fetchone()[0]) == 100_000
    connection.rollback()
    issued.ran("BEGIN")
    issued.ran("Create", rows=1)
    issued.ran("Read", 3, rows=3)
    issued.ran("ROLLBACK")
    issued.rollbacks += 1


def cancel(connect, issued):
    connection = connect()
    with concurrent.futures.ThreadPoolExecutor() as threads:
        running = threads.submit(connection.execute, named("Slow", "SELECT pg_sleep(60)"))
        time.sleep(0.3)
        connection.cancel_safe()
        try:
            running.result()
        except errors.QueryCanceled:
            issued.broke("Slow", "57014")
    connection.execute(named("After", "SELECT 1"))
    issued.ran("After", rows=1, commits=1)


def scram(connect, issued):
    connection = connect(user="app", password="hunter2-s3cret")
    connection.execute(named("Let", "SELECT 1"))
    issued.ran("Let", rows=1, commits=1)


def transactions(connect, issued):
    connection = connect()
    insert = named("Insert", "INSERT INTO orders (status) VALUES (%s)")
    with connection.transaction():
        connection.execute(insert, ["a"])
        with connection.transaction(force_rollback=True):
            connection.execute(insert, ["b"])
    issued.ran("BEGIN")
    issued.ran("Insert", 2, rows=2)
    issued.ran("SAVEPOINT")
    # In one Query: it leaves the savepoint and lets go of it.
    issued.ran("ROLLBACK")
    issued.ran("RELEASE")
    issued.ran("COMMIT", commits=1)
    try:
        with connection.transaction():
            connection.execute(insert, [None])
    except errors.NotNullViolation:
        issued.ran("BEGIN")
        issued.broke("Insert", "23502", failed=0)
        issued.ran("ROLLBACK")
        issued.rollbacks += 1
    with connection.transaction(force_rollback=True):
        connection.execute(insert, ["c"])
    issued.ran("BEGIN")
    issued.ran("Insert", rows=1)
    issued.ran("ROLLBACK")
    issued.rollbacks += 1


KNOWN = {
    scenario.__name__: scenario
    for scenario in [
        simple, unnamed, prepared, cache, pipeline, batch, cursor, copy, notify, skipped,
        notice, large, large_object, cancel, scram, transactions,
    ]
}

for scenario, database, tally in scenarios(KNOWN):
    host, port = address()
    opened = []

    def connect(autocommit=True, prepare_threshold=None, **options):
        """A connection to the scenario's database."""
        connection = psycopg.connect(
            host=host, port=port, dbname=database, sslmode="disable", gssencmode="disable",
            autocommit=autocommit, prepare_threshold=prepare_threshold,
            **{"user": "postgres", **options},
        )
        opened.append(connection)
        return connection

    scenario(connect, tally)
    for connection in opened:
        connection.close()
    tally.connections = len(opened)
