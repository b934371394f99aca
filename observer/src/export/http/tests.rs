use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use super::*;
use crate::export::agent::{Observed, Statistics};
use crate::export::catalog::Metric;
use crate::export::families::{Families, Source, Type};
use crate::export::status::Status;
use crate::export::{Agent, Fact, Limits, Recorder, Symbol, Symbols};
use crate::ledger::Ledger;

struct Pipeline(Result<(), String>);

impl Observed for Pipeline {
    fn ready(&self) -> Result<(), String> {
        self.0.clone()
    }

    fn ledgers(&self) -> Vec<Arc<Ledger>> {
        Vec::new()
    }

    fn kernel_counter(&self, _: observer_ebpf::Counter) -> u64 {
        0
    }

    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}

struct Server {
    address: SocketAddr,
    agent: Arc<Agent>,
    recorder: Recorder,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start() -> Self {
        Self::with(Patience::default(), Sources::default())
    }

    fn with(patience: Patience, sources: Sources) -> Self {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let (recorder, registry) = Recorder::new(&Limits::default());
        let agent = Arc::new(Agent::default());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let overview = Arc::new(Overview::new(registry, Arc::clone(&agent)));
        runtime.spawn(serve(
            listener,
            overview,
            sources,
            Gate::default(),
            patience,
        ));
        Self {
            address,
            agent,
            recorder,
            _runtime: runtime,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn count(&self, which: impl Fn(&crate::export::agent::Scrapes) -> u64) -> u64 {
        which(&self.agent.scrapes)
    }

    /// Series enough that an answer does not fit into the sockets' buffers.
    fn fill(&mut self) {
        let mut symbols = Symbols::new(100_000);
        for number in 0..20_000 {
            let service = symbols.intern(&format!("{number}-{}", "x".repeat(200)));
            let fact = Fact {
                metric: Metric::RedisLookups,
                labels: [service, Symbol::OTHER].into_iter().collect(),
                value: 1.0,
                ends: false,
            };
            self.recorder.record(&fact, &symbols);
        }
    }
}

fn until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "never happened"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn each_path_has_its_answer() {
    let server = Server::start();
    let cases = [
        ("GET", "/healthz", "HTTP/1.1 200 OK", "ok\n"),
        (
            "GET",
            "/readyz",
            "HTTP/1.1 503 Service Unavailable",
            "the kernel programs are not attached yet\n",
        ),
        ("GET", "/absent", "HTTP/1.1 404 Not Found", "/readyz\n"),
        ("POST", "/", "HTTP/1.1 405 Method Not Allowed", ""),
        ("POST", "/metrics", "HTTP/1.1 405 Method Not Allowed", ""),
        ("DELETE", "/healthz", "HTTP/1.1 405 Method Not Allowed", ""),
    ];
    for (method, path, status, body) in cases {
        let answer = server.ask(method, path);
        assert!(answer.starts_with(status), "{method} {path}: {answer}");
        assert!(answer.ends_with(body), "{method} {path}: {answer}");
    }
    let answer = server.ask("GET", "/metrics");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(answer.contains("observer_build_info{"), "{answer}");
    until(|| server.count(|scrapes| scrapes.served.load(Ordering::Relaxed)) == 1);
}

struct Many;

impl Source for Many {
    fn read(&self, families: &mut Families) {
        let mut samples = families.family("node_many", Type::Gauge, "Many.");
        for number in 0..5_000 {
            samples.put(&[("number", &number.to_string())], 1.0);
        }
    }
}

#[test]
fn what_is_read_at_the_scrape_comes_after_what_is_kept() {
    let sources = Sources::new(vec![Box::new(Many)]);
    let server = Server::with(Patience::default(), sources);
    let answer = server.ask("GET", "/metrics");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    // The length of a chunk and the chunk, in turns.
    let text: String = body.split("\r\n").skip(1).step_by(2).collect();
    let (_, after) = text.split_once("observer_start_time_seconds ").unwrap();
    assert!(after.contains("# HELP node_many Many.\n# TYPE node_many gauge\nnode_many{"));
    assert_eq!(after.matches("node_many{number=\"").count(), 5_000);
}

#[test]
fn while_it_starts_it_says_what_it_waits_for() {
    let server = Server::start();
    let ready = || {
        let answer = server.ask("GET", "/readyz");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        answer
    };
    server.agent.starts(Some("waiting for the API".to_owned()));
    assert!(ready().ends_with("\r\nwaiting for the API\n"));
    server.agent.starts(None);
    assert!(ready().ends_with("the kernel programs are not attached yet\n"));
}

#[test]
fn it_is_ready_once_the_programs_are_attached() {
    for (state, status, body) in [
        (Ok(()), "HTTP/1.1 200 OK", "ready\n"),
        (
            Err("ingress is not attached"),
            "HTTP/1.1 503",
            "ingress is not attached\n",
        ),
    ] {
        let server = Server::start();
        let pipeline = Pipeline(state.map_err(str::to_owned));
        server.agent.observe(Arc::new(pipeline));
        let answer = server.ask("GET", "/readyz");
        assert!(answer.starts_with(status), "{answer}");
        assert!(answer.ends_with(body), "{answer}");
    }
}

#[test]
fn a_busy_port_is_one_clear_sentence() {
    let first = listen(([127, 0, 0, 1], 0).into()).unwrap();
    let address = first.local_addr().unwrap();
    let error = listen(address).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {address}: another process already does; choose another address (--listen)"
        )
    );
}

#[test]
fn a_client_that_never_finishes_its_head_is_cut_off() {
    let server = Server::with(
        Patience {
            head: Duration::from_millis(100),
            ..Patience::default()
        },
        Sources::default(),
    );
    let mut stream = server.connect();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
    let started = Instant::now();
    let mut answer = Vec::new();
    // Closed with or without a status; what matters is that it ends.
    let _ended = stream.read_to_end(&mut answer);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(server.ask("GET", "/healthz").contains("200 OK"));
}

#[test]
fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let mut server = Server::with(
        Patience {
            answer: Duration::from_millis(200),
            ..Patience::default()
        },
        Sources::default(),
    );
    server.fill();
    let mut stream = server.connect();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    until(|| server.count(|scrapes| scrapes.cut.load(Ordering::Relaxed)) == 1);
}

#[test]
fn slow_scrapes_neither_pile_up_nor_hold_up_anything_else() {
    let mut server = Server::start();
    server.fill();
    let mut slow: Vec<TcpStream> = (0..SCRAPES).map(|_| server.connect()).collect();
    for stream in &mut slow {
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).unwrap();
    }
    // All scrapes are taken by clients that stopped reading.
    assert!(server.ask("GET", "/metrics").starts_with("HTTP/1.1 503"));
    assert!(server.ask("GET", "/healthz").contains("200 OK"));
    // The data path goes on: it takes the same lock to create a series.
    server.fill();
    assert_eq!(
        server.count(|scrapes| scrapes.refused.load(Ordering::Relaxed)),
        1
    );
    // A client that leaves gives its place back.
    drop(slow);
    until(|| server.count(|scrapes| scrapes.cut.load(Ordering::Relaxed)) == SCRAPES as u64);
    assert!(server.ask("GET", "/metrics").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_person_and_a_program_are_told_the_same() {
    let mut server = Server::start();
    server.fill();
    let page = server.ask("GET", "/");
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    for header in [
        "content-type: text/html; charset=utf-8\r\n",
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "x-content-type-options: nosniff\r\n",
        "cache-control: no-store\r\n",
    ] {
        assert!(page.contains(header), "{header}");
    }
    let answer = server.ask("GET", "/api/v1/status?rows=1");
    assert!(answer.contains("content-type: application/json\r\n"));
    let (_, json) = answer.split_once("\r\n\r\n").unwrap();
    let status: Status = serde_json::from_str(json).unwrap();
    assert_eq!(status.tables.workloads.rows.len(), 1);
    let of = status.tables.workloads.of;
    assert!(page.contains(&format!("the first {ROWS} of {of}")));
    // The head alone, with the length of what a GET would have.
    let head = server.ask("HEAD", "/api/v1/status?rows=1");
    assert!(head.contains("content-length: ") && head.ends_with("\r\n\r\n"));
}

#[test]
fn a_question_that_makes_no_sense_is_answered_with_what_does() {
    let server = Server::start();
    for question in [
        "rows=0",
        "rows=501",
        "rows=x",
        "rows=",
        "lines=3",
        "rows=1&rows=2",
    ] {
        for path in ["/", "/api/v1/status"] {
            let answer = server.ask("GET", &format!("{path}?{question}"));
            assert!(answer.starts_with("HTTP/1.1 400"), "{question}: {answer}");
            assert!(answer.ends_with("?rows=, from 1 to 500\n"), "{answer}");
        }
    }
}

#[test]
fn views_that_are_too_many_are_refused_and_counted() {
    let (_recorder, registry) = Recorder::new(&Limits::default());
    let agent = Arc::new(Agent::default());
    let shared = Shared {
        gate: Arc::default(),
        overview: Arc::new(Overview::new(registry, Arc::clone(&agent))),
        sources: Sources::default(),
        scrapes: Arc::new(Semaphore::new(SCRAPES)),
        views: Arc::new(Semaphore::new(1)),
    };
    let ask = || {
        let question = Ok(Query(Asked { rows: 1 }));
        view(&shared, &question, |_, _| ([("a", "b")], b"text".to_vec()))
    };
    let first = ask();
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(ask().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(agent.scrapes.views_refused.load(Ordering::Relaxed), 1);
    // The place is free once the answer is sent or given up.
    drop(first);
    assert_eq!(ask().status(), StatusCode::OK);
}
