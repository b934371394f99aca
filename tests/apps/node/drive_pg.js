// Drives PostgreSQL with node-postgres: each scenario in the database of its name.
"use strict";

const assert = require("node:assert");
const { Client } = require("pg");
const Cursor = require("pg-cursor");
const QueryStream = require("pg-query-stream");

const { Issued, named } = require("./issued.js");

const [address, ...names] = process.argv.slice(2);
const [host, port] = address.split(":");

const scenarios = {
  async simple(connect, issued) {
    const client = await connect();
    for (let number = 0; number < 10; number++) {
      await client.query(named("Simple", `SELECT ${number}, 'it''s; one'`));
    }
    issued.ran("Simple", { times: 10, rows: 10, commits: 10 });
    await client.query("SELECT 1; SELECT generate_series(1, 5); SET work_mem = '4MB'");
    issued.ran("SELECT", { times: 2, rows: 6 });
    issued.ran("SET", { commits: 1 });
  },

  async unnamed(connect, issued) {
    const client = await connect();
    for (let number = 0; number < 10; number++) {
      const text = named("Unnamed", "SELECT generate_series(1, $1::int)");
      const { rows } = await client.query(text, [number]);
      assert.equal(rows.length, number);
    }
    issued.ran("Unnamed", { times: 10, rows: 45, commits: 10 });
  },

  async prepared(connect, issued) {
    const client = await connect();
    const text = named("Named", "SELECT generate_series(1, $1::int)");
    for (let number = 0; number < 10; number++) {
      await client.query({ name: "series", text, values: [number] });
    }
    issued.ran("Named", { times: 10, rows: 45, commits: 10 });
  },

  // Sent without waiting: the client sends each once the one before is answered.
  async pipeline(connect, issued) {
    const client = await connect();
    const all = [];
    for (let number = 0; number < 20; number++) {
      all.push(client.query(named("Queued", "SELECT $1::int"), [number]));
    }
    await Promise.all(all);
    issued.ran("Queued", { times: 20, rows: 20, commits: 20 });
  },

  async batch(connect, issued) {
    const client = await connect();
    await client.query("INSERT INTO orders (status) VALUES ('new');".repeat(1000));
    issued.ran("INSERT", { times: 1000, rows: 1000, commits: 1 });
  },

  async cursor(connect, issued) {
    const client = await connect();
    const cursor = client.query(new Cursor(named("Part", "SELECT generate_series(1, $1::int)"), [25]));
    for (const rows of [10, 10, 5]) {
      assert.equal((await cursor.read(10)).length, rows);
    }
    await cursor.close();
    issued.ran("Part", { rows: 25, commits: 1 });
    const stream = new QueryStream(named("Streamed", "SELECT generate_series(1, 250)"), [], {
      batchSize: 100,
    });
    let count = 0;
    for await (const _ of client.query(stream)) count++;
    assert.equal(count, 250);
    issued.ran("Streamed", { rows: 250, commits: 1 });
    // Left before its end.
    const left = client.query(new Cursor(named("Left", "SELECT generate_series(1, 100)")));
    await left.read(10);
    await left.close();
    issued.ran("Left", { rows: 10, commits: 1 });
  },

  async notify(connect, issued) {
    const [listener, speaker] = [await connect(), await connect()];
    const heard = new Promise((done) => {
      let count = 0;
      listener.on("notification", () => ++count === 5 && done());
    });
    await listener.query("LISTEN orders");
    for (let number = 0; number < 5; number++) {
      await speaker.query("NOTIFY orders, 'jo@example.com'");
    }
    await heard;
    await listener.query(named("Heard", "SELECT 1"));
    issued.ran("LISTEN", { commits: 1 });
    issued.ran("NOTIFY", { times: 5, commits: 5 });
    issued.ran("Heard", { rows: 1, commits: 1 });
    // What wakes a listener's server process is a transaction in its statistics, or several are.
    issued.idle = null;
  },

  async skipped(connect, issued) {
    const client = await connect();
    const state = (wanted) => (error) => assert.equal(error.code, wanted) ?? true;
    await assert.rejects(client.query(named("Divided", "SELECT quotient($1)"), [0]), state("22012"));
    issued.broke("Divided", "22012");
    await assert.rejects(
      client.query("INSERT INTO orders (status) VALUES ('a'); SELECT quotient(0)"),
      state("22012"),
    );
    issued.ran("INSERT", { rows: 1 });
    issued.broke("SELECT", "22012");
    await assert.rejects(client.query("SELEC 1"), state("42601"));
    issued.broke("unknown", "42601");
    await assert.rejects(client.query("SELECT * FROM absent WHERE a = $1", [1]), state("42P01"));
    // It broke where it was parsed: nothing ran.
    issued.refused("42P01");
    await client.query(named("After", "SELECT 1"));
    issued.ran("After", { rows: 1, commits: 1 });
  },

  async notice(connect, issued) {
    const client = await connect();
    for (let number = 0; number < 3; number++) {
      await client.query(named("Noticed", "SELECT noisy($1)"), [number]);
    }
    issued.ran("Noticed", { times: 3, rows: 3, commits: 3 });
  },

  async large(connect, issued) {
    const client = await connect();
    for (const size of [2000, 2 << 20]) {
      const literal = "x".repeat(size);
      await client.query(named("LargeText", `SELECT length('${literal}')`));
      await client.query(named("LargeValue", "SELECT length($1)"), [literal]);
      await client.query(named("LargeRow", "SELECT repeat('y', $1)"), [size]);
    }
    for (const name of ["LargeText", "LargeValue", "LargeRow"]) {
      issued.ran(name, { times: 2, rows: 2, commits: 2 });
    }
  },

  async large_object(connect, issued) {
    const client = await connect();
    await client.query("BEGIN");
    const made = await client.query(named("Create", "SELECT lo_from_bytea(0, $1) AS id"), [
      Buffer.alloc(300_000, "z"),
    ]);
    for (let offset = 0; offset < 300_000; offset += 100_000) {
      const text = named("Read", "SELECT lo_get($1, $2, 100000) AS part");
      const read = await client.query(text, [made.rows[0].id, offset]);
      assert.equal(read.rows[0].part.length, 100_000);
    }
    await client.query("ROLLBACK");
    issued.ran("BEGIN");
    issued.ran("Create", { rows: 1 });
    issued.ran("Read", { times: 3, rows: 3 });
    issued.ran("ROLLBACK");
    issued.rollbacks += 1;
  },

  async scram(connect, issued) {
    const client = await connect({ user: "app", password: "hunter2-s3cret" });
    await client.query(named("Let", "SELECT 1"));
    issued.ran("Let", { rows: 1, commits: 1 });
  },

  async transactions(connect, issued) {
    const client = await connect();
    const insert = named("Insert", "INSERT INTO orders (status) VALUES ($1)");
    await client.query("BEGIN");
    await client.query(insert, ["a"]);
    await client.query("SAVEPOINT s");
    await client.query(insert, ["b"]);
    await client.query("ROLLBACK TO s");
    await client.query("COMMIT");
    issued.ran("BEGIN");
    issued.ran("Insert", { times: 2, rows: 2 });
    issued.ran("SAVEPOINT");
    issued.ran("ROLLBACK");
    issued.ran("COMMIT", { commits: 1 });
    await client.query("BEGIN");
    await assert.rejects(client.query(insert, [null]));
    await client.query("COMMIT");
    issued.ran("BEGIN");
    issued.broke("Insert", "23502");
    // What the server answers to COMMIT in a transaction that failed.
    issued.ran("ROLLBACK");
  },
};

async function main() {
  for (const name of names) {
    const issued = new Issued(name);
    const opened = [];
    const connect = async (options = {}) => {
      const client = new Client({ host, port, database: name, user: "postgres", ...options });
      opened.push(client);
      await client.connect();
      return client;
    };
    await scenarios[name](connect, issued);
    for (const client of opened) await client.end();
    issued.connections = opened.length;
    process.stdout.write(`${JSON.stringify(issued)}\n`);
  }
}

main();
