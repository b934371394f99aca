//! The terminal: taken, drawn on, and given back however this ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::screen::draw;
use super::source::Source;
use super::state::{Flow, State};
use crate::export::status::Status;

/// How long a key, an answer or a signal may go unnoticed.
const TICK: Duration = Duration::from_millis(100);

/// An answer of the agent, or why there is none.
type Answer = anyhow::Result<Status>;

/// Shows the agent until a key or a signal ends it.
pub(super) fn show(mut state: State, source: Source, interval: Duration) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&stop)).context("cannot listen for signals")?;
    }
    let place = source.name().to_owned();
    let asking = Asking::start(source, interval)?;
    let shown = watch(&mut state, &place, &asking.answers, &stop);
    let source = asking.stop()?;
    shown.and(source.end())
}

fn watch(
    state: &mut State,
    place: &str,
    answers: &Receiver<Answer>,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let mut terminal = Terminal::take()?;
    let mut changed = true;
    while !stop.load(Ordering::Relaxed) {
        while let Ok(answer) = answers.try_recv() {
            changed = true;
            match answer {
                Ok(status) => state.take(status),
                Err(error) => state.miss(format!("{error:#}"), Instant::now()),
            }
        }
        // How old a stale picture is goes on changing.
        if changed || state.stale.is_some() {
            let now = Instant::now();
            let drawn = terminal.0.draw(|frame| draw(frame, state, place, now));
            drawn.context("cannot draw on the terminal")?;
            changed = false;
        }
        if !event::poll(TICK).context("cannot read the terminal")? {
            continue;
        }
        changed = true;
        if let Event::Key(key) = event::read().context("cannot read the terminal")?
            && key.kind == KeyEventKind::Press
            && state.key(key) == Flow::Quit
        {
            break;
        }
    }
    Ok(())
}

/// The terminal's other screen in raw mode. A panic gives it back too, before it is told.
struct Terminal(ratatui::DefaultTerminal);

impl Terminal {
    fn take() -> anyhow::Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self(terminal)),
            Err(error) => {
                give_back();
                Err(error).context("cannot take the terminal")
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // What a filter or a panic hid is not ours to hide.
        let _shown = self.0.show_cursor();
        give_back();
    }
}

fn give_back() {
    // Nothing can be told on a terminal that is gone.
    let _gone = ratatui::try_restore();
}

/// Asks the agent in the background, so that one that does not answer holds up no key.
struct Asking {
    answers: Receiver<Answer>,
    /// Dropped to end it.
    stop: Sender<()>,
    thread: JoinHandle<Source>,
}

impl Asking {
    fn start(mut source: Source, interval: Duration) -> anyhow::Result<Self> {
        let (sender, answers) = channel();
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("asking".to_owned());
        let thread = thread
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                    if sender.send(source.status()).is_err() {
                        break;
                    }
                }
                source
            })
            .context("cannot start a thread")?;
        Ok(Self {
            answers,
            stop,
            thread,
        })
    }

    fn stop(self) -> anyhow::Result<Source> {
        drop(self.stop);
        let source = self.thread.join();
        source.map_err(|_| anyhow!("asking the agent ended by a panic"))
    }
}
