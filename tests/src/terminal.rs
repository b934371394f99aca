//! A terminal of 80 × 24 with a program in it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::process::PATIENCE;

const SIZE: Winsize = Winsize {
    ws_row: 24,
    ws_col: 80,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// The program is killed when this goes.
pub struct Terminal {
    child: Child,
    /// The side that a person sits at.
    person: File,
    /// The side that the program has.
    program: OwnedFd,
    before: Termios,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Runs a program with a new terminal as its controlling one.
    ///
    /// # Errors
    /// When there is no terminal to be had, or the program does not start.
    pub fn start(program: &Command) -> Result<Self> {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&person)?;
        unlockpt(&person)?;
        let name = ptsname(&person, Vec::new())?;
        let side = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
        tcsetwinsize(&side, SIZE)?;
        let before = tcgetattr(&side)?;
        // Without a terminal of its own a program may find that of whoever runs the tests.
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(program.get_program())
            .args(program.get_args())
            .env("TERM", "xterm-256color")
            .stdin(side.try_clone()?)
            .stdout(side.try_clone()?)
            .stderr(side.try_clone()?)
            .spawn()?;
        let person = File::from(person);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(SIZE.ws_row, SIZE.ws_col, 0)));
        let (mut input, shared) = (person.try_clone()?, Arc::clone(&screen));
        // Ends with an error once nobody has the program's side any more.
        spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = input.read(&mut bytes) {
                let bytes = bytes.get(..read).unwrap_or_default();
                lock(&shared).process(bytes);
            }
        });
        Ok(Self {
            child,
            person,
            program: side,
            before,
            screen,
        })
    }

    /// Types.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn keys(&mut self, keys: &str) -> Result<()> {
        Ok(self.person.write_all(keys.as_bytes())?)
    }

    /// What is on it.
    pub fn shows(&self) -> String {
        lock(&self.screen).screen().contents()
    }

    /// Waits until this is on it.
    ///
    /// # Errors
    /// When it does not come in time, with what is there instead.
    pub fn until(&self, what: &str, holds: impl Fn(&str) -> bool) -> Result<String> {
        let start = Instant::now();
        loop {
            let shown = self.shows();
            if holds(&shown) {
                return Ok(shown);
            }
            if start.elapsed() > PATIENCE {
                bail!("no {what} within {PATIENCE:?}, but:\n{shown}");
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Sends the program a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(
            Pid::from_raw(i32::try_from(self.child.id())?),
            signal,
        )?)
    }

    /// Waits until the program has ended and the terminal is as it was before.
    ///
    /// # Errors
    /// When it does not end in time, or leaves the terminal otherwise.
    pub fn ended(&mut self) -> Result<ExitStatus> {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if start.elapsed() > PATIENCE {
                bail!("it did not end within {PATIENCE:?}:\n{}", self.shows());
            }
            sleep(Duration::from_millis(20));
        };
        let after = tcgetattr(&self.program)?;
        let modes = |modes: &Termios| {
            (
                modes.input_modes,
                modes.output_modes,
                modes.control_modes,
                modes.local_modes,
            )
        };
        if modes(&after) != modes(&self.before) {
            bail!("it left the terminal with {after:?}");
        }
        // What it wrote last is read by another thread.
        self.until("return to the first screen", |_| {
            let parser = lock(&self.screen);
            !parser.screen().alternate_screen() && !parser.screen().hide_cursor()
        })?;
        Ok(status)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lock(screen: &Mutex<vt100::Parser>) -> MutexGuard<'_, vt100::Parser> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}
