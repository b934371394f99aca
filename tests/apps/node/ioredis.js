// Drives ioredis: takes a scenario's name a line, and answers with what it issued, as JSON.
//
// What the driver sends of its own accord (HELLO, INFO, CLIENT SETINFO, CLUSTER SLOTS) is not told.
// Arguments: the server's port, the protocol's version, the port of a cluster's node.

"use strict";

const assert = require("node:assert");
const readline = require("node:readline");
const Redis = require("ioredis");

const [port, protocol, clusterPort] = process.argv.slice(2).map(Number);
const big = "v".repeat(1 << 20);
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

let account;
let cluster;

function add(table, commands) {
  for (const [command, count] of Object.entries(commands)) {
    table[command] = (table[command] ?? 0) + count;
  }
}

const sent = (commands) => add(account.issued, commands);
const unrun = (commands) => add(account.unrun, commands);

function blocked(commands) {
  sent(commands);
  add(account.blocked, commands);
}

function found(hits, misses) {
  account.hits += hits;
  account.misses += misses;
}

/** Runs `act` with so many clients, and closes them. */
async function withClients(count, act) {
  const clients = Array.from({ length: count }, () => new Redis(port, { protocol }));
  try {
    await act(...clients);
  } finally {
    await Promise.all(clients.map(close));
  }
}

async function close(client) {
  const ended = new Promise((done) => client.once("end", done));
  client.disconnect();
  await ended;
}

const fails = (promise) => assert.rejects(promise);

/** Waits until something was sent by the server so many times. */
function events(emitter, name, count) {
  return new Promise((done) => {
    emitter.on(name, () => {
      count -= 1;
      if (count === 0) done();
    });
  });
}

const scenarios = {
  lookups: () =>
    withClients(1, async (c) => {
      await c.set("a", "1");
      await c.mset("b", "2", "c", "3");
      assert.deepEqual([await c.get("a"), await c.get("none")], ["1", null]);
      assert.deepEqual(await c.mget("a", "none", "b"), ["1", null, "2"]);
      await c.hset("h", { f: "1", g: "2" });
      assert.deepEqual([await c.hget("h", "f"), await c.hget("h", "none")], ["1", null]);
      assert.deepEqual(await c.hmget("h", "f", "none"), ["1", null]);
      assert.deepEqual([await c.getex("b", "EX", 100), await c.getdel("b")], ["2", "2"]);
      await c.hgetall("h");
      sent({ set: 1, mset: 1, get: 2, mget: 1, hset: 1, hget: 2, hmget: 1, getex: 1, getdel: 1 });
      sent({ hgetall: 1 });
      found(1 + 2 + 1 + 1 + 1 + 1, 1 + 1 + 1 + 1);
    }),

  big: () =>
    withClients(1, async (c) => {
      for (let number = 0; number < 4; number += 1) {
        await c.set(`big:${number}`, big);
        assert.equal((await c.get(`big:${number}`)).length, big.length);
      }
      sent({ set: 4, get: 4 });
      found(4, 0);
    }),

  pipeline: () =>
    withClients(1, async (c) => {
      const pipe = c.pipeline();
      for (let number = 0; number < 100; number += 1) {
        pipe.set(`p:${number}`, "x").get(`p:${number}`).get("none");
      }
      const results = await pipe.incr("p:0").lpush("p:0", "y").exec();
      assert.equal(results.filter(([error]) => error).length, 2);
      // Without a pipeline of their own, sent before any is answered.
      await Promise.all(Array.from({ length: 50 }, (_, number) => c.get(`p:${number}`)));
      sent({ set: 100, get: 250, incr: 1, lpush: 1 });
      found(150, 100);
    }),

  transaction: () =>
    withClients(1, async (c) => {
      for (let round = 0; round < 5; round += 1) {
        const results = await c.multi().set("n", 1).get("n").get("none").incr("n").exec();
        assert.deepEqual(results.map(([, result]) => result), ["OK", "1", null, 2]);
      }
      sent({ multi: 5, exec: 5, set: 5, get: 10, incr: 5 });
      found(5, 5);
      await c.multi({ pipeline: false });
      await c.set("n", "text");
      await c.incr("n");
      await c.get("n");
      await c.exec();
      sent({ multi: 1, exec: 1, set: 1, incr: 1, get: 1 });
      add(account.within, { ERR: 1 });
      found(1, 0);
      await c.multi({ pipeline: false });
      await c.get("n");
      await c.discard();
      await fails(c.multi().get("n").call("NOSUCH").exec());
      sent({ multi: 2, get: 2, discard: 1, exec: 1, _other: 1 });
      unrun({ get: 2, _other: 1 });
    }),

  watch: () =>
    withClients(2, async (c, other) => {
      await c.watch("w");
      assert.equal(await c.get("w"), null);
      await other.set("w", "theirs");
      assert.equal(await c.multi().set("w", "ours").get("w").exec(), null);
      await c.watch("w");
      await c.unwatch();
      sent({ watch: 2, unwatch: 1, get: 2, set: 2, multi: 1, exec: 1 });
      unrun({ set: 1, get: 1 });
      found(0, 1);
    }),

  scripts: () =>
    withClients(1, async (c) => {
      c.defineCommand("look", { numberOfKeys: 1, lua: "return redis.call('GET', KEYS[1])" });
      // EVAL the first time, EVALSHA the second.
      assert.deepEqual([await c.look("none"), await c.look("none")], [null, null]);
      const nested = "redis.call('SET', KEYS[1], '1') return {1, {2, {3}}}";
      assert.deepEqual(await c.eval(nested, 1, "k"), [1, [2, [3]]]);
      await fails(c.evalsha("0".repeat(40), 0));
      await fails(c.eval("return redis.error_reply('MINE own')", 0));
      sent({ evalsha: 2, eval: 3 });
      add(account.inside, { get: 2, set: 1 });
    }),

  blocking: () =>
    withClients(2, async (c, other) => {
      assert.equal(await c.blpop("l", 0.1), null);
      const popped = c.brpop("l", 5);
      await sleep(150);
      await other.rpush("l", "a", "b", "c");
      assert.deepEqual(await popped, ["l", "c"]);
      await c.blmove("l", "m", "LEFT", "LEFT", 5);
      await c.zadd("z", 1, "one", 2, "two");
      await c.bzpopmin("z", 5);
      await c.bzpopmax("z", 5);
      const read = c.xread("BLOCK", 5000, "STREAMS", "s", "$");
      await sleep(150);
      await other.xadd("s", "*", "f", "v");
      assert.ok(await read);
      await c.xread("COUNT", 1, "STREAMS", "s", "0");
      await c.wait(0, 100);
      assert.deepEqual(await c.multi().blpop("none", 0).blpop("l", 0).exec(), [
        [null, null],
        [null, ["l", "b"]],
      ]);
      blocked({ blpop: 1, brpop: 1, blmove: 1, bzpopmin: 1, bzpopmax: 1, xread: 1, wait: 1 });
      sent({ rpush: 1, zadd: 1, xadd: 1, xread: 1, multi: 1, blpop: 2, exec: 1 });
    }),

  pubsub: () =>
    withClients(2, async (p, c) => {
      await p.subscribe("one", "two");
      await p.psubscribe("thr*", "fo*");
      await p.ssubscribe("shard");
      const arrived = Promise.all([
        events(p, "message", 20),
        events(p, "pmessage", 10),
        events(p, "smessage", 10),
      ]);
      for (let round = 0; round < 10; round += 1) {
        await Promise.all(["one", "two", "three"].map((channel) => c.publish(channel, "m")));
        await c.spublish("shard", big.slice(0, 2000));
      }
      await arrived;
      await p.ping();
      await p.unsubscribe("one");
      await p.punsubscribe("thr*", "fo*");
      await p.unsubscribe();
      await p.sunsubscribe();
      // No longer a subscriber, in either protocol.
      assert.equal(await p.get("none"), null);
      sent({ subscribe: 1, psubscribe: 1, ssubscribe: 1, publish: 30, spublish: 10, ping: 1 });
      sent({ unsubscribe: 2, punsubscribe: 1, sunsubscribe: 1, get: 1 });
      found(0, 1);
    }),

  tracking: () =>
    withClients(3, async (c, other, listener) => {
      if (protocol === 3) {
        await c.client("TRACKING", "ON");
      } else {
        const number = await listener.client("ID");
        await listener.subscribe("__redis__:invalidate");
        await c.client("TRACKING", "ON", "REDIRECT", number);
        sent({ "client|id": 1, subscribe: 1 });
      }
      for (let value = 0; value < 5; value += 1) {
        await other.set("t", value);
        assert.equal(await c.get("t"), String(value));
      }
      await c.client("TRACKING", "OFF");
      sent({ "client|tracking": 2, set: 5, get: 5 });
      found(5, 0);
    }),

  monitor: () =>
    withClients(2, async (c, watched) => {
      // Both have said what they say at first: the driver fails where a line comes along with the
      // answer to MONITOR.
      await Promise.all([c.ping(), watched.ping()]);
      const monitor = await c.monitor();
      const seen = events(monitor, "monitor", 20);
      for (let number = 0; number < 20; number += 1) await watched.set(`m:${number}`, "x");
      await seen;
      await close(monitor);
      sent({ monitor: 1, set: 20, ping: 2 });
    }),

  session: () =>
    withClients(1, async (c) => {
      await c.ping();
      await c.select(1);
      await c.client("SETNAME", "worker");
      await c.call("HELLO", "2");
      await c.call("HELLO", protocol);
      await fails(c.call("HELLO", "9"));
      await fails(c.call("NOSUCH", "x"));
      await fails(c.call("GET"));
      await c.call("RESET");
      assert.equal(await c.get("none"), null);
      // A connection that is asked to end does not come back.
      await c.quit();
      sent({ ping: 1, select: 1, "client|setname": 1, _other: 1, get: 2, reset: 1, quit: 1 });
      unrun({ _other: 1 });
      found(0, 1);
    }),

  async cluster_keys() {
    cluster = new Redis.Cluster([{ host: "127.0.0.1", port: clusterPort }], {
      redisOptions: { protocol },
    });
    const keys = Array.from({ length: 60 }, (_, number) => `k:${number}`);
    for (const key of keys) {
      await cluster.set(key, "x");
      assert.equal(await cluster.get(key), "x");
    }
    await Promise.all(keys.map((key) => cluster.get(key)));
    assert.deepEqual(await cluster.mget("{t}a", "{t}b"), [null, null]);
    sent({ set: 60, get: 120, mget: 1 });
    found(120, 2);
  },

  async cluster_moved() {
    for (let number = 0; number < 5; number += 1) await cluster.set(`{moved}${number}`, "x");
    sent({ set: 5 });
  },

  async cluster_ask() {
    for (let number = 0; number < 5; number += 1) {
      await cluster.set(`{asked}${number}`, "x");
      assert.equal(await cluster.get(`{asked}${number}`), "x");
    }
    sent({ set: 5, get: 5, asking: 10 });
    found(5, 0);
  },

  async cluster_shards() {
    const subscriber = new Redis.Cluster([{ host: "127.0.0.1", port: clusterPort }], {
      redisOptions: { protocol },
      shardedSubscribers: true,
    });
    const channels = ["news", "prices", "stock"];
    const arrived = events(subscriber, "smessage", channels.length);
    for (const channel of channels) await subscriber.ssubscribe(channel);
    for (const channel of channels) assert.equal(await cluster.spublish(channel, "m"), 1);
    await arrived;
    subscriber.disconnect();
    cluster.disconnect();
    sent({ ssubscribe: 3, spublish: 3 });
  },
};

async function main() {
  for await (const scenario of readline.createInterface({ input: process.stdin })) {
    account = { issued: {}, blocked: {}, unrun: {}, inside: {}, within: {} };
    Object.assign(account, { hits: 0, misses: 0 });
    await scenarios[scenario]();
    console.log(JSON.stringify(account));
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
