//! The command table: every command of Redis 7 and, beyond it, those of Redis 8 and Valkey 8.
//!
//! The names are what a real `redis-server` 7.0 answers to `COMMAND`, and what later servers'
//! documentation adds; a subcommand is written as the server itself writes it, `client|setname`.

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// The server's own name in lower case, subcommand included.
    pub name: &'static str,
    /// What it does to the rest of the conversation.
    pub role: Role,
    /// What of its reply is a look-up.
    pub lookup: Lookup,
    /// Whether it waits for something other than the server.
    pub blocks: Blocks,
}

/// What a command does to the rest of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing: one reply.
    Plain,
    /// Its first argument names the command.
    Container,
    /// Commands behind it are queued.
    Multi,
    /// Its reply holds those of the queued commands.
    Exec,
    /// The connection begins anew.
    Reset,
    /// Every command the server runs is sent from then on.
    Monitor,
    /// Switches replies on or off.
    Reply,
    /// The server's stream becomes that of replication.
    Replicate,
    /// One acknowledgement per channel.
    Subscribe(Family),
    /// One acknowledgement per channel; without arguments, per subscribed channel.
    Unsubscribe(Family),
}

/// The three separate kinds of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `SUBSCRIBE`.
    Channel,
    /// `PSUBSCRIBE`.
    Pattern,
    /// `SSUBSCRIBE`.
    Shard,
}

/// What of a reply is a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing.
    None,
    /// The reply: nil is a miss.
    One,
    /// Each element of the reply.
    Each,
}

/// Whether a command waits for something other than the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// Never.
    Never,
    /// By nature.
    Always,
    /// With the option `BLOCK`.
    OnOption,
}

/// A verb or subcommand that is not in the table.
pub static OTHER: Command = row("_other");

/// Bytes of the longest word of a name.
pub(crate) const LONGEST_WORD: usize = 24;

/// The command of a verb, in any case; `None` for one not in the table.
#[must_use]
pub fn find(verb: &[u8]) -> Option<&'static Command> {
    let found = probe(hash(FNV_OFFSET, verb), |name| {
        name.eq_ignore_ascii_case(verb)
    });
    // `client|setname` is one name for two words; as one word no server knows it.
    found.filter(|_| !verb.contains(&b'|'))
}

/// The command of a container's subcommand.
pub(crate) fn find_sub(container: &Command, sub: &[u8]) -> Option<&'static Command> {
    let verb = container.name.as_bytes();
    let start = hash(hash(hash(FNV_OFFSET, verb), b"|"), sub);
    probe(start, |name| {
        name.strip_prefix(verb)
            .and_then(|rest| rest.strip_prefix(b"|"))
            .is_some_and(|rest| rest.eq_ignore_ascii_case(sub))
    })
}

/// Walks the open-addressed index from where `hash` points to the first empty slot.
fn probe(hash: u32, is: impl Fn(&[u8]) -> bool) -> Option<&'static Command> {
    let mut slot = hash as usize % SLOTS;
    loop {
        let entry = usize::from(*INDEX.get(slot)?);
        let command = COMMANDS.get(entry.checked_sub(1)?)?;
        if is(command.name.as_bytes()) {
            return Some(command);
        }
        slot = (slot + 1) % SLOTS;
    }
}

const FNV_OFFSET: u32 = 0x811c_9dc5;

/// FNV-1a over lower-cased bytes.
const fn hash(mut state: u32, word: &[u8]) -> u32 {
    let mut rest = word;
    while let [byte, tail @ ..] = rest {
        state = (state ^ byte.to_ascii_lowercase() as u32).wrapping_mul(0x0100_0193);
        rest = tail;
    }
    state
}

/// At least twice the rows, so that a probe ends soon and always.
const SLOTS: usize = 1024;
const _: () = assert!(COMMANDS.len() * 2 <= SLOTS);

/// Position of a row in [`COMMANDS`], plus one; 0 is empty.
static INDEX: [u16; SLOTS] = index();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler, over fewer than 65,535 rows"
)]
const fn index() -> [u16; SLOTS] {
    let mut index = [0; SLOTS];
    let mut row = 0;
    while row < COMMANDS.len() {
        let mut slot = hash(FNV_OFFSET, COMMANDS[row].name.as_bytes()) as usize % SLOTS;
        while index[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        index[slot] = row as u16 + 1;
        row += 1;
    }
    index
}

const fn row(name: &'static str) -> Command {
    Command {
        name,
        role: Role::Plain,
        lookup: Lookup::None,
        blocks: Blocks::Never,
    }
}

impl Command {
    const fn role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    const fn lookup(self, lookup: Lookup) -> Self {
        Self { lookup, ..self }
    }

    const fn blocks(self, blocks: Blocks) -> Self {
        Self { blocks, ..self }
    }
}

/// In the order of their names.
pub static COMMANDS: &[Command] = &[
    row("acl").role(Role::Container),
    row("acl|cat"),
    row("acl|deluser"),
    row("acl|dryrun"),
    row("acl|genpass"),
    row("acl|getuser"),
    row("acl|help"),
    row("acl|list"),
    row("acl|load"),
    row("acl|log"),
    row("acl|save"),
    row("acl|setuser"),
    row("acl|users"),
    row("acl|whoami"),
    row("append"),
    row("asking"),
    row("auth"),
    row("bgrewriteaof"),
    row("bgsave"),
    row("bitcount"),
    row("bitfield"),
    row("bitfield_ro"),
    row("bitop"),
    row("bitpos"),
    row("blmove").blocks(Blocks::Always),
    row("blmpop").blocks(Blocks::Always),
    row("blpop").blocks(Blocks::Always),
    row("brpop").blocks(Blocks::Always),
    row("brpoplpush").blocks(Blocks::Always),
    row("bzmpop").blocks(Blocks::Always),
    row("bzpopmax").blocks(Blocks::Always),
    row("bzpopmin").blocks(Blocks::Always),
    row("client").role(Role::Container),
    row("client|caching"),
    row("client|capa"),
    row("client|getname"),
    row("client|getredir"),
    row("client|help"),
    row("client|id"),
    row("client|import-source"),
    row("client|info"),
    row("client|kill"),
    row("client|list"),
    row("client|no-evict"),
    row("client|no-touch"),
    row("client|pause"),
    row("client|reply").role(Role::Reply),
    row("client|setinfo"),
    row("client|setname"),
    row("client|tracking"),
    row("client|trackinginfo"),
    row("client|unblock"),
    row("client|unpause"),
    row("cluster").role(Role::Container),
    row("cluster|addslots"),
    row("cluster|addslotsrange"),
    row("cluster|bumpepoch"),
    row("cluster|count-failure-reports"),
    row("cluster|countkeysinslot"),
    row("cluster|delslots"),
    row("cluster|delslotsrange"),
    row("cluster|failover"),
    row("cluster|flushslots"),
    row("cluster|forget"),
    row("cluster|getkeysinslot"),
    row("cluster|help"),
    row("cluster|info"),
    row("cluster|keyslot"),
    row("cluster|links"),
    row("cluster|meet"),
    row("cluster|migration"),
    row("cluster|myid"),
    row("cluster|myshardid"),
    row("cluster|nodes"),
    row("cluster|replicas"),
    row("cluster|replicate"),
    row("cluster|reset"),
    row("cluster|saveconfig"),
    row("cluster|set-config-epoch"),
    row("cluster|setslot"),
    row("cluster|shards"),
    row("cluster|slaves"),
    row("cluster|slot-stats"),
    row("cluster|slots"),
    row("command").role(Role::Container),
    row("commandlog").role(Role::Container),
    row("commandlog|get"),
    row("commandlog|help"),
    row("commandlog|len"),
    row("commandlog|reset"),
    row("command|count"),
    row("command|docs"),
    row("command|getkeys"),
    row("command|getkeysandflags"),
    row("command|help"),
    row("command|info"),
    row("command|list"),
    row("config").role(Role::Container),
    row("config|get"),
    row("config|help"),
    row("config|resetstat"),
    row("config|rewrite"),
    row("config|set"),
    row("copy"),
    row("dbsize"),
    row("debug"),
    row("decr"),
    row("decrby"),
    row("del"),
    row("delex"),
    row("delifeq"),
    row("digest"),
    row("discard"),
    row("dump"),
    row("echo"),
    row("eval"),
    row("eval_ro"),
    row("evalsha"),
    row("evalsha_ro"),
    row("exec").role(Role::Exec),
    row("exists"),
    row("expire"),
    row("expireat"),
    row("expiretime"),
    row("failover"),
    row("fcall"),
    row("fcall_ro"),
    row("flushall"),
    row("flushdb"),
    row("function").role(Role::Container),
    row("function|delete"),
    row("function|dump"),
    row("function|flush"),
    row("function|help"),
    row("function|kill"),
    row("function|list"),
    row("function|load"),
    row("function|restore"),
    row("function|stats"),
    row("geoadd"),
    row("geodist"),
    row("geohash"),
    row("geopos"),
    row("georadius"),
    row("georadius_ro"),
    row("georadiusbymember"),
    row("georadiusbymember_ro"),
    row("geosearch"),
    row("geosearchstore"),
    row("get").lookup(Lookup::One),
    row("getbit"),
    row("getdel").lookup(Lookup::One),
    row("getex").lookup(Lookup::One),
    row("getrange"),
    row("getset"),
    row("hdel"),
    row("hello"),
    row("hexists"),
    row("hexpire"),
    row("hexpireat"),
    row("hexpiretime"),
    row("hget").lookup(Lookup::One),
    row("hgetall"),
    row("hgetdel"),
    row("hgetex"),
    row("hincrby"),
    row("hincrbyfloat"),
    row("hkeys"),
    row("hlen"),
    row("hmget").lookup(Lookup::Each),
    row("hmset"),
    row("hpersist"),
    row("hpexpire"),
    row("hpexpireat"),
    row("hpexpiretime"),
    row("hpttl"),
    row("hrandfield"),
    row("hscan"),
    row("hset"),
    row("hsetex"),
    row("hsetnx"),
    row("hstrlen"),
    row("httl"),
    row("hvals"),
    row("incr"),
    row("incrby"),
    row("incrbyfloat"),
    row("info"),
    row("keys"),
    row("lastsave"),
    row("latency").role(Role::Container),
    row("latency|doctor"),
    row("latency|graph"),
    row("latency|help"),
    row("latency|histogram"),
    row("latency|history"),
    row("latency|latest"),
    row("latency|reset"),
    row("lcs"),
    row("lindex"),
    row("linsert"),
    row("llen"),
    row("lmove"),
    row("lmpop"),
    row("lolwut"),
    row("lpop"),
    row("lpos"),
    row("lpush"),
    row("lpushx"),
    row("lrange"),
    row("lrem"),
    row("lset"),
    row("ltrim"),
    row("memory").role(Role::Container),
    row("memory|doctor"),
    row("memory|help"),
    row("memory|malloc-stats"),
    row("memory|purge"),
    row("memory|stats"),
    row("memory|usage"),
    row("mget").lookup(Lookup::Each),
    row("migrate"),
    row("module").role(Role::Container),
    row("module|help"),
    row("module|list"),
    row("module|load"),
    row("module|loadex"),
    row("module|unload"),
    row("monitor").role(Role::Monitor),
    row("move"),
    row("mset"),
    row("msetex"),
    row("msetnx"),
    row("multi").role(Role::Multi),
    row("object").role(Role::Container),
    row("object|encoding"),
    row("object|freq"),
    row("object|help"),
    row("object|idletime"),
    row("object|refcount"),
    row("persist"),
    row("pexpire"),
    row("pexpireat"),
    row("pexpiretime"),
    row("pfadd"),
    row("pfcount"),
    row("pfdebug"),
    row("pfmerge"),
    row("pfselftest"),
    row("ping"),
    row("psetex"),
    row("psubscribe").role(Role::Subscribe(Family::Pattern)),
    row("psync").role(Role::Replicate),
    row("pttl"),
    row("publish"),
    row("pubsub").role(Role::Container),
    row("pubsub|channels"),
    row("pubsub|help"),
    row("pubsub|numpat"),
    row("pubsub|numsub"),
    row("pubsub|shardchannels"),
    row("pubsub|shardnumsub"),
    row("punsubscribe").role(Role::Unsubscribe(Family::Pattern)),
    row("quit"),
    row("randomkey"),
    row("readonly"),
    row("readwrite"),
    row("rename"),
    row("renamenx"),
    row("replconf"),
    row("replicaof"),
    row("reset").role(Role::Reset),
    row("restore"),
    row("restore-asking"),
    row("role"),
    row("rpop"),
    row("rpoplpush"),
    row("rpush"),
    row("rpushx"),
    row("sadd"),
    row("save"),
    row("scan"),
    row("scard"),
    row("script").role(Role::Container),
    row("script|debug"),
    row("script|exists"),
    row("script|flush"),
    row("script|help"),
    row("script|kill"),
    row("script|load"),
    row("script|show"),
    row("sdiff"),
    row("sdiffstore"),
    row("select"),
    row("sentinel").role(Role::Container),
    row("sentinel|ckquorum"),
    row("sentinel|config"),
    row("sentinel|debug"),
    row("sentinel|failover"),
    row("sentinel|flushconfig"),
    row("sentinel|get-master-addr-by-name"),
    row("sentinel|help"),
    row("sentinel|info-cache"),
    row("sentinel|is-master-down-by-addr"),
    row("sentinel|master"),
    row("sentinel|masters"),
    row("sentinel|monitor"),
    row("sentinel|myid"),
    row("sentinel|pending-scripts"),
    row("sentinel|remove"),
    row("sentinel|replicas"),
    row("sentinel|reset"),
    row("sentinel|sentinels"),
    row("sentinel|set"),
    row("sentinel|simulate-failure"),
    row("sentinel|slaves"),
    row("set"),
    row("setbit"),
    row("setex"),
    row("setnx"),
    row("setrange"),
    row("shutdown"),
    row("sinter"),
    row("sintercard"),
    row("sinterstore"),
    row("sismember"),
    row("slaveof"),
    row("slowlog").role(Role::Container),
    row("slowlog|get"),
    row("slowlog|help"),
    row("slowlog|len"),
    row("slowlog|reset"),
    row("smembers"),
    row("smismember"),
    row("smove"),
    row("sort"),
    row("sort_ro"),
    row("spop"),
    row("spublish"),
    row("srandmember"),
    row("srem"),
    row("sscan"),
    row("ssubscribe").role(Role::Subscribe(Family::Shard)),
    row("strlen"),
    row("subscribe").role(Role::Subscribe(Family::Channel)),
    row("substr"),
    row("sunion"),
    row("sunionstore"),
    row("sunsubscribe").role(Role::Unsubscribe(Family::Shard)),
    row("swapdb"),
    row("sync").role(Role::Replicate),
    row("time"),
    row("touch"),
    row("ttl"),
    row("type"),
    row("unlink"),
    row("unsubscribe").role(Role::Unsubscribe(Family::Channel)),
    row("unwatch"),
    row("vadd"),
    row("vcard"),
    row("vdim"),
    row("vemb"),
    row("vgetattr"),
    row("vinfo"),
    row("vismember"),
    row("vlinks"),
    row("vrandmember"),
    row("vrange"),
    row("vrem"),
    row("vsetattr"),
    row("vsim"),
    row("wait").blocks(Blocks::Always),
    row("waitaof").blocks(Blocks::Always),
    row("watch"),
    row("xack"),
    row("xackdel"),
    row("xadd"),
    row("xautoclaim"),
    row("xcfgset"),
    row("xclaim"),
    row("xdel"),
    row("xdelex"),
    row("xgroup").role(Role::Container),
    row("xgroup|create"),
    row("xgroup|createconsumer"),
    row("xgroup|delconsumer"),
    row("xgroup|destroy"),
    row("xgroup|help"),
    row("xgroup|setid"),
    row("xinfo").role(Role::Container),
    row("xinfo|consumers"),
    row("xinfo|groups"),
    row("xinfo|help"),
    row("xinfo|stream"),
    row("xlen"),
    row("xpending"),
    row("xrange"),
    row("xread").blocks(Blocks::OnOption),
    row("xreadgroup").blocks(Blocks::OnOption),
    row("xrevrange"),
    row("xsetid"),
    row("xtrim"),
    row("zadd"),
    row("zcard"),
    row("zcount"),
    row("zdiff"),
    row("zdiffstore"),
    row("zincrby"),
    row("zinter"),
    row("zintercard"),
    row("zinterstore"),
    row("zlexcount"),
    row("zmpop"),
    row("zmscore"),
    row("zpopmax"),
    row("zpopmin"),
    row("zrandmember"),
    row("zrange"),
    row("zrangebylex"),
    row("zrangebyscore"),
    row("zrangestore"),
    row("zrank"),
    row("zrem"),
    row("zremrangebylex"),
    row("zremrangebyrank"),
    row("zremrangebyscore"),
    row("zrevrange"),
    row("zrevrangebylex"),
    row("zrevrangebyscore"),
    row("zrevrank"),
    row("zscan"),
    row("zscore"),
    row("zunion"),
    row("zunionstore"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_words_in_any_case() {
        for command in COMMANDS {
            let found = match command.name.split_once('|') {
                None => find(command.name.to_ascii_uppercase().as_bytes()),
                Some((verb, sub)) => find_sub(
                    find(verb.as_bytes()).unwrap(),
                    sub.to_ascii_uppercase().as_bytes(),
                ),
            };
            assert_eq!(found, Some(command));
        }
    }

    #[test]
    fn names_are_sorted_distinct_and_short() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
        for command in COMMANDS {
            assert!(command.name.split('|').all(|w| w.len() <= LONGEST_WORD));
        }
    }

    #[test]
    fn what_no_server_knows_is_not_found() {
        for verb in ["", "gett", "ge", "_other", "client|id", "\u{e9}"] {
            assert_eq!(find(verb.as_bytes()), None, "{verb}");
        }
        assert_eq!(find_sub(find(b"client").unwrap(), b"nothing"), None);
    }
}
