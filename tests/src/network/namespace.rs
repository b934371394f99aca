//! Network namespaces, and cables between them.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::process::{self, Command};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, setns, unshare};

use crate::process::{finish, need};

/// Where the client of a [`pair`] is.
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));
/// Its other address.
pub const CLIENT6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
/// Where the server of a [`pair`] is.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 2));
/// Its other address.
pub const SERVER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));

/// A network namespace; it has no name and is gone with this and the last program in it, also
/// when the test is killed.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

/// One end of a [`cable`].
#[derive(Clone, Copy, Debug)]
pub struct Plug<'a> {
    /// Where it is.
    pub network: &'a Namespace,
    /// What the device is called there.
    pub device: &'a str,
    /// Its addresses with their prefixes.
    pub addresses: &'a [&'a str],
}

impl Namespace {
    /// Makes one whose loopback is up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new() -> Result<Self> {
        let made = thread::spawn(|| -> Result<Self> {
            unshare(CloneFlags::CLONE_NEWNET).context("no network of our own (root?)")?;
            let file = File::open("/proc/thread-self/ns/net")?;
            Ok(Self { file })
        });
        let network = made.join().map_err(|_| anyhow!("panicked"))??;
        network.ip("link set dev lo up")?;
        Ok(network)
    }

    /// The one that a process is in.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: u32) -> Result<Self> {
        let file = File::open(format!("/proc/{pid}/ns/net"))?;
        Ok(Self { file })
    }

    /// The same once more.
    ///
    /// # Errors
    /// When no file can be opened any more.
    pub fn try_clone(&self) -> Result<Self> {
        let file = self.file.try_clone()?;
        Ok(Self { file })
    }

    /// Runs `act` on a thread that is in it; programs that it starts are there too.
    ///
    /// # Errors
    /// When the kernel refuses, or what `act` returns.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let run = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).context("cannot enter the network")?;
            act()
        };
        thread::scope(|scope| {
            let ended = scope.spawn(run).join();
            ended.map_err(|_| anyhow!("panicked in a network of its own"))?
        })
    }

    /// Runs `ip` in it with these arguments, which blanks separate.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn ip(&self, arguments: &str) -> Result<()> {
        self.run("ip", arguments)
    }

    /// Runs a program in it to its end.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn run(&self, program: &str, arguments: &str) -> Result<()> {
        let mut command = Command::new(need(program)?);
        command.args(arguments.split(' '));
        self.inside(|| finish(&mut command)).map(drop)
    }

    /// Sets a row of `/proc/sys/net`, such as `ipv4/tcp_fastopen`.
    ///
    /// # Errors
    /// When there is no such row or the kernel refuses the value.
    pub fn set(&self, row: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{row}");
        self.inside(|| fs::write(&path, value).with_context(|| format!("{path}: {value}")))
    }

    /// What the namespace's TCP has counted, such as `RetransSegs` of `snmp` or
    /// `TCPSynRetrans` of `netstat`.
    ///
    /// # Errors
    /// When the kernel has no such counter.
    pub fn counted(&self, name: &str) -> Result<u64> {
        let read = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}"));
        let text = self.inside(|| Ok(read("snmp")? + &read("netstat")?))?;
        counter(&text, name).with_context(|| format!("no counter {name}"))
    }

    /// Connections of TCP over IPv4 whose peer may still expect something of them.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn connections(&self) -> Result<usize> {
        let text = self.inside(|| Ok(fs::read_to_string("/proc/thread-self/net/tcp")?))?;
        // Listeners (0A) and those that only wait for time to pass (06) send nothing.
        let rows = text.lines().skip(1);
        let states = rows.filter_map(|row| row.split_whitespace().nth(3));
        Ok(states.filter(|state| !["0A", "06"].contains(state)).count())
    }

    /// A path that names it as long as this is there.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd())
    }
}

/// Lays a cable: a pair of `veth` devices, one in each namespace.
///
/// # Errors
/// When the kernel refuses.
pub fn cable(ends: [Plug<'_>; 2]) -> Result<()> {
    let [here, there] = ends;
    here.network.ip(&format!(
        "link add {} type veth peer name {} netns {}",
        here.device,
        there.device,
        there.network.path()
    ))?;
    ends.iter().try_for_each(Plug::raise)
}

/// A client's namespace and a server's, with a cable between their devices `eth0`.
///
/// # Errors
/// When the kernel refuses.
pub fn pair() -> Result<[Namespace; 2]> {
    let pair = [Namespace::new()?, Namespace::new()?];
    let plug = |network, addresses| Plug {
        network,
        device: "eth0",
        addresses,
    };
    let [client, server] = &pair;
    cable([
        plug(client, &["10.99.0.1/24", "fd00::1/64"]),
        plug(server, &["10.99.0.2/24", "fd00::2/64"]),
    ])?;
    Ok(pair)
}

// === impl Plug ===

impl Plug<'_> {
    /// Gives the device its addresses and sets it up.
    pub(super) fn raise(&self) -> Result<()> {
        for address in self.addresses {
            // Nobody else is there to have the same address.
            let family = if address.contains(':') { " nodad" } else { "" };
            let device = self.device;
            self.network
                .ip(&format!("addr add {address} dev {device}{family}"))?;
        }
        self.network.ip(&format!("link set {} up", self.device))
    }
}

/// A value in the text of `/proc/net/snmp`: a line of names, then one of values.
fn counter(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let at = names.split(' ').position(|known| known == name);
        if let Some(at) = at {
            return values.split(' ').nth(at)?.parse().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_stands_below_its_name() {
        let text = "Ip: Forwarding DefaultTTL\nIp: 2 64\nTcp: InSegs RetransSegs\nTcp: 17 3\n";
        assert_eq!(counter(text, "RetransSegs"), Some(3));
        assert_eq!(counter(text, "DefaultTTL"), Some(64));
        assert_eq!(counter(text, "OutSegs"), None);
    }
}
