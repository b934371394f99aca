//! PostgreSQL's messages, written and read by hand: for what no driver sends when asked to.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    /// Of every `CommandComplete` so far.
    pub(crate) tags: Vec<String>,
    /// The SQLSTATE of every `ErrorResponse` so far.
    pub(crate) errors: Vec<String>,
}

impl Wire {
    /// Says who it is and waits to be let in.
    pub(crate) fn start(stream: TcpStream, database: &str) -> Result<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        let mut wire = Self {
            stream,
            tags: Vec::new(),
            errors: Vec::new(),
        };
        wire.stream.write_all(&startup(database))?;
        wire.until_ready(1)?;
        Ok(wire)
    }

    /// The socket itself.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// A Query message, and its answers.
    pub(crate) fn query(&mut self, text: &str) -> Result<()> {
        self.send(&query(text), 1)
    }

    /// Sends at once, and waits until the server was ready so many times.
    pub(crate) fn send(&mut self, messages: &[u8], times: usize) -> Result<()> {
        self.stream.write_all(messages)?;
        self.until_ready(times)
    }

    /// Reads answers up to so many `ReadyForQuery`.
    pub(crate) fn until_ready(&mut self, times: usize) -> Result<()> {
        let mut left = times;
        while left > 0 {
            let (kind, body) = read_message(&mut self.stream)?;
            match kind {
                b'Z' => left -= 1,
                b'C' => self.tags.push(text(&body)),
                b'E' => self.errors.push(sqlstate(&body)?),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A message's kind and what follows its length.
pub(crate) fn read_message(stream: &mut TcpStream) -> Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream
        .read_exact(&mut head)
        .context("the connection ended")?;
    let [kind, length @ ..] = head;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length))? - 4];
    stream.read_exact(&mut body)?;
    Ok((kind, body))
}

/// A message of this kind.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut message = vec![kind];
    message.extend(length.to_be_bytes());
    message.extend(body);
    message
}

/// The first message: as the role that needs no password.
pub(crate) fn startup(database: &str) -> Vec<u8> {
    let mut body = vec![0, 3, 0, 0];
    body.extend(format!("user\0postgres\0database\0{database}\0\0").bytes());
    // It alone has no kind.
    message(0, &body).split_off(1)
}

/// A simple query.
pub(crate) fn query(text: &str) -> Vec<u8> {
    message(b'Q', format!("{text}\0").as_bytes())
}

/// Prepares a text without parameters under a name.
pub(crate) fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

/// Binds a statement to the unnamed portal and runs it.
pub(crate) fn bind_and_execute(name: &str) -> Vec<u8> {
    let mut messages = message(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes());
    messages.extend(message(b'E', b"\0\0\0\0\0"));
    messages
}

/// Ends a batch.
pub(crate) fn sync() -> Vec<u8> {
    message(b'S', b"")
}

/// A statement by the extended protocol, unnamed, without its Sync.
pub(crate) fn extended(text: &str) -> Vec<u8> {
    let mut messages = parse("", text);
    messages.extend(bind_and_execute(""));
    messages
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body)
        .trim_end_matches('\0')
        .to_owned()
}

fn sqlstate(body: &[u8]) -> Result<String> {
    let field = body
        .split(|byte| *byte == 0)
        .find(|f| f.first() == Some(&b'C'));
    match field {
        Some([_, code @ ..]) => Ok(text(code)),
        _ => bail!("an error without its code"),
    }
}
