import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import redis.clients.jedis.Connection;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisClientConfig;
import redis.clients.jedis.JedisMonitor;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.JedisShardedPubSub;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Protocol.Command;
import redis.clients.jedis.RedisClusterClient;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.Transaction;
import redis.clients.jedis.args.ListDirection;
import redis.clients.jedis.exceptions.JedisException;
import redis.clients.jedis.params.GetExParams;

/**
 * Drives Jedis: takes a scenario's name a line, and answers with what it issued, as JSON.
 *
 * <p>What the driver sends of its own accord (HELLO, CLIENT SETINFO, CLUSTER SLOTS) is not told.
 * Arguments: the server's port, the protocol's version, the port of a cluster's node.
 */
public final class JedisDriver {
  private interface Scenario {
    void run() throws Exception;
  }

  private static final String BIG = "v".repeat(1 << 20);

  private final HostAndPort single;
  private final HostAndPort node;
  private final JedisClientConfig config;
  private final boolean third;
  private final Map<String, Scenario> scenarios = new HashMap<>();
  private Map<String, Map<String, Integer>> account;
  private int hits;
  private int misses;
  private RedisClusterClient cluster;

  private JedisDriver(String[] arguments) {
    single = new HostAndPort("127.0.0.1", Integer.parseInt(arguments[0]));
    node = new HostAndPort("127.0.0.1", Integer.parseInt(arguments[2]));
    third = arguments[1].equals("3");
    RedisProtocol protocol = third ? RedisProtocol.RESP3 : RedisProtocol.RESP2;
    config = DefaultJedisClientConfig.builder().protocol(protocol).build();
    scenarios.put("lookups", this::lookups);
    scenarios.put("big", this::big);
    scenarios.put("pipeline", this::pipeline);
    scenarios.put("transaction", this::transaction);
    scenarios.put("watch", this::watch);
    scenarios.put("scripts", this::scripts);
    scenarios.put("blocking", this::blocking);
    scenarios.put("pubsub", this::pubsub);
    scenarios.put("tracking", this::tracking);
    scenarios.put("monitor", this::monitor);
    scenarios.put("session", this::session);
    scenarios.put("cluster_keys", this::clusterKeys);
    scenarios.put("cluster_moved", this::clusterMoved);
    scenarios.put("cluster_ask", this::clusterAsk);
    scenarios.put("cluster_shards", this::clusterShards);
  }

  public static void main(String[] arguments) throws Exception {
    JedisDriver driver = new JedisDriver(arguments);
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      driver.account = new TreeMap<>();
      driver.hits = driver.misses = 0;
      driver.scenarios.get(line).run();
      System.out.println(driver.told());
    }
    System.exit(0);
  }

  private String told() {
    StringBuilder text = new StringBuilder("{");
    account.forEach(
        (table, counts) -> {
          List<String> members = new ArrayList<>();
          counts.forEach((command, count) -> members.add("\"" + command + "\":" + count));
          text.append("\"" + table + "\":{" + String.join(",", members) + "},");
        });
    return text + "\"hits\":" + hits + ",\"misses\":" + misses + "}";
  }

  /** Adds words like {@code set 1 get 2} to a table. */
  private void add(String table, String counts) {
    String[] words = counts.split(" ");
    Map<String, Integer> to = account.computeIfAbsent(table, name -> new TreeMap<>());
    for (int at = 0; at < words.length; at += 2) {
      to.merge(words[at], Integer.parseInt(words[at + 1]), Integer::sum);
    }
  }

  private void sent(String counts) {
    add("issued", counts);
  }

  private void blocked(String counts) {
    add("issued", counts);
    add("blocked", counts);
  }

  private void found(int more, int none) {
    hits += more;
    misses += none;
  }

  private Jedis connect() {
    return new Jedis(single, config);
  }

  private static void is(Object got, Object expected) {
    if (!Objects.equals(got, expected)) {
      throw new AssertionError(got + " instead of " + expected);
    }
  }

  private static void fails(Scenario act) throws Exception {
    try {
      act.run();
    } catch (JedisException expected) {
      return;
    }
    throw new AssertionError("it did not fail");
  }

  private static Thread later(Runnable act) {
    Thread thread =
        new Thread(
            () -> {
              try {
                Thread.sleep(150);
              } catch (InterruptedException broken) {
                throw new AssertionError(broken);
              }
              act.run();
            });
    thread.start();
    return thread;
  }

  private void lookups() {
    try (Jedis c = connect()) {
      c.set("a", "1");
      c.mset("b", "2", "c", "3");
      is(c.get("a"), "1");
      is(c.get("none"), null);
      is(c.mget("a", "none", "b").size(), 3);
      c.hset("h", Map.of("f", "1", "g", "2"));
      is(c.hget("h", "f"), "1");
      is(c.hget("h", "none"), null);
      is(c.hmget("h", "f", "none").get(0), "1");
      is(c.getEx("b", GetExParams.getExParams().ex(100)), "2");
      is(c.getDel("b"), "2");
      is(c.hgetAll("h").size(), 2);
    }
    sent("set 1 mset 1 get 2 mget 1 hset 1 hget 2 hmget 1 getex 1 getdel 1 hgetall 1");
    found(1 + 2 + 1 + 1 + 1 + 1, 1 + 1 + 1 + 1);
  }

  private void big() {
    try (Jedis c = connect()) {
      for (int number = 0; number < 4; number++) {
        c.set("big:" + number, BIG);
        is(c.get("big:" + number).length(), BIG.length());
      }
    }
    sent("set 4 get 4");
    found(4, 0);
  }

  private void pipeline() {
    try (Jedis c = connect()) {
      Pipeline pipe = c.pipelined();
      for (int number = 0; number < 100; number++) {
        pipe.set("p:" + number, "x");
        pipe.get("p:" + number);
        pipe.get("none");
      }
      pipe.incr("p:0");
      pipe.lpush("p:0", "y");
      is(pipe.syncAndReturnAll().stream().filter(JedisException.class::isInstance).count(), 2L);
    }
    sent("set 100 get 200 incr 1 lpush 1");
    found(100, 100);
  }

  private void transaction() throws Exception {
    try (Jedis c = connect()) {
      for (int round = 0; round < 5; round++) {
        Transaction t = c.multi();
        t.set("n", "1");
        t.get("n");
        t.get("none");
        t.incr("n");
        is(t.exec().size(), 4);
      }
      sent("multi 5 exec 5 set 5 get 10 incr 5");
      found(5, 5);
      Transaction wrong = c.multi();
      wrong.set("n", "text");
      wrong.incr("n");
      wrong.get("n");
      is(wrong.exec().get(2), "text");
      sent("multi 1 exec 1 set 1 incr 1 get 1");
      add("within", "ERR 1");
      found(1, 0);
      Transaction dropped = c.multi();
      dropped.get("n");
      dropped.discard();
      sent("multi 1 get 1 discard 1");
      add("unrun", "get 1");
    }
    try (Jedis c = connect()) {
      c.sendCommand(Command.MULTI);
      c.sendCommand(Command.GET, "n");
      fails(() -> c.sendCommand(() -> "NOSUCH".getBytes()));
      fails(() -> c.sendCommand(Command.EXEC));
    }
    sent("multi 1 get 1 exec 1 _other 1");
    add("unrun", "get 1 _other 1");
  }

  private void watch() {
    try (Jedis c = connect();
        Jedis other = connect()) {
      c.watch("w");
      is(c.get("w"), null);
      other.set("w", "theirs");
      Transaction t = c.multi();
      t.set("w", "ours");
      t.get("w");
      is(t.exec(), null);
      c.watch("w");
      c.unwatch();
    }
    // The driver itself sends one behind a transaction that did not take place.
    sent("watch 2 unwatch 2 get 2 set 2 multi 1 exec 1");
    add("unrun", "set 1 get 1");
    found(0, 1);
  }

  private void scripts() throws Exception {
    try (Jedis c = connect()) {
      String look = "return redis.call('GET', KEYS[1])";
      String unknown = "0".repeat(40);
      fails(() -> c.evalsha(unknown, 1, "none"));
      is(c.evalsha(c.scriptLoad(look), 1, "none"), null);
      c.eval("redis.call('SET', KEYS[1], '1') return {1, {2, {3}}}", 1, "k");
      fails(() -> c.eval("return redis.error_reply('MINE own')", 0));
    }
    sent("evalsha 2 script|load 1 eval 2");
    add("inside", "get 1 set 1");
  }

  private void blocking() throws Exception {
    try (Jedis c = connect();
        Jedis other = connect()) {
      is(c.blpop(0.1, "l"), null);
      Thread thread = later(() -> other.rpush("l", "a", "b", "c"));
      is(c.brpop(5.0, "l").getValue(), "c");
      thread.join();
      is(c.blmove("l", "m", ListDirection.LEFT, ListDirection.LEFT, 5), "a");
      c.zadd("z", Map.of("one", 1.0, "two", 2.0));
      is(c.bzpopmin(5.0, "z").getValue().getElement(), "one");
      is(c.bzpopmax(5.0, "z").getValue().getElement(), "two");
      thread = later(() -> other.sendCommand(Command.XADD, "s", "*", "f", "v"));
      c.sendCommand(Command.XREAD, "BLOCK", "5000", "STREAMS", "s", "$");
      thread.join();
      c.sendCommand(Command.XREAD, "COUNT", "1", "STREAMS", "s", "0");
      c.waitReplicas(0, 100);
      Transaction t = c.multi();
      t.blpop(0.0, "none");
      t.blpop(0.0, "l");
      is(t.exec().get(0), null);
    }
    blocked("blpop 1 brpop 1 blmove 1 bzpopmin 1 bzpopmax 1 xread 1 wait 1");
    sent("rpush 1 zadd 1 xadd 1 xread 1 multi 1 blpop 2 exec 1");
  }

  private void pubsub() throws Exception {
    CountDownLatch subscribed = new CountDownLatch(4);
    CountDownLatch arrived = new CountDownLatch(third ? 30 : 31);
    JedisPubSub p =
        new JedisPubSub() {
          @Override
          public void onSubscribe(String channel, int count) {
            subscribed.countDown();
          }

          @Override
          public void onPSubscribe(String pattern, int count) {
            subscribed.countDown();
          }

          @Override
          public void onMessage(String channel, String message) {
            arrived.countDown();
          }

          @Override
          public void onPMessage(String pattern, String channel, String message) {
            arrived.countDown();
          }

          @Override
          public void onPong(String pattern) {
            arrived.countDown();
          }
        };
    try (Jedis c = connect();
        Jedis subscriber = connect()) {
      Thread thread = new Thread(() -> subscriber.subscribe(p, "one", "two"));
      thread.start();
      while (subscribed.getCount() > 2) {
        Thread.sleep(5);
      }
      p.psubscribe("thr*", "fo*");
      subscribed.await();
      for (int round = 0; round < 10; round++) {
        for (String channel : List.of("one", "two", "three")) {
          is(c.publish(channel, BIG.substring(0, 2000)), 1L);
        }
      }
      // In RESP3 the driver at times overlooks the answer, which is no push.
      if (!third) {
        p.ping();
        sent("ping 1");
      }
      arrived.await();
      p.unsubscribe("one");
      p.punsubscribe("thr*", "fo*");
      p.unsubscribe();
      thread.join();
      // No longer a subscriber, in either protocol.
      is(subscriber.get("none"), null);
    }
    sent("subscribe 1 psubscribe 1 publish 30 unsubscribe 2 punsubscribe 1 get 1");
    found(0, 1);
  }

  private void tracking() {
    try (Jedis c = connect();
        Jedis other = connect();
        Jedis listener = connect()) {
      // The driver takes pushes only with its own cache, which asks for a later server.
      String number = String.valueOf(listener.clientId());
      c.sendCommand(Command.CLIENT, "TRACKING", "ON", "REDIRECT", number);
      for (int value = 0; value < 5; value++) {
        other.set("t", String.valueOf(value));
        is(c.get("t"), String.valueOf(value));
      }
      c.sendCommand(Command.CLIENT, "TRACKING", "OFF");
    }
    sent("client|id 1 client|tracking 2 set 5 get 5");
    found(5, 0);
  }

  private void monitor() throws Exception {
    CountDownLatch seen = new CountDownLatch(20);
    try (Jedis watched = connect()) {
      Jedis c = connect();
      CountDownLatch begun = new CountDownLatch(1);
      Thread thread =
          new Thread(
              () -> {
                try {
                  c.monitor(
                      new JedisMonitor() {
                        @Override
                        public void proceed(Connection connection) {
                          begun.countDown();
                          super.proceed(connection);
                        }

                        @Override
                        public void onCommand(String command) {
                          seen.countDown();
                        }
                      });
                } catch (JedisException closed) {
                  // As it was asked to.
                }
              });
      thread.start();
      begun.await();
      for (int number = 0; number < 20; number++) {
        watched.set("m:" + number, "x");
      }
      seen.await();
      c.disconnect();
      thread.join();
    }
    sent("monitor 1 set 20");
  }

  private void session() throws Exception {
    try (Jedis c = connect()) {
      c.ping();
      c.select(1);
      c.clientSetname("worker");
      c.sendCommand(Command.HELLO, "2");
      c.sendCommand(Command.HELLO, third ? "3" : "2");
      fails(() -> c.sendCommand(Command.HELLO, "9"));
      fails(() -> c.sendCommand(() -> "NOSUCH".getBytes(), "x"));
      fails(() -> c.sendCommand(Command.GET));
      c.sendCommand(() -> "RESET".getBytes());
      is(c.get("none"), null);
      c.sendCommand(() -> "QUIT".getBytes());
    }
    sent("ping 1 select 1 client|setname 1 _other 1 get 2 reset 1 quit 1");
    add("unrun", "_other 1");
    found(0, 1);
  }

  private void clusterKeys() {
    cluster =
        RedisClusterClient.builder().nodes(java.util.Set.of(node)).clientConfig(config).build();
    for (int number = 0; number < 60; number++) {
      cluster.set("k:" + number, "x");
      is(cluster.get("k:" + number), "x");
    }
    try (var pipe = cluster.pipelined()) {
      for (int number = 0; number < 60; number++) {
        pipe.get("k:" + number);
      }
    }
    is(cluster.mget("{t}a", "{t}b").size(), 2);
    sent("set 60 get 120 mget 1");
    found(120, 2);
  }

  private void clusterMoved() {
    for (int number = 0; number < 5; number++) {
      cluster.set("{moved}" + number, "x");
    }
    sent("set 5");
  }

  private void clusterAsk() {
    for (int number = 0; number < 5; number++) {
      cluster.set("{asked}" + number, "x");
      is(cluster.get("{asked}" + number), "x");
    }
    sent("set 5 get 5 asking 10");
    found(5, 0);
  }

  private void clusterShards() throws Exception {
    for (String channel : List.of("news", "prices", "stock")) {
      CountDownLatch subscribed = new CountDownLatch(1);
      JedisShardedPubSub p =
          new JedisShardedPubSub() {
            @Override
            public void onSSubscribe(String name, int count) {
              subscribed.countDown();
            }

            @Override
            public void onSMessage(String name, String message) {
              sunsubscribe();
            }
          };
      Thread thread = new Thread(() -> cluster.ssubscribe(p, channel));
      thread.start();
      subscribed.await();
      is(cluster.spublish(channel, "m"), 1L);
      thread.join();
    }
    cluster.close();
    sent("ssubscribe 3 spublish 3 sunsubscribe 3");
  }
}
