//! How a response gets from this process to its socket.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, ensure};
use nix::libc;
use rustix::pipe::{SpliceFlags, pipe, splice};
use socket2::Socket;

use crate::ring::Ring;

/// Most bytes of a body.
pub(crate) const BODY_MAX: usize = 1 << 20;

/// What every body is a part of: it lives as long as the kernel may still read it.
static BODY: [u8; BODY_MAX] = [b'x'; BODY_MAX];

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Way {
    /// `write`
    Write,
    /// `send` with `MSG_ZEROCOPY`
    Zerocopy,
    /// `sendfile` from a file
    Sendfile,
    /// `splice` from a file, through a pipe
    Splice,
    /// `io_uring`, the receiving too
    IoUring,
}

/// A way, with what all its connections share.
#[derive(Debug)]
pub(crate) struct Open {
    way: Way,
    /// The body as a file.
    file: File,
}

/// A way, with what a connection needs for it.
pub(crate) struct Connection<'a> {
    socket: &'a Socket,
    file: &'a File,
    how: How,
}

enum How {
    Write,
    Zerocopy,
    Sendfile,
    Splice([OwnedFd; 2]),
    IoUring(Box<Ring>),
}

impl Way {
    pub(crate) fn open(self) -> Result<Open> {
        let mut file = tempfile::tempfile()?;
        file.write_all(&BODY)?;
        Ok(Open { way: self, file })
    }
}

impl Open {
    pub(crate) fn on<'a>(&'a self, socket: &'a Socket) -> Result<Connection<'a>> {
        let how = match self.way {
            Way::Write => How::Write,
            Way::Sendfile => How::Sendfile,
            Way::Zerocopy => {
                allow_zerocopy(socket)?;
                How::Zerocopy
            }
            Way::Splice => {
                let (from, to) = pipe()?;
                How::Splice([from, to])
            }
            Way::IoUring => How::IoUring(Box::new(Ring::new()?)),
        };
        Ok(Connection {
            socket,
            file: &self.file,
            how,
        })
    }
}

impl Connection<'_> {
    /// Some of what the client has sent; none when it has ended.
    pub(crate) fn receive(&mut self, to: &mut [u8]) -> Result<usize> {
        match &mut self.how {
            How::IoUring(ring) => ring.receive(self.socket, to),
            _ => Ok((&mut &*self.socket).read(to)?),
        }
    }

    /// Sends a head and so many bytes of body.
    pub(crate) fn send(&mut self, head: &[u8], length: usize) -> Result<()> {
        let body = BODY.get(..length).context("no such body")?;
        let mut socket = self.socket;
        match &mut self.how {
            How::IoUring(ring) => {
                ring.send(socket, head)?;
                return ring.send(socket, body);
            }
            _ => socket.write_all(head)?,
        }
        let mut sent = 0;
        while sent < length {
            let rest = body.get(sent..).unwrap_or_default();
            sent += match &self.how {
                How::Zerocopy => socket.send_with_flags(rest, libc::MSG_ZEROCOPY)?,
                How::Sendfile => socket.sendfile(self.file, sent, rest.len().try_into().ok())?,
                How::Splice([from, to]) => {
                    let mut offset = sent as u64;
                    let flags = SpliceFlags::empty();
                    let filled = splice(self.file, Some(&mut offset), to, None, rest.len(), flags)?;
                    let mut left = filled;
                    while left > 0 {
                        let moved = splice(from, None, socket, None, left, flags)?;
                        ensure!(moved > 0, "the socket takes nothing");
                        left -= moved;
                    }
                    filled
                }
                How::Write | How::IoUring(_) => socket.write(rest)?,
            };
        }
        Ok(())
    }
}

fn allow_zerocopy(socket: &Socket) -> Result<()> {
    let yes: i32 = 1;
    let size = libc::socklen_t::try_from(size_of::<i32>())?;
    let at = (&raw const yes).cast();
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ZEROCOPY);
    // SAFETY: the value is an `int`, as the option wants, and outlives the call.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, at, size) };
    ensure!(set == 0, "no zerocopy here: {}", io::Error::last_os_error());
    Ok(())
}
