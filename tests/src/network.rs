//! A network of our own, to change what must not be changed on the machine's.

use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};

/// Runs `act` on a thread whose network, with a loopback as `ip link set lo …` made it, is nobody
/// else's; programs that it starts have the same.
///
/// # Errors
/// When the kernel refuses, or what `act` returns.
pub fn apart<T: Send>(loopback: &[&str], act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET).context("no network of our own (root?)")?;
        let mut command = Command::new("ip");
        command.args(["link", "set", "dev", "lo"]).args(loopback);
        let status = command.arg("up").status().context("cannot start ip")?;
        ensure!(status.success(), "{command:?} failed");
        act()
    };
    thread::scope(|scope| {
        let ended = scope.spawn(run).join();
        ended.map_err(|_| anyhow!("panicked in a network of its own"))?
    })
}
