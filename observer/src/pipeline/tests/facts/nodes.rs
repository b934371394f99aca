//! Several nodes, each with an agent of its own: what they say together is what was asked for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::script::{Act, End as Ended, Fetch, Style};
use super::*;
use crate::correlate::Connection;
use crate::correlate::vantage::{Elsewhere, Whereabouts};
use crate::decode::Side;
use crate::export::{Metric, Symbols};
use crate::interpret::{Peer, Services};
use crate::ledger::Fate;
use crate::workloads::directory::Pod;
use crate::workloads::{Directory, Workloads};

/// A workload, by its place in a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Application,
    Pooler,
    Server,
}

const NAMES: [&str; 3] = ["application", "pooler", "server"];

/// Where each workload is, and whether it is selected.
#[derive(Clone, Copy, Debug)]
struct World {
    nodes: [usize; 3],
    selected: [bool; 3],
    authority: Authority,
}

impl World {
    /// Every one of two nodes.
    fn all() -> impl Iterator<Item = Self> {
        let bits = |number: usize, from: usize| [0, 1, 2].map(|bit| number >> (from + bit) & 1);
        (0..128).map(move |number| Self {
            nodes: bits(number, 0),
            selected: bits(number, 3).map(|bit| bit == 1),
            authority: if number < 64 {
                Authority::Client
            } else {
                Authority::Server
            },
        })
    }

    fn sees(&self, who: Who) -> bool {
        self.selected[who as usize]
    }

    /// What the API tells every agent.
    fn directory(&self) -> Directory {
        let directory = Directory::default();
        for (who, name) in NAMES.iter().enumerate() {
            directory.set_pod(Pod {
                uid: (*name).to_owned(),
                node: self.nodes[who].to_string(),
                labels: [("app".to_owned(), (*name).to_owned())].into(),
                addresses: vec![address(who).into()],
                ..Pod::default()
            });
        }
        directory
    }
}

fn address(who: usize) -> [u8; 4] {
    [10, 0, 0, 1 + u8::try_from(who).unwrap()]
}

/// What an agent knows of the pods of other nodes.
struct Others {
    world: World,
    node: usize,
}

impl Elsewhere for Others {
    fn observes(&self, client: IpAddr) -> Whereabouts {
        let is_observed = (0..NAMES.len()).any(|who| {
            IpAddr::from(address(who)) == client
                && self.world.nodes[who] != self.node
                && self.world.selected[who]
        });
        if is_observed {
            Whereabouts::Observed
        } else {
            Whereabouts::Unobserved
        }
    }

    fn generation(&self) -> u64 {
        1
    }
}

struct Named(Workloads);

impl Services for Named {
    fn service(&mut self, connection: &Connection, symbols: &mut Symbols) -> crate::export::Symbol {
        symbols.intern(&self.0.name(&connection.identity))
    }

    fn peer(&mut self, connection: &Connection, symbols: &mut Symbols) -> Peer {
        let peer = self.0.peer(&connection.identity).unwrap();
        Peer::Named(symbols.intern(&peer))
    }
}

/// What the agents of both nodes saw.
struct Tape {
    world: World,
    recordings: [Recording; 2],
    time: u64,
    connections: u64,
}

/// A connection, at both its ends.
struct Line {
    ends: [Wire; 2],
    who: [Who; 2],
}

impl Tape {
    fn new(world: World) -> Self {
        Self {
            world,
            recordings: [Recording::default(), Recording::default()],
            time: 1,
            connections: 0,
        }
    }

    fn connect(&mut self, client: Who, server: Who) -> Line {
        self.connections += 1;
        let number = 10 * self.connections;
        let (mut one, mut other) = Wire::pair(number, number + 1);
        for (end, own, remote) in [(&mut one, client, server), (&mut other, server, client)] {
            let name = NAMES[own as usize].as_bytes();
            end.identity.command[..name.len()].copy_from_slice(name);
            end.identity.cgroup = 1 + own as u64;
            end.identity.local[12..].copy_from_slice(&address(own as usize));
            end.identity.remote[12..].copy_from_slice(&address(remote as usize));
        }
        let mut line = Line {
            ends: [one, other],
            who: [client, server],
        };
        self.at_both(&mut line, |end, _, time, out| end.established(time, out));
        line
    }

    fn ask(&mut self, line: &mut Line, bytes: &[u8]) {
        self.at_both(line, |end, side, time, out| match side {
            Side::Client => end.send(time, bytes, out),
            Side::Server => end.receive(time, bytes, out),
        });
    }

    fn answer(&mut self, line: &mut Line, bytes: &[u8]) {
        self.at_both(line, |end, side, time, out| match side {
            Side::Client => end.receive(time, bytes, out),
            Side::Server => end.send(time, bytes, out),
        });
    }

    /// At each end whose workload is selected.
    fn at_both(
        &mut self,
        line: &mut Line,
        mut act: impl FnMut(&mut Wire, Side, u64, &mut Recording),
    ) {
        for (side, index) in [(Side::Client, 0), (Side::Server, 1)] {
            self.time += 1000;
            let who = line.who[index];
            // One that nobody sees goes on all the same.
            let mut unseen = Recording::default();
            let out = if self.world.sees(who) {
                &mut self.recordings[self.world.nodes[who as usize]]
            } else {
                &mut unseen
            };
            act(&mut line.ends[index], side, self.time, out);
        }
    }
}

/// Numbers of facts by metric and, of the graph, by edge; published facts by series.
type Sums = BTreeMap<String, f64>;

fn said(world: World, node: usize, recording: &Recording, sums: &mut Sums) -> u64 {
    let plan = plan().unwrap();
    let needs = Needs::new(Arc::clone(&plan));
    let statements = Arc::new(Shared::new(Box::new(needs.clone())));
    let owner = match world.authority {
        Authority::Client => Side::Client,
        Authority::Server => Side::Server,
    };
    let (books, others) = (Books::default(), Others { world, node });
    let mut worker = Worker::new(
        Settings::default(),
        books.clone(),
        Arc::new(Vantages::new(Box::new(others), owner)),
        Box::new(Known::new(Arc::new(needs), statements)),
        Box::new(()),
    );
    let settings = interpret::Settings {
        authority: world.authority,
        ..interpret::Settings::default()
    };
    let services = Box::new(Named(Workloads::new(None, world.directory())));
    let mut interpreter = Interpreter::new(plan, &settings, services);
    for record in recording.records() {
        worker.record(&record);
    }
    worker.end();
    for exchange in worker.batch(None).exchanges {
        let mut facts: Vec<Fact> = Vec::new();
        interpreter.exchange(&exchange, &mut |fact| facts.push(fact));
        for fact in facts {
            let name = fact.metric.row().name;
            let labels = fact.labels.iter();
            let labels: Vec<_> = labels
                .map(|label| interpreter.symbols().value(*label))
                .collect();
            let (series, value) = match fact.metric {
                Metric::DatabaseQueryDuration
                | Metric::DatabaseTransactions
                | Metric::DatabaseHopExecutions
                | Metric::HttpRequestDuration
                | Metric::HttpClientRequestDuration
                | Metric::RedisCommands => (name.to_owned(), 1.0),
                Metric::ServiceRequests => (format!("{name} {}", labels.join(" ")), fact.value),
                _ if PUBLISHED.contains(&name) => {
                    (format!("{name} {}", labels.join(" ")), fact.value)
                }
                _ => continue,
            };
            *sums.entry(series).or_default() += value;
        }
    }
    assert_eq!(books.ledger.imbalance(), 0);
    books.ledger.settled(Fate::SkippedOtherEnd)
}

/// A shop's day: orders, one of them rolled back.
fn orders() -> Session {
    let mut session = Session::new(1);
    for (amount, end) in [
        (100, Ended::Commit),
        (250, Ended::Rollback),
        (900, Ended::Auto),
    ] {
        session.run(&Transaction {
            style: Style::Extended,
            fetch: Fetch::All,
            acts: vec![
                Act::Create { shop: 7, amount },
                Act::Pay { order: 0, to: 1 },
            ],
            end,
        });
    }
    session
}

/// What is asked for of `Server`: HTTP, Redis, and orders either directly or through the pooler.
fn play(tape: &mut Tape, orders: &Session, pooled: bool) {
    use Who::{Application, Pooler, Server};
    let mut web = tape.connect(Application, Server);
    let mut cache = tape.connect(Application, Server);
    let first = if pooled { Pooler } else { Server };
    let mut front = tape.connect(Application, first);
    let mut back = pooled.then(|| tape.connect(Pooler, Server));
    for (sent, answered) in &orders.flights {
        tape.ask(&mut web, b"GET /health HTTP/1.1\r\nHost: server\r\n\r\n");
        tape.answer(&mut web, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        tape.ask(&mut cache, b"*1\r\n$4\r\nPING\r\n");
        tape.answer(&mut cache, b"+PONG\r\n");
        tape.ask(&mut front, sent);
        if let Some(back) = &mut back {
            tape.ask(back, sent);
            tape.answer(back, answered);
        }
        tape.answer(&mut front, answered);
    }
}

/// What an agent says that sees nothing but every client's end, of orders that go directly.
fn truth(orders: &Session) -> Sums {
    let world = World {
        nodes: [0, 1, 1],
        selected: [true, false, false],
        authority: Authority::Client,
    };
    let mut tape = Tape::new(world);
    play(&mut tape, orders, false);
    let mut sums = Sums::new();
    said(world, 0, &tape.recordings[0], &mut sums);
    sums
}

fn of(sums: &Sums, series: &str) -> f64 {
    sums.get(series).copied().unwrap_or(0.0)
}

#[test]
fn over_two_nodes_everything_counts_once_wherever_it_is() {
    use Who::{Application, Pooler, Server};
    let orders = orders();
    let truth = truth(&orders);
    let statements = of(&truth, "naytife_database_query_duration_seconds");
    let requests = of(&truth, "naytife_redis_commands_total");
    #[expect(clippy::cast_precision_loss, reason = "there are some dozens")]
    let flights = orders.flights.len() as f64;
    assert!(
        statements > 6.0 && (requests - flights).abs() < 0.1,
        "{truth:?}"
    );
    for (world, pooled) in World::all().flat_map(|world| [(world, false), (world, true)]) {
        let mut tape = Tape::new(world);
        play(&mut tape, &orders, pooled);
        let mut sums = Sums::new();
        for (node, recording) in tape.recordings.iter().enumerate() {
            said(world, node, recording, &mut sums);
        }
        let times = |is_seen: bool, number: f64| if is_seen { number } else { 0.0 };
        let seen = world.sees(Application) || world.sees(Server);
        let (front, back) = if pooled {
            (
                world.sees(Application) || world.sees(Pooler),
                world.sees(Pooler) || world.sees(Server),
            )
        } else {
            (seen, false)
        };
        let hop = pooled && world.sees(Pooler);
        let executions = times(front, statements) + times(back && !hop, statements);
        let owner = match world.authority {
            Authority::Client => Application,
            Authority::Server => Server,
        };
        let first = if pooled { "pooler" } else { "server" };
        let mut expected = Sums::from([
            ("naytife_database_query_duration_seconds".into(), executions),
            (
                "naytife_database_hop_executions_total".into(),
                times(hop, statements),
            ),
            ("naytife_redis_commands_total".into(), times(seen, requests)),
            (
                "naytife_http_request_duration_seconds".into(),
                times(world.sees(Server), flights),
            ),
            (
                "naytife_http_client_request_duration_seconds".into(),
                times(world.sees(Application), flights),
            ),
        ]);
        for (edge, number) in [
            (
                "application server http success".to_owned(),
                times(seen, flights),
            ),
            (
                "application server redis success".to_owned(),
                times(seen, requests),
            ),
            (
                format!("application {first} postgresql success"),
                times(front, statements),
            ),
            (
                "pooler server postgresql success".to_owned(),
                times(back, statements),
            ),
        ] {
            expected.insert(format!("naytife_service_requests_total {edge}"), number);
        }
        for (series, sum) in published(&truth) {
            expected.insert(series, times(world.sees(owner), sum));
        }
        sums.remove("naytife_database_transactions_total");
        expected.retain(|_, number| *number > 0.0);
        assert_eq!(sums, expected, "{world:?} {pooled}");
    }
}

#[test]
fn what_counts_on_the_other_node_is_read_no_further_than_it_has_to_be() {
    let orders = orders();
    for authority in [Authority::Client, Authority::Server] {
        let world = World {
            nodes: [0, 0, 1],
            selected: [true; 3],
            authority,
        };
        let mut tape = Tape::new(world);
        play(&mut tape, &orders, false);
        let skipped = said(world, 1, &tape.recordings[1], &mut Sums::new());
        let length = |flights: &[server::Flight]| -> usize {
            flights
                .iter()
                .map(|(sent, answered)| sent.len() + answered.len())
                .sum()
        };
        let commands = orders.flights.len() * (b"*1\r\n$4\r\nPING\r\n".len() + b"+PONG\r\n".len());
        // Behind the server's welcome everything.
        let statements = match authority {
            Authority::Client => length(&orders.flights[1..]),
            Authority::Server => 0,
        };
        assert_eq!(skipped, (commands + statements) as u64, "{authority:?}");
    }
}
