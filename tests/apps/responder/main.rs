//! An HTTP server that takes the ways through the kernel which others seldom take, and says what it
//! answered: a line for each request, with its target.

mod ring;
mod way;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use socket2::{Domain, Protocol, Socket, Type};

use self::way::{BODY_MAX, Way};

#[derive(Debug, Parser)]
struct Args {
    /// Where to listen
    #[arg(long, required_unless_present = "inherited")]
    listen: Option<SocketAddr>,
    /// A listening socket that whoever started this has left open
    #[arg(long, conflicts_with = "listen")]
    inherited: Option<RawFd>,
    /// How responses are sent
    #[arg(long, value_enum, default_value_t = Way::Write)]
    way: Way,
    /// Listen with Multipath TCP
    #[arg(long)]
    mptcp: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let listener = match (args.listen, args.inherited) {
        (Some(address), _) => listen(address, args.mptcp)?,
        // SAFETY: whoever started this left the descriptor open for it, and nothing else takes it.
        (None, Some(descriptor)) => unsafe { OwnedFd::from_raw_fd(descriptor) }.into(),
        (None, None) => anyhow::bail!("no address"),
    };
    let way = Arc::new(args.way.open()?);
    loop {
        let (client, _) = listener.accept()?;
        let way = Arc::clone(&way);
        thread::spawn(move || {
            if let Err(error) = serve(&client, &way) {
                eprintln!("{error:#}");
            }
        });
    }
}

fn listen(address: SocketAddr, mptcp: bool) -> Result<Socket> {
    let protocol = if mptcp {
        Protocol::MPTCP
    } else {
        Protocol::TCP
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(protocol))
        .context("no such socket here")?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    Ok(socket)
}

/// Answers a connection's requests until it ends. They have no bodies.
fn serve(client: &Socket, way: &way::Open) -> Result<()> {
    let mut way = way.on(client)?;
    let mut known = Vec::new();
    let mut more = [0; 16384];
    loop {
        while let Some(end) = known.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = known.drain(..end + 4).collect();
            let head = String::from_utf8(head)?;
            let target = head.split(' ').nth(1).context("not a request")?;
            answer(&mut way, target)?;
            writeln!(io::stdout(), "{target}")?;
        }
        match way.receive(&mut more)? {
            0 => return Ok(()),
            length => known.extend_from_slice(more.get(..length).unwrap_or_default()),
        }
    }
}

/// `/bytes/N` has N bytes, everything else three.
fn answer(way: &mut way::Connection<'_>, target: &str) -> Result<()> {
    let length = match target.strip_prefix("/bytes/") {
        Some(length) => length.parse()?,
        None => 3,
    };
    ensure!(length <= BODY_MAX, "{length} bytes are too many");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    way.send(head.as_bytes(), length)
}
