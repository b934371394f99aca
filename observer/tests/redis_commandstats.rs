//! What is decoded and paired agrees with the server's own count, command by command.
//!
//! A proxy stands between real clients and a real `redis-server` and hands every byte to a
//! decoder before it passes it on; then `INFO commandstats` says what the server executed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use observer::correlate::Body;
use observer::correlate::redis::{Correlator, Outcome};
use observer::decode::redis::Redis;
use observer::decode::{Decoder as _, Side};
use observer::reassemble::Input;
use observer::time::Timestamp;

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What was counted.
#[derive(Default)]
struct Counted {
    commands: BTreeMap<&'static str, u64>,
    unknown: u64,
    lost: u64,
    hits: u64,
    misses: u64,
}

struct Connection {
    decoder: Redis,
    correlator: Correlator,
}

impl Connection {
    fn take(&mut self, side: Side, bytes: &[u8], time: Timestamp, counted: &mut Counted) {
        let correlator = &mut self.correlator;
        let fed = self
            .decoder
            .feed(side, time, Input::Bytes(bytes), &mut |message| {
                correlator.on(message, &mut |body| {
                    let Body::Redis(exchange) = body else {
                        panic!("{body:?}");
                    };
                    *counted.commands.entry(exchange.command.name).or_default() += 1;
                    counted.unknown += u64::from(exchange.outcome == Outcome::Unknown);
                    counted.hits += u64::from(exchange.hits);
                    counted.misses += u64::from(exchange.misses);
                });
            });
        counted.lost += fed.lost.map_or(0, |(_, bytes)| bytes);
    }
}

fn proxy(server: u16, counted: Arc<Mutex<Counted>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let start = Instant::now();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
            let connection = Arc::new(Mutex::new(Connection {
                decoder: Redis::opened(),
                correlator: Correlator::new(),
            }));
            for (side, mut from, mut to) in [
                (
                    Side::Client,
                    client.try_clone().unwrap(),
                    server.try_clone().unwrap(),
                ),
                (Side::Server, server, client),
            ] {
                let (connection, counted) = (Arc::clone(&connection), Arc::clone(&counted));
                thread::spawn(move || {
                    let mut buffer = vec![0; 1 << 16];
                    while let Ok(length @ 1..) = from.read(&mut buffer) {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        let time = u64::try_from(start.elapsed().as_nanos()).unwrap();
                        connection.lock().unwrap().take(
                            side,
                            bytes,
                            Timestamp(time),
                            &mut counted.lock().unwrap(),
                        );
                        if to.write_all(bytes).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    port
}

/// Sends inline commands and returns all that is answered until the server closes.
fn talk(port: u16, lines: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(lines.as_bytes()).unwrap();
    stream.write_all(b"QUIT\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Calls and rejected calls by command; and keyspace hits and misses.
fn server_counts(port: u16) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in talk(port, "INFO commandstats\r\n").lines() {
        let Some((name, fields)) = line
            .strip_prefix("cmdstat_")
            .and_then(|line| line.split_once(':'))
        else {
            continue;
        };
        let sum = fields
            .split(',')
            .filter_map(|field| field.split_once('='))
            .filter(|(key, _)| matches!(*key, "calls" | "rejected_calls"))
            .map(|(_, value)| value.parse::<u64>().unwrap())
            .sum();
        counts.insert(name.to_owned(), sum);
    }
    counts
}

fn start_server() -> Option<(Ended, u16)> {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .stdout(Stdio::null())
        .spawn()
        .ok()?;
    let server = Ended(child);
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some((server, port));
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("redis-server does not listen on {port}");
}

fn benchmark(port: u16, arguments: &str) {
    let status = Command::new("redis-benchmark")
        .args(["-p", &port.to_string(), "-q"])
        .args(arguments.split(' '))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{arguments}");
}

#[test]
fn every_command_is_counted_as_the_server_counts_it() {
    let Some((_server, server)) = start_server() else {
        eprintln!("SKIPPED: no redis-server in PATH");
        return;
    };
    let counted = Arc::new(Mutex::new(Counted::default()));
    let port = proxy(server, Arc::clone(&counted));

    benchmark(port, "-n 2000 -c 10 -P 1 -t set,get,incr,lpush,hset,mset");
    benchmark(
        port,
        "-n 20000 -c 10 -P 16 -t set,get,incr,sadd,zadd,lrange_100",
    );
    benchmark(port, "-n 20 -c 2 -d 1048576 -t set,get");
    benchmark(port, "-n 20000 -c 2 -P 1000 -r 100 get key:__rand_int__");
    let hundred: Vec<_> = (0..100).map(|i| format!("k{i}")).collect();
    let hundred = hundred.join(" ");
    let transactions = format!(
        "SET k1 1\r\nMGET {hundred}\r\nMULTI\r\nGET k1\r\nGET k2\r\nMGET {hundred}\r\nEXEC\r\n\
         MULTI\r\nPING\r\nEXEC\r\nSUBSCRIBE a b\r\nUNSUBSCRIBE\r\nCLIENT SETNAME me\r\n\
         CONFIG GET save\r\nINCR mylist\r\nGET\r\nEVAL 'return {{1,{{2}}}}' 0\r\nBLPOP none 0.01\r\n"
    );
    talk(port, &transactions);
    // The last bytes have passed the proxy before a client saw them.
    let mut expected = server_counts(server);

    let counted = counted.lock().unwrap();
    // The server counts the command that asks for its counts only afterwards.
    assert_eq!(expected.remove("info"), None);
    let commands: BTreeMap<String, u64> = counted
        .commands
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect();
    assert_eq!(commands, expected);
    assert_eq!((counted.lost, counted.unknown), (0, 0));
    assert!(commands["get"] >= 42_000 && commands["mget"] == 2);
    assert!(counted.hits > 0 && counted.misses >= 99 + 1 + 99);
}
