//! A driver's program, which runs scenarios and tells what it issued.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use anyhow::{Context as _, Result};
use observer_tests::languages::{Language, program};
use observer_tests::process::{PATIENCE, Place};
use serde::Deserialize;

/// A row of the table of drivers.
pub(crate) struct Driver {
    pub(crate) language: Language,
    pub(crate) program: &'static str,
    /// Scenarios that only this driver can run.
    pub(crate) own: &'static [&'static str],
}

/// Commands by the server's own name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// What a program says that it issued in a scenario.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Told {
    pub(crate) issued: Counts,
    /// Of these, commands that waited for others.
    pub(crate) blocked: Counts,
    /// Of these, commands without a reply of their own.
    pub(crate) unanswered: Counts,
    /// Of these, commands that crossed the wire and that the server's figures lack: unknown ones,
    /// and queued ones that never ran.
    pub(crate) unrun: Counts,
    /// Commands of scripts: in the server's figures, and not on the wire.
    pub(crate) inside: Counts,
    /// Errors in the reply to `EXEC`: of queued commands, whose outcome is that they were queued.
    pub(crate) within: Counts,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

/// A running program; killed when this goes.
pub(crate) struct Program {
    child: Child,
    ask: ChildStdin,
    answers: Receiver<String>,
}

impl Program {
    /// Starts it; `None` where the machine lacks the language.
    pub(crate) fn start(
        driver: &Driver,
        protocol: u8,
        [single, cluster]: [SocketAddr; 2],
        place: &Place<'_>,
    ) -> Result<Option<Self>> {
        let Some(mut command) = program(driver.language, driver.program)? else {
            return Ok(None);
        };
        command
            .arg(single.port().to_string())
            .arg(protocol.to_string())
            .arg(cluster.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        place.apply(&mut command)?;
        let mut child = command.spawn().context("cannot start the driver")?;
        let ask = child.stdin.take().context("no standard input")?;
        let lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let (tell, answers) = channel();
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| tell.send(line))
        });
        Ok(Some(Self {
            child,
            ask,
            answers,
        }))
    }

    /// Runs a scenario to its end.
    pub(crate) fn run(&mut self, scenario: &str) -> Result<Told> {
        writeln!(self.ask, "{scenario}")?;
        let line = self
            .answers
            .recv_timeout(PATIENCE)
            .with_context(|| format!("{scenario} has no answer: {:?}", self.child.try_wait()))?;
        serde_json::from_str(&line).with_context(|| format!("{scenario} answered {line}"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be in the midst of a command that blocks.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
