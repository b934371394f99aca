//! What the server of our own answers, over HTTP/1.1, and how it breaks off.

#![expect(
    clippy::indexing_slicing,
    reason = "what is not in a value of JSON is null, and these are objects"
)]

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Entry, Fault, Request, State, lock};

/// Between two looks of a watch at what has happened.
const TICK: Duration = Duration::from_millis(5);
/// Between two bookmarks; a real server sends one a minute.
const BOOKMARK: Duration = Duration::from_millis(100);

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// Answers on a connection for as long as it goes on.
pub(super) fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    state: &Mutex<State>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let stream: Box<dyn Stream> = match tls {
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(connection, stream))
        }
        None => Box::new(stream),
    };
    let mut stream = BufReader::new(stream);
    let cuts = lock(state).cuts;
    while let Some(request) = read(&mut stream)? {
        let cut = lock(state).cuts != cuts;
        if cut || !answer(stream.get_mut(), &request, state)? {
            break;
        }
    }
    Ok(())
}

/// A request's head; none has a body.
fn read(stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query
            .map(|(name, value)| (name.into(), decoded(value)))
            .collect(),
        authorization: None,
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some(request));
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("authorization")
        {
            request.authorization = Some(value.trim().to_owned());
        }
    }
}

/// A value of a query without its escapes.
fn decoded(value: &str) -> String {
    let mut bytes = value.bytes();
    let mut text = Vec::new();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next(), bytes.next()].map(Option::unwrap_or_default);
                let digits = String::from_utf8_lossy(&digits).into_owned();
                u8::from_str_radix(&digits, 16).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Answers; whether the connection may go on.
fn answer(stream: &mut dyn Stream, request: &Request, state: &Mutex<State>) -> io::Result<bool> {
    let (fault, token) = {
        let mut state = lock(state);
        state.requests.push(request.clone());
        (state.fault.clone(), state.token.clone())
    };
    if token.is_some() && request.authorization != token {
        return status(stream, 401, "Unauthorized").map(|()| true);
    }
    let Ok((_, resource, verb)) = request.right() else {
        return status(stream, 404, "NotFound").map(|()| true);
    };
    match fault {
        Fault::Forbidden(verbs, resources) if verbs == verb && resources == resource => {
            return status(stream, 403, "Forbidden").map(|()| true);
        }
        Fault::Status(code) => return status(stream, code, "InternalError").map(|()| true),
        Fault::Text(text) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
            stream.write_all(head.as_bytes())?;
            stream.write_all(text.as_bytes())?;
            return Ok(true);
        }
        Fault::Slow(time) => sleep(time),
        Fault::Endless(verbs) if verbs == verb => return endless(stream),
        Fault::EndlessBeyond(most) if verb == "list" => {
            let limit = request
                .query
                .get("limit")
                .and_then(|limit| limit.parse().ok());
            if limit.is_none_or(|limit: usize| limit > most) {
                return endless(stream);
            }
        }
        _ => {}
    }
    let scope = Scope::of(request);
    if verb == "watch" {
        return watch(stream, request, &resource, &scope, state).map(|()| false);
    }
    let list = list(request, &resource, &scope, &lock(state)).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        list.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(list.as_bytes())?;
    Ok(true)
}

/// Until whoever asked has gone.
fn endless(stream: &mut dyn Stream) -> io::Result<bool> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let blanks = " ".repeat(65_536);
    loop {
        write!(stream, "{:x}\r\n{blanks}\r\n", blanks.len())?;
    }
}

fn status(stream: &mut dyn Stream, code: u16, reason: &str) -> io::Result<()> {
    let body = failure(code, reason).to_string();
    let head = format!(
        "HTTP/1.1 {code} {reason}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

fn failure(code: u16, reason: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "said by the test", "reason": reason, "code": code,
    })
}

/// Which objects are asked for.
struct Scope {
    namespace: Option<String>,
    /// Field, whether it is to be so, value.
    fields: Vec<(String, bool, String)>,
}

impl Scope {
    fn of(request: &Request) -> Self {
        let mut parts = request
            .path
            .split('/')
            .skip_while(|part| *part != "namespaces");
        let namespace = parts.nth(1).map(str::to_owned);
        let selector = request.query.get("fieldSelector");
        let terms = selector
            .into_iter()
            .flat_map(|selector| selector.split(','));
        let fields = terms.filter_map(|term| {
            let (field, value) = term.split_once('=')?;
            let plain = field.strip_suffix('!');
            let wanted = plain.is_none();
            Some((plain.unwrap_or(field).to_owned(), wanted, value.to_owned()))
        });
        Self {
            namespace,
            fields: fields.collect(),
        }
    }

    fn has(&self, object: &Value) -> bool {
        let namespace = self.namespace.as_ref();
        let here = namespace.is_none_or(|namespace| object["metadata"]["namespace"] == **namespace);
        here && self.fields.iter().all(|(field, wanted, value)| {
            let pointer = format!("/{}", field.replace('.', "/"));
            let found = object.pointer(&pointer).and_then(Value::as_str);
            (found.unwrap_or_default() == value) == *wanted
        })
    }
}

fn list(request: &Request, resource: &str, scope: &Scope, state: &State) -> Value {
    let number = |name| request.query.get(name)?.parse::<usize>().ok();
    let (limit, start) = (number("limit"), number("continue").unwrap_or(0));
    let objects = state.objects.get(resource).into_iter().flatten();
    let objects: Vec<&Value> = objects
        .map(|(_, object)| object)
        .filter(|object| scope.has(object))
        .collect();
    let end = limit.map_or(objects.len(), |limit| objects.len().min(start + limit));
    let mut metadata = json!({ "resourceVersion": state.version.to_string() });
    if end < objects.len() {
        metadata["continue"] = end.to_string().into();
        metadata["remainingItemCount"] = (objects.len() - end).into();
    }
    let (kind, version) = match resource {
        "pods" => ("PodList", "v1"),
        "services" => ("ServiceList", "v1"),
        _ => ("EndpointSliceList", "discovery.k8s.io/v1"),
    };
    let items = objects.get(start..end).unwrap_or_default();
    json!({ "kind": kind, "apiVersion": version, "metadata": metadata, "items": items })
}

fn watch(
    stream: &mut dyn Stream,
    request: &Request,
    resource: &str,
    scope: &Scope,
    state: &Mutex<State>,
) -> io::Result<()> {
    let number = |name| request.query.get(name)?.parse::<u64>().ok();
    let mut from = number("resourceVersion").unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(number("timeoutSeconds").unwrap_or(290));
    let cuts = lock(state).cuts;
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let mut marked = Instant::now();
    while Instant::now() < end {
        let (events, expired, version, cut) = {
            let state = lock(state);
            let new = state.log.iter().filter(|entry| entry.version > from);
            let new = new.filter(|entry| entry.resource == resource);
            let events: Vec<Value> = new.filter_map(|entry| event(entry, scope)).collect();
            (
                events,
                from < state.oldest,
                state.version,
                state.cuts != cuts,
            )
        };
        if cut {
            // Half of a chunk, as a proxy that is killed leaves it.
            return stream.write_all(b"40\r\n{\"type\":");
        }
        if expired {
            let error = json!({ "type": "ERROR", "object": failure(410, "Expired") });
            chunk(stream, &error)?;
            break;
        }
        from = version;
        for event in &events {
            chunk(stream, event)?;
        }
        if marked.elapsed() >= BOOKMARK {
            marked = Instant::now();
            let kind = match resource {
                "pods" => "Pod",
                "services" => "Service",
                _ => "EndpointSlice",
            };
            let mark = json!({ "type": "BOOKMARK", "object": {
                "kind": kind, "apiVersion": "v1",
                "metadata": { "resourceVersion": version.to_string() },
            }});
            chunk(stream, &mark)?;
        }
        sleep(TICK);
    }
    stream.write_all(b"0\r\n\r\n")
}

/// What a watch of this scope tells of something that happened: an object that comes into the scope
/// is added to it, one that leaves it is deleted.
fn event(entry: &Entry, scope: &Scope) -> Option<Value> {
    let was = entry
        .before
        .as_ref()
        .is_some_and(|before| scope.has(before));
    let is = entry.kind != "DELETED" && scope.has(&entry.object);
    let kind = match (was, is) {
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
        (false, false) => return None,
    };
    Some(json!({ "type": kind, "object": entry.object }))
}

fn chunk(stream: &mut dyn Stream, event: &Value) -> io::Result<()> {
    let line = format!("{event}\n");
    write!(stream, "{:x}\r\n{line}\r\n", line.len())?;
    stream.flush()
}
