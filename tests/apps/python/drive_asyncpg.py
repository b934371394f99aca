"""Drives PostgreSQL with asyncpg: each scenario in the database of its name."""

import asyncio

import asyncpg

from issued import address, named, scenarios


async def simple(connect, issued):
    connection = await connect()
    for number in range(10):
        await connection.execute(named("Simple", f"SELECT {number}, 'it''s; one'"))
    issued.ran("Simple", 10, rows=10, commits=10)
    await connection.execute("SELECT 1; SELECT generate_series(1, 5); SET work_mem = '4MB'")
    issued.ran("SELECT", 2, rows=6)
    issued.ran("SET", commits=1)


async def unnamed(connect, issued):
    connection = await connect(statement_cache_size=0)
    for number in range(10):
        rows = await connection.fetch(named("Unnamed", "SELECT generate_series(1, $1::int)"), number)
        assert len(rows) == number
    issued.ran("Unnamed", 10, rows=45, commits=10)


async def prepared(connect, issued):
    connection = await connect()
    statement = await connection.prepare(named("Named", "SELECT generate_series(1, $1::int)"))
    for number in range(10):
        await statement.fetch(number)
    issued.ran("Named", 10, rows=45, commits=10)


async def cache(connect, issued):
    connection = await connect(statement_cache_size=2)
    for _ in range(5):
        for kind in range(5):
            await connection.fetch(named(f"Cache{kind}", f"SELECT {kind}, $1::int"), kind)
            issued.ran(f"Cache{kind}", rows=1, commits=1)
    # Of 26 statements two stay; every other is closed, with a Sync of its own.
    issued.idle += 24
    for _ in range(5):
        await connection.fetch(named("Kept", "SELECT 1, $1::int"), 1)
    issued.ran("Kept", 5, rows=5, commits=5)


async def batch(connect, issued):
    connection = await connect()
    text = named("Batch", "INSERT INTO orders (status) VALUES ($1)")
    await connection.executemany(text, [["new"]] * 1000)
    issued.ran("Batch", 1000, rows=1000, commits=1)


async def cursor(connect, issued):
    connection = await connect()
    async with connection.transaction():
        text = named("Part", "SELECT generate_series(1, 25)")
        # A portal with a limit of rows, fetched from three times.
        assert len([row async for row in connection.cursor(text, prefetch=10)]) == 25
    issued.ran("BEGIN")
    issued.ran("Part", rows=25)
    issued.ran("COMMIT", commits=1)


async def copy(connect, issued):
    connection = await connect()
    records = [(f"status {number}",) for number in range(2000)]
    await connection.copy_records_to_table("orders", records=records, columns=["status"])
    await connection.copy_from_table("orders", output=lambda data: asyncio.sleep(0))
    # To learn how to encode the records.
    issued.ran("COPY", 2, rows=4000, commits=2)

    async def broken():
        yield b"no number\n"

    try:
        await connection.copy_to_table("orders", source=broken(), columns=["order_id"])
    except asyncpg.InvalidTextRepresentationError:
        issued.broke("COPY", "22P02")


async def notify(connect, issued):
    listener, speaker = await connect(), await connect()
    heard = asyncio.Queue()
    await listener.add_listener("orders", lambda *told: heard.put_nowait(told))
    for _ in range(5):
        await speaker.execute("NOTIFY orders, 'jo@example.com'")
    for _ in range(5):
        await asyncio.wait_for(heard.get(), 10)
    await listener.execute(named("Heard", "SELECT 1"))
    issued.ran("LISTEN", commits=1)
    issued.ran("NOTIFY", 5, commits=5)
    issued.ran("Heard", rows=1, commits=1)
    # What wakes a listener's server process is a transaction in its statistics, or several are.
    issued.idle = None


async def skipped(connect, issued):
    connection = await connect()
    text = named("Divided", "INSERT INTO orders (status) VALUES (quotient($1))")
    try:
        await connection.executemany(text, [[1], [2], [0], [4], [5]])
    except asyncpg.DivisionByZeroError:
        issued.ran("Divided", 2, rows=2)
        issued.broke("Divided", "22012")
    try:
        await connection.execute("SELEC 1")
    except asyncpg.PostgresSyntaxError:
        issued.broke("unknown", "42601")
    try:
        await connection.fetch("SELECT * FROM absent")
    except asyncpg.UndefinedTableError:
        # It broke where it was prepared: nothing ran.
        issued.errors["42P01"] += 1
        issued.failed += 1
    await connection.execute(named("After", "SELECT 1"))
    issued.ran("After", rows=1, commits=1)


async def notice(connect, issued):
    connection = await connect()
    for number in range(3):
        await connection.fetch(named("Noticed", "SELECT noisy($1)"), number)
    issued.ran("Noticed", 3, rows=3, commits=3)


async def large(connect, issued):
    connection = await connect()
    for size in [2000, 2 << 20]:
        literal = "x" * size
        await connection.execute(named("LargeText", f"SELECT length('{literal}')"))
        await connection.fetch(named("LargeValue", "SELECT length($1)"), literal)
        await connection.fetch(named("LargeRow", "SELECT repeat('y', $1)"), size)
    for name in ["LargeText", "LargeValue", "LargeRow"]:
        issued.ran(name, 2, rows=2, commits=2)


async def large_object(connect, issued):
    connection = await connect()
    open_transaction = connection.transaction()
    await open_transaction.start()
    text = named("Create", "SELECT lo_from_bytea(0, $1)")
    made = await connection.fetchval(text, b"z" * 300_000)
    for offset in range(0, 300_000, 100_000):
        text = named("Read", "SELECT lo_get($1, $2, 100000)")
        assert len(await connection.fetchval(text, made, offset)) == 100_000
    await open_transaction.rollback()
    issued.ran("BEGIN")
    issued.ran("Create", rows=1)
    issued.ran("Read", 3, rows=3)
    issued.ran("ROLLBACK")
    issued.rollbacks += 1


async def cancel(connect, issued):
    connection = await connect()
    try:
        # Over its time, asyncpg sends a cancel request.
        await connection.execute(named("Slow", "SELECT pg_sleep(60)"), timeout=0.3)
    except asyncio.TimeoutError:
        issued.broke("Slow", "57014")
    await connection.execute(named("After", "SELECT 1"))
    issued.ran("After", rows=1, commits=1)


async def scram(connect, issued):
    connection = await connect(user="app", password="hunter2-s3cret")
    await connection.execute(named("Let", "SELECT 1"))
    issued.ran("Let", rows=1, commits=1)


async def transactions(connect, issued):
    connection = await connect(statement_cache_size=0)

    def insert(value):
        return named("Insert", f"INSERT INTO orders (status) VALUES ({value})")

    async with connection.transaction():
        await connection.execute(insert("'a'"))
        inner = connection.transaction()
        await inner.start()
        await connection.execute(insert("'b'"))
        await inner.rollback()
    issued.ran("BEGIN")
    issued.ran("Insert", 2, rows=2)
    issued.ran("SAVEPOINT")
    issued.ran("ROLLBACK")
    issued.ran("COMMIT", commits=1)
    try:
        async with connection.transaction():
            await connection.execute(insert("NULL"))
    except asyncpg.NotNullViolationError:
        issued.ran("BEGIN")
        issued.broke("Insert", "23502", failed=0)
        issued.ran("ROLLBACK")
        issued.rollbacks += 1


KNOWN = {
    scenario.__name__: scenario
    for scenario in [
        simple, unnamed, prepared, cache, batch, cursor, copy, notify, skipped, notice, large,
        large_object, cancel, scram, transactions,
    ]
}


async def main():
    """Runs them, one after the other."""
    host, port = address()
    for scenario, database, tally in scenarios(KNOWN):
        opened = []

        async def connect(user="postgres", **options):
            """A connection to the scenario's database."""
            connection = await asyncpg.connect(
                host=host, port=port, database=database, ssl=False, user=user, **options
            )
            opened.append(connection)
            return connection

        await scenario(connect, tally)
        for connection in opened:
            await connection.close()
        tally.connections = len(opened)


asyncio.run(main())
