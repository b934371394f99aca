//! A pooler that renames prepared statements, as `PgBouncer` does from 1.21 on: one connection to
//! the database for all clients, in turn, and each text prepared on it once.
//!
//! ```text
//! client 1   Parse "s" SELECT 1 ──▶ Parse "PGBOUNCER_0" SELECT 1
//! client 2   Parse "s" SELECT 2 ──▶ Parse "PGBOUNCER_1" SELECT 2
//! client 2   Parse "t" SELECT 1 ──▶ nothing; ParseComplete from here
//! ```

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use observer_tests::cgroup::Cgroup;

use super::wire::{message, read_message, startup};

/// The connection to the database, and the name of each text on it.
struct Upstream {
    stream: TcpStream,
    names: HashMap<Vec<u8>, String>,
}

/// Listens in this cgroup, for clients of one database; each client has a thread until it leaves.
pub(crate) fn start(cgroup: &Cgroup, server: SocketAddr, database: &str) -> Result<SocketAddr> {
    let (listener, mut stream) = cgroup.host(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok((listener, TcpStream::connect(server)?))
    })?;
    stream.write_all(&startup(database))?;
    let greeting = until_ready(&mut stream)?;
    let upstream = Arc::new(Mutex::new(Upstream {
        stream,
        names: HashMap::new(),
    }));
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (upstream, greeting) = (Arc::clone(&upstream), greeting.clone());
            // A client that leaves ends its thread with an error.
            thread::spawn(move || serve(client, &greeting, &upstream));
        }
    });
    Ok(address)
}

fn serve(mut client: TcpStream, greeting: &[u8], upstream: &Mutex<Upstream>) -> Result<()> {
    let mut length = [0; 4];
    std::io::Read::read_exact(&mut client, &mut length)?;
    let mut rest = vec![0; usize::try_from(u32::from_be_bytes(length))? - 4];
    std::io::Read::read_exact(&mut client, &mut rest)?;
    client.write_all(greeting)?;
    let mut own: HashMap<Vec<u8>, String> = HashMap::new();
    loop {
        let mut turn = vec![read_message(&mut client)?];
        while !matches!(turn.last(), Some((b'Q' | b'S' | b'X', _))) {
            turn.push(read_message(&mut client)?);
        }
        let mut upstream = upstream.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut forward, mut answer) = (Vec::new(), Vec::new());
        for (kind, body) in turn {
            match kind {
                b'X' => return Ok(()),
                b'P' => {
                    let (name, text) = until_zero(&body).context("no name")?;
                    let number = upstream.names.len();
                    let known = upstream.names.get(text).cloned();
                    let renamed = known.clone().unwrap_or(format!("PGBOUNCER_{number}"));
                    own.insert(name.to_vec(), renamed.clone());
                    if known.is_some() {
                        answer.extend(message(b'1', b""));
                    } else {
                        upstream.names.insert(text.to_vec(), renamed.clone());
                        forward.extend(message(kind, &[renamed.as_bytes(), b"\0", text].concat()));
                    }
                }
                b'B' => {
                    let (portal, rest) = until_zero(&body).context("no portal")?;
                    let (name, rest) = until_zero(rest).context("no name")?;
                    let renamed = own.get(name).context("no such statement")?.as_bytes();
                    let body = [portal, b"\0", renamed, b"\0", rest].concat();
                    forward.extend(message(kind, &body));
                }
                _ => forward.extend(message(kind, &body)),
            }
        }
        upstream.stream.write_all(&forward)?;
        answer.extend(until_ready(&mut upstream.stream)?);
        client.write_all(&answer)?;
    }
}

/// Everything up to `ReadyForQuery`.
fn until_ready(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let (kind, body) = read_message(stream)?;
        all.extend(message(kind, &body));
        if kind == b'Z' {
            return Ok(all);
        }
    }
}

/// A string, and what follows its zero.
fn until_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}
