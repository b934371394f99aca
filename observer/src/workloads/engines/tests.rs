//! The reader against engines that answer as Docker and Podman did, and against others.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;

const LIST: &str = include_str!("fixtures/docker_list.json");
const PODMAN_LIST: &str = include_str!("fixtures/podman_list.json");
const EVENTS: &str = include_str!("fixtures/docker_events.json");
const FILE: &str = include_str!("fixtures/docker_config.v2.json");
const PING: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A directory that goes with the test.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("engines-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Answer = dyn Fn(&str, &mut UnixStream) -> io::Result<()> + Send + Sync;

/// An engine that answers paths as it is told to, until it goes.
struct Fake {
    socket: PathBuf,
    requests: Arc<Mutex<Vec<String>>>,
    streams: Arc<Mutex<Vec<UnixStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    fn start(
        scratch: &Scratch,
        answer: impl Fn(&str, &mut UnixStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let socket = scratch.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut fake = Self {
            socket,
            requests: Arc::default(),
            streams: Arc::default(),
            thread: None,
        };
        let (requests, streams) = (Arc::clone(&fake.requests), Arc::clone(&fake.streams));
        let answer: Arc<Answer> = Arc::new(answer);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                if !reader
                    .read_line(&mut request)
                    .is_ok_and(|length| length > 0)
                {
                    // What wakes it to end.
                    return;
                }
                lock(&requests).push(request.clone());
                lock(&streams).push(stream.try_clone().unwrap());
                let answer = Arc::clone(&answer);
                thread::spawn(move || {
                    let path = request.split(' ').nth(1).unwrap_or_default();
                    // Whoever asked may have gone.
                    let _ = answer(path, &mut stream);
                });
            }
        });
        fake.thread = Some(thread);
        fake
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(UnixStream::connect(&self.socket));
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = fs::remove_file(&self.socket);
        for stream in lock(&self.streams).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// With its length, and one request a connection.
fn say(stream: &mut UnixStream, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn chunk(stream: &mut UnixStream, text: &str) -> io::Result<()> {
    write!(stream, "{:x}\r\n{text}\r\n", text.len())
}

/// Waits for whoever reads to go.
fn hold(stream: &mut UnixStream) -> io::Result<()> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(stream, &mut bytes).map(drop)
}

/// As an engine with these containers does, in which nothing happens.
fn calm(path: &str, stream: &mut UnixStream, list: &str) -> io::Result<()> {
    match path {
        "/_ping" => stream.write_all(PING.as_bytes()),
        path if path.contains("/events") => hold(stream),
        path if path.contains("filters") => say(stream, "[]"),
        _ => say(stream, list),
    }
}

fn start(scratch: &Scratch, directory: &Directory) -> Engines {
    let settings = Settings {
        sockets: vec![scratch.path().join("engine.sock")],
        directories: vec![scratch.path().join("containers")],
    };
    Engines::start(&settings, directory, || ()).unwrap()
}

fn id(text: &str) -> String {
    let (_, rest) = text.split_once("\"Id\":\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// What the cgroup of a container is called.
fn service(directory: &Directory, id: &str) -> String {
    let workload = directory.workload(&format!("/docker/{id}")).unwrap();
    workload.service.to_string()
}

/// Waits until it is called so.
fn becomes(directory: &Directory, id: &str, name: &str) {
    let start = Instant::now();
    loop {
        let service = directory.container(id).map(|one| one.name.clone());
        if service.as_deref().unwrap_or_default() == name {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{service:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_runs_before_the_agent_has_its_name_when_that_starts() {
    for list in [LIST, PODMAN_LIST] {
        let scratch = Scratch::new("list");
        let fake = Fake::start(&scratch, move |path, stream| calm(path, stream, list));
        let directory = Directory::default();
        let _engines = start(&scratch, &directory);
        assert_eq!(service(&directory, &id(list)), "api");
        for request in lock(&fake.requests).iter() {
            assert!(request.starts_with("GET /"), "{request}");
        }
    }
}

#[test]
fn an_id_that_is_met_is_asked_for() {
    let scratch = Scratch::new("met");
    let _fake = Fake::start(&scratch, |path, stream| match path {
        path if path.contains("/json") && path.contains(&id(LIST)) => say(stream, LIST),
        path => calm(path, stream, "[]"),
    });
    let directory = Directory::default();
    let _engines = start(&scratch, &directory);
    assert_eq!(directory.container(&id(LIST)), None);
    assert_eq!(service(&directory, &id(LIST)), "api");
}

#[test]
fn what_becomes_of_containers_is_heard() {
    let scratch = Scratch::new("events");
    let (next, wait) = channel::<usize>();
    let wait = Mutex::new(wait);
    let _fake = Fake::start(&scratch, move |path, stream| {
        if !path.contains("/events") {
            return calm(path, stream, LIST);
        }
        stream.write_all(CHUNKS.as_bytes())?;
        for lines in lock(&wait).iter() {
            let lines: Vec<&str> = EVENTS.lines().take(lines).collect();
            // In pieces that end anywhere.
            for piece in format!("{}\n", lines.join("\n")).as_bytes().chunks(1000) {
                chunk(stream, std::str::from_utf8(piece).unwrap())?;
            }
        }
        Ok(())
    });
    let directory = Directory::default();
    let _engines = start(&scratch, &directory);
    // Renamed, renamed back, gone.
    for (lines, name) in [(0, "shop_api_1"), (1, "shop_b"), (2, "shop_api_1"), (4, "")] {
        if lines > 0 {
            next.send(lines).unwrap();
        }
        becomes(&directory, &id(LIST), name);
    }
}

#[test]
fn where_no_socket_tells_files_do() {
    let endless = |stream: &mut UnixStream| {
        stream.write_all(CHUNKS.as_bytes())?;
        loop {
            chunk(stream, &" ".repeat(65536))?;
        }
    };
    let cases: [(&str, Box<Answer>); 7] = [
        ("not there", Box::new(|_, _| Ok(()))),
        (
            "refuses",
            Box::new(|_, stream| {
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            }),
        ),
        (
            "garbage",
            Box::new(|path, stream| match path {
                "/_ping" => stream.write_all(PING.as_bytes()),
                _ => say(stream, "<html>"),
            }),
        ),
        (
            "no HTTP",
            Box::new(|_, stream| stream.write_all(b"\0\xff\r\n\r\n")),
        ),
        ("says nothing", Box::new(|_, stream| hold(stream))),
        ("no version", Box::new(|_, stream| say(stream, "OK"))),
        (
            "without an end",
            Box::new(move |path, stream| match path {
                "/_ping" => stream.write_all(PING.as_bytes()),
                _ => endless(stream),
            }),
        ),
    ];
    for (what, answer) in cases {
        let scratch = Scratch::new("files");
        let id = "5d7e".repeat(16);
        scratch.write(&format!("containers/{id}/config.v2.json"), FILE);
        let _fake = (what != "not there").then(|| Fake::start(&scratch, answer));
        let directory = Directory::default();
        let _engines = start(&scratch, &directory);
        assert_eq!(service(&directory, &id), "api", "{what}");
        assert_eq!(
            service(&directory, &"0".repeat(64)),
            "0".repeat(64),
            "{what}"
        );
    }
}

#[test]
fn an_engine_that_comes_back_is_believed() {
    let scratch = Scratch::new("back");
    let fake = Fake::start(&scratch, |path, stream| calm(path, stream, LIST));
    let directory = Directory::default();
    let _engines = start(&scratch, &directory);
    // From then on it waits for events.
    let is_asked = || {
        lock(&fake.requests)
            .iter()
            .any(|one| one.contains("/events"))
    };
    while !is_asked() {
        thread::sleep(Duration::from_millis(10));
    }
    drop(fake);
    // What was known stays known.
    assert_eq!(service(&directory, &id(LIST)), "api");
    let _fake = Fake::start(&scratch, |path, stream| calm(path, stream, PODMAN_LIST));
    becomes(&directory, &id(PODMAN_LIST), "shop_api_1");
    assert_eq!(directory.container(&id(LIST)), None);
}

#[test]
fn what_files_say_is_looked_at_again() {
    let scratch = Scratch::new("again");
    let id = "5d7e".repeat(16);
    let path = format!("{id}/config.v2.json");
    scratch.write(&path, FILE);
    let settings = Settings {
        sockets: Vec::new(),
        directories: vec![scratch.path().to_owned()],
    };
    let directory = Directory::default();
    let reader = Reader::new(&settings, directory.clone());
    let found = lock(&reader.book).files.find(&id);
    let (container, source) = found.unwrap();
    reader.there(container, Teller::File(source));
    scratch.write(&path, &FILE.replace("/shop_api_1", "/shop_api_2"));
    reader.look_again();
    becomes(&directory, &id, "shop_api_2");
    fs::remove_file(scratch.path().join(&path)).unwrap();
    reader.look_again();
    assert_eq!(directory.container(&id), None);
}

#[test]
fn what_is_known_is_bounded() {
    let settings = Settings {
        sockets: Vec::new(),
        directories: Vec::new(),
    };
    let directory = Directory::default();
    let reader = Reader::new(&settings, directory.clone());
    for number in 0..LIMIT + 10 {
        let id = format!("{number:064x}");
        let container = answer::container(&id, "a", "", std::collections::BTreeMap::new());
        reader.there(container.unwrap(), Teller::Socket(0));
    }
    assert_eq!(lock(&reader.book).tellers.len(), LIMIT);
    let last = format!("{:064x}", LIMIT + 9);
    assert_eq!(directory.container(&last), None);
}

#[test]
fn a_question_that_has_waited_too_long_is_not_answered() {
    let scratch = Scratch::new("late");
    let [late, fresh] = ["5d7e", "5d7f"].map(|id| id.repeat(16));
    for id in [&late, &fresh] {
        scratch.write(&format!("{id}/config.v2.json"), FILE);
    }
    let settings = Settings {
        sockets: Vec::new(),
        directories: vec![scratch.path().to_owned()],
    };
    let directory = Directory::default();
    let reader = Arc::new(Reader::new(&settings, directory.clone()));
    let (questions, asked) = mpsc::channel(2);
    let now = Instant::now();
    let answers = [(&late, now.checked_sub(AGAIN).unwrap()), (&fresh, now)].map(|(id, when)| {
        let (answered, answer) = sync_channel(1);
        let question = Question {
            id: id.clone(),
            when,
            answered,
        };
        questions.try_send(question).unwrap();
        answer
    });
    // No more questions end it.
    drop(questions);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(reader.run(asked, channel().0));
    let are_answered = answers.map(|answer| answer.try_recv().is_ok());
    assert_eq!(are_answered, [false, true]);
    let known = [late, fresh].map(|id| directory.container(&id).is_some());
    assert_eq!(known, [false, true]);
}
