//! A Kubernetes API of our own: lists and watches of whatever objects it is given, in the answers
//! and with the faults of a real one, on the loopback.
//!
//! Recorded objects are `tests/fixtures/kubernetes`, from a kube-apiserver 1.34.

#![expect(
    clippy::indexing_slicing,
    reason = "what is not in a value of JSON is null, and these are objects"
)]

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio_rustls::rustls::ServerConfig;

mod answers;

use answers::serve;

/// What it does wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// This verb on this resource is forbidden.
    Forbidden(&'static str, &'static str),
    /// Each request is answered with this status.
    Status(u16),
    /// Each request is answered with this text.
    Text(&'static str),
    /// Requests are answered after this time.
    Slow(Duration),
    /// This verb is answered without an end, in one line.
    Endless(&'static str),
    /// Lists of more than so many objects are answered without an end.
    EndlessBeyond(usize),
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// Who asks.
    pub authorization: Option<String>,
}

impl Request {
    /// The API group, the resource and the verb, as a role names them.
    ///
    /// # Errors
    /// When it is for something else than objects.
    pub fn right(&self) -> Result<(String, String, String)> {
        let parts: Vec<&str> = self.path.split('/').skip(1).collect();
        let (group, rest) = match &*parts {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, "v1", rest @ ..] => (*group, rest),
            _ => anyhow::bail!("{} is no path of objects", self.path),
        };
        let resource = match rest {
            ["namespaces", _, resource] | [resource] => *resource,
            _ => anyhow::bail!("{} names one object", self.path),
        };
        anyhow::ensure!(self.method == "GET", "{}", self.method);
        let watches = self.query.get("watch").is_some_and(|value| value == "true");
        let verb = if watches { "watch" } else { "list" };
        Ok((group.to_owned(), resource.to_owned(), verb.to_owned()))
    }
}

/// Something that happened to an object.
#[derive(Clone, Debug)]
struct Entry {
    version: u64,
    resource: String,
    kind: &'static str,
    object: Value,
    /// Before it; `None` where it is new.
    before: Option<Value>,
}

#[derive(Default)]
struct State {
    version: u64,
    /// By resource, then namespace and name.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    log: Vec<Entry>,
    /// Watches may begin here, not before.
    oldest: u64,
    fault: Fault,
    /// What is taken for a token; anything where there is none.
    token: Option<String>,
    requests: Vec<Request>,
    /// Connections that are older than one of these end.
    cuts: u64,
}

/// The server; it ends when this goes.
pub struct ApiServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    tls: Option<Arc<ServerConfig>>,
    running: Option<Running>,
}

struct Running {
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl ApiServer {
    /// With nothing in it.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(tls: Option<Arc<ServerConfig>>) -> Result<Self> {
        let state = State {
            version: 1000,
            oldest: 1000,
            ..State::default()
        };
        let mut server = Self {
            address: ([127, 0, 0, 1], 0).into(),
            state: Arc::new(Mutex::new(state)),
            tls,
            running: None,
        };
        server.resume()?;
        Ok(server)
    }

    /// With the objects that were recorded.
    ///
    /// # Errors
    /// When they cannot be read or it cannot listen.
    pub fn recorded() -> Result<Self> {
        let server = Self::start(None)?;
        for (resource, object) in recorded()? {
            server.set(&resource, object);
        }
        Ok(server)
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A kubeconfig that leads here, in this directory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig(&self, directory: &Path) -> Result<PathBuf> {
        let file = directory.join("kubeconfig");
        let (scheme, cluster, user) = match self.tls {
            Some(_) => (
                "https",
                "certificate-authority: ca.crt, ",
                "tokenFile: token",
            ),
            None => ("http", "", "token: of-the-agent"),
        };
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: c,\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}],\n\
             clusters: [{{name: c, cluster: {{{cluster}server: '{scheme}://{}'}}}}],\n\
             users: [{{name: u, user: {{{user}}}}}]}}\n",
            self.address
        );
        fs::write(&file, text)?;
        Ok(file)
    }

    /// An object is there, or another one.
    pub fn set(&self, resource: &str, mut object: Value) {
        let mut state = self.lock();
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let objects = state.objects.entry(resource.to_owned()).or_default();
        let before = objects.insert(key(&object), object.clone());
        let kind = if before.is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        state.log.push(Entry {
            version,
            resource: resource.to_owned(),
            kind,
            object,
            before,
        });
    }

    /// An object is gone.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
        let mut state = self.lock();
        let objects = state.objects.entry(resource.to_owned()).or_default();
        let Some(mut object) = objects.remove(&format!("{namespace}/{name}")) else {
            return;
        };
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        state.log.push(Entry {
            version,
            resource: resource.to_owned(),
            kind: "DELETED",
            before: Some(object.clone()),
            object,
        });
    }

    /// What happened so far is known no more: watches from before are answered `410`.
    pub fn compact(&self) {
        let mut state = self.lock();
        state.version += 1;
        state.oldest = state.version;
        state.log.clear();
    }

    /// Breaks every connection, watches in the middle of a chunk.
    pub fn cut(&self) {
        self.lock().cuts += 1;
    }

    /// Does this wrong from now on.
    pub fn fault(&self, fault: Fault) {
        self.lock().fault = fault;
    }

    /// Takes only this for a token from now on.
    pub fn accept(&self, token: &str) {
        self.lock().token = Some(format!("Bearer {token}"));
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// Ends, and keeps what it knows.
    pub fn suspend(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        self.cut();
        running.end.store(true, Ordering::Release);
        // Wakes whoever accepts.
        drop(TcpStream::connect(self.address));
        if running.thread.join().is_err() {
            eprintln!("the API server of the test panicked");
        }
    }

    /// Answers again, at the same address.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn resume(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address)?;
        self.address = listener.local_addr()?;
        let end = Arc::new(AtomicBool::new(false));
        let (state, tls, ended) = (Arc::clone(&self.state), self.tls.clone(), Arc::clone(&end));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Acquire) {
                    break;
                }
                let (state, tls) = (Arc::clone(&state), tls.clone());
                // Whoever asked may be gone.
                thread::spawn(move || drop(serve(stream, tls, &state)));
            }
        });
        self.running = Some(Running { end, thread });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.suspend();
    }
}

/// Each recorded object with its resource.
///
/// # Errors
/// When they cannot be read.
pub fn recorded() -> Result<Vec<(String, Value)>> {
    let mut all = Vec::new();
    for (file, resource) in [
        ("pods", "pods"),
        ("pods_elsewhere", "pods"),
        ("services", "services"),
        ("endpointslices", "endpointslices"),
    ] {
        let text = fs::read_to_string(fixture(&format!("{file}.json")))?;
        let list: Value = serde_json::from_str(&text)?;
        let items = list["items"].as_array().context("no items")?;
        all.extend(items.iter().map(|item| (resource.to_owned(), item.clone())));
    }
    Ok(all)
}

/// A recording's file.
pub fn fixture(name: &str) -> PathBuf {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/kubernetes");
    files.join(name)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(object: &Value) -> String {
    let part = |name| object["metadata"][name].as_str().unwrap_or_default();
    format!("{}/{}", part("namespace"), part("name"))
}
