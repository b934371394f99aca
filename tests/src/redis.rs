//! A real Redis and its own statistics.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::Result;
use redis::{Client, Connection, IntoConnectionInfo as _, RedisConnectionInfo};
use tempfile::TempDir;

use crate::process::{Place, Process, free_port, need};

pub mod cluster;

/// A running server; stopped when this goes.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    address: SocketAddr,
    _files: TempDir,
}

/// What `INFO commandstats` says about one command. Commands inside EVAL are counted though they
/// never cross the wire; queued commands that never ran and unknown ones are not, though they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How often it ran.
    pub calls: u64,
    /// How often it was refused before it ran.
    pub rejected: u64,
    /// How often it ran and failed; part of `calls`.
    pub failed: u64,
}

impl Redis {
    /// Starts an empty server that keeps nothing on disk.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn start(place: &Place<'_>) -> Result<Self> {
        Self::listening(place, Ipv4Addr::LOCALHOST.into())
    }

    /// The same on this address.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn listening(place: &Place<'_>, host: IpAddr) -> Result<Self> {
        Self::with(place, host, &[])
    }

    /// The same with these arguments.
    fn with(place: &Place<'_>, host: IpAddr, arguments: &[&str]) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let address = SocketAddr::new(host, free_port()?.port());
        let mut command = Command::new(need("redis-server")?);
        command
            .args(["--bind", &address.ip().to_string()])
            .args(["--port", &address.port().to_string()])
            .args(["--protected-mode", "no"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(files.path())
            .args(arguments)
            .current_dir(files.path());
        let log = files.path().join("redis.log");
        let mut process = Process::start(command, &log, place)?;
        process.listens(address)?;
        Ok(Self {
            process,
            address,
            _files: files,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A connection that sends nothing of its own accord.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn client(&self) -> Result<Connection> {
        Ok(client(self.address)?.get_connection()?)
    }

    /// Every command's statistics, by its name in lower case. This INFO is not yet in them.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn usage(&self) -> Result<BTreeMap<String, Usage>> {
        usage_at(self.address)
    }

    /// Removes every key and script.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn clear(&self) -> Result<()> {
        let mut client = self.client()?;
        let () = redis::cmd("FLUSHALL").query(&mut client)?;
        Ok(redis::cmd("SCRIPT").arg("FLUSH").query(&mut client)?)
    }

    /// Errors it answered, by their first word.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn errors(&self) -> Result<BTreeMap<String, u64>> {
        let text: String = redis::cmd("INFO")
            .arg("errorstats")
            .query(&mut self.client()?)?;
        // errorstat_WRONGTYPE:count=2
        let error = |line: &str| {
            let (word, count) = line.strip_prefix("errorstat_")?.split_once(":count=")?;
            Some((word.to_owned(), count.trim().parse().ok()?))
        };
        Ok(text.lines().filter_map(error).collect())
    }

    /// Keys found and not found since the start; EXISTS, TTL and LRANGE of nothing are misses too.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn lookups(&self) -> Result<(u64, u64)> {
        let text: String = redis::cmd("INFO").arg("stats").query(&mut self.client()?)?;
        let figure = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
                .unwrap_or(0)
        };
        Ok((figure("keyspace_hits:"), figure("keyspace_misses:")))
    }
}

/// What [`Redis::usage`] says of a server that somebody else started.
///
/// # Errors
/// When the server does not answer.
pub fn usage_at(address: SocketAddr) -> Result<BTreeMap<String, Usage>> {
    let text: String = redis::cmd("INFO")
        .arg("commandstats")
        .query(&mut client(address)?.get_connection()?)?;
    Ok(text.lines().filter_map(usage).collect())
}

/// A client whose connections send no CLIENT SETINFO.
///
/// # Errors
/// When the address is none.
pub fn client(address: SocketAddr) -> Result<Client> {
    let information = (address.ip().to_string(), address.port())
        .into_connection_info()?
        .set_redis_settings(RedisConnectionInfo::default().set_skip_set_lib_name());
    Ok(Client::open(information)?)
}

/// `cmdstat_get:calls=2,usec=3,usec_per_call=1.50,rejected_calls=0,failed_calls=0`
fn usage(line: &str) -> Option<(String, Usage)> {
    let (name, fields) = line.strip_prefix("cmdstat_")?.split_once(':')?;
    let mut usage = Usage::default();
    for field in fields.split(',') {
        match field.split_once('=')? {
            ("calls", n) => usage.calls = n.trim().parse().ok()?,
            ("rejected_calls", n) => usage.rejected = n.trim().parse().ok()?,
            ("failed_calls", n) => usage.failed = n.trim().parse().ok()?,
            _ => {}
        }
    }
    Some((name.to_owned(), usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_counts_what_it_ran() -> Result<()> {
        let server = Redis::start(&Place::default())?;
        let mut client = server.client()?;
        let () = redis::cmd("SET").arg("a").arg(1).query(&mut client)?;
        let (one, none): (i64, Option<i64>) =
            redis::cmd("MGET").arg("a").arg("b").query(&mut client)?;
        assert_eq!((one, none), (1, None));
        assert!(
            redis::cmd("LPOP")
                .arg("a")
                .query::<()>(&mut client)
                .is_err()
        );
        assert!(redis::cmd("GET").query::<()>(&mut client).is_err());
        let usage = server.usage()?;
        let of = |name: &str| usage.get(name).copied().unwrap_or_default();
        assert_eq!(of("set").calls, 1);
        assert_eq!(of("mget").calls, 1);
        assert_eq!((of("lpop").calls, of("lpop").failed), (1, 1));
        assert_eq!((of("get").calls, of("get").rejected), (0, 1));
        assert_eq!(of("client|setinfo").calls + of("client").rejected, 0);
        assert_eq!(server.lookups()?, (1, 1));
        Ok(())
    }
}
