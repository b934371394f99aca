//! Receiving and sending through `io_uring`, one operation at a time.

use std::io;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};
use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types::Fd};
use socket2::Socket;

pub(crate) struct Ring(IoUring);

impl Ring {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(IoUring::new(4).context("no io_uring here")?))
    }

    pub(crate) fn receive(&mut self, socket: &Socket, to: &mut [u8]) -> Result<usize> {
        let length = u32::try_from(to.len())?;
        let receive = opcode::Recv::new(Fd(socket.as_raw_fd()), to.as_mut_ptr(), length).build();
        self.complete(&receive)
    }

    pub(crate) fn send(&mut self, socket: &Socket, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let length = u32::try_from(bytes.len())?;
            let send = opcode::Send::new(Fd(socket.as_raw_fd()), bytes.as_ptr(), length).build();
            let taken = self.complete(&send)?;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Submits an operation and waits for its end.
    fn complete(&mut self, operation: &Entry) -> Result<usize> {
        // SAFETY: the operation's socket and buffer are borrowed by our caller, who waits here until
        // the kernel is done with them.
        unsafe { self.0.submission().push(operation) }.context("the ring is full")?;
        self.0.submit_and_wait(1)?;
        let entry = self.0.completion().next().context("nothing completed")?;
        match usize::try_from(entry.result()) {
            Ok(length) => Ok(length),
            Err(_) => Err(io::Error::from_raw_os_error(-entry.result()).into()),
        }
    }
}
