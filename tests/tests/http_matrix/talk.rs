//! Conversations of which both ends are ours, byte by byte.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::libc::linger;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::Linger;
use observer_tests::scrape::Scrape;

use super::scene::Scene;
use super::tally::Tally;

/// What happens next.
#[derive(Clone, Copy)]
pub(super) enum Turn<'a> {
    /// The client says this.
    Client(&'a str),
    /// The server does.
    Server(&'a str),
    /// The client says this, a byte in each segment.
    ClientBytewise(&'a str),
    /// The server likewise.
    ServerBytewise(&'a str),
    /// The client says so many bytes.
    ClientBlock(usize),
    /// The server does.
    ServerBlock(usize),
    /// Nobody says anything for so long.
    Idle(Duration),
    /// The client will say no more, and still listens.
    ClientEnds,
    /// The server likewise.
    ServerEnds,
    /// The client resets the connection.
    ClientResets,
    /// The server does.
    ServerResets,
}

/// The two ends of a connection, one of which may have gone.
struct Ends {
    client: Option<TcpStream>,
    server: Option<TcpStream>,
}

impl Scene {
    /// A connection on which this is said, and which is then closed by the client.
    pub(super) fn talk(&self, turns: &[Turn<'_>]) -> Result<()> {
        let listener = self
            .servers
            .host(|| Ok(TcpListener::bind("127.0.0.1:0")?))?;
        let address = listener.local_addr()?;
        let client = self.clients.host(|| Ok(TcpStream::connect(address)?))?;
        let (server, _) = listener.accept()?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        }
        let mut ends = Ends {
            client: Some(client),
            server: Some(server),
        };
        for (number, turn) in turns.iter().enumerate() {
            ends.take(*turn).with_context(|| format!("turn {number}"))?;
        }
        drop(ends.client);
        Ok(())
    }

    /// The same; then so much was counted at both ends, every byte of it in a request or response
    /// of `/plain`, and no byte was lost.
    pub(super) fn talk_counts(&self, turns: &[Turn<'_>], issued: impl Into<Tally>) -> Result<()> {
        self.talk(turns)?;
        let scrape = self.counts(&issued.into())?;
        Self::nothing_lost(&scrape)?;
        sizes(&scrape, said(turns))
    }
}

/// Who speaks, and who listens.
type Way<'a> = (&'a TcpStream, &'a TcpStream);

impl Ends {
    fn take(&mut self, turn: Turn<'_>) -> Result<()> {
        match turn {
            Turn::Client(text) => carry(self.to_server()?, text.as_bytes()),
            Turn::Server(text) => carry(self.to_client()?, text.as_bytes()),
            Turn::ClientBytewise(text) => bytewise(self.to_server()?, text),
            Turn::ServerBytewise(text) => bytewise(self.to_client()?, text),
            Turn::ClientBlock(length) => carry(self.to_server()?, &vec![b'x'; length]),
            Turn::ServerBlock(length) => carry(self.to_client()?, &vec![b'x'; length]),
            Turn::ClientEnds => end(self.to_server()?),
            Turn::ServerEnds => end(self.to_client()?),
            Turn::ClientResets => reset(self.client.take()),
            Turn::ServerResets => reset(self.server.take()),
            Turn::Idle(time) => {
                thread::sleep(time);
                Ok(())
            }
        }
    }

    fn to_server(&self) -> Result<Way<'_>> {
        let both = self.client.as_ref().zip(self.server.as_ref());
        both.context("an end has gone")
    }

    fn to_client(&self) -> Result<Way<'_>> {
        self.to_server().map(|(client, server)| (server, client))
    }
}

/// One says it, the other reads it.
fn carry((mut from, mut to): Way<'_>, bytes: &[u8]) -> Result<()> {
    thread::scope(|scope| {
        let sent = scope.spawn(move || from.write_all(bytes));
        let mut read = vec![0; bytes.len()];
        to.read_exact(&mut read)?;
        ensure!(read == bytes, "other bytes came than were sent");
        let sent = sent.join();
        Ok(sent.map_err(|_| anyhow!("the sender panicked"))??)
    })
}

fn bytewise(way: Way<'_>, text: &str) -> Result<()> {
    let mut bytes = text.as_bytes().chunks(1);
    bytes.try_for_each(|byte| carry(way, byte))
}

fn end((from, mut to): Way<'_>) -> Result<()> {
    from.shutdown(Shutdown::Write)?;
    let read = to.read(&mut [0])?;
    ensure!(read == 0, "more came than was read");
    Ok(())
}

fn reset(end: Option<TcpStream>) -> Result<()> {
    let stream = end.context("it has gone")?;
    let at_once = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    Ok(setsockopt(&stream, Linger, &at_once)?)
}

/// Bytes that the client and the server say in these turns.
pub(super) fn said(turns: &[Turn<'_>]) -> (usize, usize) {
    let each = turns.iter().map(|turn| match turn {
        Turn::Client(text) | Turn::ClientBytewise(text) => (text.len(), 0),
        Turn::Server(text) | Turn::ServerBytewise(text) => (0, text.len()),
        Turn::ClientBlock(length) => (*length, 0),
        Turn::ServerBlock(length) => (0, *length),
        Turn::Idle(_)
        | Turn::ClientEnds
        | Turn::ServerEnds
        | Turn::ClientResets
        | Turn::ServerResets => (0, 0),
    });
    each.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
}

/// The sizes that were counted are these bytes of clients and of servers.
pub(super) fn sizes(scrape: &Scrape, (requests, responses): (usize, usize)) -> Result<()> {
    scrape
        .select("naytife_http_request_size_bytes_sum")
        .is(requests as u64)?;
    scrape
        .select("naytife_http_response_size_bytes_sum")
        .is(responses as u64)
}
