//! A wire that does what wires do: lose, repeat, delay and reorder packets.
//!
//! ```text
//!   client's namespace        relay, a thread            server's namespace
//!   TCP ──▶ TUN wire ──▶ drop? repeat? delay? ──▶ TUN wire ──▶ TCP
//! ```
//!
//! TUN devices have no offloads, so that each packet is a whole one with its checksum, and TCP
//! on both sides has to repair what happens here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use fastrand::Rng;
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::namespace::{Namespace, Plug};

/// `TUNSETIFF` of `linux/if_tun.h`.
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
/// `IFF_TUN | IFF_NO_PI`: packets begin with their IP header.
const PACKETS: u16 = 0x1001;
/// What the device is called in both namespaces.
const DEVICE: &str = "wire";
/// Most packets that wait at a time; one more is dropped.
const WAITING: usize = 256;
/// How long the relay sleeps at most, and so takes to notice that it is to stop.
const NAP: Duration = Duration::from_millis(20);

/// What happens to packets: of a hundred, how many. The choices are a sequence of the seed, one for
/// each packet of a direction in its order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Where the sequence begins.
    pub seed: u64,
    /// Are dropped.
    pub dropped: u8,
    /// Arrive twice.
    pub repeated: u8,
    /// Arrive after those behind them.
    pub delayed: u8,
}

/// What a relay did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Packets that came.
    pub passed: u64,
    /// Of these, dropped.
    pub dropped: u64,
    /// Of these, sent twice.
    pub repeated: u64,
    /// Of these, sent late.
    pub delayed: u64,
}

/// A running relay; the wire is cut when this goes.
#[derive(Debug)]
pub struct Relay {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Tally>>>,
}

impl Relay {
    /// Lays a wire with these faults between a client and a server, with the addresses of
    /// [`super::pair`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn between(client: &Namespace, server: &Namespace, faults: Faults) -> Result<Self> {
        let ends = [
            wire(client, &["10.99.0.1/24", "fd00::1/64"])?,
            wire(server, &["10.99.0.2/24", "fd00::2/64"])?,
        ];
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || relay(ends, faults, &stopped));
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Cuts the wire: what it did.
    ///
    /// # Errors
    /// When it had failed.
    pub fn cut(mut self) -> Result<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("cut before")?;
        thread.join().map_err(|_| anyhow!("the relay panicked"))?
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A TUN device of this name in the namespace of the calling thread.
///
/// # Errors
/// When the kernel refuses.
pub fn tunnel(name: &str) -> Result<File> {
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .context("no TUN devices")?;
    // struct ifreq: a name of 16 bytes, then flags.
    let mut request = [0_u8; 40];
    for (to, from) in request.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    for (to, from) in request.iter_mut().skip(16).zip(PACKETS.to_ne_bytes()) {
        *to = from;
    }
    // SAFETY: the request is as large as `struct ifreq` and outlives the call.
    let made = unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) };
    ensure!(made == 0, "cannot make the TUN device {name}");
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(&device, flags)?;
    Ok(device)
}

fn wire(network: &Namespace, addresses: &[&str]) -> Result<File> {
    let device = network.inside(|| tunnel(DEVICE))?;
    // A packet for each segment of TCP: what it sends again can be counted.
    network.ip(&format!("link set {DEVICE} gso_max_segs 1"))?;
    Plug {
        network,
        device: DEVICE,
        addresses,
    }
    .raise()?;
    // Of what is lost at the end of a turn TCP waits a fifth of a second otherwise.
    for prefix in ["10.99.0.0/24", "fd00::/64"] {
        network.ip(&format!("route replace {prefix} dev {DEVICE} rto_min 20ms"))?;
    }
    Ok(device)
}

/// A packet that waits: until when, its number, to which end.
type Waiting = Reverse<(Instant, u64, usize, Vec<u8>)>;

fn relay(mut ends: [File; 2], faults: Faults, stop: &AtomicBool) -> Result<Tally> {
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    for end in &ends {
        epoll.add(end, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    }
    let mut choices = [Rng::with_seed(faults.seed), Rng::with_seed(!faults.seed)];
    let mut waiting: BinaryHeap<Waiting> = BinaryHeap::new();
    let mut tally = Tally::default();
    let mut packet = vec![0; 65536];
    while !stop.load(Ordering::Relaxed) {
        let until = waiting.peek().map_or(NAP, |Reverse((due, ..))| {
            due.saturating_duration_since(Instant::now()).min(NAP)
        });
        let sleep = u16::try_from(until.as_micros().div_ceil(1000))?;
        epoll.wait(&mut [EpollEvent::empty(); 2], sleep)?;
        for (from, chance) in choices.iter_mut().enumerate() {
            let to = 1 - from;
            let Some(end) = ends.get_mut(from) else {
                continue;
            };
            while let Some(length) = receive(end, &mut packet)? {
                tally.passed += 1;
                let lot = chance.u8(..100);
                let late = Duration::from_micros(chance.u64(1_000..4_000));
                let dropped = lot < faults.dropped || waiting.len() >= WAITING;
                let repeated = !dropped && lot < faults.dropped + faults.repeated;
                let delayed = !dropped
                    && !repeated
                    && lot < faults.dropped + faults.repeated + faults.delayed;
                tally.dropped += u64::from(dropped);
                tally.repeated += u64::from(repeated);
                tally.delayed += u64::from(delayed);
                if dropped {
                    continue;
                }
                let bytes = packet.get(..length).unwrap_or_default().to_vec();
                let now = Instant::now();
                let due = if delayed { now + late } else { now };
                if repeated {
                    waiting.push(Reverse((now + late, tally.passed, to, bytes.clone())));
                }
                waiting.push(Reverse((due, tally.passed, to, bytes)));
            }
        }
        while let Some(Reverse((due, ..))) = waiting.peek()
            && *due <= Instant::now()
        {
            if let Some(Reverse((_, _, to, bytes))) = waiting.pop()
                && let Some(end) = ends.get_mut(to)
            {
                // A device whose queue is full drops packets, as those of wires do.
                let _ = end.write(&bytes);
            }
        }
    }
    Ok(tally)
}

fn receive(end: &mut File, packet: &mut [u8]) -> Result<Option<usize>> {
    match end.read(packet) {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error).context("the wire broke"),
    }
}
