"""Drives redis-py: takes a scenario's name a line, and answers with what it issued, as JSON.

What the driver sends of its own accord (HELLO, CLIENT SETINFO, COMMAND, CLUSTER SLOTS) is not told.
Arguments: the server's port, the protocol's version, the port of a cluster's node.
"""

import json
import sys
from collections import Counter
from threading import Thread
from time import sleep

import redis
from redis.cluster import RedisCluster
from redis.maint_notifications import MaintNotificationsConfig

HOST = "127.0.0.1"
PORT, PROTOCOL, CLUSTER = (int(argument) for argument in sys.argv[1:4])
BIG = "v" * (1 << 20)
# Later servers' feature, which this one answers with an error.
WITHOUT = MaintNotificationsConfig(enabled=False)


class Account:
    """What a scenario issued, and what came of it."""

    def __init__(self):
        self.issued = Counter()
        # Executed by the server though never sent, and the other way round.
        self.inside = Counter()
        self.unrun = Counter()
        # Sent without a reply of its own.
        self.unanswered = Counter()
        self.blocked = Counter()
        # Errors in the reply to EXEC.
        self.within = Counter()
        self.hits = 0
        self.misses = 0

    def sent(self, **commands):
        self.issued.update({name.replace("__", "|"): n for name, n in commands.items()})

    def blocks(self, **commands):
        self.issued.update(commands)
        self.blocked.update(commands)

    def found(self, hits, misses):
        self.hits += hits
        self.misses += misses


def client(**options):
    without = {"maint_notifications_config": WITHOUT}
    return redis.Redis(host=HOST, port=PORT, protocol=PROTOCOL, **without, **options)


def one():
    """A client that keeps to one connection."""
    return client(single_connection_client=True)


def cluster():
    without = {"maint_notifications_config": WITHOUT}
    return RedisCluster(host=HOST, port=CLUSTER, protocol=PROTOCOL, **without)


def fails(act, *arguments):
    try:
        act(*arguments)
    except redis.RedisError:
        return
    raise AssertionError(f"{arguments} did not fail")


def lookups(account):
    with client() as c:
        c.set("a", "1")
        c.mset({"b": "2", "c": "3"})
        assert c.get("a") == b"1" and c.get("none") is None
        assert c.mget("a", "none", "b") == [b"1", None, b"2"]
        c.hset("h", mapping={"f": "1", "g": "2"})
        assert c.hget("h", "f") and not c.hget("h", "none") and not c.hget("none", "f")
        assert c.hmget("h", ["f", "none"]) == [b"1", None]
        assert c.getex("b", ex=100) and c.getdel("b") and not c.getdel("b")
        c.zadd("z", {"m": 1.5})
        assert c.zscore("z", "m") == 1.5 and c.hgetall("h") and c.exists("a", "none") == 1
    account.sent(set=1, mset=1, get=2, mget=1, hset=1, hget=3, hmget=1, getex=1, getdel=2)
    account.sent(zadd=1, zscore=1, hgetall=1, exists=1)
    account.found(1 + 2 + 1 + 1 + 1 + 1, 1 + 1 + 2 + 1 + 1)


def big(account):
    with client() as c:
        for number in range(4):
            c.set(f"big:{number}", BIG)
            assert len(c.get(f"big:{number}")) == len(BIG)
    account.sent(set=4, get=4)
    account.found(4, 0)


def pipeline(account):
    with client() as c, c.pipeline(transaction=False) as pipe:
        for number in range(100):
            pipe.set(f"p:{number}", "x").get(f"p:{number}").get("none")
        pipe.incr("p:0").lpush("p:0", "y")
        errors = [r for r in pipe.execute(raise_on_error=False) if isinstance(r, redis.RedisError)]
        assert len(errors) == 2
    account.sent(set=100, get=200, incrby=1, lpush=1)
    account.found(100, 100)


def transaction(account):
    with client() as c:
        for _ in range(5):
            with c.pipeline() as pipe:
                results = pipe.set("n", 1).get("n").get("none").incr("n").mget("n", "none").execute()
            assert results == [True, b"1", None, 2, [b"2", None]]
        account.sent(multi=5, exec=5, set=5, get=10, incrby=5, mget=5)
        account.found(10, 10)
        with c.pipeline() as pipe:
            fails(pipe.set("n", "text").incr("n").get("n").execute)
    account.sent(multi=1, exec=1, set=1, incrby=1, get=1)
    account.within.update(ERR=1)
    account.found(1, 0)
    with one() as c:
        for command in ["MULTI", "GET a", "DISCARD", "MULTI", "GET a"]:
            c.execute_command(*command.split())
        fails(c.execute_command, "NOSUCH")
        fails(c.execute_command, "EXEC")
    account.sent(multi=2, discard=1, get=2, exec=1, _other=1)
    account.unrun.update(get=2, _other=1)


def watch(account):
    with client() as c, client() as other, c.pipeline() as pipe:
        pipe.watch("w")
        assert pipe.get("w") is None
        other.set("w", "theirs")
        pipe.multi()
        pipe.set("w", "ours").get("w")
        fails(pipe.execute)
        pipe.watch("w")
        pipe.multi()
        assert pipe.get("w").execute() == [b"theirs"]
        pipe.watch("w")
        pipe.unwatch()
    account.sent(watch=3, unwatch=1, get=3, set=2, multi=2, exec=2)
    account.unrun.update(set=1, get=1)
    account.found(1, 1)


def scripts(account):
    with client() as c:
        script = c.register_script("return redis.call('GET', KEYS[1])")
        # EVALSHA is answered with NOSCRIPT, and SCRIPT LOAD and EVALSHA follow.
        assert script(keys=["none"]) is None and script(keys=["none"]) is None
        assert c.eval("redis.call('SET', KEYS[1], '1') return {1, {2, {3}}}", 1, "k")
        fails(c.eval, "return redis.error_reply('MINE own')", 0)
    account.sent(evalsha=3, script__load=1, eval=2)
    account.inside.update(get=2, set=1)


def blocking(account):
    with client() as c, client() as other:

        def later(act, *arguments):
            thread = Thread(target=lambda: (sleep(0.15), act(*arguments)))
            thread.start()
            return thread

        assert c.blpop("l", timeout=0.1) is None
        thread = later(other.rpush, "l", "a", "b", "c")
        assert list(c.brpop("l", timeout=5)) == [b"l", b"c"]
        thread.join()
        assert c.blmove("l", "m", 5) == b"a" and c.brpoplpush("m", "l", 5) == b"a"
        thread = later(other.zadd, "z", {"one": 1, "two": 2})
        assert c.bzpopmin("z", timeout=5) and c.bzpopmax("z", timeout=5)
        thread.join()
        thread = later(other.xadd, "s", {"f": "v"})
        assert c.xread({"s": "$"}, block=5000)
        thread.join()
        assert c.xread({"s": "0"})
        c.xgroup_create("s", "g", "0")
        assert c.xreadgroup("g", "me", {"s": ">"}, block=5000)
        assert c.wait(0, 100) == 0
        with c.pipeline() as pipe:
            assert pipe.execute_command("BLPOP", "none", 0).blpop("l", 0).execute()
    account.blocks(blpop=1, brpop=1, blmove=1, brpoplpush=1, bzpopmin=1, bzpopmax=1, xread=1)
    account.blocks(xreadgroup=1, wait=1)
    account.sent(rpush=1, zadd=1, xadd=1, xread=1, xgroup__create=1, multi=1, blpop=2, exec=1)


def drain(subscriber, count):
    """Reads so many of what a subscriber is sent."""
    while count:
        count -= subscriber.get_message(timeout=5) is not None


def pubsub(account):
    with client() as c, c.pubsub() as p:
        p.subscribe("one", "two")
        p.psubscribe("thr*", "fo*")
        p.ssubscribe("shard")
        drain(p, 5)
        for _ in range(10):
            assert c.publish("one", "m") + c.publish("two", "m") + c.publish("three", "m") == 3
            assert c.spublish("shard", BIG[:2000]) == 1
        drain(p, 40)
        p.ping()
        drain(p, 1)
        p.unsubscribe("one")
        drain(p, 1)
        p.punsubscribe("thr*", "fo*")
        drain(p, 2)
        p.unsubscribe()
        p.sunsubscribe()
        drain(p, 2)
    account.sent(subscribe=1, psubscribe=1, ssubscribe=1, publish=30, spublish=10, ping=1)
    account.sent(unsubscribe=2, punsubscribe=1, sunsubscribe=1)


def tracking(account):
    # The driver's own cache asks for a later server.
    with client() as other, one() as c, one() as listener:
        told = listener.pubsub()
        if PROTOCOL == 3:
            c.execute_command("CLIENT", "TRACKING", "ON")
        else:
            number = listener.client_id()
            account.sent(client__id=1, subscribe=1)
            told.connection = listener.connection
            told.subscribe("__redis__:invalidate")
            drain(told, 1)
            c.execute_command("CLIENT", "TRACKING", "ON", "REDIRECT", str(number))
        for value in range(5):
            other.set("t", value)
            assert c.get("t") == str(value).encode()
        c.execute_command("CLIENT", "TRACKING", "OFF")
        c.execute_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "u", "NOLOOP")
        for value in range(5):
            other.set("u", value)
            c.set("u", value)
            assert c.get("u") == str(value).encode()
        if PROTOCOL == 2:
            drain(told, 4)
            told.connection = None
    account.sent(client__tracking=3, set=15, get=10)
    account.found(10, 0)


def monitor(account):
    with client() as c, c.monitor() as m:
        for number in range(20):
            c.set(f"m:{number}", "x")
        seen = 0
        while seen < 20:
            seen += m.next_command()["command"].startswith("SET")
    account.sent(monitor=1, set=20)


def session(account):
    with one() as c:
        c.ping()
        c.select(1)
        c.client_setname("worker")
        # A parser of RESP2 does not understand RESP3; the other way round it does.
        c.execute_command("HELLO", "2")
        c.execute_command("HELLO", str(PROTOCOL))
        fails(c.execute_command, "HELLO", "9")
        fails(c.execute_command, "NOSUCH", "x")
        fails(c.execute_command, "CLIENT", "NOSUCH")
        fails(c.execute_command, "GET")
        assert c.get("none") is None
        c.execute_command("RESET")
        c.execute_command("QUIT")
    account.sent(ping=1, select=1, client__setname=1, _other=2, get=2, reset=1, quit=1)
    account.unrun.update(_other=2)
    account.found(0, 1)


def silent(account):
    with one() as c:
        def send(*words):
            c.connection.send_command(*words)

        send("CLIENT", "REPLY", "SKIP")
        send("SET", "a", "1")
        assert c.get("a") == b"1"
        send("CLIENT", "REPLY", "OFF")
        for _ in range(10):
            send("GET", "a")
        assert c.execute_command("CLIENT", "REPLY", "ON") == b"OK"
        assert c.get("none") is None
    account.sent(client__reply=3, set=1, get=12)
    account.unanswered.update(client__reply=2, set=1, get=10)
    account.found(1, 1)


held = {}


def cluster_keys(account):
    c = held["cluster"] = cluster()
    for number in range(60):
        assert c.set(f"k:{number}", "x") and c.get(f"k:{number}") == b"x"
    pipe = c.pipeline()
    for number in range(60):
        pipe.get(f"k:{number}")
    assert pipe.execute() == [b"x"] * 60
    assert c.mget_nonatomic(["{t}a", "{t}b"]) == [None, None]
    account.sent(set=60, get=120, mget=1)
    account.found(120, 2)


def cluster_moved(account):
    for number in range(5):
        held["cluster"].set(f"{{moved}}{number}", "x")
    account.sent(set=5)


def cluster_ask(account):
    c = held["cluster"]
    for number in range(5):
        c.set(f"{{asked}}{number}", "x")
        assert c.get(f"{{asked}}{number}") == b"x"
    account.sent(set=5, get=5, asking=10)
    account.found(5, 0)


def cluster_shards(account):
    c = held["cluster"]
    p = c.pubsub()
    channels = ["news", "prices", "stock"]
    for channel in channels:
        p.ssubscribe(channel)
        while p.get_sharded_message(timeout=5, target_node=c.get_node_from_key(channel)) is None:
            pass
    for channel in channels:
        assert c.spublish(channel, "m") == 1
        node = c.get_node_from_key(channel)
        while p.get_sharded_message(timeout=5, target_node=node) is None:
            pass
    p.close()
    c.close()
    account.sent(ssubscribe=3, spublish=3)


SCENARIOS = [lookups, big, pipeline, transaction, watch, scripts, blocking, pubsub, tracking]
SCENARIOS += [monitor, session, silent, cluster_keys, cluster_moved, cluster_ask, cluster_shards]

for line in sys.stdin:
    account = Account()
    next(act for act in SCENARIOS if act.__name__ == line.strip())(account)
    tables = {name: {key.replace("__", "|"): n for key, n in value.items()}
              if isinstance(value, Counter) else value for name, value in vars(account).items()}
    print(json.dumps(tables), flush=True)
