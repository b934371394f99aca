//! A client of ours against real servers: what no library lets one send.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use observer_tests::cgroup::Cgroup;

use super::tally::{ABORTED, Tally};

/// What the client does next.
#[derive(Clone, Copy)]
pub(super) enum Act {
    /// Says this, in a segment of its own.
    Say(&'static str),
    /// Says so many bytes, as far as the server takes them.
    Pour(usize),
    /// Waits until the server has said this.
    Await(&'static str),
    /// Will say no more, and still listens.
    End,
}

/// A connection to `/plain`, `/echo` and `/refuse`: what happens, and the methods and paths of
/// its requests in their order.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) acts: &'static [Act],
    pub(super) requests: &'static [&'static str],
}

use Act::{Await, End, Pour, Say};

const CLOSING: &str = "GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const TEN: &str = concat!(
    "GET /plain HTTP/1.1\r\nHost: a\r\n\r\nHEAD /plain HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /plain HTTP/1.1\r\nHost: a\r\n\r\nGET /empty HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /plain HTTP/1.1\r\nHost: a\r\n\r\nGET /plain HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /plain HTTP/1.1\r\nHost: a\r\n\r\nGET /fresh HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
);

/// What every server is sent.
pub(super) const ROWS: [Row; 14] = [
    Row {
        name: "ten requests in one segment",
        acts: &[Say(TEN)],
        requests: &[
            "GET /plain",
            "HEAD /plain",
            "GET /plain",
            "GET /empty",
            "GET /plain",
            "GET /plain",
            "GET /plain",
            "GET /fresh",
            "GET /plain",
            "GET /plain",
        ],
    },
    Row {
        name: "a request line in two segments",
        acts: &[
            Say("GET /pla"),
            Say("in HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        ],
        requests: &["GET /plain"],
    },
    Row {
        name: "a head in three segments behind another request",
        acts: &[
            Say("GET /plain HTTP/1.1\r\nHost: a\r\n\r\nGET /plain HTTP/1.1\r\nHo"),
            Say("st: a\r\nConnection: close\r\n"),
            Say("\r\n"),
        ],
        requests: &["GET /plain", "GET /plain"],
    },
    Row {
        name: "a folded field",
        acts: &[Say(
            "GET /plain HTTP/1.1\r\nHost: a\r\nX: one\r\n two\r\nConnection: close\r\n\r\n",
        )],
        requests: &["GET /plain"],
    },
    Row {
        name: "a head of bare line feeds",
        acts: &[Say("GET /plain HTTP/1.1\nHost: a\nConnection: close\n\n")],
        requests: &["GET /plain"],
    },
    Row {
        name: "the same length twice",
        acts: &[Say(concat!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n",
            "Content-Length: 4\r\nContent-Length: 4\r\n\r\nsaid",
        ))],
        requests: &["POST /echo"],
    },
    Row {
        name: "two lengths",
        acts: &[Say(concat!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n",
            "Content-Length: 4\r\nContent-Length: 5\r\n\r\nsaid!",
        ))],
        requests: &["POST /echo"],
    },
    Row {
        name: "HTTP/1.0",
        acts: &[Say("GET /plain HTTP/1.0\r\n\r\n")],
        requests: &["GET /plain"],
    },
    Row {
        name: "HTTP/1.0 on a connection that is kept",
        acts: &[
            Say("GET /plain HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            Await("plain\n"),
            Say("GET /plain HTTP/1.0\r\n\r\n"),
        ],
        requests: &["GET /plain", "GET /plain"],
    },
    Row {
        name: "HTTP/1.0 from a stream without a length",
        acts: &[Say("GET /stream HTTP/1.0\r\n\r\n")],
        requests: &["GET /stream"],
    },
    Row {
        name: "half-close",
        acts: &[Say("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"), End],
        requests: &["GET /plain"],
    },
    Row {
        name: "chunks with extensions and trailers",
        acts: &[
            Say(concat!(
                "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n",
                "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
            )),
            Say("4;note=1\r\nsaid\r\n"),
            Say("0\r\nX: 1\r\n\r\n"),
        ],
        requests: &["POST /echo"],
    },
    Row {
        name: "an upload that is answered before it ends",
        acts: &[
            Say("POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"),
            Pour(50_000),
            Await("HTTP/1.1 4"),
            Pour(50_000),
        ],
        requests: &["POST /refuse"],
    },
    Row {
        name: "a target in absolute form, and OPTIONS",
        acts: &[
            Say("GET http://shop.example/plain HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
            Await("HTTP/1.1 "),
            Say("OPTIONS /plain HTTP/1.1\r\nHost: a\r\n\r\n"),
            Say(CLOSING),
        ],
        requests: &["GET /plain", "OPTIONS /plain", "GET /plain"],
    },
];

impl Row {
    /// Does it from within the cgroup: what was issued, and what the server made of it. One that
    /// waits for more is left alone with it.
    pub(super) fn run(&self, server: SocketAddr, clients: &Cgroup, waits: bool) -> Result<Tally> {
        let mut stream = clients.host(|| Ok(TcpStream::connect(server)?))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut answers = Vec::new();
        for act in self.acts {
            match act {
                Say(text) => {
                    stream.write_all(text.as_bytes())?;
                    // Long enough for the server to read it by itself, on most days.
                    sleep(Duration::from_millis(5));
                }
                Pour(length) => drop(stream.write_all(&vec![b'x'; *length])),
                Await(text) => until(&mut stream, text, &mut answers)
                    .with_context(|| format!("{}, {text}", self.name))?,
                End => stream.shutdown(Shutdown::Write)?,
            }
        }
        if !waits
            && let Err(error) = stream.read_to_end(&mut answers)
            && error.kind() != ErrorKind::ConnectionReset
        {
            bail!("{}: {error}", self.name);
        }
        let methods = self
            .requests
            .iter()
            .map(|request| *request == "HEAD /plain");
        let statuses = statuses(&answers, methods)
            .with_context(|| format!("{}: {}", self.name, answers.escape_ascii()))?;
        let mut tally = Tally::default();
        for (number, request) in self.requests.iter().enumerate() {
            match statuses.get(number) {
                Some(status) => tally.add(&format!("{request} {status}"), 1),
                None => tally.add(ABORTED, 1),
            }
        }
        Ok(tally)
    }
}

fn until(stream: &mut TcpStream, text: &str, answers: &mut Vec<u8>) -> Result<()> {
    let mut buffer = [0; 4096];
    while !answers
        .windows(text.len())
        .any(|window| window == text.as_bytes())
    {
        let length = stream.read(&mut buffer)?;
        ensure!(length > 0, "the server closed early");
        answers.extend_from_slice(buffer.get(..length).unwrap_or_default());
    }
    Ok(())
}

/// The status of each whole answer in the stream; `heads` says which requests were HEAD.
fn statuses(mut stream: &[u8], heads: impl Iterator<Item = bool>) -> Result<Vec<u16>> {
    let mut statuses = Vec::new();
    let mut heads = heads.peekable();
    while !stream.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(size) = head.parse(stream)? else {
            break;
        };
        let status = head.code.context("no status")?;
        stream = stream.get(size..).unwrap_or_default();
        if (100..200).contains(&status) {
            continue;
        }
        let field = |name: &str| {
            let field = head
                .headers
                .iter()
                .find(|h| h.name.eq_ignore_ascii_case(name));
            field.map(|field| String::from_utf8_lossy(field.value))
        };
        let rest = match (heads.next(), status) {
            (Some(true), _) | (_, 204 | 304) => Some(stream),
            _ if field("Transfer-Encoding").is_some() => chunks(stream)?,
            _ => match field("Content-Length") {
                Some(length) => stream.get(length.parse()?..),
                // To the end of the stream.
                None => Some(&stream[..0]),
            },
        };
        let Some(rest) = rest else { break };
        statuses.push(status);
        stream = rest;
        if heads.peek().is_none() {
            break;
        }
    }
    Ok(statuses)
}

/// What follows a chunked body without trailers; `None` where it is not whole.
fn chunks(mut stream: &[u8]) -> Result<Option<&[u8]>> {
    loop {
        let size = httparse::parse_chunk_size(stream);
        let httparse::Status::Complete((line, size)) = size.map_err(|_| anyhow!("no chunk"))?
        else {
            return Ok(None);
        };
        let whole = line + usize::try_from(size)? + 2;
        let Some(rest) = stream.get(whole..) else {
            return Ok(None);
        };
        stream = rest;
        if size == 0 {
            return Ok(Some(stream));
        }
    }
}
