//! What is not ours: other protocols are skipped by their reason, and nothing of them is counted.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::network::apart;
use observer_tests::process::{Place, Process, finish, free_port, need};

/// What carries a request, a statement or a command.
const COUNTED: [&str; 10] = [
    "naytife_http_request_duration_seconds_count",
    "naytife_http_requests_aborted_total",
    "naytife_http_client_request_duration_seconds_count",
    "naytife_http_client_requests_aborted_total",
    "naytife_database_query_duration_seconds_count",
    "naytife_database_executions_untimed_total",
    "naytife_database_transactions_total",
    "naytife_database_errors_total",
    "naytife_redis_commands_total",
    "naytife_redis_lookups_total",
];

/// What the client says, and what the server answers; either may be silent.
type Turn = (Vec<u8>, Vec<u8>);

/// Two ends in cgroups of their own.
struct Ends {
    clients: Cgroup,
    servers: Cgroup,
}

/// A connection between them.
struct Talk {
    client: TcpStream,
    server: TcpStream,
}

/// Sends bytes and waits until they have arrived.
fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    from.write_all(bytes)?;
    let mut read = vec![0; bytes.len()];
    Ok(to.read_exact(&mut read)?)
}

/// What an agent has seen of both ends.
struct Scene {
    ends: Ends,
    agent: Agent,
}

impl Ends {
    fn new() -> Result<Self> {
        let (clients, servers) = (Cgroup::create("client")?, Cgroup::create("server")?);
        Ok(Self { clients, servers })
    }

    fn observed(self) -> Result<Scene> {
        let agent = Agent::observe(&[&self.clients, &self.servers])?;
        Ok(Scene { ends: self, agent })
    }

    fn open(&self, port: u16) -> Result<Talk> {
        let listener = self
            .servers
            .host(|| Ok(TcpListener::bind(("127.0.0.1", port))?))?;
        let address = listener.local_addr()?;
        let client = self.clients.host(|| Ok(TcpStream::connect(address)?))?;
        let (server, _) = listener.accept()?;
        for end in [&client, &server] {
            end.set_read_timeout(Some(Duration::from_secs(10)))?;
            end.set_nodelay(true)?;
        }
        Ok(Talk { client, server })
    }
}

impl Talk {
    /// All of it fits into the sockets' buffers.
    fn say(&mut self, turns: &[Turn]) -> Result<()> {
        for (request, answer) in turns {
            pass(&mut self.client, &mut self.server, request)?;
            pass(&mut self.server, &mut self.client, answer)?;
        }
        Ok(())
    }
}

impl Scene {
    fn new() -> Result<Self> {
        Ends::new()?.observed()
    }

    /// Nothing was counted and nothing lost; so many bytes at least were skipped for these reasons.
    fn skipped(&self, reasons: &[&str], bytes: usize) -> Result<()> {
        let scrape = self.agent.settled()?;
        for metric in COUNTED {
            scrape.select(metric).is(0)?;
        }
        let all = scrape.select("observer_bytes_total");
        all.clone().with("outcome", "lost").is(0)?;
        all.clone().with("outcome", "decoded").is(0)?;
        let skipped: f64 = reasons
            .iter()
            .map(|reason| all.clone().with("reason", reason).sum())
            .sum();
        ensure!(
            skipped >= f64::from(u32::try_from(bytes)?),
            "{bytes} bytes of {reasons:?}, skipped: {all}"
        );
        Ok(())
    }
}

/// Seen from its beginning it is skipped for this reason at both ends; joined in the middle for
/// that, or for being joined.
fn is_skipped(reason: &str, turns: &[Turn]) -> Result<()> {
    let length = |turns: &[Turn]| -> usize {
        turns
            .iter()
            .map(|(asked, said)| asked.len() + said.len())
            .sum()
    };
    let scene = Scene::new()?;
    scene.ends.open(0)?.say(turns)?;
    scene.skipped(&[reason], 2 * length(turns))?;
    let (before, after) = turns.split_at(turns.len() / 2);
    let ends = Ends::new()?;
    let mut talk = ends.open(0)?;
    talk.say(before)?;
    let scene = ends.observed()?;
    talk.say(after)?;
    drop(talk);
    scene.skipped(&[reason, "joined", "undecided", "other"], 2 * length(after))
}

/// Turns of a beginning, and then so many of the same.
fn talk(beginning: Vec<Turn>, more: usize, turn: impl Fn(u32) -> Turn) -> Vec<Turn> {
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    beginning.into_iter().chain((0..more).map(turn)).collect()
}

/// Bytes behind their length in four, the highest first.
fn sized(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), body].concat()
}

#[test]
fn tls_is_skipped_as_tls() -> Result<()> {
    let scene = Scene::new()?;
    let files = tempfile::tempdir()?;
    let (key, certificate) = (files.path().join("key"), files.path().join("certificate"));
    finish(
        Command::new(need("openssl")?)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"])
            .args(["-subj", "/CN=localhost", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate),
    )?;
    let address: SocketAddr = free_port()?;
    let mut command = Command::new(need("openssl")?);
    command
        .args([
            "s_server",
            "-quiet",
            "-www",
            "-accept",
            &address.to_string(),
        ])
        .arg("-key")
        .arg(&key)
        .arg("-cert")
        .arg(&certificate);
    let log = files.path().join("log");
    let mut server = Process::start(command, &log, &Place::within(&scene.ends.servers))?;
    server.listens(address)?;
    for _ in 0..3 {
        let mut curl = Command::new(need("curl")?);
        curl.args(["--silent", "--insecure", "--output", "/dev/null"])
            .arg(format!("https://{address}/v1/shops/1"));
        Place::within(&scene.ends.clients).apply(&mut curl)?;
        finish(&mut curl)?;
    }
    scene.skipped(&["tls"], 3000)
}

#[test]
fn http2_is_skipped_as_http2() -> Result<()> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let settings = b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";
    // GET / on stream 1, and its answer with a body that looks like HTTP/1.
    let headers = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86";
    let answer = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x13\0\x01\0\0\0\x01HTTP/1.1 200 OK\r\n\r\n";
    let beginning = vec![(preface.to_vec(), settings.to_vec())];
    let turns = talk(beginning, 20, |_| (headers.to_vec(), answer.to_vec()));
    is_skipped("http2", &turns)
}

/// A frame of HTTP/2: its length in three bytes, type, flags, stream.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

#[test]
fn grpc_is_skipped_as_http2() -> Result<()> {
    let settings = frame(4, 0, 0, b"\0\x02\0\0\0\0\0\x03\0\0\0\0\0\x04\0\x3f\xff\xff");
    let window = frame(8, 0, 0, b"\0\x3f\0\x01");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let opened = [&preface[..], &settings, &window].concat();
    let accepted = [frame(4, 0, 0, b"\0\x03\0\0\0\x64"), frame(4, 1, 0, b"")].concat();
    let turns = talk(vec![(opened, accepted)], 30, |number| {
        let stream = 2 * number + 1;
        // :method POST, :scheme http, a path and te: trailers as literals, nothing compressed.
        let head = b"\x83\x86\x44\x0f/shop.Shops/Get\x41\x04shop\x40\x02te\x08trailers";
        let asked = [
            frame(1, 4, stream, head),
            frame(0, 1, stream, b"\0\0\0\0\x02\x08\x07"),
        ];
        let said = [
            frame(1, 4, stream, b"\x88\x5f\x10application/grpc"),
            frame(0, 0, stream, b"\0\0\0\0\x05\x0a\x03abc"),
            frame(1, 5, stream, b"\x40\x0bgrpc-status\x010"),
        ];
        (asked.concat(), said.concat())
    });
    is_skipped("http2", &turns)
}

#[test]
fn mysql_is_skipped_as_something_else() -> Result<()> {
    let greeting = b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15\
        \0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0caching_sha2_password\0";
    let login = b"\x3b\0\0\x01\x85\xa6\xff\x01\0\0\0\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
        \0\0\0\0root\0\0mysql_native_password\0";
    let fine = b"\x07\0\0\x02\0\0\0\x02\0\0\0";
    let query = b"\x22\0\0\0\x03SELECT * FROM orders WHERE id = 1";
    let beginning = vec![(vec![], greeting.to_vec()), (login.to_vec(), fine.to_vec())];
    is_skipped(
        "other",
        &talk(beginning, 50, |_| (query.to_vec(), fine.to_vec())),
    )
}

/// A request of Kafka behind its length: key, version, number, client; then its body.
fn kafka(key: u16, version: u16, number: u32, body: &[u8]) -> Vec<u8> {
    let head = [
        &key.to_be_bytes()[..],
        &version.to_be_bytes(),
        &number.to_be_bytes(),
        b"\0\x04shop",
    ];
    sized(&[&head.concat(), body].concat())
}

#[test]
fn kafka_is_skipped_as_something_else() -> Result<()> {
    // ApiVersions, Metadata of all topics; then Produce and Fetch of one.
    let versions = sized(b"\0\0\0\x01\0\0\0\0\0\x02\0\0\0\0\0\x09\0\x03\0\0\0\x0c");
    let metadata = sized(
        b"\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\x09127.0.0.1\0\0\x23\x84\xff\xff\0\0\0\x01\0\0\0\0",
    );
    let beginning = vec![
        (kafka(18, 0, 1, b""), versions),
        (kafka(3, 1, 2, b"\xff\xff\xff\xff"), metadata),
    ];
    let turns = talk(beginning, 40, |number| {
        let records = b"\0\0\0\0\0\0\0\0\0\0\0\x2dGET /v1/shops HTTP/1.1\r\nSELECT 1;*1\r\n$4\r\n";
        let topic = [
            b"\0\x01\0\0\x75\x30\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0",
            &sized(records)[..],
        ];
        let said = [
            &(number + 3).to_be_bytes()[..],
            b"\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\x07",
        ];
        (
            kafka(0, 2, number + 3, &topic.concat()),
            sized(&said.concat()),
        )
    });
    is_skipped("other", &turns)
}

/// `OP_MSG` of `MongoDB` with a document of these fields, each a name and an encoded value.
fn mongodb(number: u32, answers: u32, fields: &[(u8, &str, &[u8])]) -> Vec<u8> {
    let mut document = Vec::new();
    for (kind, name, value) in fields {
        document.push(*kind);
        document.extend_from_slice(name.as_bytes());
        document.push(0);
        document.extend_from_slice(value);
    }
    let little = |length: usize| u32::try_from(length).unwrap_or(0).to_le_bytes();
    let document = [&little(document.len() + 5)[..], &document, b"\0"].concat();
    let head = [
        little(document.len() + 21),
        number.to_le_bytes(),
        answers.to_le_bytes(),
        little(2013),
    ];
    [&head.concat(), &b"\0\0\0\0\0"[..], &document].concat()
}

#[test]
fn mongodb_is_skipped_as_something_else() -> Result<()> {
    let database: (u8, &str, &[u8]) = (2, "$db", b"\x05\0\0\0shop\0");
    let hello = mongodb(1, 0, &[(16, "hello", b"\x01\0\0\0"), database]);
    let welcome = [
        (8, "isWritablePrimary", &b"\x01"[..]),
        (16, "maxWireVersion", b"\x15\0\0\0"),
        (1, "ok", b"\0\0\0\0\0\0\xf0\x3f"),
    ];
    let turns = talk(vec![(hello, mongodb(1, 1, &welcome))], 40, |number| {
        let text = b"\x17\0\0\0SELECT * FROM orders; \0";
        let asked = [
            (2, "find", &b"\x07\0\0\0orders\0"[..]),
            (2, "comment", text),
            database,
        ];
        let said = [
            (2, "ns", text.as_slice()),
            (1, "ok", b"\0\0\0\0\0\0\xf0\x3f"),
        ];
        (
            mongodb(number + 2, 0, &asked),
            mongodb(number + 2, number + 2, &said),
        )
    });
    is_skipped("other", &turns)
}

/// A frame of AMQP 0-9-1: kind, channel, payload behind its length, end.
fn amqp(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    [
        &[kind][..],
        &channel.to_be_bytes(),
        &sized(payload),
        b"\xce",
    ]
    .concat()
}

#[test]
fn amqp_is_skipped_as_something_else() -> Result<()> {
    let start = amqp(1, 0, b"\0\x0a\0\x0a\0\x09\0\0\0\x17\x07productS\0\0\0\x0bRabbitMQ-11\0\0\0\x0ePLAIN AMQPLAIN\0\0\0\x05en_US");
    let start_ok = amqp(
        1,
        0,
        b"\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest1\x05en_US",
    );
    let tune = amqp(1, 0, b"\0\x0a\0\x1e\x07\xff\0\x02\0\0\0\x3c");
    let open = [
        amqp(1, 0, b"\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\x3c"),
        amqp(1, 0, b"\0\x0a\0\x28\x01/\0\0"),
    ]
    .concat();
    let beginning = vec![
        (b"AMQP\0\0\x09\x01".to_vec(), start),
        (start_ok, tune),
        (open, amqp(1, 0, b"\0\x0a\0\x29\0")),
        (
            amqp(1, 1, b"\0\x14\0\x0a\0"),
            amqp(1, 1, b"\0\x14\0\x0b\0\0\0\0"),
        ),
    ];
    let turns = talk(beginning, 40, |number| {
        let body = b"GET /v1/shops/1 HTTP/1.1\r\n\r\n";
        let size = u64::try_from(body.len()).unwrap_or(0).to_be_bytes();
        let asked = [
            amqp(1, 1, b"\0\x3c\0\x28\0\0\0\x06orders\0"),
            amqp(2, 1, &[b"\0\x3c\0\0", &size[..], b"\0\0"].concat()),
            amqp(3, 1, body),
        ];
        let acknowledged = [b"\0\x3c\0\x50", &u64::from(number).to_be_bytes()[..], b"\0"];
        (asked.concat(), amqp(1, 1, &acknowledged.concat()))
    });
    is_skipped("other", &turns)
}

/// A text of `ClickHouse` behind its length in a byte.
fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap_or(0)], text.as_bytes()].concat()
}

fn clickhouse() -> Vec<Turn> {
    let hello = [
        b"\0".to_vec(),
        text("ClickHouse client"),
        b"\x17\x08\xc1\xa9\x03".to_vec(),
        text("default"),
        text("default"),
        text(""),
    ]
    .concat();
    let welcome = [
        b"\0".to_vec(),
        text("ClickHouse"),
        b"\x17\x08\xc1\xa9\x03".to_vec(),
        text("UTC"),
        text("db"),
        b"\x02".to_vec(),
    ]
    .concat();
    talk(vec![(hello, welcome)], 40, |number| {
        let asked = [
            b"\x01".to_vec(),
            text(&format!("query-{number}")),
            b"\x01".to_vec(),
            text(""),
            text(""),
            text("0.0.0.0:0"),
            b"\x01".to_vec(),
            text("SELECT count() FROM orders WHERE shop_id = 1"),
            b"\x02\0\x01\0\x02\xff\xff\xff\xff\0\0\0".to_vec(),
        ];
        let said = [
            b"\x01\0\x01\0\x02\xff\xff\xff\xff\0\x01\x01".to_vec(),
            text("count()"),
            text("UInt64"),
            vec![7; 8],
            b"\x05".to_vec(),
        ];
        (asked.concat(), said.concat())
    })
}

#[test]
fn clickhouse_is_skipped_as_something_else() -> Result<()> {
    is_skipped("other", &clickhouse())
}

#[test]
fn a_port_means_nothing() -> Result<()> {
    apart(&[], || {
        let scene = Scene::new()?;
        let turns = clickhouse();
        scene.ends.open(5432)?.say(&turns)?;
        let bytes: usize = turns
            .iter()
            .map(|(asked, said)| asked.len() + said.len())
            .sum();
        scene.skipped(&["other"], 2 * bytes)?;
        let asked = b"GET /v1/shops HTTP/1.1\r\nHost: shop\r\n\r\n".to_vec();
        let said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]".to_vec();
        scene.ends.open(6379)?.say(&vec![(asked, said); 25])?;
        let scrape = scene.agent.settled()?;
        for metric in COUNTED {
            let is_http = [
                "naytife_http_request_duration_seconds_count",
                "naytife_http_client_request_duration_seconds_count",
            ]
            .contains(&metric);
            scrape.select(metric).is(if is_http { 25 } else { 0 })?;
        }
        Ok(())
    })
}

#[test]
fn arbitrary_bytes_are_skipped_as_something_else() -> Result<()> {
    let mut random = fastrand::Rng::with_seed(11);
    let mut bytes = |most| {
        let length = random.usize(1..most);
        let all = std::iter::repeat_with(|| random.u8(..));
        all.take(length).collect::<Vec<u8>>()
    };
    let scene = Scene::new()?;
    let mut length = 0;
    for _ in 0..20 {
        let turns: Vec<Turn> = (0..40).map(|_| (bytes(300), bytes(3000))).collect();
        length += turns
            .iter()
            .map(|(asked, said)| asked.len() + said.len())
            .sum::<usize>();
        scene.ends.open(0)?.say(&turns)?;
    }
    scene.skipped(&["other"], 2 * length)
}
