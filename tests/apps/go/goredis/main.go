// Drives go-redis: takes a scenario's name a line, and answers with what it issued, as JSON.
//
// What the driver sends of its own accord (HELLO, CLIENT SETINFO, CLUSTER SLOTS) is not told.
// Arguments: the server's port, the protocol's version, the port of a cluster's node.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

type counts map[string]int

// What a scenario issued, and what came of it.
type account struct {
	Issued  counts `json:"issued"`
	Blocked counts `json:"blocked"`
	Unrun   counts `json:"unrun"`
	Inside  counts `json:"inside"`
	Within  counts `json:"within"`
	Hits    int    `json:"hits"`
	Misses  int    `json:"misses"`
}

func (c counts) add(more counts) {
	for command, count := range more {
		c[command] += count
	}
}

func (a *account) sent(commands counts) { a.Issued.add(commands) }

func (a *account) blocks(commands counts) {
	a.Issued.add(commands)
	a.Blocked.add(commands)
}

func (a *account) found(hits, misses int) {
	a.Hits += hits
	a.Misses += misses
}

var (
	ctx      = context.Background()
	protocol int
	single   string
	node     string
	big      = strings.Repeat("v", 1<<20)
	cluster  *redis.ClusterClient
)

// One later servers' feature, which this one answers with an error.
var without = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

func connect() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: single, Protocol: protocol, MaintNotificationsConfig: without,
	})
}

func must(err error) {
	if err != nil && !errors.Is(err, redis.Nil) {
		panic(err)
	}
}

func fails(err error) {
	if err == nil {
		panic("it did not fail")
	}
}

func is(got, expected any) {
	if fmt.Sprint(got) != fmt.Sprint(expected) {
		panic(fmt.Sprintf("%v instead of %v", got, expected))
	}
}

func lookups(a *account) {
	c := connect()
	defer c.Close()
	must(c.Set(ctx, "a", "1", 0).Err())
	must(c.MSet(ctx, "b", "2", "c", "3").Err())
	is(c.Get(ctx, "a").Val(), "1")
	is(c.Get(ctx, "none").Err(), redis.Nil)
	is(c.MGet(ctx, "a", "none", "b").Val(), []any{"1", nil, "2"})
	must(c.HSet(ctx, "h", "f", "1", "g", "2").Err())
	is(c.HGet(ctx, "h", "f").Val(), "1")
	is(c.HGet(ctx, "h", "none").Err(), redis.Nil)
	is(c.HMGet(ctx, "h", "f", "none").Val(), []any{"1", nil})
	is(c.GetEx(ctx, "b", time.Minute).Val(), "2")
	is(c.GetDel(ctx, "b").Val(), "2")
	is(len(c.HGetAll(ctx, "h").Val()), 2)
	a.sent(counts{"set": 1, "mset": 1, "get": 2, "mget": 1, "hset": 1, "hget": 2, "hmget": 1})
	a.sent(counts{"getex": 1, "getdel": 1, "hgetall": 1})
	a.found(1+2+1+1+1+1, 1+1+1+1)
}

func values(a *account) {
	c := connect()
	defer c.Close()
	for number := range 4 {
		key := fmt.Sprint("big:", number)
		must(c.Set(ctx, key, big, 0).Err())
		is(len(c.Get(ctx, key).Val()), len(big))
	}
	a.sent(counts{"set": 4, "get": 4})
	a.found(4, 0)
}

func pipeline(a *account) {
	c := connect()
	defer c.Close()
	_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for number := range 100 {
			key := fmt.Sprint("p:", number)
			pipe.Set(ctx, key, "x", 0)
			pipe.Get(ctx, key)
			pipe.Get(ctx, "none")
		}
		pipe.Incr(ctx, "p:0")
		pipe.LPush(ctx, "p:0", "y")
		return nil
	})
	fails(err)
	a.sent(counts{"set": 100, "get": 200, "incr": 1, "lpush": 1})
	a.found(100, 100)
}

func transaction(a *account) {
	c := connect()
	defer c.Close()
	for range 5 {
		_, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Set(ctx, "n", 1, 0)
			pipe.Get(ctx, "n")
			pipe.Get(ctx, "none")
			pipe.Incr(ctx, "n")
			return nil
		})
		must(err)
	}
	a.sent(counts{"multi": 5, "exec": 5, "set": 5, "get": 10, "incr": 5})
	a.found(5, 5)
	_, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, "n", "text", 0)
		pipe.Incr(ctx, "n")
		pipe.Get(ctx, "n")
		return nil
	})
	fails(err)
	a.sent(counts{"multi": 1, "exec": 1, "set": 1, "incr": 1, "get": 1})
	a.Within.add(counts{"ERR": 1})
	a.found(1, 0)
	_, err = c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Get(ctx, "n")
		pipe.Do(ctx, "NOSUCH")
		return nil
	})
	fails(err)
	one := c.Conn()
	defer one.Close()
	must(one.Do(ctx, "MULTI").Err())
	must(one.Do(ctx, "GET", "n").Err())
	must(one.Do(ctx, "DISCARD").Err())
	a.sent(counts{"multi": 2, "get": 2, "exec": 1, "discard": 1, "_other": 1})
	a.Unrun.add(counts{"get": 2, "_other": 1})
}

func watch(a *account) {
	c := connect()
	defer c.Close()
	err := c.Watch(ctx, func(tx *redis.Tx) error {
		is(tx.Get(ctx, "w").Err(), redis.Nil)
		must(c.Set(ctx, "w", "theirs", 0).Err())
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Set(ctx, "w", "ours", 0)
			pipe.Get(ctx, "w")
			return nil
		})
		return err
	}, "w")
	is(err, redis.TxFailedErr)
	a.sent(counts{"watch": 1, "get": 2, "set": 2, "multi": 1, "exec": 1})
	a.Unrun.add(counts{"set": 1, "get": 1})
	a.found(0, 1)
}

func scripts(a *account) {
	c := connect()
	defer c.Close()
	// EVALSHA is answered with NOSCRIPT, and EVAL follows.
	look := redis.NewScript("return redis.call('GET', KEYS[1])")
	for range 2 {
		must(look.Run(ctx, c, []string{"none"}).Err())
	}
	nested := "redis.call('SET', KEYS[1], '1') return {1, {2, {3}}}"
	is(c.Eval(ctx, nested, []string{"k"}).Val(), "[1 [2 [3]]]")
	fails(c.Eval(ctx, "return redis.error_reply('MINE own')", nil).Err())
	a.sent(counts{"evalsha": 2, "eval": 3})
	a.Inside.add(counts{"get": 2, "set": 1})
}

func blocking(a *account) {
	c := connect()
	defer c.Close()
	later := func(act func() error) chan bool {
		done := make(chan bool)
		go func() {
			time.Sleep(150 * time.Millisecond)
			must(act())
			close(done)
		}()
		return done
	}
	is(c.Do(ctx, "BLPOP", "l", "0.1").Err(), redis.Nil)
	done := later(func() error { return c.RPush(ctx, "l", "a", "b", "c").Err() })
	is(c.BRPop(ctx, 5*time.Second, "l").Val(), []string{"l", "c"})
	<-done
	is(c.BLMove(ctx, "l", "m", "LEFT", "LEFT", 5*time.Second).Val(), "a")
	must(c.ZAdd(ctx, "z", redis.Z{Score: 1, Member: "one"}, redis.Z{Score: 2, Member: "two"}).Err())
	is(c.BZPopMin(ctx, 5*time.Second, "z").Val().Member, "one")
	is(c.BZPopMax(ctx, 5*time.Second, "z").Val().Member, "two")
	done = later(func() error {
		return c.XAdd(ctx, &redis.XAddArgs{Stream: "s", Values: []string{"f", "v"}}).Err()
	})
	read := redis.XReadArgs{Streams: []string{"s", "$"}, Block: 5 * time.Second}
	is(len(c.XRead(ctx, &read).Val()), 1)
	<-done
	read = redis.XReadArgs{Streams: []string{"s", "0"}, Block: -1}
	is(len(c.XRead(ctx, &read).Val()), 1)
	must(c.Wait(ctx, 0, 100*time.Millisecond).Err())
	_, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.BLPop(ctx, 0, "none")
		pipe.BLPop(ctx, 0, "l")
		return nil
	})
	must(err)
	a.blocks(counts{"blpop": 1, "brpop": 1, "blmove": 1, "bzpopmin": 1, "bzpopmax": 1})
	a.blocks(counts{"xread": 1, "wait": 1})
	a.sent(counts{"rpush": 1, "zadd": 1, "xadd": 1, "xread": 1, "multi": 1, "blpop": 2, "exec": 1})
}

// Reads so many of what a subscriber is sent.
func drain(p *redis.PubSub, count int) {
	for range count {
		_, err := p.ReceiveTimeout(ctx, 5*time.Second)
		must(err)
	}
}

func pubsub(a *account) {
	c := connect()
	defer c.Close()
	p := c.Subscribe(ctx, "one", "two")
	defer p.Close()
	must(p.PSubscribe(ctx, "thr*", "fo*"))
	must(p.SSubscribe(ctx, "shard"))
	drain(p, 5)
	for range 10 {
		for _, channel := range []string{"one", "two", "three"} {
			is(c.Publish(ctx, channel, "m").Val(), 1)
		}
		is(c.SPublish(ctx, "shard", big[:2000]).Val(), 1)
	}
	drain(p, 40)
	must(p.Ping(ctx))
	drain(p, 1)
	must(p.Unsubscribe(ctx, "one"))
	must(p.PUnsubscribe(ctx, "thr*", "fo*"))
	must(p.Unsubscribe(ctx))
	must(p.SUnsubscribe(ctx))
	drain(p, 5)
	a.sent(counts{"subscribe": 1, "psubscribe": 1, "ssubscribe": 1, "publish": 30, "spublish": 10})
	a.sent(counts{"ping": 1, "unsubscribe": 2, "punsubscribe": 1, "sunsubscribe": 1})
}

func tracking(a *account) {
	c := connect()
	defer c.Close()
	one := c.Conn()
	defer one.Close()
	if protocol == 3 {
		must(one.Do(ctx, "CLIENT", "TRACKING", "ON").Err())
	} else {
		listener := c.Conn()
		defer listener.Close()
		number := listener.ClientID(ctx).Val()
		must(one.Do(ctx, "CLIENT", "TRACKING", "ON", "REDIRECT", number).Err())
		a.sent(counts{"client|id": 1})
	}
	for value := range 5 {
		must(c.Set(ctx, "t", value, 0).Err())
		is(one.Get(ctx, "t").Val(), value)
	}
	must(one.Do(ctx, "CLIENT", "TRACKING", "OFF").Err())
	a.sent(counts{"client|tracking": 2, "set": 5, "get": 5})
	a.found(5, 0)
}

func monitor(a *account) {
	watched := connect()
	defer watched.Close()
	lines := make(chan string, 100)
	// Not one of the pool's, which closes it where a line has come; and in RESP3 the driver's reader
	// does not get to see the lines. No timeout: after one the driver would read nothing any more.
	second := redis.NewClient(&redis.Options{Addr: single, Protocol: 2, ReadTimeout: -1})
	m := second.Conn().Monitor(ctx, lines)
	must(m.Err())
	m.Start()
	is(<-lines, "OK")
	for number := range 20 {
		must(watched.Set(ctx, fmt.Sprint("m:", number), "x", 0).Err())
	}
	for seen := 0; seen < 20; {
		if strings.Contains(<-lines, `"set"`) {
			seen++
		}
	}
	// In this order: while the driver waits for a line, it holds the lock that Stop takes.
	must(second.Close())
	m.Stop()
	a.sent(counts{"monitor": 1, "set": 20})
}

func session(a *account) {
	c := connect()
	defer c.Close()
	one := c.Conn()
	defer one.Close()
	must(one.Ping(ctx).Err())
	must(one.Select(ctx, 1).Err())
	must(one.ClientSetName(ctx, "worker").Err())
	must(one.Do(ctx, "HELLO", 2).Err())
	must(one.Do(ctx, "HELLO", protocol).Err())
	fails(one.Do(ctx, "HELLO", 9).Err())
	fails(one.Do(ctx, "NOSUCH", "x").Err())
	fails(one.Do(ctx, "GET").Err())
	must(one.Do(ctx, "RESET").Err())
	is(one.Get(ctx, "none").Err(), redis.Nil)
	must(one.Do(ctx, "QUIT").Err())
	a.sent(counts{"ping": 1, "select": 1, "client|setname": 1, "_other": 1, "get": 2})
	a.sent(counts{"reset": 1, "quit": 1})
	a.Unrun.add(counts{"_other": 1})
	a.found(0, 1)
}

func clusterKeys(a *account) {
	cluster = redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{node}, Protocol: protocol, MaintNotificationsConfig: without,
	})
	for number := range 60 {
		key := fmt.Sprint("k:", number)
		must(cluster.Set(ctx, key, "x", 0).Err())
		is(cluster.Get(ctx, key).Val(), "x")
	}
	_, err := cluster.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for number := range 60 {
			pipe.Get(ctx, fmt.Sprint("k:", number))
		}
		return nil
	})
	must(err)
	is(cluster.MGet(ctx, "{t}a", "{t}b").Val(), []any{nil, nil})
	a.sent(counts{"set": 60, "get": 120, "mget": 1})
	a.found(120, 2)
}

func clusterMoved(a *account) {
	for number := range 5 {
		must(cluster.Set(ctx, fmt.Sprint("{moved}", number), "x", 0).Err())
	}
	a.sent(counts{"set": 5})
}

func clusterAsk(a *account) {
	for number := range 5 {
		key := fmt.Sprint("{asked}", number)
		must(cluster.Set(ctx, key, "x", 0).Err())
		is(cluster.Get(ctx, key).Val(), "x")
	}
	a.sent(counts{"set": 5, "get": 5, "asking": 10})
	a.found(5, 0)
}

func clusterShards(a *account) {
	channels := []string{"news", "prices", "stock"}
	for _, channel := range channels {
		p := cluster.SSubscribe(ctx, channel)
		defer p.Close()
		drain(p, 1)
		is(cluster.SPublish(ctx, channel, "m").Val(), 1)
		drain(p, 1)
	}
	a.sent(counts{"ssubscribe": 3, "spublish": 3})
}

var scenarios = map[string]func(*account){
	"lookups": lookups, "big": values, "pipeline": pipeline, "transaction": transaction,
	"watch": watch, "scripts": scripts, "blocking": blocking, "pubsub": pubsub,
	"tracking": tracking, "monitor": monitor, "session": session, "cluster_keys": clusterKeys,
	"cluster_moved": clusterMoved, "cluster_ask": clusterAsk, "cluster_shards": clusterShards,
}

func main() {
	single, node = "127.0.0.1:"+os.Args[1], "127.0.0.1:"+os.Args[3]
	protocol, _ = strconv.Atoi(os.Args[2])
	answers := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		a := &account{
			Issued: counts{}, Blocked: counts{}, Unrun: counts{}, Inside: counts{}, Within: counts{},
		}
		scenarios[lines.Text()](a)
		must(answers.Encode(a))
	}
}
